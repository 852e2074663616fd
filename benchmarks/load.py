"""
The load client: many viewers in one process, which take what a server sends and write down when.

    python benchmarks/load.py --port 8123 --viewers 1000 --seconds 10 --rate 20
    python benchmarks/load.py --port 8000 --post /streams --rate 20        # each viewer: POST, then GET the Location
    python benchmarks/load.py --port 8000 --path '/streams/x?from=now' --lag stamp  # of what publisher.py publishes

It opens the connections at random moments and at a bounded rate, waits until all have the head of their response, and
`settle` seconds more; then the window of fixed length begins. What comes before the window is checked for completeness,
but not measured.

That the client is not the bottleneck is seen to thus:

* While a server is measured it does nothing but `epoll_wait`, `read`, look at the clock, and one `append` for each
  read: no parsing, no deciphering (they come afterwards, in `journal.py`), no garbage collection. That is about 8 µs
  for an event that comes alone, a fifth of what bare Twisted needs to send it.
* With two cores or more, client and server are bound to different ones (`process.cores`).
* Each result says how much of its core the client used (`clientShare`; when it nears 1, the result is void), how
  long it was ready but had no core (`clientWaited`: other work on the machine), and how long it was between two looks
  at its sockets (`clientBatch`). No event waits in the client longer than the last two say, and its `rest`; lags above
  are not its own.

Every run is bounded, by its deadlines and by `MAX_READS`.
"""

from __future__ import annotations

import argparse
import enum
import gc
import json
import os
import random
import select
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

import process
import secure
from journal import Journal, judge, judgeStamped

READ_SIZE = 65536  # bytes taken by one read; a token is about 50
MAX_READS = 5_000_000  # each takes about 200 bytes of our memory
OPENING_PATIENCE = 60.0  # seconds beyond the planned ones until every viewer must have its head
EVENT_STREAM = ("Accept: text/event-stream",)


class LoadError(Exception):
    """
    The server refused a viewer, or the run went over its bounds: there is no result.
    """


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What the load client shall do.

    Args:
        port: The server's port on the loopback interface.
        viewers: Number of connections.
        path: What each viewer asks for. Not used with `post`.
        ask: JSON that each viewer POSTs to `path`, to be answered with the event stream; `None`: it GETs.
        post: When given: each viewer first POSTs `body` to this path, then GETs the `Location` of the 201 on the
            same connection.
        body: JSON, the body of the POST.
        headers: Header lines of the GET.
        connectRate: Connections opened each second, on average.
        settle: Seconds between the last viewer's head and the window.
        seconds: Length of the window, which ends earlier when all streams have ended.
        rest: Seconds that the client sleeps after each look at its sockets. 0: it looks again at once; then each event
            that comes alone wakes it, and waking a process on another core is paid by the server's `send`.
        tls: Whether the connections are secured. What comes in the window is deciphered afterwards.
    """

    port: int
    viewers: int
    path: str = "/"
    ask: str | None = None
    post: str | None = None
    body: str = "{}"
    headers: tuple[str, ...] = EVENT_STREAM
    connectRate: float = 500.0
    settle: float = 1.0
    seconds: float = 10.0
    rest: float = 0.0
    tls: bool = False


class Step(enum.Enum):
    """
    Which response a viewer waits for that has no event stream yet.
    """

    POSTED = enum.auto()
    ASKED = enum.auto()


@dataclass(slots=True)
class Opening:
    """
    A viewer that has no event stream yet.

    Args:
        connection: Its socket.
        step: Which response it waits for.
        wire: What secures it; `None`: nothing.
        received: What has come of that response.
    """

    connection: socket.socket
    step: Step
    wire: secure.Wire | None = None
    received: bytes = b""

    def send(self, data: bytes) -> None:
        """
        Send a request.
        """
        self.connection.sendall(data if self.wire is None else self.wire.encipher(data))


def request(method: str, path: str, headers: tuple[str, ...], body: str = "") -> bytes:
    """
    The bytes of an HTTP/1.1 request.
    """
    lines = [f"{method} {path} HTTP/1.1", f"Host: {process.HOST}", *headers]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body.encode())}"]
    return "\r\n".join([*lines, "", body]).encode()


def asking(path: str, headers: tuple[str, ...], ask: str | None) -> bytes:
    """
    The request for an event stream: a POST of this JSON, or a GET.
    """
    return request("GET", path, headers) if ask is None else request("POST", path, headers, ask)


def splitHead(received: bytes) -> tuple[int, dict[str, str], bytes] | None:
    """
    Status, headers (names in lower case) and the bytes after the head; `None` when the head is not complete.
    """
    head, separator, rest = received.partition(b"\r\n\r\n")
    if not separator:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]), headers, rest


class Load:
    """
    One run of the load client.

    Args:
        plan: What to do.
        atBegin: Called when the window begins, to read the server's clocks.
        atEnd: Called when the window ends, while all viewers are still connected.
        atSecond: Called in the window each second.
    """

    def __init__(
        self,
        plan: Plan,
        atBegin: Callable[[], None] = lambda: None,
        atEnd: Callable[[], None] = lambda: None,
        atSecond: Callable[[], None] = lambda: None,
    ) -> None:
        self._plan = plan
        self._atBegin, self._atEnd, self._atSecond = atBegin, atEnd, atSecond
        self._context = secure.clientContext() if plan.tls else None
        self._epoll = select.epoll()
        self._sockets: list[socket.socket] = []
        self._opening: dict[int, Opening] = {}
        self.journal = Journal()

    def run(self) -> Journal:
        """
        Open, settle, measure, close.

        Raises:
            LoadError: A viewer was refused, or a bound was reached.
            OSError: The server does not take connections.
        """
        process.raiseDescriptorLimit()
        gc.collect()
        gc.disable()
        try:
            self._open()
            self._takeUntil(time.monotonic() + self._plan.settle)
            self._measure()
        finally:
            self._close()
            gc.enable()
        return self.journal

    def _open(self) -> None:
        # Random moments, as viewers come: equal distances would put all of them into a few phases of the interval.
        plan, chance = self._plan, random.Random(1)
        begin, duration = time.monotonic(), plan.viewers / plan.connectRate
        for moment in sorted(begin + chance.uniform(0, duration) for _ in range(plan.viewers)):
            self._takeUntil(moment)
            self._connect()
        deadline = begin + duration + OPENING_PATIENCE
        while self._opening:
            if time.monotonic() > deadline:
                raise LoadError(f"{len(self._opening)} viewers have no event stream")
            self._take(0.05)

    def _connect(self) -> None:
        plan = self._plan
        # Blocking: on the loopback interface the kernel answers for the server, as long as its backlog is not full.
        connection = socket.create_connection((process.HOST, plan.port), timeout=10)
        self._sockets.append(connection)
        wire = None if self._context is None else secure.Wire(self._context)
        if wire is not None:
            wire.shake(connection)
        if plan.post is None:
            step, first = Step.ASKED, asking(plan.path, plan.headers, plan.ask)
        else:
            step, first = Step.POSTED, request("POST", plan.post, (), plan.body)
        opening = self._opening[connection.fileno()] = Opening(connection, step, wire)
        self.journal.asked[connection.fileno()] = time.monotonic()
        opening.send(first)
        self._epoll.register(connection, select.EPOLLIN)

    def _takeUntil(self, moment: float) -> None:
        rest = self._plan.rest
        while (left := moment - time.monotonic()) > 0:
            self._take(left)
            if rest:
                time.sleep(rest)

    def _take(self, timeout: float) -> None:
        """
        Wait until something comes, at most `timeout` seconds, and take all that is there: the inner loop.
        """
        ready = self._epoll.poll(timeout)
        clock, read, note, opening = time.monotonic, os.read, self.journal.reads.append, self._opening
        begin = clock()
        for viewer, _ in ready:
            try:
                data = read(viewer, READ_SIZE)
            except ConnectionError:
                data = b""
            if viewer in opening:
                self._advance(viewer, data)
            else:
                note((clock(), viewer, data))
            if not data:
                self._lost(viewer)
        self.journal.batches.append(clock() - begin)

    def _lost(self, viewer: int) -> None:
        # Not closed before the end, so that its descriptor stays its own.
        self._epoll.unregister(viewer)
        self.journal.ended.add(viewer)

    def _advance(self, viewer: int, data: bytes) -> None:
        opening = self._opening[viewer]
        if not data:
            raise LoadError(f"connection closed before the event stream: {opening.received!r}")
        opening.received += data if opening.wire is None else opening.wire.decipher(data)
        head = splitHead(opening.received)
        if head is None:
            return
        if opening.step is Step.POSTED:
            self._follow(opening, *head)
        else:
            self._join(viewer, *head)

    def _follow(self, opening: Opening, status: int, headers: dict[str, str], body: bytes) -> None:
        if status != 201 or "content-length" not in headers:
            raise LoadError(f"wanted 201 with a Content-Length: {opening.received!r}")
        if len(body) < int(headers["content-length"]):
            return
        location = urlsplit(headers["location"]).path
        opening.step, opening.received = Step.ASKED, b""
        self.journal.asked[opening.connection.fileno()] = time.monotonic()
        opening.send(request("GET", location, self._plan.headers))

    def _join(self, viewer: int, status: int, headers: dict[str, str], body: bytes) -> None:
        if status != 200:
            raise LoadError(f"wanted 200: {self._opening[viewer].received!r}")
        wire = self._opening.pop(viewer).wire
        if wire is not None:
            self.journal.secured[viewer] = wire.decipher
        if headers.get("transfer-encoding", "").lower() == "chunked":
            self.journal.chunked.add(viewer)
        if body:
            self.journal.first[viewer] = (time.monotonic(), body)

    def _measure(self) -> None:
        journal, pid = self.journal, os.getpid()
        journal.batches.clear()
        self._atBegin()
        journal.begin = time.monotonic()
        cpu, waited = process.cpuSeconds(pid), process.waitedSeconds(pid)
        self._takeWindow(journal.begin + self._plan.seconds)
        journal.end = time.monotonic()
        self._atEnd()
        length = journal.end - journal.begin
        journal.cpuShare = (process.cpuSeconds(pid) - cpu) / length
        journal.waitedShare = (process.waitedSeconds(pid) - waited) / length

    def _takeWindow(self, end: float) -> None:
        while (now := time.monotonic()) < end and len(self.journal.ended) < self._plan.viewers:
            if len(self.journal.reads) > MAX_READS:
                raise LoadError(f"more than {MAX_READS} reads")
            self._takeUntil(min(end, now + 1))
            self._atSecond()

    def _close(self) -> None:
        for connection in self._sockets:
            connection.close()
        self._epoll.close()


def parseArguments() -> tuple[Plan, argparse.Namespace]:
    """
    The plan, and all that was given.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--viewers", type=int, default=100)
    parser.add_argument("--path", default="/")
    parser.add_argument("--post", help="first POST {} to this path, then GET the Location of the answer")
    parser.add_argument("--header", action="append", help=f"a header line of the GET (default: {EVENT_STREAM[0]})")
    parser.add_argument("--connect-rate", type=float, default=500.0, help="connections opened each second")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the window")
    parser.add_argument("--tls", action="store_true", help="over TLS")
    parser.add_argument("--rest", type=float, default=0.0, help="seconds between two looks at the sockets")
    parser.add_argument("--rate", type=float, default=20.0, help="tokens or events each second of a stream")
    parser.add_argument(
        "--lag", choices=["pace", "stamp"], default="pace", help="against the pace, or publisher.py's stamps"
    )
    parser.add_argument("--no-pin", action="store_true", help="do not bind the client to the first core")
    given = parser.parse_args()
    plan = Plan(
        port=given.port,
        viewers=given.viewers,
        path=given.path,
        post=given.post,
        headers=tuple(given.header or EVENT_STREAM),
        connectRate=given.connect_rate,
        seconds=given.seconds,
        rest=given.rest,
        tls=given.tls,
    )
    return plan, given


def main() -> None:
    """
    Run one plan and print the outcome as JSON.
    """
    plan, given = parseArguments()
    core = process.cores()[0]
    if not given.no_pin and core is not None:
        os.sched_setaffinity(0, {core})
    judgement = judge if given.lag == "pace" else judgeStamped
    print(json.dumps(asdict(judgement(Load(plan).run(), plan.viewers, given.rate)), indent=2))


if __name__ == "__main__":
    main()
