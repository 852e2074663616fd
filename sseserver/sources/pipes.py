"""
Pipes to and from another process, on the reactor.

`ProcessSource` reads and writes the standard streams of its programs with them.
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

from sseserver.redaction import escapeControls

log = Logger(__name__)

#: Bytes. Largest read: the capacity of a pipe.
READ = 64 * 1024

#: Seconds between two log events with the standard error of one process.
ERROR_INTERVAL = 1.0

#: Bytes of standard error in one log event: the newest ones.
ERROR_KEPT = 64 * 1024

#: Bytes of standard error that are read within `ERROR_INTERVAL`. A process that writes more is
#: blocked until the interval is over.
ERROR_READ = 1024 * 1024


@implementer(IReadDescriptor)
class PipeReader:
    """
    A descriptor for reading, which can be watched and left alone until it is closed.

    Args:
        reactor: Watches the descriptor.
        file: The descriptor; the reader closes it.
        onReadable: Called when there is something to read; returns whether there may be more.
        onClosed: Called once when the descriptor is closed, from either end.
    """

    def __init__(
        self,
        reactor: Any,
        file: FileIO,
        onReadable: Callable[[], bool],
        onClosed: Callable[[], object],
    ) -> None:
        self.file = file
        self._reactor = reactor
        self._onReadable = onReadable
        self._onClosed = onClosed
        setNonBlocking(file)

    @property
    def open(self) -> bool:
        """Whether there may be more to read."""
        return not self.file.closed

    def fileno(self) -> int:
        """See `IFileDescriptor.fileno`."""
        return self.file.fileno() if self.open else -1

    def logPrefix(self) -> str:
        """See `ILoggingContext.logPrefix`."""
        return "pipe"

    def doRead(self) -> Any:
        """See `IReadDescriptor.doRead`."""
        return None if self._onReadable() else CONNECTION_DONE

    def connectionLost(self, reason: Failure) -> None:
        """See `IFileDescriptor.connectionLost`."""
        self.close()

    def start(self) -> None:
        """Watch the descriptor, unless it is closed."""
        if self.open:
            self._reactor.addReader(self)

    def stop(self) -> None:
        """Leave the descriptor alone for now."""
        if self.open:
            self._reactor.removeReader(self)

    def close(self) -> None:
        """Close the descriptor. Harmless when it is closed."""
        if self.open:
            self._reactor.removeReader(self)
            self.file.close()
            onClosed = self._onClosed
            # The owner keeps this object, and must not be kept by it.
            self._onReadable = self._onClosed = _isClosed
            onClosed()


def _isClosed() -> bool:
    """Return that there is nothing to read."""
    return False


class PipeWriter(FileDescriptor):
    """
    Writes bytes to a descriptor as fast as the other end reads them, then closes it.

    Args:
        reactor: Watches the descriptor.
        file: The descriptor; the writer closes it.
        data: The bytes; may be empty.
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
        """See `IFileDescriptor.fileno`."""
        return -1 if self._file.closed else self._file.fileno()

    def writeSomeData(self, data: bytes) -> Any:
        """See `FileDescriptor.writeSomeData`."""
        return writeToFD(self.fileno(), data)

    def connectionLost(self, reason: Failure) -> None:
        """See `IFileDescriptor.connectionLost`."""
        super().connectionLost(reason)
        self._file.close()

    def close(self) -> None:
        """Drop the bytes not written yet, and close the descriptor. Harmless when it is closed."""
        if self.connected:
            self.connectionLost(Failure(ConnectionDone()))


class ErrorLog:
    """
    Logs the standard error of a process, bounded in rate and size.

    Args:
        reactor: Watches the pipe and schedules the log events.
        file: Our end of the pipe, which this object closes.
        pid: Number of the process.
        onClosed: Called once when the pipe is closed, from either end.
    """

    def __init__(self, reactor: Any, file: FileIO, pid: int, onClosed: Callable[[], None]) -> None:
        self._reader = PipeReader(reactor, file, self._read, onClosed)
        self._reactor = reactor
        self._pid = pid
        self._kept = bytearray()
        self._received = 0
        self._pause: IDelayedCall | None = None
        self._reader.start()

    @property
    def open(self) -> bool:
        """Whether there may be more to read."""
        return self._reader.open

    def flush(self) -> None:
        """Log the bytes read so far, and begin a new interval."""
        if self._pause is not None and self._pause.active():
            self._pause.cancel()
        self._pause = None
        self._log()
        self._reader.start()

    def close(self) -> None:
        """Close the pipe, and log the bytes read so far."""
        self._reader.close()
        self.flush()

    def _read(self) -> bool:
        data = self._reader.file.read(READ)
        if data == b"":
            return False
        self._keep(data or b"")
        if self._pause is None:
            self._log()
            self._pause = self._reactor.callLater(ERROR_INTERVAL, self.flush)
        elif self._received >= ERROR_READ:
            self._reader.stop()
        return True

    def _keep(self, data: bytes) -> None:
        self._received += len(data)
        self._kept += data
        del self._kept[:-ERROR_KEPT]

    def _log(self) -> None:
        if self._received:
            log.info(
                "Program {pid} says on standard error, {left} bytes left out: {text}",
                pid=self._pid,
                left=self._received - len(self._kept),
                text=escapeControls(self._kept.decode("utf-8", "replace")),
            )
        self._received = 0
        self._kept.clear()
