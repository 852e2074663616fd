"""
Pipes to and from another process, as the reactor reads and writes them.
"""

from __future__ import annotations

from collections.abc import Callable
from io import FileIO
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionDone
from twisted.internet.fdesc import setNonBlocking, writeToFD
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.internet.main import CONNECTION_DONE
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

log = Logger()

#: Bytes read at once: all that a pipe holds.
READ = 64 * 1024

#: Seconds between two lines in the log with what one process says on standard error: each has the last
ERROR_INTERVAL = 1.0

#: bytes of what came meanwhile,
ERROR_KEPT = 64 * 1024

#: and a process that says more than so many bytes in that time waits for the rest of it.
ERROR_READ = 1024 * 1024


@implementer(IReadDescriptor)
class Reader:
    """
    A descriptor that can be watched, and left alone, until it is closed.

    Args:
        reactor: Watches.
        file: The descriptor; belongs to this reader now.
        readable: Called when there is something to read; returns whether
            there may be more.
        closed: Called once when it is closed, by whomever.
    """

    def __init__(
        self,
        reactor: Any,
        file: FileIO,
        readable: Callable[[], bool],
        closed: Callable[[], None],
    ) -> None:
        self.file = file
        self._reactor = reactor
        self._readable = readable
        self._closed = closed
        setNonBlocking(file)

    @property
    def open(self) -> bool:
        """Whether there may be more to read."""
        return not self.file.closed

    def fileno(self) -> int:
        return self.file.fileno() if self.open else -1

    def logPrefix(self) -> str:
        return "pipe"

    def doRead(self) -> Any:
        return None if self._readable() else CONNECTION_DONE

    def connectionLost(self, reason: Failure) -> None:
        self.close()

    def start(self) -> None:
        """Watch it, if it is open."""
        if self.open:
            self._reactor.addReader(self)

    def stop(self) -> None:
        """Do not watch it now."""
        if self.open:
            self._reactor.removeReader(self)

    def close(self) -> None:
        """Never watch it again. Harmless when that is so already."""
        if self.open:
            self._reactor.removeReader(self)
            self.file.close()
            self._closed()


class Writer(FileDescriptor):
    """
    Writes some bytes, as fast as somebody reads them, and closes.

    Args:
        reactor: Watches.
        file: The descriptor; belongs to this writer now.
        data: The bytes; may be none.
    """

    connected = 1

    def __init__(self, reactor: Any, file: FileIO, data: bytes) -> None:
        super().__init__(reactor)
        self._file = file
        setNonBlocking(file)
        if data:
            self.write(data)
        self.loseConnection()

    def fileno(self) -> int:
        return -1 if self._file.closed else self._file.fileno()

    def writeSomeData(self, data: bytes) -> Any:
        return writeToFD(self.fileno(), data)

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        self._file.close()

    def close(self) -> None:
        """Give the rest to nobody. Harmless when it is closed."""
        if self.connected:
            self.connectionLost(Failure(ConnectionDone()))


class ErrorLog:
    """
    Takes to the log what a process says on standard error, bounded in rate and size.

    Args:
        reactor: Watches and schedules.
        file: The other end of its standard error; belongs to this object now.
        pid: Its number.
        closed: Called once when nobody can write to it any more.
    """

    def __init__(self, reactor: Any, file: FileIO, pid: int, closed: Callable[[], None]) -> None:
        self._reader = Reader(reactor, file, self._read, closed)
        self._reactor = reactor
        self._pid = pid
        self._kept = bytearray()
        self._came = 0
        self._pause: IDelayedCall | None = None
        self._reader.start()

    @property
    def open(self) -> bool:
        """Whether there may be more."""
        return self._reader.open

    def goOn(self) -> None:
        """Log what there is, and read on now, however much came."""
        if self._pause is not None and self._pause.active():
            self._pause.cancel()
        self._pause = None
        self._tell()
        self._reader.start()

    def close(self) -> None:
        """Log what there is, and read no more."""
        self._reader.close()
        self.goOn()

    def _read(self) -> bool:
        data = self._reader.file.read(READ)
        if data == b"":
            return False
        self._take(data or b"")
        if self._pause is None:
            self._tell()
            self._pause = self._reactor.callLater(ERROR_INTERVAL, self.goOn)
        elif self._came >= ERROR_READ:
            self._reader.stop()
        return True

    def _take(self, data: bytes) -> None:
        self._came += len(data)
        self._kept += data
        del self._kept[:-ERROR_KEPT]

    def _tell(self) -> None:
        if self._came:
            log.info(
                "Program {pid} says on standard error, {left} bytes left out: {text}",
                pid=self._pid,
                left=self._came - len(self._kept),
                text=self._kept.decode("utf-8", "replace"),
            )
        self._came = 0
        self._kept.clear()
