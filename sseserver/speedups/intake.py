"""
Intake: reads many connections in one go.

A reactor goes for each connection that has bytes through its own loop, reads,
lets the bytes be worked on, and comes to the next: six calls for each read, and
the kernel's TCP in between, after which Python is slow until its caches are
warm again. With hundreds of connections that get a token now and then, that is
more than the token itself. Here they are read together, one after another, and
then all that came is worked on. When tokens come so fast that each would wake
the reactor anew, it looks for them every L{BUSY} seconds instead, as network
drivers do.
"""

from __future__ import annotations

import os
import select
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from twisted.internet.interfaces import IDelayedCall, IReactorFDSet, IReactorSocket, IReactorTime, IReadDescriptor
from twisted.internet.tcp import Connection
from twisted.logger import Logger
from zope.interface import implementer

from sseserver.timing.turnend import turnOf

log = Logger()

#: So many connections are read before what came is worked on.
MAX_READS = 256

#: Bytes of one read; what is left is read the next time.
READ_BYTES = 16 * 1024

#: What we are told of a connection: only news (the "edge"), else the kernel looks at each once more the next time, to
#: see that nothing has come since. So the end must be told beside the data that came just before it. (Without an
#: epoll, on some systems, there is no L{Intake} either.)
_DATA = getattr(select, "EPOLLIN", 0)
_EVENTS = _DATA | getattr(select, "EPOLLRDHUP", 0) | getattr(select, "EPOLLET", 0)

#: Seconds. What follows a read sooner than this waits until so much time has passed, with all that comes meanwhile.
BUSY = 0.005


class Receiver(Protocol):
    """
    Takes what comes over one connection.

    Attributes:
        transport: The connection.
    """

    transport: Connection

    def dataReceived(self, data: bytes) -> object:
        """Take it."""


@implementer(IReadDescriptor)
class Intake:
    """
    Reads the connections that are put into it; for the reactor all of them
    are one thing to read, there as long as there are any.

    A token touches neither its transport nor its socket, whose memory has
    left the processor's caches since the one before: what is read, and who
    takes it, is known by the descriptor.

    Args:
        reactor: Whose connections they are.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._turn = turnOf(reactor)
        self._epoll = select.epoll()
        # By descriptor, the L{Receiver}; None where nothing is read. And how many are here, paused or not.
        self._receivers: list[Any] = []
        self._count = 0
        # When was read last; and what reads next, while the reactor does not tell us that there is something.
        self._readAt = 0.0
        self._next: IDelayedCall | None = None

    def add(self, receiver: Receiver) -> None:
        """
        Read this connection from now on. It can be paused, resumed, closed
        and lost as ever.

        Args:
            receiver: Gets what comes, instead of the transport's protocol,
                which is told of the end all the same.
        """
        transport = receiver.transport
        transport.stopReading()
        if not self._count:
            self._reactor.addReader(self)
        self._count += 1
        descriptor = transport.fileno()
        receivers = self._receivers
        receivers.extend([None] * (descriptor + 1 - len(receivers)))

        # What Twisted calls, whoever wants a connection to be read or not, also when it is closed or lost.
        def startReading() -> None:
            if receivers[descriptor] is None:
                receivers[descriptor] = receiver
                self._epoll.register(descriptor, _EVENTS)

        def stopReading() -> None:
            if receivers[descriptor] is receiver:
                receivers[descriptor] = None
                self._epoll.unregister(descriptor)

        own: Any = transport
        own.startReading, own.stopReading = startReading, stopReading
        startReading()

    def remove(self, transport: Connection) -> None:
        """Let the reactor read this connection again. Harmless when it does."""
        own = vars(transport)
        if "startReading" not in own:
            return
        descriptor = transport.fileno()
        reading = descriptor >= 0 and self._receivers[descriptor] is not None
        transport.stopReading()
        del own["startReading"], own["stopReading"]
        if reading:
            transport.startReading()
        self._count -= 1
        if not self._count:
            self._reactor.removeReader(self)
            if self._next is not None:
                self._next.cancel()
                self._next = None

    def fileno(self) -> int:
        """See L{IReadDescriptor}."""
        return self._epoll.fileno()

    def logPrefix(self) -> str:
        """See L{IReadDescriptor}."""
        return "Intake"

    def doRead(self) -> None:
        """There is something to read."""
        now = self._reactor.seconds()
        if 0 <= now - self._readAt < BUSY:
            self._reactor.removeReader(self)
            self._next = self._reactor.callLater(BUSY - (now - self._readAt), self._look)
        else:
            self._readAt = now
            self._read()

    def _look(self) -> None:
        """Read what came meanwhile; when there is nothing any more, let the reactor tell."""
        self._next = None
        self._readAt = self._reactor.seconds()
        busy = self._read()
        if self._count:
            if busy:
                # It is there again when the last connection left and another came meanwhile.
                self._reactor.removeReader(self)
                self._next = self._reactor.callLater(BUSY, self._look)
            else:
                self._reactor.addReader(self)

    def _read(self) -> bool:
        """Read what there is, then let it be worked on; tell whether there was anything."""
        came = []
        receivers = self._receivers
        ready = self._epoll.poll(0, MAX_READS)
        for descriptor, events in ready:
            try:
                data = os.read(descriptor, READ_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if len(data) == READ_BYTES or (data and events != _DATA):
                # There is more, or the end, which is no news to the kernel.
                self._epoll.modify(descriptor, _EVENTS)
            if data:
                came.append((descriptor, receivers[descriptor], data))
            else:
                # It is over: the reactor shall find out how, and tell.
                self.remove(receivers[descriptor].transport)
        self._turn.begin()
        for descriptor, receiver, data in came:
            # Who was worked on before may have closed it, or paused it; then it is not read any more.
            if receivers[descriptor] is receiver or not _isClosed(receiver.transport):
                try:
                    receiver.dataReceived(data)
                except Exception:
                    # As the reactor does.
                    log.failure("A connection broke what came over it")
                    receiver.transport.abortConnection()
        self._turn.end()
        return bool(ready)

    def connectionLost(self, reason: Any) -> None:
        """See L{IReadDescriptor}: the reactor is told that an epoll is broken, which cannot be."""


def _isClosed(transport: Any) -> bool:
    """
    Whether nothing that comes over a connection is wanted any more.

    Twisted tells of an abort by a private name only. Without it bytes would
    come to who has had enough of them, and nothing worse.
    """
    return not transport.connected or transport.disconnecting or getattr(transport, "_aborting", False)


#: What a reactor must be.
_REACTOR = (IReactorFDSet, IReactorSocket, IReactorTime)

_intakes: WeakKeyDictionary[Any, Intake] = WeakKeyDictionary()


def intakeOf(reactor: Any) -> Intake | None:
    """Give the intake of a reactor; C{None} where there can be none: it reads only what the system calls a socket."""
    if not hasattr(select, "epoll") or not all(kind.providedBy(reactor) for kind in _REACTOR):
        return None
    intake = _intakes.get(reactor)
    if intake is None:
        intake = _intakes[reactor] = Intake(reactor)
    return intake
