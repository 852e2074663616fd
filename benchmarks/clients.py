"""
Clients that come one after the other: a viewer with a clock, visitors of short streams, publishers, a crowd.
"""

import socket
import time
from dataclasses import dataclass, field

import process
from journal import bodyOf, dataOf, readEvents
from load import EVENT_STREAM, READ_SIZE, Client, Clients, LoadError, Plan, locateStream, request, response

LONGEST = 60.0  # seconds until a crowd must have all events


def firstOf(plan: Plan, mark: bytes) -> tuple[float, float]:
    """
    Request an event stream on a new connection, wait for the first token, which holds `mark`, and leave.

    Returns:
        Seconds from the request to the first bytes of the body, and to the first token.
    """
    with socket.create_connection((process.HOST, plan.port), timeout=10) as connection:
        begin, received, first, opening = time.monotonic(), b"", 0.0, locateStream(plan)
        try:
            data = next(opening)
            while True:
                connection.sendall(data)
                data = opening.send(connection.recv(READ_SIZE))
        except StopIteration as located:
            connection.sendall(located.value)
        while mark not in received:
            if not (new := connection.recv(READ_SIZE)):
                raise LoadError("the connection ended before the first token")
            received += new
            if not first and received.partition(b"\r\n\r\n")[2]:
                first = time.monotonic()
        return first - begin, time.monotonic() - begin


class Visitors(Clients):
    """A constant number of viewers of short streams; each that has reached the end is followed by the next."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan.port)
        self._plan = plan
        self._responses: list[bytearray] = []
        for _ in range(plan.viewers):
            self.start(self._visit(time.monotonic()))

    def faults(self, text: str) -> int:
        """Return the number of viewers that did not get the text; in format `text` the last event has all of it."""
        texts = [dataOf(bodyOf(bytes(response))) for response in self._responses]
        return sum((data[-1] if data and not data[0] else b"".join(data)) != text.encode() for data in texts)

    def _visit(self, begin: float) -> Client:
        received, first = bytearray(), 0.0
        data = yield from locateStream(self._plan)
        while new := (yield data):
            data = b""
            received += new
            if not first and (end := received.find(b"\r\n\r\n")) >= 0 and len(received) > end + 4:
                first = time.monotonic()
        self.done.append((first - begin, time.monotonic() - begin))
        self._responses.append(received)
        self.start(self._visit(time.monotonic()))


class Publishers(Clients):
    """Publishers that POST without a pause, each when its last POST was answered, while `going`."""

    def __init__(self, port: int, key: str = "") -> None:
        super().__init__(port)
        self._headers = (f"Authorization: Bearer {key}",) if key else ()
        self.counts: dict[str, int] = {}
        self.refused = 0
        self.going = True

    def add(self, path: str, body: str) -> None:
        """Start a publisher."""
        self.counts.setdefault(path, 0)
        self.start(self._publish(path, request("POST", path, self._headers, body)))

    def watch(self, path: str) -> None:
        """Start a viewer of a stream."""
        self.start(self._watch(path))

    def _watch(self, path: str) -> Client:
        data = request("GET", path, EVENT_STREAM)
        while (yield data):
            data = b""

    def _publish(self, path: str, post: bytes) -> Client:
        while self.going:
            begin = time.monotonic()
            status, _, _ = yield from response(post)
            self.done.append((time.monotonic() - begin,) * 2)
            self.refused += status >= 300
            self.counts[path] += 1


@dataclass(eq=False, slots=True)
class Returning:
    """One viewer of one stream."""

    path: str
    epoch: str
    after: int  # number in its last event ID; 0 if it has none
    until: int  # number of the event it waits for
    begin: float = field(default_factory=time.monotonic)
    end: float = 0.0  # time at which it had that event
    received: bytearray = field(default_factory=bytearray)
    lost: bool = False

    def isComplete(self) -> bool:
        """Whether it got exactly the events after its last one, in order, and is still connected."""
        events = readEvents([(0.0, bodyOf(bytes(self.received)))], chunked=False)
        numbers = [event.number for event in events if not event.type]
        return numbers == list(range(self.after + 1, self.until + 1)) and not self.lost


class Crowd(Clients):
    """Viewers that connect at once, and again if the connection ends before anything came."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.viewers: list[Returning] = []
        self.again = 0
        self._waiting: set[Returning] = set()

    def come(self, viewer: Returning) -> None:
        """Connect a viewer, without waiting for the server."""
        self.viewers.append(viewer)
        self._waiting.add(viewer)
        self.start(self._follow(viewer), wait=False)

    def wait(self) -> None:
        """Wait until every viewer has its event or has lost its connection; raise `LoadError` if that takes long."""
        deadline = time.monotonic() + LONGEST
        while self._waiting:
            if time.monotonic() > deadline:
                raise LoadError(f"{len(self._waiting)} viewers do not have their event")
            self.take(1.0)

    def expect(self, until: int) -> None:
        """Let all viewers wait for a later event."""
        for viewer in self.viewers:
            viewer.until = until
        self._waiting = {viewer for viewer in self.viewers if not viewer.lost}

    def _follow(self, viewer: Returning) -> Client:
        last = (f"Last-Event-ID: {viewer.epoch}-{viewer.after}",) if viewer.after else ()
        data = request("GET", viewer.path, (*EVENT_STREAM, *last))
        while new := (yield data):
            data, before = b"", max(0, len(viewer.received) - 64)
            viewer.received += new
            if viewer.received.find(b"id: %b-%d\n" % (viewer.epoch.encode(), viewer.until), before) >= 0:
                viewer.end = time.monotonic()
                self._waiting.discard(viewer)
        if viewer.received:
            viewer.lost, viewer.end = True, time.monotonic()
            self._waiting.discard(viewer)
        else:
            # As a browser would.
            self.again += 1
            self.start(self._follow(viewer), wait=False)
