"""
Tests for `sseserver.speedups.garbage`.
"""

from __future__ import annotations

import gc

from twisted.trial.unittest import SynchronousTestCase

from sseserver.speedups.garbage import RareCollections


class RareCollectionsTests(SynchronousTestCase):
    """The settings of Python's collector."""

    def setUp(self) -> None:
        """Begin with thresholds that nothing else has set."""
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        gc.set_threshold(701, 11, 12)

    def test_whileItRuns(self) -> None:
        """
        While the service runs collections are rare and skip older objects; afterwards the settings
        are restored.
        """
        service = RareCollections()
        self.assertEqual(gc.get_threshold(), (701, 11, 12))
        service.startService()
        self.assertGreaterEqual(gc.get_threshold()[0], 10_000)
        self.assertGreater(gc.get_freeze_count(), 1000)
        service.stopService()
        self.assertEqual((gc.get_threshold(), gc.get_freeze_count()), ((701, 11, 12), 0))

    def test_all(self) -> None:
        """Cyclic garbage is found after half a million objects."""
        service = RareCollections()
        service.startService()
        self.addCleanup(service.stopService)
        young, middle, old = gc.get_threshold()
        self.assertLessEqual(young * middle * old, 500_000)

    def test_F90_otherCollectors(self) -> None:
        """F90: where the collector cannot freeze objects, as in PyPy, it is left alone."""
        freeze = gc.freeze
        self.addCleanup(setattr, gc, "freeze", freeze)
        del gc.freeze
        service = RareCollections()
        service.startService()
        service.stopService()
        self.assertEqual(gc.get_threshold(), (701, 11, 12))
