"""
Baselines of catching up: a bare Twisted protocol that answers every request with the bytes of a file.

    python benchmarks/peers/plain_write.py PORT FILE [web]

Head and body are one `transport.write`; then the connection is closed. With `web` a `twisted.web`
resource returns the bytes, so that requests and responses are parsed and written as ours are.
"""

import sys
from pathlib import Path

from listening import serve
from twisted.internet.protocol import Factory, Protocol
from twisted.web.server import Site
from twisted.web.static import Data

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
BODY = Path(sys.argv[2]).read_bytes()


class PlainWrite(Protocol):
    """Answers one request."""

    received = b""

    def dataReceived(self, data: bytes) -> None:
        """Answer when the request's head is complete."""
        self.received += data
        if self.received.endswith(b"\r\n\r\n"):
            self.transport.write(HEAD + BODY)
            self.transport.loseConnection()


class Leaf(Data):
    """The bytes, at every path."""

    isLeaf = True


if __name__ == "__main__":
    serve(Site(Leaf(BODY, "text/event-stream")) if sys.argv[3:] else Factory.forProtocol(PlainWrite), sys.argv[1])
