"""
The load client: many viewers in one process, which read all that a server sends and note when.

It opens the connections at random moments and at a bounded rate, waits until all have the head of their
response and `settle` seconds more; then the window of fixed length begins. Bytes that came before it
are checked for completeness, but not measured.

While a server is measured the client only polls, reads, looks at the clock and appends to a list: about
8 µs for an event that comes alone. Every run is bounded, by its deadlines and `MAX_READS`.
"""

import contextlib
import gc
import os
import random
import select
import socket
import ssl
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import KW_ONLY, dataclass, replace
from urllib.parse import urlsplit

import process
import secure
from journal import Journal, splitHead

#: Bytes taken by one read; a token is about 50. Number of reads in one run; each takes about 200 bytes.
READ_SIZE, MAX_READS = 65536, 5_000_000

#: Seconds beyond the planned ones until every viewer must have its head.
OPENING_PATIENCE = 60.0

#: Option of a socket whose port is chosen as it connects, so that its address has more than 28,000 (linux/in.h).
_IP_BIND_ADDRESS_NO_PORT = 24

EVENT_STREAM = ("Accept: text/event-stream",)

#: Header lines of a viewer for which the end of the stream is the end of the connection, and of the window.
CLOSING = (*EVENT_STREAM, "Connection: close")

#: A client as a generator: yields a request to send, or none; is sent the bytes that came, none at the end.
Client = Generator[bytes, bytes, None]


class LoadError(Exception):
    """The server refused a viewer, or the run went over its bounds: there is no result."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One run of the load client."""

    port: int
    viewers: int = 1
    path: str = "/"  # of each viewer's GET; not used with `post`
    _: KW_ONLY
    paths: tuple[str, ...] = ()  # one for each viewer, instead of `path`
    ports: tuple[int, ...] = ()  # taken in turns by the viewers, instead of `port`
    addresses: int = 1  # loopback addresses that the viewers come from, in turns: each has a port for 28,000 of them
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


def locateStream(plan: Plan) -> Generator[bytes, bytes, bytes]:
    """Return the request for an event stream, after the POST that creates it, if the plan has one."""
    if plan.post is None:
        return request("GET" if plan.ask is None else "POST", plan.path, plan.headers, plan.ask or "")
    _, headers, _ = yield from response(request("POST", plan.post, (), plan.body), 201)
    return request("GET", urlsplit(headers["location"]).path, plan.headers)


def response(data: bytes, wanted: int = 0) -> Generator[bytes, bytes, tuple[int, dict[str, str], bytes]]:
    """Send a request; return the head of a wanted 200, all of any other answer. `LoadError`: it is unwanted."""
    received, head = b"", None
    while head is None or (wanted != 200 and not _isComplete(*head[1:])):
        if not (new := (yield data)):
            raise LoadError(f"connection closed in a response: {received!r}")
        data, received = b"", received + new
        head = splitHead(received)
        if head is not None and wanted and head[0] != wanted:
            raise LoadError(f"wanted {wanted}: {received!r}")
    return head


def _isComplete(headers: dict[str, str], body: bytes) -> bool:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return body.endswith(b"0\r\n\r\n")
    return len(body) >= int(headers.get("content-length", 0))


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Turn garbage collection off."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Clients:
    """
    Clients in one process, one connection each, which is closed when its client ends.

    Attributes:
        batches: Seconds between two polls of the sockets: no event waits longer in the client.
        running: Clients by descriptor, each with its socket and its first request.
        done: Seconds to the begin and to the end of each answer, of clients that repeat their work.
    """

    def __init__(self, port: int, tls: bool = False) -> None:
        process.raiseDescriptorLimit()
        self.batches: list[float] = []
        self.done: list[tuple[float, float]] = []
        self.running: dict[int, tuple[Client, socket.socket, bytes]] = {}
        self._port = port
        self._context = secure.clientContext() if tls else None
        self._epoll = select.epoll()

    def start(self, client: Client, wait: bool = True, port: int = 0, source: str = "") -> None:
        """Connect a client, to another port or from an address; `wait` says whether to wait for the connection."""
        connection = socket.socket()
        if source:
            connection.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            connection.bind((source, 0))
        connection.setblocking(wait)
        connection.connect_ex((process.HOST, port or self._port))
        if self._context is not None:
            connection = self._context.wrap_socket(connection)
            connection.setblocking(False)
        first = next(client)
        self.running[connection.fileno()] = client, connection, first
        if wait:
            connection.sendall(first)
        self._epoll.register(connection, select.EPOLLIN if wait else select.EPOLLOUT)

    def take(self, timeout: float) -> None:
        """Wait at most `timeout` seconds for bytes and take all that are there: the inner loop."""
        ready = self._epoll.poll(timeout)
        clock, running = time.monotonic, self.running
        read = os.read if self._context is None else self._decrypt
        begin = clock()
        for number, event in ready:
            client, connection, first = running[number]
            if event == select.EPOLLOUT:
                connection.send(first)
                self._epoll.modify(number, select.EPOLLIN)
                continue
            try:
                data = read(number, READ_SIZE)
            except OSError:
                data = b""
            try:
                if data is not None and (answer := client.send(data)):
                    connection.sendall(answer)
            except StopIteration:
                del running[number]
                connection.close()
        self.batches.append(clock() - begin)

    def takeUntil(self, moment: float, rest: float = 0.0) -> None:
        """Take until a moment, or until no client is left, and sleep `rest` seconds after each poll."""
        while self.running and (left := moment - time.monotonic()) > 0:
            self.take(left)
            if rest:
                time.sleep(rest)

    def close(self) -> None:
        """Close all connections."""
        for _, connection, _ in self.running.values():
            connection.close()
        self._epoll.close()

    def _decrypt(self, number: int, size: int) -> bytes | None:
        """Read as `os.read` does, over TLS; `None` if nothing for the application came."""
        parts = []
        try:
            while part := self.running[number][1].recv(size):
                parts.append(part)
        except ssl.SSLWantReadError:
            return b"".join(parts) or None
        return b"".join(parts)


class Load(Clients):
    """One run of the load client, with calls at both ends of the window and each second in it."""

    def __init__(
        self,
        plan: Plan,
        atBegin: Callable[[], object] = bool,
        atEnd: Callable[[], object] = bool,
        atSecond: Callable[[], object] = bool,
    ) -> None:
        super().__init__(plan.port, plan.tls)
        self._plan = plan
        self._atBegin, self._atEnd, self._atSecond = atBegin, atEnd, atSecond
        self._opened = 0
        self.journal = Journal(batches=self.batches)

    def run(self) -> Journal:
        """Open, settle, measure, close; raise `LoadError` if a viewer is refused or a bound is reached."""
        with uncollected():
            try:
                self._open()
                self.takeUntil(time.monotonic() + self._plan.settle, self._plan.rest)
                self._measure()
            finally:
                self.close()
        return self.journal

    def _open(self) -> None:
        # At random moments: equal distances would put all viewers into a few phases of the interval.
        plan, chance = self._plan, random.Random(1)
        begin, duration = time.monotonic(), plan.viewers / (plan.connectRate or max(500.0, plan.viewers / 10))
        for viewer, moment in enumerate(sorted(begin + chance.uniform(0, duration) for _ in range(plan.viewers))):
            self.takeUntil(moment, plan.rest)
            time.sleep(max(0.0, moment - time.monotonic()))
            source = f"127.0.0.{1 + viewer % plan.addresses}" if plan.addresses > 1 else ""
            self.start(self._view(viewer), True, plan.ports[viewer % len(plan.ports)] if plan.ports else 0, source)
        while self._opened < plan.viewers:
            if time.monotonic() > begin + duration + OPENING_PATIENCE:
                raise LoadError(f"{plan.viewers - self._opened} viewers have no event stream")
            self.take(0.05)

    def _view(self, viewer: int) -> Client:
        journal, clock, note = self.journal, time.monotonic, self.journal.reads.append
        paths = self._plan.paths
        get = yield from locateStream(replace(self._plan, path=paths[viewer]) if paths else self._plan)
        journal.asked[viewer] = clock()
        _, headers, data = yield from response(get, 200)
        self._opened += 1
        if headers.get("transfer-encoding", "").lower() == "chunked":
            journal.chunked.add(viewer)
        if data:
            note((clock(), viewer, data))
        while data := (yield b""):
            note((clock(), viewer, data))
        note((clock(), viewer, b""))
        journal.ended.add(viewer)

    def _measure(self) -> None:
        self.batches.clear()
        self._atBegin()
        self.journal.begin = time.monotonic()
        end = self.journal.begin + self._plan.seconds
        while (now := time.monotonic()) < end and self.running:
            if len(self.journal.reads) > MAX_READS:
                raise LoadError(f"more than {MAX_READS} reads")
            self.takeUntil(min(end, now + 1), self._plan.rest)
            self._atSecond()
        self.journal.end = time.monotonic()
        self._atEnd()
