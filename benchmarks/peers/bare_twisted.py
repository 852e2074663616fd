"""
Baseline: bare `twisted.web`, as a first attempt would be written. `work.py` describes its work.

One `LoopingCall` for each request, one `Request.write` for each event and viewer; no producer, no pause,
no replay. A late `LoopingCall` skips calls: then fewer events come than are due, and the load client
says so.
"""

import sys
from collections.abc import Callable
from itertools import count

import work
from listening import serve
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

viewers: set[Request] = set()
numbers = count(1)


def begin(request: Request) -> None:
    """Set the headers of an event stream."""
    request.setHeader("Content-Type", "text/event-stream")
    for name, value in work.HEADERS.items():
        request.setHeader(name, value)


def repeat(request: Request, loop: LoopingCall, interval: float) -> None:
    """Start a request's loop, which stops when the connection is lost."""

    def stop(_: Failure) -> None:
        if loop.running:
            loop.stop()

    request.notifyFinish().addErrback(stop)
    loop.start(interval).addErrback(request.processingFailed)


class Leaf(Resource):
    """A resource made of a function that answers GET, or POST."""

    isLeaf = True

    def __init__(self, answer: Callable[[Request], bytes | None]) -> None:
        Resource.__init__(self)
        self._answer = answer

    def render(self, request: Request) -> bytes | int:
        """Answer."""
        return self._answer(request) or NOT_DONE_YET


def run(request: Request) -> None:
    """Write the tokens of a stream of its own."""
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


def watch(request: Request) -> None:
    """Add a viewer of published events."""
    begin(request)
    viewers.add(request)
    request.notifyFinish().addErrback(lambda _: viewers.discard(request))
    request.write(b":\n\n")


def idle(request: Request) -> None:
    """Write heartbeats."""
    begin(request)
    repeat(request, LoopingCall(lambda: request.write(b":\n\n")), work.HEARTBEAT)


def publish(request: Request) -> bytes:
    """Write one event to all viewers."""
    number = next(numbers)
    frame = work.frame(number, request.content.read())
    for viewer in viewers:
        viewer.write(frame)
    return b"%d\n" % number


if __name__ == "__main__":
    root = Resource()
    for path, function in ((b"", run), (b"watch", watch), (b"idle", idle), (b"publish", publish)):
        root.putChild(path, Leaf(function))
    serve(Site(root), sys.argv[1])
