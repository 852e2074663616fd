"""Follows a stream to its end, and prints the text as it grows: python follow.py http://127.0.0.1:8000/streams/NAME"""

import sys

from twisted.internet.task import react

from sseserver.client import EventSource, EventSourceError, Limits


async def follow(reactor, url):
    # The server sends a heartbeat every 15 seconds, so a minute of silence means that it is gone.
    async for event in EventSource(reactor, url, limits=Limits(silence=60)):
        if event.type == "message":
            print(event.data, end="", flush=True)
        elif event.type in {"done", "failed", "cancelled"}:
            print(f"\n{event.type}: {event.data}")
            break


async def main(reactor, url):
    try:
        await follow(reactor, url)
    except EventSourceError as error:
        raise SystemExit(str(error)) from None


react(main, sys.argv[1:])
