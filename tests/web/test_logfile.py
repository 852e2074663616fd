"""
Tests for `sseserver.web.logfile`: the file of an access log.
"""

from __future__ import annotations

import gc
from pathlib import Path

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from sseserver.web.logfile import LogFile


class LogFileTests(SynchronousTestCase):
    """F129: a log file that is moved away."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "access.log"
        self.path.write_text("old\n")
        self.file = LogFile(str(self.path))
        self.addCleanup(self.file.close)

    def test_appends(self) -> None:
        """Lines are appended, and are there at once."""
        self.file.write("one\n")
        self.assertEqual(self.path.read_text(), "old\none\n")

    def test_F129_renamed(self) -> None:
        """F129: after a renaming the next line goes into a new file, and the old one stays as it is."""
        self.file.write("one\n")
        self.path.rename(self.folder / "access.log.1")
        self.file.write("two\n")
        self.assertEqual((self.folder / "access.log.1").read_text(), "old\none\n")
        self.assertEqual(self.path.read_text(), "two\n")
        self.path.unlink()
        self.file.write("three\n")
        self.assertEqual(self.path.read_text(), "three\n")

    def test_F129_reopen(self) -> None:
        """F129: `reopen` makes the new file at once."""
        self.path.rename(self.folder / "access.log.1")
        self.file.reopen()
        self.assertEqual(self.path.read_text(), "")
        self.file.write("two\n")
        self.assertEqual(self.path.read_text(), "two\n")

    def test_F129_fails(self) -> None:
        """F129: while there is no folder, lines are dropped, which is said once. Then it goes on; nothing leaks."""
        events = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        # Sockets of other tests, which the collector would close meanwhile.
        gc.collect()
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(2):
            self.folder.rename(f"{self.folder}.away")
            events.clear()
            for _ in range(3):
                self.file.write("lost\n")
                self.file.reopen()
            self.assertEqual(len(events), 1)
            Path(f"{self.folder}.away").rename(self.folder)
            self.file.write("kept\n")
        self.assertEqual(self.path.read_text(), "old\nkept\nkept\n")
        self.assertEqual(len(list(Path("/proc/self/fd").iterdir())), descriptors)

    def test_characters(self) -> None:
        """A line that UTF-8 cannot express is escaped."""
        self.file.write("\udcff\n")
        self.assertEqual(self.path.read_text(), "old\n\\udcff\n")
