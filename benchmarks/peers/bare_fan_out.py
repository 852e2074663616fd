"""
The baseline of `fan_out.py`: bare `twisted.web`, nothing but what a first attempt would write.

    python benchmarks/peers/bare_fan_out.py --port 8123

Every GET follows the one event stream there is; every POST's body is the data of one event of it, which is encoded once
and written to all viewers, one `Request.write` each: no producer, no pause, no replay.
"""

from __future__ import annotations

import argparse
import sys

from twisted.internet import endpoints, reactor
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

# As long as an epoch of sseserver, so that all servers send the same number of bytes.
EPOCH = b"BareTwistedBareTwisted"


class Channel(Resource):
    """
    One event stream for all.
    """

    isLeaf = True

    def __init__(self) -> None:
        Resource.__init__(self)
        self._viewers: set[Request] = set()
        self._number = 0

    def render_GET(self, request: Request) -> int:
        """
        Follow the stream.
        """
        request.setHeader(b"Content-Type", b"text/event-stream")
        request.setHeader(b"Cache-Control", b"no-cache, no-store, no-transform")
        request.setHeader(b"X-Accel-Buffering", b"no")
        request.setHeader(b"X-Content-Type-Options", b"nosniff")
        self._viewers.add(request)
        request.notifyFinish().addErrback(lambda _: self._viewers.discard(request))
        request.write(b":\n\n")
        return NOT_DONE_YET

    def render_POST(self, request: Request) -> bytes:
        """
        Write one event, a line of text, to all viewers.
        """
        assert request.content is not None
        self._number += 1
        frame = b"id: %s-%d\ndata: %s\n\n" % (EPOCH, self._number, request.content.read())
        for viewer in self._viewers:
            viewer.write(frame)
        return b"%d\n" % self._number


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
    options = parser.parse_args()
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    endpoint = endpoints.serverFromString(reactor, f"tcp:{options.port}:interface=127.0.0.1:backlog=4096")
    endpoint.listen(Site(Channel())).addErrback(endWith)
    reactor.run()


if __name__ == "__main__":
    main()
