"""
The network: connections in memory whose bytes the seed cuts, delays, stalls and loses.

Each direction of a connection has two bounded buffers, as in a kernel: what the sender has handed over (`queue`) and
what has arrived (`inbox`). So a peer that reads nothing stops the sender, and Twisted pauses its producer.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random

from tests.simulation.world import World

#: Accepts a connection: the socket of the server's end, and the address of the client.
Accept = Callable[["SimSocket", tuple[str, int]], object]


#: Bytes of a direction that are cut into pieces; the rest is not, to save time.
_CUT_BYTES = 3000


@dataclass(frozen=True, slots=True)
class Weather:
    """
    How the network treats its connections.

    Attributes:
        latency: Seconds that bytes need at most; 0 delivers in the next turn.
        cut: Bytes delivered at once at most; 0 delivers everything.
        sendBuffer: Bytes of a sender's buffer.
        receiveBuffer: Bytes of a receiver's buffer.
    """

    latency: float = 0.0
    cut: int = 0
    sendBuffer: int = 64 * 1024
    receiveBuffer: int = 64 * 1024

    @property
    def wide(self) -> bool:
        """Whether large texts arrive soon."""
        return not (self.latency or self.cut) and min(self.sendBuffer, self.receiveBuffer) >= 4000


class Network:
    """
    All ports and connections of a simulation.

    Args:
        world: Schedules deliveries.
        chance: Decides about latency and cuts.
        weather: How bytes travel.

    Attributes:
        connections: Number of connections so far.
    """

    def __init__(self, world: World, chance: Random, weather: Weather) -> None:
        self.world = world
        self.chance = chance
        self.weather = weather
        self._ports: dict[int, Accept] = {}
        self.connections = 0

    def listen(self, port: int, accept: Accept) -> None:
        """Accept connections at a port."""
        assert port not in self._ports, f"port {port} is in use"
        self._ports[port] = accept

    def close(self, port: int) -> None:
        """Refuse connections at a port from now on."""
        self._ports.pop(port, None)

    def connect(
        self,
        port: int,
        connected: Callable[[SimSocket], object],
        refused: Callable[[], object],
        source: str = "127.0.0.1",
    ) -> None:
        """
        Connect to a port after a round trip.

        Args:
            port: The port.
            connected: Called with the socket of the client.
            refused: Called if nobody listens.
            source: Address of the client.
        """

        def arrive() -> None:
            accept = self._ports.get(port)
            if accept is None:
                refused()
                return
            there, back = Pipe(self), Pipe(self)
            client, server = SimSocket(there, back), SimSocket(back, there)
            there.ends, back.ends = (client, server), (server, client)
            self.connections += 1
            accept(server, (source, 50000 + self.connections))
            connected(client)

        self.world.after(self.delay(), arrive)

    def delay(self) -> float:
        """Return the seconds until the next bytes arrive."""
        latency = self.weather.latency
        return round(self.chance.random() * latency, 6) if latency else 0.0


class Pipe:
    """
    One direction of a connection.

    Attributes:
        network: The network.
        ends: Sockets of the sender and of the receiver.
        queue: Bytes that the sender's kernel has.
        inbox: Bytes that the receiver's kernel has.
        arrived: Number of bytes that ever arrived.
        finished: Whether the sender writes no more.
        ended: Whether the receiver knows that.
        stalled: Whether nothing is delivered for now.
    """

    __slots__ = ("_pending", "arrived", "ended", "ends", "finished", "inbox", "network", "queue", "stalled")

    def __init__(self, network: Network) -> None:
        self.network = network
        self.ends: tuple[SimSocket, SimSocket]
        self.queue = bytearray()
        self.inbox = bytearray()
        self.arrived = 0
        self.finished = False
        self.ended = False
        self.stalled = False
        self._pending = False

    @property
    def room(self) -> int:
        """Bytes that the sender's kernel takes now."""
        return self.network.weather.sendBuffer - len(self.queue)

    def put(self, data: bytes) -> int:
        """Take bytes from the sender; return how many."""
        taken = data[: max(0, self.room)]
        self.queue += taken
        self.push()
        return len(taken)

    def push(self) -> None:
        """Schedule the next delivery, if there is something to deliver."""
        wanted = self.queue or (self.finished and not self.ended)
        possible = not self.queue or len(self.inbox) < self.network.weather.receiveBuffer
        if wanted and possible and not (self._pending or self.stalled):
            self._pending = True
            self.network.world.after(self.network.delay(), self._deliver)

    def take(self, size: int) -> bytes:
        """Give arrived bytes to the receiver."""
        data = bytes(self.inbox[:size])
        del self.inbox[:size]
        self.ends[1].readable = bool(self.inbox) or self.ended
        self.push()
        return data

    def _deliver(self) -> None:
        self._pending = False
        sender, receiver = self.ends
        if self.stalled or sender.broken or receiver.broken:
            return
        if receiver.closed:
            # The kernel of the receiver answers with a reset.
            if self.queue:
                sender.breakDown()
            return
        weather = self.network.weather
        size = min(len(self.queue), weather.receiveBuffer - len(self.inbox))
        if weather.cut and self.arrived < _CUT_BYTES:
            size = min(size, self.network.chance.randint(1, weather.cut))
        self.inbox += self.queue[:size]
        del self.queue[:size]
        self.arrived += size
        if self.finished and not self.queue:
            self.ended = True
        receiver.readable = bool(self.inbox) or self.ended
        self.push()
        if receiver.watch is not None:
            receiver.watch()
        if sender.watch is not None and size:
            sender.watch()


class SimSocket:
    """
    One end of a connection; what Twisted's transports need of `socket.socket`.

    Attributes:
        closed: Whether this end is closed.
        broken: Whether the connection was reset; the next read or write finds out.
        readable: Whether `epoll` would report something to read.
        watch: Called when there may be something to read, or room to write. For actors without a reactor.
    """

    family = socket.AF_INET

    def __init__(self, out: Pipe | None = None, into: Pipe | None = None) -> None:
        self.closed = False
        self.broken = self.readable = False
        self.watch: Callable[[], object] | None = None
        self._out = out
        self._in = into
        self._lingers = True

    @property
    def writable(self) -> bool:
        """Whether `epoll` would report room to write."""
        return self.broken or (self._out is not None and self._out.room > 0)

    @property
    def unread(self) -> int:
        """Number of bytes that have arrived and were not read."""
        return 0 if self._in is None else len(self._in.inbox)

    def send(self, data: bytes | memoryview) -> int:
        """See `socket.send`."""
        assert self._out is not None
        if self.closed:
            raise OSError(errno.EBADF, "Bad file descriptor")
        if self.broken or self._out.finished:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        if self._out.room <= 0:
            raise BlockingIOError(errno.EWOULDBLOCK, "Full")
        return self._out.put(bytes(data))

    def sendmsg(self, buffers: Iterable[bytes]) -> int:
        """See `socket.sendmsg`."""
        return self.send(b"".join(buffers))

    def recv(self, size: int) -> bytes:
        """See `socket.recv`."""
        assert self._in is not None
        if self.broken:
            raise ConnectionResetError(errno.ECONNRESET, "Reset")
        if not self._in.inbox and not self._in.ended:
            raise BlockingIOError(errno.EWOULDBLOCK, "Empty")
        return self._in.take(size)

    def setsockopt(self, level: int, option: int, value: object) -> None:
        """See `socket.setsockopt`; only `SO_LINGER`, which makes a close a reset, has an effect."""
        self._lingers = self._lingers and option != socket.SO_LINGER

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        """See `socket.getsockopt`; the result is a `struct tcp_info` with the unacknowledged and acknowledged bytes."""
        assert self._out is not None
        return struct.pack("24xI92xQ16xI", len(self._out.queue), self._out.arrived, 0)[:size]

    def close(self) -> None:
        """See `socket.close`. Unread bytes make it a reset, as in Linux."""
        if self.closed:
            return
        if not self._lingers or self.unread:
            self.reset()
            return
        self.closed = True
        self.shutdown(socket.SHUT_WR)

    def shutdown(self, how: int) -> None:
        """See `socket.shutdown`."""
        if self._out is not None and not self._out.finished and not self.broken:
            self._out.finished = True
            self._out.push()

    def reset(self) -> None:
        """Close this end; the other one finds out by a reset."""
        self.closed = True
        if self._out is not None:
            self._out.ends[1].breakDown()

    def breakDown(self) -> None:
        """Lose the connection: both directions, and what was on its way."""
        self.broken = self.readable = True
        if self.watch is not None and self._in is not None:
            self._in.network.world.after(0, self.watch)

    def cut(self) -> None:
        """Lose the connection at both ends."""
        assert self._out is not None
        for end in self._out.ends:
            end.breakDown()

    def stall(self, stalled: bool) -> None:
        """Deliver nothing in both directions, or go on."""
        for pipe in (self._out, self._in):
            if pipe is not None:
                pipe.stalled = stalled
                pipe.push()

    def setblocking(self, blocking: bool) -> None:
        """See `socket.setblocking`."""

    def fileno(self) -> int:
        """See `socket.fileno`."""
        return -1

    def getsockname(self) -> tuple[str, int]:
        """See `socket.getsockname`."""
        return "127.0.0.1", 8000
