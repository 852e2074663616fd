"""
The baseline of relaying: Twisted's `Agent` and `Request.write`, nothing but what a first attempt would write.

    python benchmarks/peers/plain_relay.py --port 8123 --upstream http://127.0.0.1:8124/v1

Each GET asks the upstream for a chat completion; what comes of it is written as it comes. Nothing is looked at, nothing
is kept, and nobody waits for anybody.
"""

from __future__ import annotations

import argparse
import sys
from io import BytesIO

from twisted.internet import endpoints, reactor
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.python.failure import Failure
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

BODY = b'{"messages":[{"role":"user","content":"?"}],"stream":true}'


class Copier(Protocol):
    """
    Writes what it is given into a request's response.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._gone = False
        request.notifyFinish().addErrback(self._left)

    def dataReceived(self, data: bytes) -> None:
        """
        Write it.
        """
        if not self._gone:
            self._request.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        That was all.
        """
        if not self._gone:
            self._request.finish()

    def _left(self, _: Failure) -> None:
        self._gone = True
        if self.transport is not None:
            self.transport.loseConnection()


class Relay(Resource):
    """
    Answers every GET with an answer of the upstream.

    Args:
        url: Where to ask.
    """

    isLeaf = True

    def __init__(self, url: bytes) -> None:
        Resource.__init__(self)
        self._url = url
        self._agent = Agent(reactor, pool=HTTPConnectionPool(reactor))

    def render_GET(self, request: Request) -> int:
        """
        Ask, and copy.
        """
        request.setHeader(b"Content-Type", b"text/event-stream")
        headers = Headers({"Content-Type": ["application/json"]})
        copier = Copier(request)

        def copy(response: IResponse) -> None:
            response.deliverBody(copier)

        asking = self._agent.request(b"POST", self._url, headers, FileBodyProducer(BytesIO(BODY)))
        asking.addCallback(copy).addErrback(request.processingFailed)
        return NOT_DONE_YET


def main() -> None:
    """
    Serve until SIGTERM.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    options = parser.parse_args()
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    endpoint = endpoints.serverFromString(reactor, f"tcp:{options.port}:interface=127.0.0.1:backlog=4096")
    endpoint.listen(Site(Relay(f"{options.upstream}/chat/completions".encode("ascii")))).addErrback(endWith)
    reactor.run()


def endWith(failure: Failure) -> None:
    """
    The port cannot be had: say so and end.
    """
    print(failure.getErrorMessage(), file=sys.stderr)
    reactor.stop()


if __name__ == "__main__":
    main()
