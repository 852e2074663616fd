"""
Tests of `sseserver.service.localcounts`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.interfaces import ICounts
from sseserver.service.localcounts import LocalCounts
from sseserver.testing import CountsContract


class LocalCountsTests(CountsContract, SynchronousTestCase):
    """Counts in memory."""

    def makeCounts(self) -> ICounts:
        return LocalCounts()

    def test_unknown(self) -> None:
        """Asking for a client, and taking one away that it does not have, leave nothing behind."""
        self.counts.get("a")
        self.counts.remove("a")
        self.assertEqual((self.counts.get("a"), self.counts.count), (0, 0))
