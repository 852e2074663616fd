"""
Text files that options name: read whole, with a limit, and never waited for without an end.

The readers of texts, secrets and configuration files in `sseserver.command` use it.
"""

from __future__ import annotations

import os
import select
import stat
from time import monotonic
from typing import NamedTuple

from twisted.python import usage

#: Bytes. Largest file of `--text`.
MAX_TEXT = 64 << 20

#: Bytes. Largest file of keys.
MAX_KEYS = 4 << 20

#: Seconds. A pipe that has not ended by then is refused: a server that waits for ever looks like one that works.
PATIENCE = 10.0

#: Bytes that are read from a pipe at once.
_PIECE = 64 << 10


class _Pipe(NamedTuple):
    """
    A pipe as it was read.

    Attributes:
        place: Names the option in messages.
        content: Everything that was in it.
    """

    place: str
    content: bytes


class TextFiles:
    """
    Reads the text files of one server.

    A file is read again whenever it is wanted. A pipe, such as `/dev/stdin` or the `<(…)` of a shell, can be read once
    only: its content is remembered.

    Args:
        patience: Seconds to wait for the end of a pipe.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._pipes: dict[str, _Pipe] = {}
        self._isStarting = True

    def read(self, name: str, place: str, limit: int) -> str:
        """
        Return the text of a file.

        Args:
            name: Path of a UTF-8 file.
            place: Names the option in messages.
            limit: Bytes. Size of the largest file: the whole of it is in memory.

        Raises:
            usage.UsageError: The file cannot be read, is too large or is not UTF-8.
        """
        known = self._pipes.get(name)
        try:
            content = self._readBytes(name, place, limit) if known is None else known.content
            if len(content) > limit:
                raise usage.UsageError(f"{place} {name}: the file has more than {limit} bytes")
            return content.decode("utf-8")
        except OSError as error:
            raise usage.UsageError(f"{place} {name}: {error.strerror or error}") from None
        except UnicodeDecodeError as error:
            raise usage.UsageError(f"{place} {name}: not UTF-8 at byte {error.start}") from None

    def readText(self, name: str) -> str:
        """
        Return the text of the file of `--text`.

        Args:
            name: Path of the file.

        Raises:
            usage.UsageError: See `read`.
        """
        return self.read(name, "--text", MAX_TEXT)

    def checkShared(self, known: str | None) -> None:
        """
        Check that other processes can read the files as well.

        Args:
            known: Path of a file whose content they get; `None` for none.

        Raises:
            usage.UsageError: One is a pipe, which was empty for them.
        """
        for name, pipe in self._pipes.items():
            if name != known:
                raise usage.UsageError(
                    f"{pipe.place} {name}: this is a pipe, which only one process can read, and --workers has several; "
                    "use a file"
                )

    def endStart(self) -> None:
        """Wait for no more pipes: from now on the server would serve nobody meanwhile."""
        self._isStarting = False

    def _readBytes(self, name: str, place: str, limit: int) -> bytes:
        """Return the content of a file, at most one byte more than the limit."""
        # Otherwise a pipe that nobody writes is not even opened.
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not _isPipe(descriptor):
                return file.read(limit + 1)
            if not self._isStarting:
                raise usage.UsageError(f"{place} {name}: this is a pipe; a server reads pipes only when it starts")
            try:
                content = _readPipe(descriptor, limit, self._patience)
            except TimeoutError:
                raise usage.UsageError(
                    f"{place} {name}: this is a pipe, which has not ended within {self._patience:g} seconds; use a file"
                ) from None
            self._pipes[name] = _Pipe(place, content)
            return content


def _isPipe(descriptor: int) -> bool:
    """Return whether an open file can be read once only: a pipe or a terminal."""
    return stat.S_ISFIFO(os.fstat(descriptor).st_mode) or os.isatty(descriptor)


def _readPipe(descriptor: int, limit: int, patience: float) -> bytes:
    """
    Read a pipe to its end, or one byte more than the limit.

    Raises:
        TimeoutError: It has not ended in time.
    """
    end = monotonic() + patience
    content = bytearray()
    arrival = select.poll()
    arrival.register(descriptor, select.POLLIN)
    while len(content) <= limit:
        if not arrival.poll(max(0.0, end - monotonic()) * 1000):
            raise TimeoutError
        piece = os.read(descriptor, min(_PIECE, limit + 1 - len(content)))
        if not piece:
            break
        content += piece
    return bytes(content)
