"""
Tests of `sseserver.web.descriptors`: connections and runs share the file descriptors of the process.
"""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from sseserver.web.descriptors import SPARE, countDescriptors, countFree, countViewers, shareDescriptors


class CountTests(SynchronousTestCase):
    """The limit of file descriptors."""

    def test_limit(self) -> None:
        """The soft limit counts. Without a limit, it is a large number."""
        for limit, expected in ((120, 120), (-1, 1 << 20)):
            with patch("resource.getrlimit", lambda which, limit=limit: (limit, 4096)):
                self.assertEqual(countDescriptors(), expected)
                self.assertEqual(countFree(), expected - SPARE)

    def test_noModule(self) -> None:
        """A system that has no such limits has a large number, too."""
        modules: dict[str, Any] = {"resource": None}
        with patch.dict("sys.modules", modules):
            self.assertEqual(countDescriptors(), 1 << 20)

    def test_tiny(self) -> None:
        """A limit below what is kept leaves some all the same."""
        with patch("resource.getrlimit", lambda which: (10, 10)):
            self.assertEqual(countFree(), 2)

    def test_F111_viewers(self) -> None:
        """F111: viewers leave connections to short requests, and one viewer is possible in any case."""
        for connections, viewers in ((10_000, 9984), (224, 208), (40, 30), (2, 1), (1, 1)):
            self.assertEqual(countViewers(connections), viewers)


class ShareTests(SynchronousTestCase):
    """F15: runs never lack descriptors because clients have them all."""

    def test_F15_noDescriptors(self) -> None:
        """Runs that hold no descriptors leave all of them to connections."""
        self.assertEqual(shareDescriptors(1000, 0, 10_000), (1000, 10_000))
        self.assertEqual(shareDescriptors(1000, 0, 10_000, 7, 8), (8, 7))

    def test_F15_share(self) -> None:
        """Runs get what they need, half of the descriptors at most; connections get the rest."""
        self.assertEqual(shareDescriptors(1000, 4, 8), (968, 8))
        self.assertEqual(shareDescriptors(1000, 4, 500), (500, 125))
        self.assertEqual(shareDescriptors(1000, 1, 10_000), (500, 500))

    def test_F15_choices(self) -> None:
        """The operator's choice stays; the other number fits beside it."""
        self.assertEqual(shareDescriptors(1000, 4, 8, runs=200), (250, 200))
        self.assertEqual(shareDescriptors(1000, 4, 8, runs=100), (600, 100))
        self.assertEqual(shareDescriptors(1000, 1, 10_000, connections=900), (900, 100))
        self.assertEqual(shareDescriptors(1000, 4, 8, 300, 900), (900, 300))

    def test_F15_fits(self) -> None:
        """Without a choice of runs beyond the limit, both together fit."""
        for free in range(8, 3000, 7):
            for each in (1, 4):
                for most in (1, 8, 10_000):
                    share = shareDescriptors(free, each, most)
                    self.assertLessEqual(share.connections + share.runs * each, free)
                    self.assertGreater(min(share), 0)
