"""
Follows a stream until its end, over lost connections, and prints the text as it grows:

    python follow.py http://127.0.0.1:8000/streams/NAME
"""

import sys

from twisted.internet.task import react

from sseserver.client import EventSource, EventSourceError


async def main(reactor, url):
    try:
        # A server that sends heartbeats each 15 seconds and has been silent for a minute is gone.
        async for event in EventSource(reactor, url, silence=60):
            if event.type == "message":
                print(event.data, end="", flush=True)
            elif event.type in {"done", "failed", "cancelled"}:
                print(f"\n{event.type}: {event.data}")
                break
    except EventSourceError as error:
        raise SystemExit(str(error)) from None


react(main, sys.argv[1:])
