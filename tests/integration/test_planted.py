"""
Planted bugs: the likeliest breaches of the promise, each in a copy of the tree, must fail a test.

`python tests/planted.py` plants all bugs and can run more tests on each.
"""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.planted import BUGS, PROMISE, copyTree, plant, runTests


class PlantedTests(SynchronousTestCase):
    """Bugs in copies of the tree."""

    def setUp(self) -> None:
        """Copy the tree."""
        self.tree = Path(self.mktemp()).resolve()
        copyTree(self.tree)

    def check(self, name: str) -> None:
        """Plant a bug, and check that its test fails."""
        (bug,) = [bug for bug in BUGS if bug.name == name]
        plant(bug, self.tree)
        passed, _, printed = runTests(self.tree, f"{PROMISE}::{bug.test}")
        self.assertFalse(passed, printed)
        self.assertIn("1 failed", printed)

    def test_sound(self) -> None:
        """Without a planted bug the same tests pass."""
        passed, _, printed = runTests(self.tree, *sorted({f"{PROMISE}::{bug.test}" for bug in BUGS}))
        self.assertTrue(passed, printed)

    def test_plantable(self) -> None:
        """All bugs can be planted: their places exist in the package."""
        for bug in BUGS:
            path = self.tree / "sseserver" / bug.file
            before = path.read_text("utf-8")
            plant(bug, self.tree)
            self.assertNotEqual(path.read_text("utf-8"), before, bug.name)
            compile(path.read_text("utf-8"), bug.file, "exec")
            path.write_text(before, "utf-8")

    def test_resume(self) -> None:
        """A bug that gives a viewer its last entry again is found."""
        self.check("resume with >= for >")

    def test_follow(self) -> None:
        """A bug that lets a viewer read before it registers for wake-ups is found."""
        self.check("follow after reading instead of before")

    def test_noID(self) -> None:
        """An event without an ID is found."""
        self.check("an event without an ID")

    def test_epoch(self) -> None:
        """An ID of another epoch that is taken for one of this epoch is found."""
        self.check("an ID that is not checked against its epoch")

    def test_splitlines(self) -> None:
        """Data that is split at other characters than line ends is found."""
        self.check("str.splitlines() for data")
