"""Tests for `sseserver.counting`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.counting import Durations, Tally


class TallyTests(SynchronousTestCase):
    """`Tally`."""

    def test_add(self) -> None:
        """Things are counted by their words, which have a number from the start."""
        tally = Tally(["left", "right"])
        tally.add("left")
        tally.add("left")
        self.assertEqual(tally.counts, {"left": 2, "right": 0, "other": 0})

    def test_unknownWords(self) -> None:
        """However many words there are, unknown ones have one number together."""
        tally = Tally(["left"])
        for number in range(1000):
            tally.add(f"word{number}")
        self.assertEqual(tally.counts, {"left": 0, "other": 1000})


class DurationsTests(SynchronousTestCase):
    """`Durations`."""

    def test_note(self) -> None:
        """A bucket includes its bound; longer durations are counted as well, and negative ones as 0."""
        durations = Durations((0.1, 1.0))
        for seconds in (-5.0, 0.0, 0.1, 0.5, 1.0, 7.0):
            durations.note(seconds)
        self.assertEqual((durations.counts, round(durations.total, 3)), ([3, 2, 1], 8.6))
