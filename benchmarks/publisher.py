"""
A publisher: POSTs one stamped event after the other, at a fixed rate, to any server that takes them.

    python benchmarks/publisher.py --port 8000 --path /streams/x --json [--rate 20] [--seconds 60]

The data of an event are the nanoseconds of the monotonic clock just before it was sent, a space, and its number from 1:
so every process of this machine that gets it knows how long it was under way, and whether one is missing. The body is
the data alone (`text/plain`), or with `--json` an object with them. Publishing is synchronous, over one connection; a
publisher that is late makes up for it. It ends after `--seconds`, or with an error when an answer is none of success.
"""

from __future__ import annotations

import argparse
import http.client
import json
import time

import process
import secure


def publish(connection: http.client.HTTPConnection, path: str, number: int, asJSON: bool) -> None:
    """
    Publish one event.

    Raises:
        SystemExit: It was refused.
    """
    data = f"{time.monotonic_ns()} {number}"
    body = json.dumps({"data": data}) if asJSON else data
    headers = {"Content-Type": "application/json" if asJSON else "text/plain"}
    connection.request("POST", path, body.encode(), headers)
    with connection.getresponse() as answer:
        text = answer.read()
        if answer.status not in {200, 201, 202}:
            raise SystemExit(f"event {number} was refused: {answer.status} {text!r}")


def connectionTo(port: int, tls: bool) -> http.client.HTTPConnection:
    """
    A connection that is not made yet.
    """
    if tls:
        return http.client.HTTPSConnection(process.HOST, port, timeout=30, context=secure.clientContext())
    return http.client.HTTPConnection(process.HOST, port, timeout=30)


def parseArguments() -> argparse.Namespace:
    """
    The command line.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True, help="where to POST")
    parser.add_argument("--json", action="store_true", help='POST {"data": "..."} instead of the data alone')
    parser.add_argument("--tls", action="store_true", help="over TLS")
    parser.add_argument("--rate", type=float, default=20.0, help="events each second")
    parser.add_argument("--seconds", type=float, default=60.0, help="ends after so many")
    return parser.parse_args()


def main() -> None:
    """
    Publish until the time is over.
    """
    options = parseArguments()
    connection = connectionTo(options.port, options.tls)
    begin = time.monotonic()
    for number in range(1, int(options.seconds * options.rate) + 1):
        time.sleep(max(0.0, begin + number / options.rate - time.monotonic()))
        publish(connection, options.path, number, options.json)
    connection.close()


if __name__ == "__main__":
    main()
