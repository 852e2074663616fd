"""
Tests of `sseserver.streams.account`: the bytes of the logs of one kind together.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.keeper import Keeper
from sseserver.streams.log import StreamLog
from sseserver.timing.ticker import Ticker
from sseserver.values import Kind
from tests.streams.logs import EPOCH


class AccountTests(SynchronousTestCase):
    """Logs of one keeper."""

    def test_kinds(self) -> None:
        """Each log adds its bytes to the account of its kind, and trimmed entries leave it."""
        keeper = Keeper()
        ticker = Ticker(Clock(), 1.0)
        run = StreamLog("a", EPOCH, ticker, 1000, keeper)
        others = [StreamLog(name, EPOCH, ticker, 1000, keeper, published=True) for name in "bc"]
        self.assertEqual((keeper.runs.used, keeper.published.used), (0, 0))
        run.append(Kind.TOKEN, b"abc")
        self.assertEqual((keeper.runs.used, keeper.published.used), (3 + ENTRY_COST, 0))
        for log in others:
            for _ in range(10):
                log.append(Kind.TOKEN, b"x" * 200)
        self.assertEqual(keeper.published.used, sum(log.buffer.size for log in others))
        self.assertLessEqual(keeper.published.used, 2000)
        self.assertEqual(keeper.used, keeper.runs.used + keeper.published.used)
