"""
Wires in memory, in place of the network.

The server's end of a `Wire` is Twisted's own TCP transport on a fake socket, in a reactor that moves bytes only when it
is told to. Everything above the socket is real: queues and pauses of `tcp.Connection`, the parser of `twisted.web`, our
`StreamSite`.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Unpack

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.tcp import Server
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import IResource

from sseserver.web.site import StreamSite
from tests.descriptors import DescriptorSet
from tests.http import RequestParts, Response, makeRequest, parseResponses


def soon(condition: Callable[[], Any], limit: int = 10_000) -> Iterator[None]:
    """
    Loop until a condition holds, and fail instead of looping for ever.

    Args:
        condition: Evaluated before each round.
        limit: Largest number of rounds.

    Raises:
        AssertionError: The condition does not hold after the last round.
    """
    for _ in range(limit):
        if condition():
            return
        yield
    raise AssertionError(f"The condition does not hold after {limit} rounds.")


def countUnsent(transport: Any) -> int:
    """Return the number of bytes that a TCP transport of Twisted has not given to its socket."""
    return transport._tempDataLen + len(transport.dataBuffer) - transport.offset  # noqa: SLF001


class WireReactor(DescriptorSet, Clock):
    """A clock that is also the reactor of fake sockets: after each step it moves all bytes that can move."""

    def __init__(self) -> None:
        Clock.__init__(self)
        DescriptorSet.__init__(self)

    def advance(self, amount: float) -> None:
        """Let time pass in one step, then turn."""
        super().advance(amount)
        self.turn()

    def run(self, seconds: float, step: float = 0.05) -> None:
        """Let time pass in many small steps, as it does outside tests."""
        end = self.seconds() + seconds
        while self.seconds() + step < end:
            self.advance(step)
        self.advance(end - self.seconds())

    def turn(self) -> None:
        """Make the calls that are due, and read and write until nothing moves. No time passes."""
        for _ in soon(lambda: not self._move()):
            pass

    def _move(self) -> bool:
        """Make the calls that are due, let each connection write and read once; return whether anything moved."""
        moved = any(call.getTime() <= self.seconds() for call in self.getDelayedCalls())
        if moved:
            super().advance(0)
        for selectable in self.getWriters():
            if selectable in self.writers and selectable.socket.writable:
                moved = True
                self._act(selectable, selectable.doWrite)
        for selectable in self.getReaders():
            if selectable in self.readers and selectable.socket.readable:
                moved = True
                self._act(selectable, selectable.doRead)
        return moved

    def _act(self, selectable: Any, act: Callable[[], Any]) -> None:
        """Read or write as `PosixReactorBase` does: a returned exception ends the connection."""
        why = act()
        if why:
            self.removeReader(selectable)
            if why.__class__ is error.ConnectionDone and act.__name__ == "doRead":
                selectable.readConnectionLost(Failure(why))
            else:
                self.removeWriter(selectable)
                selectable.connectionLost(Failure(why))


class FakeSocket:
    """
    The fake socket of the server's end.

    Attributes:
        room: Bytes that the send buffer still takes; `None` takes everything.
        incoming: Bytes from the client that the server has not read.
        eof: Whether the client has closed its end.
        broken: Whether the connection was reset; the next read or write finds out.
        sends: Bytes taken by each call of `send`.
        arrived: Bytes that the client has acknowledged; `None` acknowledges all at once.
        ended: Whether the server has closed its side of the connection only.
        closed: Whether the server has closed the socket.
        reset: Whether it was closed with a reset.
        options: The values that were set, by level and number.
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
        self.ended = False
        self.closed = False
        self.reset = False
        self.options: dict[tuple[int, int], Any] = {}

    @property
    def sent(self) -> bytes:
        """All bytes that the server sent."""
        return bytes(self._sent)

    @property
    def writable(self) -> bool:
        """Whether `epoll` would report room to write."""
        return self.broken or self.room is None or self.room > 0

    @property
    def readable(self) -> bool:
        """Whether `epoll` would report something to read."""
        return self.broken or self.eof or bool(self.incoming)

    def send(self, data: memoryview) -> int:
        """See `socket.send`."""
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
        """See `socket.sendmsg`."""
        return self.send(memoryview(b"".join(buffers)))

    def recv(self, size: int) -> bytes:
        """See `socket.recv`."""
        if self.broken:
            raise ConnectionResetError(errno.ECONNRESET, "Reset")
        if not self.incoming and not self.eof:
            raise BlockingIOError(errno.EWOULDBLOCK, "Empty")
        data, self.incoming = self.incoming[:size], self.incoming[size:]
        return data

    def setsockopt(self, level: int, option: int, value: object) -> None:
        """See `socket.setsockopt`; only `SO_LINGER`, which makes a close a reset, has an effect."""
        self.options[level, option] = value
        self.reset = self.reset or option == socket.SO_LINGER

    def getsockopt(self, level: int, option: int, size: int = 0) -> bytes:
        """See `socket.getsockopt`; the result is a `struct tcp_info` with the unacknowledged and acknowledged bytes."""
        arrived = len(self._sent) if self.arrived is None else self.arrived
        return struct.pack("24xI92xQ16xI", len(self._sent) - arrived, arrived, 0)[:size]

    def close(self) -> None:
        """See `socket.close`."""
        self.closed = True

    def shutdown(self, how: int) -> None:
        """See `socket.shutdown`."""
        self.ended = True

    def setblocking(self, blocking: bool) -> None:
        """See `socket.setblocking`."""

    def fileno(self) -> int:
        """See `socket.fileno`."""
        return -1

    def getsockname(self) -> tuple[str, int]:
        """See `socket.getsockname`."""
        return "127.0.0.1", 8000


class Wire:
    """
    A connection, seen from the client.

    Args:
        factory: Factory of the server: a site, or a wrapper of one.
        reactor: Moves the bytes.
        host: Address of the client.
        sent: Bytes that the client has sent before the server accepts the connection.

    Attributes:
        methods: Methods of the requests so far. A test that sends raw bytes appends the method of each request itself.
    """

    def __init__(self, factory: Any, reactor: WireReactor, host: str = "127.0.0.1", sent: bytes = b"") -> None:
        self.reactor = reactor
        self.socket = FakeSocket()
        self.socket.incoming = sent
        self.methods: list[str] = []
        peer = (host, 54321)
        protocol = factory.buildProtocol(IPv4Address("TCP", *peer))
        fake: Any = self.socket
        none: Any = None
        self.transport = Server(fake, protocol, peer, none, 1, reactor)
        protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """Send bytes to the server."""
        self.socket.incoming += data
        self.reactor.turn()

    def ask(
        self,
        path: str = "/",
        accept: str | None = None,
        method: str = "GET",
        body: bytes | None = None,
        **rest: Unpack[RequestParts],
    ) -> Response:
        """Send a request, and return the response as far as it arrives at once. See `makeRequest`."""
        self.begin(path, accept, method, body, **rest)
        return self.response

    def begin(
        self,
        path: str = "/",
        accept: str | None = None,
        method: str = "GET",
        body: bytes | None = None,
        **rest: Unpack[RequestParts],
    ) -> None:
        """Send a request whose response may arrive later. See `makeRequest`."""
        self.methods.append(method)
        self.send(makeRequest(path, accept, method, body, **rest))

    @property
    def received(self) -> bytes:
        """All bytes from the server."""
        return self.socket.sent

    @property
    def closed(self) -> bool:
        """Whether the server has closed the connection, so that the client gets nothing more."""
        return self.socket.closed or self.socket.ended

    @property
    def responses(self) -> list[Response]:
        """The responses that have begun to arrive."""
        return parseResponses(self.received, self.methods, self.closed)

    @property
    def response(self) -> Response:
        """The response to the newest request."""
        responses = self.responses
        assert len(responses) == len(self.methods), f"no response yet: {self.received!r}"
        return responses[-1]

    @property
    def unread(self) -> int:
        """Number of bytes that the server has not read."""
        return len(self.socket.incoming)

    def stall(self) -> None:
        """Stop taking bytes from the server."""
        self.socket.room = 0

    def take(self, size: int | None = None) -> None:
        """Take some more bytes; without a size, take everything from now on."""
        self.socket.room = size
        self.reactor.turn()

    def close(self) -> None:
        """Close the client's end in good order."""
        self.socket.eof = True
        self.reactor.turn()

    def breakDown(self) -> None:
        """Reset the connection; the server finds out when it reads or writes."""
        self.socket.broken = True


class WireTestCase(SynchronousTestCase):
    """
    Tests on wires. At the end of each test all connections are closed and the clock is empty.

    Attributes:
        host: Address of the client of new connections.
    """

    host = "127.0.0.1"

    def setUp(self) -> None:
        self.reactor = WireReactor()
        self.wires: list[Wire] = []

    def tearDown(self) -> None:
        for wire in self.wires:
            # The server does not read from a viewer that takes nothing, and would miss its close.
            wire.take()
            wire.close()
        self.stop()
        # An aborted connection is gone in the next turn.
        self.reactor.advance(0)
        self.assertEqual([str(call) for call in self.reactor.getDelayedCalls()], [])
        self.assertEqual((self.reactor.getReaders(), self.reactor.getWriters()), ([], []))

    def stop(self) -> None:
        """Stop the services of the test; the base class has none."""

    def connect(self, factory: Any, sent: bytes = b"") -> Wire:
        """Open a connection. The client has sent some bytes when the server accepts it."""
        wire = Wire(factory, self.reactor, self.host, sent)
        self.wires.append(wire)
        return wire

    def site(self, resource: IResource) -> StreamSite:
        """Put a resource on a `StreamSite`."""
        return StreamSite(resource, reactor=self.reactor)
