"""
Tests for `sseserver.timing.turnend`.
"""

from __future__ import annotations

from sseserver.timing.ticker import Ticker
from sseserver.timing.turnend import TurnEnd
from tests.fakes import ClockTestCase


class TurnTests(ClockTestCase):
    """The calls at the end of a turn."""

    def setUp(self) -> None:
        """Make a turn end and a list for the names of calls."""
        super().setUp()
        self.turn = TurnEnd(self.clock)
        self.calls: list[str] = []

    def atEnd(self, name: str) -> None:
        """Add a call that leaves its name."""
        self.turn.atEnd(lambda: self.calls.append(name))

    def test_alone(self) -> None:
        """Without a batch the calls are made in the reactor's next turn, in order."""
        self.atEnd("a")
        self.atEnd("b")
        self.assertEqual(self.calls, [])
        self.clock.advance(0)
        self.assertEqual(self.calls, ["a", "b"])

    def test_within(self) -> None:
        """A batch makes the calls at its end, without the reactor."""
        self.turn.begin()
        self.atEnd("a")
        self.assertEqual((self.calls, self.clock.getDelayedCalls()), ([], []))
        self.turn.end()
        self.assertEqual(self.calls, ["a"])

    def test_nested(self) -> None:
        """Only the end of the outermost batch makes the calls."""
        self.turn.begin()
        self.turn.begin()
        self.atEnd("a")
        self.turn.end()
        self.assertEqual(self.calls, [])
        self.turn.end()
        self.assertEqual(self.calls, ["a"])

    def test_onceOnly(self) -> None:
        """A call that waits for the reactor is made once, even if a batch ends before."""
        self.atEnd("a")
        self.turn.begin()
        self.turn.end()
        self.assertEqual(self.calls, ["a"])
        self.clock.advance(0)
        self.assertEqual(self.calls, ["a"])

    def test_again(self) -> None:
        """A call that adds itself again is made again in the next turn."""
        self.turn.begin()
        self.turn.atEnd(lambda: self.atEnd("again"))
        self.turn.end()
        self.assertEqual(self.calls, [])
        self.clock.advance(0)
        self.assertEqual(self.calls, ["again"])

    def test_failing(self) -> None:
        """A call that raises is logged; the others are made."""
        self.turn.begin()
        self.turn.atEnd(lambda: {}["swordfish"])
        self.atEnd("b")
        self.turn.end()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(self.calls, ["b"])

    def test_ownTurnEnd(self) -> None:
        """
        A ticker without a given turn end has one of its own: calls that wait for another one come
        in the next turn.
        """
        ticker = Ticker(self.clock, 1)
        ticker.at(1, lambda now: self.atEnd("end"))
        ticker.at(1, lambda now: self.calls.append("call"))
        self.clock.pump([1])
        self.assertEqual(self.calls, ["call", "end"])

    def test_ticker(self) -> None:
        """The calls of a ticker are one batch, even if one of them raises."""
        turn = self.turn
        ticker = Ticker(self.clock, 1, turnEnd=turn)
        ticker.at(1, lambda now: turn.atEnd(lambda: self.calls.append("end")))
        ticker.at(1, lambda now: {}["swordfish"])
        ticker.at(1, lambda now: self.calls.append("call"))
        self.clock.advance(1)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(self.calls, ["call", "end"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
