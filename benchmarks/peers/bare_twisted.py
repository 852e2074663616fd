"""
The baseline: bare `twisted.web`, nothing but what a first attempt would write.

    python benchmarks/peers/bare_twisted.py --port 8123 [--rate 20] [--count 0]

Each GET is answered by an endless event stream (`--count N`: it ends after N events) of the tokens `word1 `, `word2 `
... `word999 `, `word0 `, `word1 ` ...: one `LoopingCall` for each request, one `Request.write` for each event, no
producer, no pause, no replay. A `LoopingCall` that is late skips calls: then fewer events come out than were asked for,
and the load client says so.
"""

from __future__ import annotations

import argparse
import sys

from twisted.internet import endpoints, reactor
from twisted.internet.task import LoopingCall
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

# As long as an epoch of sseserver, so that all servers send the same number of bytes.
EPOCH = b"BareTwistedBareTwisted"


class Words(Resource):
    """
    Answers every GET with an event stream of its own.

    Args:
        rate: Events each second.
        count: Events until the stream ends; 0: never.
    """

    isLeaf = True

    def __init__(self, rate: float, count: int) -> None:
        Resource.__init__(self)
        self._interval = 1 / rate
        self._count = count

    def render_GET(self, request: Request) -> int:
        """
        Start the request's loop; it stops when the connection is lost or the count is reached.
        """
        request.setHeader(b"Content-Type", b"text/event-stream")
        request.setHeader(b"Cache-Control", b"no-cache, no-store, no-transform")
        request.setHeader(b"X-Accel-Buffering", b"no")
        request.setHeader(b"X-Content-Type-Options", b"nosniff")
        number = 0

        def tick() -> None:
            nonlocal number
            number += 1
            request.write(b"id: %s-%d\ndata: word%d \n\n" % (EPOCH, number, number % 1000))
            if number == self._count:
                loop.stop()
                request.finish()

        def gone(_: Failure) -> None:
            loop.stop()

        loop = LoopingCall(tick)
        request.notifyFinish().addErrback(gone)
        loop.start(self._interval).addErrback(request.processingFailed)
        return NOT_DONE_YET


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
    parser.add_argument("--rate", type=float, default=20.0, help="events each second")
    parser.add_argument("--count", type=int, default=0, help="events until a stream ends; 0: never")
    options = parser.parse_args()
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    endpoint = endpoints.serverFromString(reactor, f"tcp:{options.port}:interface=127.0.0.1:backlog=4096")
    endpoint.listen(Site(Words(options.rate, options.count))).addErrback(endWith)
    reactor.run()


if __name__ == "__main__":
    main()
