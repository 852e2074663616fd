"""Asks an OpenAI-compatible API, and prints the answer as it grows: python ask.py http://127.0.0.1:8000/v1 Hello"""

import json
import sys

from twisted.internet.task import react
from twisted.web.http_headers import Headers

from sseserver.client import EventSource, Request


def makeRequest(api, prompt):
    messages = [{"role": "user", "content": prompt}]
    body = json.dumps({"model": "sseserver", "messages": messages, "stream": True}).encode()
    headers = Headers({"Content-Type": ["application/json"]})
    return Request(f"{api}/chat/completions", method=b"POST", headers=headers, body=body)


def show(event):
    if event.data != "[DONE]":
        for choice in json.loads(event.data)["choices"]:
            print(choice["delta"].get("content") or "", end="", flush=True)


def main(reactor, api, prompt):
    # A single request: a repetition would be answered, and paid for, again.
    return EventSource(reactor, makeRequest(api, prompt), onEvent=show, retry=None).start()


react(main, sys.argv[1:])
