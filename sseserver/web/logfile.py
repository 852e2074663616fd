"""
The file of an access log, which can be moved away while it is written.

`StreamSite` opens it.
"""

from __future__ import annotations

import os
from pathlib import Path

from twisted.logger import Logger


class LogFile:
    """
    A file, or a pipe that somebody reads, to which lines are appended.

    When the file was renamed or removed, the next line goes into a new file under the old name. A line that cannot be
    written is dropped; the log of the process says so once, until a line could be written again.

    Args:
        path: Name of the file.

    Raises:
        OSError: The file cannot be opened.
    """

    _log = Logger()

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._failed = False
        self._descriptor = self._open()

    def write(self, line: str) -> None:
        """Append a line, with its end."""
        try:
            if not self._isInPlace():
                self._reopen()
            os.write(self._descriptor, line.encode("utf-8", "backslashreplace"))
            self._failed = False
        except OSError as error:
            self._report(error)

    def reopen(self) -> None:
        """Open the file again, so that it exists at once after the old one was renamed."""
        try:
            self._reopen()
        except OSError as error:
            self._report(error)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _open(self) -> int:
        # Somebody who opens or fills a pipe would wait for its reader.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        return os.open(self._path, flags, 0o666)

    def _reopen(self) -> None:
        descriptor = self._open()
        os.close(self._descriptor)
        self._descriptor = descriptor

    def _isInPlace(self) -> bool:
        """Return whether the open file is still the one of that name."""
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def _report(self, error: OSError) -> None:
        if not self._failed:
            self._failed = True
            self._log.error("The access log {path} cannot be written: {error}", path=self._path, error=error)
