"""
Tests of `sseserver.web.access.verdicts`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.interfaces import Principal
from sseserver.web.access.verdicts import VERDICT_COST, Verdicts


class VerdictTests(SynchronousTestCase):
    """Verdicts of credentials."""

    def test_kept(self) -> None:
        """A verdict is found by its credential until all are forgotten."""
        verdicts, principal = Verdicts(), Principal("p", ())
        verdicts.add(b"Bearer x", principal)
        self.assertIs(verdicts.find(b"Bearer x"), principal)
        self.assertIsNone(verdicts.find(b"Bearer y"))
        verdicts.clear()
        self.assertIsNone(verdicts.find(b"Bearer x"))

    def test_bound(self) -> None:
        """The oldest verdicts make room for new ones; adding one again counts once."""
        verdicts = Verdicts(10 * (VERDICT_COST + 2))
        for number in range(100):
            verdicts.add(b"%2d" % number, Principal(str(number), ()))
            verdicts.add(b"%2d" % number, Principal(str(number), ()))
        self.assertEqual([verdicts.find(b"%2d" % number) is not None for number in (89, 90, 99)], [False, True, True])
        self.assertEqual(len(verdicts), 10)
        verdicts.clear()
        verdicts.add(b"x" * 20_000, Principal("large", ()))
        self.assertEqual(len(verdicts), 0)
