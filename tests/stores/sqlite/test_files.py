"""
Tests for `sseserver.stores.sqlite.files`, and what a store does when its file is taken away.

`test_database` has those of `checkFile`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import StoreUnavailable
from sseserver.stores.persistent import RETRY
from sseserver.stores.sqlite.files import identifyFile
from tests.stores.sqlite.files import StoreTestCase


class IdentityTests(SynchronousTestCase):
    """The identity of a file."""

    def test_identity(self) -> None:
        """A renamed file keeps its identity, a copy has another, and a missing file has none."""
        path, other = Path(self.mktemp()), Path(self.mktemp())
        path.write_bytes(b"x")
        known = identifyFile(path)
        self.assertIsNotNone(known)
        shutil.copy(path, other)
        self.assertNotEqual(identifyFile(other), known)
        path.rename(other)
        self.assertEqual(identifyFile(other), known)
        self.assertIsNone(identifyFile(path))


class MovedTests(StoreTestCase):
    """F128: the file of a running store is deleted, renamed or replaced."""

    def setUp(self) -> None:
        """Make a stream."""
        super().setUp()
        self.log = self.create("a", tokens=2)

    def refusePublish(self) -> None:
        """A publish, a new stream and a deletion fail, and nothing is visible of them."""
        self.append(self.log, 1)
        refused = [self.log.awaitStored(), self.store.create("b", True), self.store.delete("a")]
        for _ in range(2):
            # The deletion is written after the publish.
            self.settle()
            self.clock.advance(RETRY)
        for deferred in refused:
            self.refused(deferred, StoreUnavailable)
        self.assertEqual((self.log.last, self.store.count), (2, 1))

    def tearDown(self) -> None:
        """The log says once what is wrong."""
        super().tearDown()
        (failure,) = self.flushLoggedErrors(StoreUnavailable)
        self.assertIn("deleted, renamed or replaced", str(failure))

    def test_F128_deleted(self) -> None:
        """F128: without its file, or without its write-ahead log, a store confirms no publish."""
        for ends in (["-wal"], ["", "-wal"]):
            for end in ends:
                Path(self.path + end).unlink(missing_ok=True)
            self.refusePublish()

    def test_F128_renamed(self) -> None:
        """F128: a renamed file is not written to; when it is back, the store goes on."""
        other = self.mktemp()
        Path(self.path).rename(other)
        self.refusePublish()
        Path(other).rename(self.path)
        self.clock.advance(RETRY)
        self.append(self.log, 1)
        self.result(self.log.awaitStored())
        self.assertEqual(self.log.last, 3)

    def test_F128_replaced(self) -> None:
        """F128: another file under the name, such as that of a second server, does not count as the store's."""
        Path(self.path).rename(self.mktemp())
        shutil.copy(self.path + "-wal", self.path)
        self.refusePublish()
        Path(self.path).unlink()
