"""
Sends a prompt to an OpenAI-compatible API, and prints the answer as it grows:

    python ask.py http://127.0.0.1:8000/v1 "Say hello."
"""

import json
import sys

from twisted.internet.task import react
from twisted.web.http_headers import Headers

from sseserver.client import EventSource, EventSourceError, Request


def makeRequest(api, prompt):
    messages = [{"role": "user", "content": prompt}]
    return Request(
        f"{api}/chat/completions",
        method=b"POST",
        headers=Headers({"Content-Type": ["application/json"]}),
        body=json.dumps({"model": "sseserver", "messages": messages, "stream": True}).encode(),
    )


def show(event):
    if event.data != "[DONE]":
        for choice in json.loads(event.data)["choices"]:
            print(choice["delta"].get("content") or "", end="", flush=True)


async def main(reactor, api, prompt):
    # A single request: a repetition would be answered, and paid for, again.
    source = EventSource(reactor, makeRequest(api, prompt), onEvent=show, retry=None)
    try:
        await source.start()
    except EventSourceError as error:
        raise SystemExit(str(error)) from None


react(main, sys.argv[1:])
