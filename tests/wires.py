"""
Wires in memory: what the tests put where a network would be, and nothing else.

The server's end of a L{Wire} is Twisted's own TCP transport on a socket that
only pretends, in a reactor that only waits when it is told to. So everything
from `tcp.Connection` upwards is real: its queues, its pauses, `twisted.web`'s
parser, our L{StreamSite}.
"""

from __future__ import annotations

import errno
import json
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.ssl import CertificateOptions, PrivateCertificate
from twisted.internet.task import Clock
from twisted.internet.tcp import Server
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import IResource
from zope.interface import implementer

from sseserver.apis.root import StreamResource
from sseserver.interfaces import ITokenSink, ITokenSource
from sseserver.service.service import Settings, StreamService
from sseserver.values import Prompt
from sseserver.web.site import StreamSite
from sseserver.wire import HEARTBEAT, Decoder, Event

# What the browsers send when an address is opened in them (read off the current releases).
CHROME = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
SAFARI = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
EVENTSOURCE = "text/event-stream"


def soon(condition: Callable[[], Any], limit: int = 10_000) -> Iterator[None]:
    """
    Go round until something is so, as C{while not} does; when it never is, that is a failure and no hang.

    Args:
        limit: Rounds that it may take.
    """
    for _ in range(limit):
        if condition():
            return
        yield
    raise AssertionError(f"It does not come about in {limit} rounds.")


@implementer(IReactorFDSet)
class WireReactor(Clock):
    """A clock that is also the reactor of pretended sockets: after each step of time it moves what can be moved."""

    def __init__(self) -> None:
        super().__init__()
        self._readers: dict[Any, None] = {}
        self._writers: dict[Any, None] = {}

    def addReader(self, reader: Any) -> None:
        self._readers[reader] = None

    def addWriter(self, writer: Any) -> None:
        self._writers[writer] = None

    def removeReader(self, reader: Any) -> None:
        self._readers.pop(reader, None)

    def removeWriter(self, writer: Any) -> None:
        self._writers.pop(writer, None)

    def removeAll(self) -> list[Any]:
        raise NotImplementedError

    def getReaders(self) -> list[Any]:
        return list(self._readers)

    def getWriters(self) -> list[Any]:
        return list(self._writers)

    def advance(self, amount: float) -> None:
        """Let time pass in one step; then turn."""
        super().advance(amount)
        self.turn()

    def run(self, seconds: float, step: float = 0.05) -> None:
        """Let time pass in many steps, as it does."""
        end = self.seconds() + seconds
        while self.seconds() + step < end:
            self.advance(step)
        self.advance(end - self.seconds())

    def turn(self) -> None:
        """Make the calls that are due, read and write until nothing moves, without letting time pass."""
        for _ in soon(lambda: not self._move()):
            pass

    def _move(self) -> bool:
        """Make the calls that are due, let each connection write or read once; tell whether any did."""
        moved = any(call.getTime() <= self.seconds() for call in self.getDelayedCalls())
        if moved:
            super().advance(0)
        for selectable in self.getWriters():
            if selectable in self._writers and selectable.socket.writable:
                moved = True
                self._act(selectable, selectable.doWrite)
        for selectable in self.getReaders():
            if selectable in self._readers and selectable.socket.readable:
                moved = True
                self._act(selectable, selectable.doRead)
        return moved

    def _act(self, selectable: Any, act: Callable[[], Any]) -> None:
        """As PosixReactorBase does: what is returned is why the connection is lost."""
        why = act()
        if why:
            self.removeReader(selectable)
            if why.__class__ is error.ConnectionDone and act.__name__ == "doRead":
                selectable.readConnectionLost(Failure(why))
            else:
                self.removeWriter(selectable)
                selectable.connectionLost(Failure(why))


class PretendedSocket:
    """
    The socket of the server's end.

    Attributes:
        room: Bytes that it takes yet, as a kernel's buffer does; `None` takes
            everything.
        sends: How much at each call.
        arrived: Bytes that the peer has acknowledged; `None`: all, at once.
        reset: Whether it was closed the hard way.
    """

    family = socket.AF_INET

    def __init__(self) -> None:
        self.room: int | None = None
        self.incoming = b""
        self.eof = False
        self.broken = False
        self._sent = bytearray()
        self.sends: list[int] = []
        self.arrived: int | None = None
        self.closed = False
        self.reset = False

    @property
    def sent(self) -> bytes:
        """What it has taken."""
        return bytes(self._sent)

    @property
    def writable(self) -> bool:
        """What epoll would say."""
        return self.broken or self.room is None or self.room > 0

    @property
    def readable(self) -> bool:
        """What epoll would say."""
        return self.broken or self.eof or bool(self.incoming)

    def send(self, data: memoryview) -> int:
        """See L{socket.socket.send}."""
        if self.closed:
            raise OSError(errno.EBADF, "Bad file descriptor")
        if self.broken:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        if self.room == 0:
            raise BlockingIOError(errno.EWOULDBLOCK, "Full")
        taken = bytes(data if self.room is None else data[: self.room])
        if self.room is not None:
            self.room -= len(taken)
        self._sent += taken
        self.sends.append(len(taken))
        return len(taken)

    def sendmsg(self, buffers: Iterable[bytes]) -> int:
        """See L{socket.socket.sendmsg}."""
        return self.send(memoryview(b"".join(buffers)))

    def recv(self, size: int) -> bytes:
        """See L{socket.socket.recv}."""
        if self.broken:
            raise ConnectionResetError(errno.ECONNRESET, "Reset")
        data, self.incoming = self.incoming[:size], self.incoming[size:]
        return data

    def setsockopt(self, level: int, option: int, value: object) -> None:
        """See L{socket.socket.setsockopt}; only what makes a close a reset is noted."""
        self.reset = self.reset or option == socket.SO_LINGER

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        """
        See L{socket.socket.getsockopt}: of C{struct tcp_info} what is not acknowledged, what is, and what is not sent.
        """
        arrived = len(self._sent) if self.arrived is None else self.arrived
        return struct.pack("24xI92xQ16xI", len(self._sent) - arrived, arrived, 0)[:size]

    def close(self) -> None:
        """See L{socket.socket.close}."""
        self.closed = True

    def shutdown(self, how: int) -> None:
        """See L{socket.socket.shutdown}."""

    def setblocking(self, blocking: bool) -> None:
        """See L{socket.socket.setblocking}."""

    def fileno(self) -> int:
        """See L{socket.socket.fileno}."""
        return -1

    def getsockname(self) -> tuple[str, int]:
        """See L{socket.socket.getsockname}."""
        return "127.0.0.1", 8000


@dataclass
class Response:
    """
    One response, as far as it has come.

    Attributes:
        headers: By lower-case name; two of one name are an error here.
        body: Without the chunks' framing.
        complete: Whether its end has come, too.
    """

    version: str
    status: int
    headers: dict[str, str]
    body: bytes
    complete: bool

    @property
    def events(self) -> list[Event]:
        """The body as an event stream."""
        return Decoder().feed(self.body)

    @property
    def texts(self) -> list[str]:
        """The data of its events of the default type."""
        return [event.data for event in self.events if event.type == "message"]

    @property
    def types(self) -> list[str]:
        """The types of its events."""
        return [event.type for event in self.events]

    @property
    def heartbeats(self) -> int:
        """How many it holds."""
        return self.body.split(b"\n").count(HEARTBEAT.rstrip(b"\n"))

    @property
    def json(self) -> Any:
        """The body, in JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error that it tells, in the shape that OpenAI's clients read; its head must fit."""
        assert self.headers["content-type"] == "application/json", self
        assert self.complete, self
        told: dict[str, Any] = self.json["error"]
        assert set(told) - {"param"} == {"message", "type", "code"}, told
        return told


def parseResponses(data: bytes, methods: list[str], closed: bool) -> list[Response]:
    """
    Read the responses that came on one connection.

    Args:
        data: Raw, from the connection's first byte.
        methods: What was asked, request by request.
        closed: Whether the server closed the connection after that.

    Raises:
        AssertionError: It is not HTTP, or more than was asked for.
    """
    responses = []
    for method in methods:
        if b"\r\n\r\n" not in data:
            break
        response, data = _parseResponse(data, method, closed)
        responses.append(response)
        if not response.complete:
            break
    else:
        assert not data, f"more than was asked for: {data!r}"
    return responses


def _parseResponse(data: bytes, method: str, closed: bool) -> tuple[Response, bytes]:
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    version, status, _ = first.split(" ", 2)
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(": ")
        assert colon, head
        assert name.lower() not in headers, head
        headers[name.lower()] = value
    response = Response(version, int(status), headers, b"", True)
    if method == "HEAD" or response.status in {204, 304}:
        return response, rest
    if "transfer-encoding" in headers:
        assert headers["transfer-encoding"] == "chunked", head
        assert "content-length" not in headers, head
        response.body, rest, response.complete = dechunk(rest)
    elif "content-length" in headers:
        size = int(headers["content-length"])
        response.body, rest, response.complete = rest[:size], rest[size:], len(rest) >= size
    else:
        response.body, rest, response.complete = rest, b"", closed
    return response, rest


def dechunk(data: bytes) -> tuple[bytes, bytes, bool]:
    """
    Undo the chunked coding (RFC 9112 7.1), strictly.

    Returns:
        The body so far, what follows its end, and whether that was seen. Of
        an unfinished chunk, what is there.
    """
    parts = []
    place = 0
    while (end := data.find(b"\r\n", place)) >= 0:
        size = int(data[place:end], 16)
        assert data[place:end] == b"%x" % size, data[place:end]
        place = end + 2 + size
        parts.append(data[end + 2 : place])
        after = data[place : place + 2]
        assert b"\r\n".startswith(after), after
        if len(after) < 2:
            break
        place += 2
        if size == 0:
            return b"".join(parts), data[place:], True
    return b"".join(parts), b"", False


class Wire:
    """
    A connection, seen from the client.

    Args:
        factory: The server's: a site, or what wraps one.
        reactor: Moves the bytes.
    """

    def __init__(self, factory: Any, reactor: WireReactor) -> None:
        self.reactor = reactor
        self.socket = PretendedSocket()
        self._methods: list[str] = []
        peer = ("127.0.0.1", 54321)
        protocol = factory.buildProtocol(IPv4Address("TCP", *peer))
        pretended: Any = self.socket
        none: Any = None
        self.transport = Server(pretended, protocol, peer, none, 1, reactor)
        protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """Let bytes come to the server."""
        self.socket.incoming += data
        self.reactor.turn()

    def ask(
        self,
        path: str = "/",
        accept: str | None = None,
        method: str = "GET",
        body: bytes | None = None,
        version: str = "1.1",
        headers: dict[str, str] | None = None,
    ) -> Response:
        """
        Make a request.

        Returns:
            The response, as far as it comes at once.
        """
        self.send(makeRequest(path, accept, method, body, version, headers))
        self._methods.append(method)
        return self.response

    @property
    def received(self) -> bytes:
        """All that came from the server."""
        return self.socket.sent

    @property
    def closed(self) -> bool:
        """Whether the server has closed the connection."""
        return self.socket.closed

    @property
    def responses(self) -> list[Response]:
        """The responses that have at least begun."""
        return parseResponses(self.received, self._methods, self.closed)

    @property
    def response(self) -> Response:
        """The newest response, to the request that was made last."""
        responses = self.responses
        assert len(responses) == len(self._methods), f"no response yet: {self.received!r}"
        return responses[-1]

    @property
    def unread(self) -> int:
        """How many bytes that were sent the server has not read."""
        return len(self.socket.incoming)

    def stall(self) -> None:
        """Take nothing any more."""
        self.socket.room = 0

    def take(self, size: int | None = None) -> None:
        """Take some bytes more; without a size, all from now on."""
        self.socket.room = size
        self.reactor.turn()

    def close(self) -> None:
        """The client closes the connection in good order."""
        self.socket.eof = True
        self.reactor.turn()

    def breakDown(self) -> None:
        """The connection is reset, but the server does not know it before it reads or writes."""
        self.socket.broken = True


def makeRequest(
    path: str = "/",
    accept: str | None = None,
    method: str = "GET",
    body: bytes | None = None,
    version: str = "1.1",
    headers: dict[str, str] | None = None,
) -> bytes:
    """Write a request."""
    lines = [f"{method} {path} HTTP/{version}", "Host: example.com"]
    if accept is not None:
        lines.append(f"Accept: {accept}")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


class Script:
    """
    One run of a L{ScriptedSource}: does what its test says.

    Attributes:
        cancelled: Whether the run's Deferred was cancelled.
    """

    def __init__(self, sink: ITokenSink, prompt: Prompt | None) -> None:
        self.sink = sink
        self.prompt = prompt
        self.cancelled = False
        self.done: Deferred[Any] = Deferred(self._cancelled)

    def _cancelled(self, done: Deferred[Any]) -> None:
        self.cancelled = True

    def write(self, *tokens: str) -> None:
        """Write tokens."""
        for token in tokens:
            self.sink.write(token)

    def end(self, result: object = None) -> None:
        """Say that all is written."""
        self.done.callback(result)

    def fail(self, problem: Exception) -> None:
        """Break down."""
        self.done.errback(Failure(problem))


@implementer(ITokenSource)
class ScriptedSource:
    """
    A token source whose runs do what the test says.

    Attributes:
        runs: All that were started, the newest last.
    """

    model = "script"

    def __init__(self, takesPrompt: bool = False) -> None:
        self.takesPrompt = takesPrompt
        self.runs: list[Script] = []

    @property
    def run(self) -> Script:
        """The newest run."""
        return self.runs[-1]

    def produce(self, sink: ITokenSink, prompt: Prompt | None) -> Deferred[Any]:
        self.runs.append(Script(sink, prompt))
        return self.run.done


class RecordingProducer:
    """A push producer that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


@contextmanager
def logged() -> Iterator[list[dict[str, Any]]]:
    """Note the events that are logged meanwhile."""
    events: list[dict[str, Any]] = []

    @implementer(ILogObserver)
    class Observer:
        def __call__(self, event: dict[str, Any]) -> None:
            events.append(event)

    observer = Observer()
    globalLogPublisher.addObserver(observer)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(observer)


class WireTestCase(SynchronousTestCase):
    """
    Tests on wires. At the end of each all connections are closed and nothing
    is left on the clock.
    """

    def setUp(self) -> None:
        self.reactor = WireReactor()
        self.wires: list[Wire] = []

    def tearDown(self) -> None:
        for wire in self.wires:
            # While a viewer takes nothing its connection is not read, and a close not noticed.
            wire.take()
            wire.close()
        self.stop()
        # A connection that was aborted is gone in the next turn.
        self.reactor.advance(0)
        self.assertEqual([str(call) for call in self.reactor.getDelayedCalls()], [])
        self.assertEqual((self.reactor.getReaders(), self.reactor.getWriters()), ([], []))

    def stop(self) -> None:
        """Stop what the test has started."""

    def connect(self, factory: Any) -> Wire:
        """Open a connection."""
        wire = Wire(factory, self.reactor)
        self.wires.append(wire)
        return wire

    def site(self, resource: IResource) -> StreamSite:
        """Put a resource on a site of ours."""
        return StreamSite(resource, reactor=self.reactor)


class ServedTestCase(WireTestCase):
    """
    Tests of everything together, with a source that is written by hand.

    Attributes:
        settings: The service's.
    """

    settings = Settings()
    takesPrompt = False

    def setUp(self) -> None:
        super().setUp()
        self.services: list[StreamService] = []
        self.source = ScriptedSource(self.takesPrompt)
        self.serve(self.source)

    def serve(self, source: ITokenSource, settings: Settings | None = None, store: Any = None) -> None:
        """Serve a source; new connections are to it alone."""
        self.service = StreamService(self.reactor, source, settings or self.settings, store)
        self.services.append(self.service)
        self.service.startService()
        self.resource = StreamResource(self.service)
        self.factory: Any = self.site(self.resource)

    def stop(self) -> None:
        stopped = [service.stopService() for service in self.services]
        # What was announced may wait for the end of its flush tick.
        self.reactor.advance(0.02)
        for each in stopped:
            self.successResultOf(each)

    def ask(
        self,
        path: str = "/",
        accept: str | None = None,
        method: str = "GET",
        body: bytes | None = None,
        version: str = "1.1",
        headers: dict[str, str] | None = None,
    ) -> Response:
        """Make a request on a connection of its own; its answer as far as it comes at once."""
        return self.connect(self.factory).ask(path, accept, method, body, version, headers)

    def view(
        self, path: str = "/", lastEventID: str | None = None, version: str = "1.1", room: int | None = None
    ) -> Wire:
        """
        Ask for an event stream, as an EventSource does.

        Args:
            room: Bytes that the client takes; `None` is all.
        """
        wire = self.connect(self.factory)
        wire.socket.room = room
        headers = {} if lastEventID is None else {"Last-Event-ID": lastEventID}
        wire.send(makeRequest(path, EVENTSOURCE, version=version, headers=headers))
        wire._methods.append("GET")
        return wire

    def startRun(self) -> str:
        """Start a run by POST; give its stream's path."""
        response = self.ask("/streams", method="POST", body=b"")
        assert response.status == 201, response
        return response.headers["location"]

    def state(self, path: str) -> dict[str, Any]:
        """Read a stream's state."""
        state: dict[str, Any] = self.ask(path, "application/json").json
        return state


def makePEM() -> tuple[bytes, bytes]:
    """Make a key, and a certificate of our own for `localhost`; both in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(pem, form, serialization.NoEncryption()), certificate.public_bytes(pem)


def makeCertificate() -> CertificateOptions:
    """Make the server's side of TLS for `localhost`."""
    certificate = PrivateCertificate.loadPEM(b"".join(makePEM()))
    return certificate.options()  # type: ignore[no-any-return]
