"""
The baseline of `catch_up.py`: a bare Twisted protocol that answers every request with the bytes of a file.

    python benchmarks/peers/plain_write.py --port 8123 --file FILE [--web]

Head and body are one `transport.write`; then the connection is closed. No HTTP, no chunks, no producer, no pause. With
`--web` it is a `twisted.web` resource that returns the bytes: so requests and responses are parsed and written as ours.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from twisted.internet import endpoints, reactor
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.web.server import Site
from twisted.web.static import Data


class PlainWrite(Protocol):
    """
    Answers one request.

    Args:
        response: With its head.
    """

    def __init__(self, response: bytes) -> None:
        self._response = response
        self._received = b""

    def dataReceived(self, data: bytes) -> None:
        """
        Answer when the request's head is there.
        """
        self._received += data
        if self._received.endswith(b"\r\n\r\n"):
            self.transport.write(self._response)
            self.transport.loseConnection()


class PlainWrites(Factory):
    """
    Gives every connection the same bytes.

    Args:
        response: With its head.
    """

    noisy = False

    def __init__(self, response: bytes) -> None:
        self._response = response

    def buildProtocol(self, addr: IAddress) -> PlainWrite:
        """
        Make the protocol of one connection.
        """
        return PlainWrite(self._response)


class Leaf(Data):
    """
    The bytes, at every path.
    """

    isLeaf = True


def endWith(failure: Failure) -> None:
    """
    The port cannot be had: say so and end.
    """
    print(failure.getErrorMessage(), file=sys.stderr)
    reactor.stop()


def main() -> None:
    """
    Serve until SIGTERM.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--file", type=Path, required=True, help="the body")
    parser.add_argument("--web", action="store_true", help="as a resource of twisted.web")
    options = parser.parse_args()
    body = options.file.read_bytes()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    endpoint = endpoints.serverFromString(reactor, f"tcp:{options.port}:interface=127.0.0.1:backlog=4096")
    factory = Site(Leaf(body, "text/event-stream")) if options.web else PlainWrites(head + body)
    endpoint.listen(factory).addErrback(endWith)
    reactor.run()


if __name__ == "__main__":
    main()
