"""
Tests of `sseserver.command.textfiles`.
"""

from __future__ import annotations

from pathlib import Path

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from sseserver.command.textfiles import readTextFile


class TextFileTests(SynchronousTestCase):
    """Files of a few bytes."""

    def refused(self, name: str) -> str:
        """Return the message about a file."""
        return str(self.assertRaises(usage.UsageError, readTextFile, name, "--option", 4))

    def test_limit(self) -> None:
        """A file as large as the limit is read, and a larger one is refused, also if it has no end."""
        file = Path(self.mktemp())
        file.write_bytes("aäb".encode())
        self.assertEqual(readTextFile(str(file), "--option", 4), "aäb")
        self.assertEqual(self.refused("/dev/zero"), "--option /dev/zero: the file has more than 4 bytes")

    def test_unreadable(self) -> None:
        """The message about a file that is missing or not UTF-8 says so."""
        self.assertEqual(self.refused("/nowhere/a"), "--option /nowhere/a: No such file or directory")
        file = Path(self.mktemp())
        file.write_bytes(b"ab\xff")
        self.assertIn("not UTF-8 at byte 2", self.refused(str(file)))
