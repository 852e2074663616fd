"""
Tests of `sseserver.speedups.probes`: how probes are run.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.speedups.probes import probe


class ProbeTests(SynchronousTestCase):
    """Running a probe."""

    def test_raising(self) -> None:
        """
        A probe that raises has failed.
        """
        self.assertFalse(probe(lambda: {}["swordfish"])())

    def test_once(self) -> None:
        """
        A probe runs once.
        """
        runs: list[int] = []
        check = probe(lambda: not runs.append(1))  # type: ignore[func-returns-value]
        self.assertTrue(check())
        self.assertTrue(check())
        self.assertEqual(runs, [1])
