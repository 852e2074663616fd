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
        self.addCleanup(gc.unfreeze)
        gc.set_threshold(701, 11, 12)

    def test_whileItRuns(self) -> None:
        """
        While the service runs collections are rare and skip older objects. Afterwards they are as frequent as before,
        and a process that ends has no more to walk over.
        """
        service = RareCollections()
        self.assertEqual(gc.get_threshold(), (701, 11, 12))
        service.startService()
        self.assertGreaterEqual(gc.get_threshold()[0], 10_000)
        self.assertGreater(gc.get_freeze_count(), 1000)
        service.stopService()
        self.assertEqual(gc.get_threshold(), (701, 11, 12))
        self.assertGreater(gc.get_freeze_count(), 1000)

    def test_shortTurns(self) -> None:
        """#12: while objects are made that stay, only a full collection walks over all of them."""
        walked = []

        def note(phase: str, told: dict[str, int]) -> None:
            if phase == "start" and told["generation"] < 2:
                walked.append(sum(len(gc.get_objects(each)) for each in range(told["generation"] + 1)))

        service = RareCollections()
        service.startService()
        self.addCleanup(service.stopService)
        self.addCleanup(gc.callbacks.remove, note)
        gc.callbacks.append(note)
        made: list[list[object]] = [[] for _ in range(250_000)]
        self.assertGreater(len(walked), 10)
        self.assertLess(max(walked), 35_000)
        made.clear()

    def test_all(self) -> None:
        """Cyclic garbage is found before a million objects have come."""
        service = RareCollections()
        service.startService()
        self.addCleanup(service.stopService)
        young, middle, old = gc.get_threshold()
        # A generation is collected when its number is exceeded, together with the next of the younger ones.
        self.assertLessEqual(young * (middle + 2) * (old + 2), 1_000_000)

    def test_F90_otherCollectors(self) -> None:
        """F90: where the collector cannot freeze objects, as in PyPy, it is left alone."""
        freeze = gc.freeze
        self.addCleanup(setattr, gc, "freeze", freeze)
        del gc.freeze
        service = RareCollections()
        service.startService()
        service.stopService()
        self.assertEqual(gc.get_threshold(), (701, 11, 12))
