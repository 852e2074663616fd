"""
Baseline of the relay: Twisted's `Agent` and `Request.write`, as a first attempt would be written.

    python benchmarks/peers/plain_relay.py PORT UPSTREAM

Each GET requests a chat completion; its bytes are written as they come. Nothing is parsed, nothing is
kept, and there is no backpressure.
"""

import sys
from io import BytesIO

from listening import serve
from twisted.internet import reactor
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

BODY = b'{"messages":[{"role":"user","content":"?"}],"stream":true}'


class Copier(Protocol):
    """Writes a body into a request's response."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._gone = False
        request.notifyFinish().addErrback(self._leave)

    def dataReceived(self, data: bytes) -> None:
        """Write the data."""
        if not self._gone:
            self._request.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Finish the response."""
        if not self._gone:
            self._request.finish()

    def _leave(self, _: Failure) -> None:
        self._gone = True
        if self.transport is not None:
            self.transport.loseConnection()


class Relay(Resource):
    """Answers every GET with an answer of the upstream."""

    isLeaf = True

    def __init__(self, url: bytes) -> None:
        Resource.__init__(self)
        self._url = url
        self._agent = Agent(reactor, pool=HTTPConnectionPool(reactor))

    def render_GET(self, request: Request) -> int:
        """Request and copy."""
        request.setHeader(b"Content-Type", b"text/event-stream")
        headers, copier = Headers({"Content-Type": ["application/json"]}), Copier(request)

        def copy(response: IResponse) -> None:
            response.deliverBody(copier)

        answer = self._agent.request(b"POST", self._url, headers, FileBodyProducer(BytesIO(BODY)))
        answer.addCallback(copy).addErrback(request.processingFailed)
        return NOT_DONE_YET


if __name__ == "__main__":
    serve(Site(Relay(f"{sys.argv[2]}/chat/completions".encode("ascii"))), sys.argv[1])
