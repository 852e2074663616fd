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

import select
from typing import Any
from weakref import WeakKeyDictionary

from twisted.internet.interfaces import IDelayedCall, IReactorFDSet, IReactorTime, IReadDescriptor
from twisted.internet.tcp import Connection
from twisted.logger import Logger
from zope.interface import implementer

log = Logger()

#: So many connections are read before what came is worked on.
MAX_READS = 256

#: Bytes of one read; what is left is read the next time.
READ_BYTES = 16 * 1024

#: Seconds. What follows a read sooner than this waits until so much time has passed, with all that comes meanwhile.
BUSY = 0.002


@implementer(IReadDescriptor)
class Intake:
    """
    Reads the connections that are put into it; for the reactor all of them
    are one thing to read, there as long as there are any.

    Args:
        reactor: Whose connections they are.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._epoll = select.epoll()
        # By descriptor, those that are read, and how many are here, paused or not.
        self._reading: dict[int, Connection] = {}
        self._count = 0
        # When was read last; and what reads next, while the reactor does not tell us that there is something.
        self._readAt = 0.0
        self._next: IDelayedCall | None = None

    def add(self, transport: Connection) -> None:
        """
        Read this connection from now on. It can be paused, resumed, closed
        and lost as ever.
        """
        transport.stopReading()
        if not self._count:
            self._reactor.addReader(self)
        self._count += 1
        descriptor = transport.fileno()

        # What Twisted calls, whoever wants a connection to be read or not, also when it is lost.
        def startReading() -> None:
            if descriptor not in self._reading:
                self._reading[descriptor] = transport
                self._epoll.register(descriptor, select.EPOLLIN)

        def stopReading() -> None:
            if self._reading.get(descriptor) is transport:
                del self._reading[descriptor]
                self._epoll.unregister(descriptor)

        own: Any = transport
        own.startReading, own.stopReading = startReading, stopReading
        startReading()

    def remove(self, transport: Connection) -> None:
        """Let the reactor read this connection again. Harmless when it does."""
        own = vars(transport)
        if "startReading" not in own:
            return
        reading = transport.fileno() in self._reading
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
        ready = self._epoll.poll(0, MAX_READS)
        for descriptor, _ in ready:
            transport: Any = self._reading[descriptor]
            try:
                data = transport.socket.recv(READ_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if data:
                came.append((transport, data))
            else:
                # It is over: the reactor shall find out how, and tell.
                self.remove(transport)
        for transport, data in came:
            # Who was worked on before may have closed it. (Twisted tells of an abort by a private name only. Without it
            # these bytes would come to who has had enough of them, and nothing worse.)
            closed = not transport.connected or transport.disconnecting or getattr(transport, "_aborting", False)
            if not closed:
                try:
                    transport.protocol.dataReceived(data)
                except Exception:
                    # As the reactor does.
                    log.failure("A connection broke what came over it")
                    transport.abortConnection()
        return bool(ready)

    def connectionLost(self, reason: Any) -> None:
        """See L{IReadDescriptor}: the reactor is told that an epoll is broken, which cannot be."""


_intakes: WeakKeyDictionary[Any, Intake] = WeakKeyDictionary()


def intakeOf(reactor: Any) -> Intake | None:
    """Give the intake of a reactor; C{None} where there can be none."""
    if not hasattr(select, "epoll") or not (IReactorFDSet.providedBy(reactor) and IReactorTime.providedBy(reactor)):
        return None
    intake = _intakes.get(reactor)
    if intake is None:
        intake = _intakes[reactor] = Intake(reactor)
    return intake
