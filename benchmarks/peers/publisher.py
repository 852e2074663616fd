"""
A publisher: POSTs stamped events at a fixed rate over one connection.

    python benchmarks/peers/publisher.py PORT PATH RATE COUNT [text | json | grip] [tls]

The body is the data of the event (`text`), an object with them for sseserver (`json`), or an item for Pushpin (`grip`).
The data of an event are the nanoseconds of the monotonic clock just before it was sent, a space, and its
number from 1. A late publisher catches up. It ends after COUNT events, or with an error if one is refused.
"""

import http.client
import json
import ssl
import sys
import time

port, path, rate, count, *flags = sys.argv[1:]
context = ssl._create_unverified_context()
connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)
if "tls" in flags:
    connection = http.client.HTTPSConnection("127.0.0.1", int(port), timeout=30, context=context)
kind = {"Content-Type": "text/plain" if "text" in flags else "application/json"}


def write(data: str, number: int) -> str:
    """Return the body of a POST."""
    if "grip" in flags:
        content = f"id: PushpinPushpinPushpinP-{number}\ndata: {data}\n\n"
        return json.dumps({"items": [{"channel": "one", "formats": {"http-stream": {"content": content}}}]})
    return json.dumps({"data": data}) if "json" in flags else data


begin = time.monotonic()
for number in range(1, int(count) + 1):
    time.sleep(max(0.0, begin + number / float(rate) - time.monotonic()))
    data = f"{time.monotonic_ns()} {number}"
    connection.request("POST", path, write(data, number).encode(), kind)
    with connection.getresponse() as answer:
        text = answer.read()
        if answer.status not in {200, 201, 202, 204}:
            sys.exit(f"event {number} was refused: {answer.status} {text!r}")
