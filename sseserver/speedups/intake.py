"""
An intake: one read descriptor that reads many connections together.

A reactor handles its connections one after another: a read, then the work on the bytes, six calls
for each. Each read runs the kernel's TCP, which replaces the contents of the processor's caches and
slows down the Python code after it. For hundreds of connections with a token now and then, this
costs more than the tokens. An intake reads all connections first, and then handles the bytes. When
there are many connections and tokens come so fast that each would wake the reactor, the intake
polls every `BUSY` seconds instead, as network drivers do. A connection that has more bytes than one
read takes is read again without delay.

`sseserver.speedups.readpath` puts the connections of streamed answers into it.
"""

from __future__ import annotations

import os
import select
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorFDSet, IReactorSocket, IReactorTime, IReadDescriptor
from twisted.internet.tcp import Connection
from twisted.logger import Logger
from zope.interface import implementer

from sseserver.speedups.privates import isAborting, seesAbort
from sseserver.timing.turnend import TurnEnd

log = Logger(__name__)

#: Connections that are read before their bytes are worked on.
MAX_READS = 256

#: Bytes of one read. Small, since memory of this size is allocated for each read, and most reads give one token.
READ_BYTES = 16 * 1024

#: Bytes. Size of a second read, made if the first one was full; together the two take as much as a
#: read of the reactor. The rest is left for the next read.
MORE_BYTES = 48 * 1024

#: Events requested from epoll. Edge-triggered: a level-triggered epoll polls each connection once
#: more, to find that no data has come since. So the end of a connection must be reported with the
#: data that came before it (`EPOLLRDHUP`). Systems without epoll have no intake.
_DATA = getattr(select, "EPOLLIN", 0)
_EVENTS = _DATA | getattr(select, "EPOLLRDHUP", 0) | getattr(select, "EPOLLET", 0)

#: Seconds. Shortest time between two reads of a crowd; bytes that arrive earlier wait for the next
#: read.
BUSY = 0.005

#: Connections that are a crowd. With fewer, waiting would delay each of them and save the reactor
#: little work.
CROWD = 32

#: The interfaces of a reactor that can have an intake: it reads only file descriptors of the
#: system.
_REACTOR = (IReactorFDSet, IReactorSocket, IReactorTime)


class Receiver(Protocol):
    """
    Takes the bytes of one connection.

    Attributes:
        transport: The connection.
    """

    transport: Connection

    def dataReceived(self, data: bytes) -> object:
        """Take some bytes."""


@implementer(IReadDescriptor)
class Intake:
    """
    Reads the connections that are added to it.

    For the reactor they are one read descriptor, which it watches as long as there are any.

    A read touches neither the transport nor its socket object, whose memory has left the
    processor's caches since the read before: the descriptor alone leads to the receiver.

    Args:
        reactor: The reactor of the connections.
        turnEnd: Ends after the bytes of one go were worked on.
    """

    def __init__(self, reactor: Any, turnEnd: TurnEnd) -> None:
        self._reactor = reactor
        self._turnEnd = turnEnd
        self._epoll = select.epoll()
        # By descriptor, the `Receiver`; None where nothing is read.
        self._receivers: list[Any] = []
        # Connections that are here, paused or not.
        self._count = 0
        self._readAt = 0.0
        # Whether the last read has left bytes behind.
        self._left = False
        # The next read, while the reactor does not tell when there is something.
        self._next: IDelayedCall | None = None

    def add(self, receiver: Receiver) -> None:
        """
        Read a connection from now on. It can be paused, resumed, closed and lost as before.

        Args:
            receiver: Gets the bytes instead of the transport's protocol. The protocol is still told
                of the end.
        """
        transport = receiver.transport
        transport.stopReading()
        if not self._count:
            self._reactor.addReader(self)
        self._count += 1
        descriptor = transport.fileno()
        receivers = self._receivers
        receivers.extend([None] * (descriptor + 1 - len(receivers)))

        # Twisted calls these to start and stop the reading of a connection, also when it is closed
        # or lost.
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
        """Let the reactor read this connection again. Harmless if it does."""
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
        """See `IReadDescriptor`."""
        return self._epoll.fileno()

    def logPrefix(self) -> str:
        """See `IReadDescriptor`."""
        return "Intake"

    def doRead(self) -> None:
        """Read; if it was just done for a crowd, wait until `BUSY` seconds have passed since."""
        now = self._reactor.seconds()
        if self._mayWait() and 0 <= now - self._readAt < BUSY:
            self._reactor.removeReader(self)
            self._next = self._reactor.callLater(BUSY - (now - self._readAt), self._look)
        else:
            self._readAt = now
            self._read()

    def _look(self) -> None:
        """Read; if there was nothing to read, let the reactor watch the connections again."""
        self._next = None
        self._readAt = self._reactor.seconds()
        busy = self._read()
        if self._count:
            if busy and self._mayWait():
                # Added again meanwhile if the last connection left and another came.
                self._reactor.removeReader(self)
                self._next = self._reactor.callLater(BUSY, self._look)
            else:
                self._reactor.addReader(self)

    def _mayWait(self) -> bool:
        """Return whether the next read may be delayed."""
        return self._count >= CROWD and not self._left

    def _read(self) -> bool:
        """
        Read all connections that have bytes, then hand the bytes on.

        Returns:
            Whether any connection had something to tell.
        """
        came = []
        receivers = self._receivers
        ready = self._epoll.poll(0, MAX_READS)
        self._left = len(ready) == MAX_READS
        for descriptor, events in ready:
            try:
                data = os.read(descriptor, READ_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            isFull = len(data) == READ_BYTES
            if isFull:
                data += _readMore(descriptor)
                self._left = self._left or len(data) == READ_BYTES + MORE_BYTES
            if isFull or (events != _DATA and data):
                # There may be more, or the end, which the kernel does not report again.
                self._epoll.modify(descriptor, _EVENTS)
            if data:
                came.append((descriptor, receivers[descriptor], data))
            else:
                # The connection has ended; the reactor reads how, and tells the protocol.
                self.remove(receivers[descriptor].transport)
        self._turnEnd.begin()
        try:
            for descriptor, receiver, data in came:
                # A receiver before this one may have closed the connection. One that was only paused
                # gets its bytes.
                if receivers[descriptor] is receiver or not _isClosed(receiver.transport):
                    try:
                        receiver.dataReceived(data)
                    except BaseException:
                        # `SystemExit`, too. It costs its own connection, as in the reactor.
                        log.failure("A receiver failed on bytes of its connection")
                        receiver.transport.abortConnection()
        finally:
            self._turnEnd.end()
        return bool(ready)

    def connectionLost(self, reason: Any) -> None:
        """See `IReadDescriptor`: the reactor drops the intake after an error. Its connections are still to be read."""
        if self._count:
            self._reactor.addReader(self)


def _readMore(descriptor: int) -> bytes:
    """Read the bytes behind a full read; an error of the connection shows in its next read."""
    try:
        return os.read(descriptor, MORE_BYTES)
    except OSError:
        return b""


def _isClosed(transport: Any) -> bool:
    """Return whether a connection is closed or being closed, so that its bytes are not needed."""
    return not transport.connected or transport.disconnecting or isAborting(transport)


def makeIntake(reactor: Any, turnEnd: TurnEnd) -> Intake | None:
    """
    Make the intake of a reactor.

    Args:
        reactor: Reads the connections.
        turnEnd: Ends after the bytes that were read together are delivered.

    Returns:
        The intake; `None` if the reactor, the system or the release of Twisted can have none.
    """
    if not seesAbort() or not hasattr(select, "epoll") or not all(kind.providedBy(reactor) for kind in _REACTOR):
        return None
    return Intake(reactor, turnEnd)
