"""
The simulation of a Redis finds bugs: one of those in `planted`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.planted import ROOT, find
from tests.simulation.redis.planted import PLANTS
from tests.simulation.redis.play import play
from tests.simulation.redis.scripting import findMissing


class PlantedTests(SynchronousTestCase):
    """Broken stores."""

    skip = findMissing()

    def test_sample(self) -> None:
        """A store that does not notice that writes may be lost breaks a promise within 200 seeds."""
        self.assertNotEqual([find(plant, play=play) for plant in PLANTS if plant.name == "no epoch check"], [""])

    def test_places(self) -> None:
        """The text that each bug replaces stands once in its module."""
        for plant in PLANTS:
            for change in plant.changes:
                text = (ROOT / "sseserver" / change.file).read_text("utf-8")
                self.assertEqual(text.count(change.old), 1, f"{plant.name}: {change.old}")
