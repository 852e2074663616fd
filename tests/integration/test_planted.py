"""
Would the tests notice? Each of the bugs that break the promise of DESIGN.md 6
in the likeliest ways is planted in a copy of the tree, and its test must fail.

C{python tests/planted.py} plants all bugs and can run more tests on each.
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
        """Plant a bug, and see its test fail."""
        (bug,) = [bug for bug in BUGS if bug.name == name]
        plant(bug, self.tree)
        passed, _, printed = runTests(self.tree, f"{PROMISE}::{bug.test}")
        self.assertFalse(passed, printed)
        self.assertIn("1 failed", printed)

    def test_sound(self) -> None:
        """
        Where nothing is planted the same tests pass.
        """
        passed, _, printed = runTests(self.tree, *sorted({f"{PROMISE}::{bug.test}" for bug in BUGS}))
        self.assertTrue(passed, printed)

    def test_plantable(self) -> None:
        """
        All bugs can be planted: their places are in the package as it is now.
        """
        for bug in BUGS:
            path = self.tree / "sseserver" / bug.file
            before = path.read_text("utf-8")
            plant(bug, self.tree)
            self.assertNotEqual(path.read_text("utf-8"), before, bug.name)
            compile(path.read_text("utf-8"), bug.file, "exec")
            path.write_text(before, "utf-8")

    def test_resume(self) -> None:
        """
        A viewer that is given its last entry again is noticed.
        """
        self.check("resume with >= for >")

    def test_follow(self) -> None:
        """
        A viewer that reads first and registers for wake-ups then is noticed.
        """
        self.check("follow after reading instead of before")

    def test_noID(self) -> None:
        """
        An event without an ID is noticed.
        """
        self.check("an event without an ID")

    def test_epoch(self) -> None:
        """
        An ID of another epoch that is taken for one of this is noticed.
        """
        self.check("an ID that is not checked against its epoch")

    def test_splitlines(self) -> None:
        """
        Data that is split at what is no end of a line is noticed.
        """
        self.check("str.splitlines() for data")
