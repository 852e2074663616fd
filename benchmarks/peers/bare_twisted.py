"""
The baseline: bare `twisted.web`, nothing but what a first attempt would write. Its work is in `work.py`.

    RATE=20 python benchmarks/peers/bare_twisted.py 8123

One `LoopingCall` for each request, one `Request.write` for each event and viewer, no producer, no pause, no replay. A
`LoopingCall` that is late skips calls: then fewer events come out than were asked for, and the load client says so.
"""

from __future__ import annotations

import sys

import work
from twisted.internet import endpoints, reactor
from twisted.internet.task import LoopingCall
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

viewers: set[Request] = set()


def begin(request: Request) -> None:
    """
    The head of every event stream.
    """
    request.setHeader("Content-Type", "text/event-stream")
    for name, value in work.HEADERS.items():
        request.setHeader(name, value)


def repeat(request: Request, loop: LoopingCall, interval: float) -> None:
    """
    Start a request's loop, which stops when the connection is lost.
    """

    def gone(_: Failure) -> None:
        if loop.running:
            loop.stop()

    request.notifyFinish().addErrback(gone)
    loop.start(interval).addErrback(request.processingFailed)


class Run(Resource):
    """
    A stream of its own for each request.
    """

    isLeaf = True

    def render_GET(self, request: Request) -> int:
        """
        Write the tokens.
        """
        begin(request)
        number = 0

        def tick() -> None:
            nonlocal number
            number += 1
            request.write(work.frame(number, work.token(number)))
            if number == work.COUNT:
                if loop.running:
                    loop.stop()
                request.finish()

        loop = LoopingCall(tick)
        if work.RATE:
            repeat(request, loop, 1 / work.RATE)
        else:
            for _ in range(work.COUNT):
                tick()
        return NOT_DONE_YET


class Watch(Resource):
    """
    One event stream for all.
    """

    isLeaf = True

    def render_GET(self, request: Request) -> int:
        """
        Follow it.
        """
        begin(request)
        viewers.add(request)
        request.notifyFinish().addErrback(lambda _: viewers.discard(request))
        request.write(b":\n\n")
        return NOT_DONE_YET


class Idle(Resource):
    """
    Heartbeats for each request.
    """

    isLeaf = True

    def render_GET(self, request: Request) -> int:
        """
        Write them.
        """
        begin(request)
        repeat(request, LoopingCall(lambda: request.write(b":\n\n")), work.HEARTBEAT)
        return NOT_DONE_YET


class Publish(Resource):
    """
    Takes the events.
    """

    isLeaf = True

    def __init__(self) -> None:
        Resource.__init__(self)
        self._number = 0

    def render_POST(self, request: Request) -> bytes:
        """
        Write one event to all viewers.
        """
        assert request.content is not None
        self._number += 1
        frame = work.frame(self._number, request.content.read())
        for viewer in viewers:
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
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    root = Resource()
    for path, child in ((b"", Run()), (b"watch", Watch()), (b"idle", Idle()), (b"publish", Publish())):
        root.putChild(path, child)
    endpoint = endpoints.serverFromString(reactor, f"tcp:{sys.argv[1]}:interface=127.0.0.1:backlog=4096")
    endpoint.listen(Site(root)).addErrback(endWith)
    reactor.run()


if __name__ == "__main__":
    main()
