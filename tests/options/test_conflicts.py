"""
Tests for `sseserver.options.conflicts`: the table of pairs that exclude each other.

`tests.command.test_effects` tries each pair.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.options import OPTIONS
from sseserver.options.conflicts import CONFLICTS


class ConflictTests(SynchronousTestCase):
    """The table as a whole."""

    def test_names(self) -> None:
        """Each row is about two options that exist, and its message names both; no pair stands there twice."""
        names = {option.name for option in OPTIONS}
        for conflict in CONFLICTS:
            self.assertLessEqual({conflict.option, conflict.other}, names)
            self.assertRegex(conflict.message, rf"^--{conflict.option} .*--{conflict.other}\b")
        pairs = [frozenset({conflict.option, conflict.other}) for conflict in CONFLICTS]
        self.assertEqual(len(set(pairs)), len(pairs))
