"""
The planted bugs fit to the source. They are planted by hand: `python -m tests.reliability.planted`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.reliability.planted import PLANTS
from tests.simulation.planted import ROOT


class PlantedTests(SynchronousTestCase):
    """Broken stores."""

    def test_places(self) -> None:
        """The text that each bug replaces stands once in its module."""
        for plant in PLANTS:
            for change in plant.changes:
                text = (ROOT / "sseserver" / change.file).read_text("utf-8")
                self.assertEqual(text.count(change.old), 1, plant.name)
