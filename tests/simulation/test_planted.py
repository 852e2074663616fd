"""
The simulation finds bugs: a sample of those in `planted`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.planted import BUGS, ROOT, find

#: Bugs that are planted in each test run: one of a log, one of a store, one of a format.
_SAMPLE = ("resume one too early", "a deleted stream stays in the ledger", "[DONE] after a failure")


class PlantedTests(SynchronousTestCase):
    """Broken servers."""

    def test_sample(self) -> None:
        """A bug in a log, in a store and in a format breaks a promise within 200 seeds."""
        for bug in BUGS:
            if bug.name in _SAMPLE:
                self.assertNotEqual(find(bug), "", bug.name)

    def test_places(self) -> None:
        """The text that each bug replaces stands once in its module."""
        counts = {bug.name: (ROOT / "sseserver" / bug.file).read_text("utf-8").count(bug.old) for bug in BUGS}
        self.assertEqual({name: count for name, count in counts.items() if count != 1}, {})
        self.assertGreaterEqual(len(BUGS), 25)
        self.assertLessEqual(set(_SAMPLE), set(counts))
