"""
The load client: many viewers in one process, which read all that a server sends and note when.

It opens the connections at random moments and at a bounded rate, waits until all have the head of their
response and `settle` seconds more; then the window of fixed length begins. Bytes that came before it
are checked for completeness, but not measured.

While a server is measured the client only polls, reads, looks at the clock and appends to a list: no
parsing, no garbage collection. That is about 8 µs for an event that comes alone, a fifth
of the time that bare Twisted needs to send it. Every run is bounded, by its deadlines and `MAX_READS`.
"""

from __future__ import annotations

import contextlib
import gc
import os
import random
import select
import socket
import ssl
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import process
import secure
from journal import Journal, splitHead

#: Bytes taken by one read; a token is about 50.
READ_SIZE = 65536

#: Number of reads in one run; each takes about 200 bytes of memory.
MAX_READS = 5_000_000

#: Seconds beyond the planned ones until every viewer must have its head.
OPENING_PATIENCE = 60.0

EVENT_STREAM = ("Accept: text/event-stream",)

#: Header lines of a viewer for which the end of the stream is the end of the connection, and of the window.
CLOSING = (*EVENT_STREAM, "Connection: close")

#: A client as a generator: yields a request to send, or nothing; is sent the bytes that came, none at the end.
Client = Generator[bytes | None, bytes, None]


class LoadError(Exception):
    """The server refused a viewer, or the run went over its bounds: there is no result."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One run of the load client."""

    port: int
    viewers: int = 1
    path: str = "/"  # of each viewer's GET; not used with `post`
    ask: str | None = None  # JSON to POST to `path` instead of the GET
    post: str | None = None  # path to POST `body` to first, whose answer has the `Location` to GET
    body: str = "{}"
    headers: tuple[str, ...] = EVENT_STREAM
    connectRate: float = 0.0  # connections per second; by default 500, but all within ten seconds
    settle: float = 0.0  # seconds between the last viewer's head and the window
    seconds: float = 0.3  # length of the window, which ends earlier if all streams have ended
    # Seconds of sleep after each poll. With 0 each event that comes alone wakes the client, and the server's
    # `send` pays for waking a process on another core.
    rest: float = 0.0
    tls: bool = False


def request(method: str, path: str, headers: tuple[str, ...] = (), body: str = "") -> bytes:
    """Return the bytes of an HTTP/1.1 request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {process.HOST}", *headers]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body.encode())}"]
    return "\r\n".join([*lines, "", body]).encode()


def locateStream(plan: Plan) -> Generator[bytes | None, bytes, bytes]:
    """Return the request for an event stream, after the POST that creates it, if the plan has one."""
    if plan.post is None:
        return request("GET" if plan.ask is None else "POST", plan.path, plan.headers, plan.ask or "")
    _, headers, _ = yield from _response(request("POST", plan.post, (), plan.body), 201)
    return request("GET", urlsplit(headers["location"]).path, plan.headers)


def openStream(plan: Plan, atHead: Callable[[dict[str, str], bytes], None]) -> Client:
    """Request an event stream: a client that ends with a call of `atHead` with headers and begin of the body."""
    first = yield from locateStream(plan)
    _, headers, body = yield from _response(first, 200)
    atHead(headers, body)


def _response(data: bytes | None, wanted: int) -> Generator[bytes | None, bytes, tuple[int, dict[str, str], bytes]]:
    """Send a request; return the head of its 200, or all of its 201. Raise `LoadError` for any other answer."""
    received, head = b"", None
    while head is None or (wanted == 201 and len(head[2]) < int(head[1]["content-length"])):
        if not (new := (yield data)):
            raise LoadError(f"connection closed before the event stream: {received!r}")
        data, received = None, received + new
        head = splitHead(received)
        if head is not None and head[0] != wanted:
            raise LoadError(f"wanted {wanted}: {received!r}")
    return head


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Turn garbage collection off."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def nothing() -> None:
    """Do nothing."""


class Load:
    """One run of the load client, with calls at both ends of the window and each second in it."""

    def __init__(
        self,
        plan: Plan,
        atBegin: Callable[[], None] = nothing,
        atEnd: Callable[[], None] = nothing,
        atSecond: Callable[[], None] = nothing,
    ) -> None:
        self._plan = plan
        self._atBegin, self._atEnd, self._atSecond = atBegin, atEnd, atSecond
        self._context = secure.clientContext() if plan.tls else None
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._opening: dict[int, Client] = {}  # viewers without an event stream yet
        self.journal = Journal()

    def run(self) -> Journal:
        """Open, settle, measure, close; raise `LoadError` if a viewer is refused or a bound is reached."""
        process.raiseDescriptorLimit()
        with uncollected():
            try:
                self._open()
                self._takeUntil(time.monotonic() + self._plan.settle)
                self._measure()
            finally:
                for connection in self._sockets.values():
                    connection.close()
                self._epoll.close()
        return self.journal

    def _open(self) -> None:
        # At random moments: equal distances would put all viewers into a few phases of the interval.
        plan, chance = self._plan, random.Random(1)
        begin, duration = time.monotonic(), plan.viewers / (plan.connectRate or max(500.0, plan.viewers / 10))
        for moment in sorted(begin + chance.uniform(0, duration) for _ in range(plan.viewers)):
            self._takeUntil(moment)
            self._connect()
        deadline = begin + duration + OPENING_PATIENCE
        while self._opening:
            if time.monotonic() > deadline:
                raise LoadError(f"{len(self._opening)} viewers have no event stream")
            self._take(0.05)

    def _connect(self) -> None:
        # Blocking: on the loopback interface the kernel answers for the server while its backlog has room.
        connection = socket.create_connection((process.HOST, self._plan.port), timeout=10)
        if self._context is not None:
            connection = self._context.wrap_socket(connection)
            connection.setblocking(False)
        viewer, journal = connection.fileno(), self.journal
        self._sockets[viewer] = connection

        def join(headers: dict[str, str], body: bytes) -> None:
            if headers.get("transfer-encoding", "").lower() == "chunked":
                journal.chunked.add(viewer)
            if body:
                journal.reads.append((time.monotonic(), viewer, body))

        self._opening[viewer] = client = openStream(self._plan, join)
        self._send(viewer, next(client))
        self._epoll.register(connection, select.EPOLLIN)

    def _send(self, viewer: int, data: bytes | None) -> None:
        if data is not None:
            self.journal.asked[viewer] = time.monotonic()
            self._sockets[viewer].sendall(data)

    def _decrypt(self, viewer: int, size: int) -> bytes | None:
        """Read as `os.read` does, over TLS; `None` if nothing for the application came."""
        parts = []
        try:
            while part := self._sockets[viewer].recv(size):
                parts.append(part)
        except ssl.SSLWantReadError:
            return b"".join(parts) or None
        return b"".join(parts)

    def _takeUntil(self, moment: float) -> None:
        rest = self._plan.rest
        while (left := moment - time.monotonic()) > 0:
            self._take(left)
            if rest:
                time.sleep(rest)

    def _take(self, timeout: float) -> None:
        """Wait at most `timeout` seconds for bytes and take all that are there: the inner loop."""
        ready = self._epoll.poll(timeout)
        clock, note, opening = time.monotonic, self.journal.reads.append, self._opening
        read = os.read if self._context is None else self._decrypt
        begin = clock()
        for viewer, _ in ready:
            try:
                data = read(viewer, READ_SIZE)
            except ConnectionError:
                data = b""
            if data is None:
                continue
            if viewer in opening:
                self._advance(viewer, data)
            else:
                note((clock(), viewer, data))
            if not data:
                # The socket stays open until the end, so that no other viewer gets its descriptor.
                self._epoll.unregister(viewer)
                self.journal.ended.add(viewer)
        self.journal.batches.append(clock() - begin)

    def _advance(self, viewer: int, data: bytes) -> None:
        try:
            self._send(viewer, self._opening[viewer].send(data))
        except StopIteration:
            del self._opening[viewer]

    def _measure(self) -> None:
        self.journal.batches.clear()
        self._atBegin()
        self.journal.begin = time.monotonic()
        end = self.journal.begin + self._plan.seconds
        while (now := time.monotonic()) < end and len(self.journal.ended) < self._plan.viewers:
            if len(self.journal.reads) > MAX_READS:
                raise LoadError(f"more than {MAX_READS} reads")
            self._takeUntil(min(end, now + 1))
            self._atSecond()
        self.journal.end = time.monotonic()
        self._atEnd()
