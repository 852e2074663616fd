"""
Tests for L{sseserver.timing.turnend}.
"""

from __future__ import annotations

from sseserver.timing.ticker import Ticker
from sseserver.timing.turnend import TurnEnd
from tests.fakes import ClockTestCase


class TurnTests(ClockTestCase):
    """When calls are made that wait for the end of a turn."""

    def setUp(self) -> None:
        """Make a turn and a list for what its calls leave behind."""
        super().setUp()
        self.turn = TurnEnd(self.clock)
        self.calls: list[str] = []

    def atEnd(self, name: str) -> None:
        """Let a call wait that leaves its name."""
        self.turn.atEnd(lambda: self.calls.append(name))

    def test_alone(self) -> None:
        """
        When nothing was begun the calls are made as the reactor comes round, in order.
        """
        self.atEnd("a")
        self.atEnd("b")
        self.assertEqual(self.calls, [])
        self.clock.advance(0)
        self.assertEqual(self.calls, ["a", "b"])

    def test_within(self) -> None:
        """
        What was begun ends the turn: the reactor is not asked.
        """
        self.turn.begin()
        self.atEnd("a")
        self.assertEqual((self.calls, self.clock.getDelayedCalls()), ([], []))
        self.turn.end()
        self.assertEqual(self.calls, ["a"])

    def test_nested(self) -> None:
        """
        What begins inside ends inside: only the outermost end is one.
        """
        self.turn.begin()
        self.turn.begin()
        self.atEnd("a")
        self.turn.end()
        self.assertEqual(self.calls, [])
        self.turn.end()
        self.assertEqual(self.calls, ["a"])

    def test_onceOnly(self) -> None:
        """
        What waits for the reactor, and is overtaken by the end of something that began meanwhile, is made once.
        """
        self.atEnd("a")
        self.turn.begin()
        self.turn.end()
        self.assertEqual(self.calls, ["a"])
        self.clock.advance(0)
        self.assertEqual(self.calls, ["a"])

    def test_again(self) -> None:
        """
        A call that asks for the end of the turn again is made again in the next one.
        """
        self.turn.begin()
        self.turn.atEnd(lambda: self.atEnd("again"))
        self.turn.end()
        self.assertEqual(self.calls, [])
        self.clock.advance(0)
        self.assertEqual(self.calls, ["again"])

    def test_failing(self) -> None:
        """
        A call that raises is logged, and keeps none of the others from being made.
        """
        self.turn.begin()
        self.turn.atEnd(lambda: {}["swordfish"])
        self.atEnd("b")
        self.turn.end()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(self.calls, ["b"])

    def test_ownTurnEnd(self) -> None:
        """
        A ticker without a given turn end has one of its own: calls that wait for another one come in the next turn.
        """
        ticker = Ticker(self.clock, 1)
        ticker.at(1, lambda now: self.atEnd("end"))
        ticker.at(1, lambda now: self.calls.append("call"))
        self.clock.pump([1])
        self.assertEqual(self.calls, ["call", "end"])

    def test_ticker(self) -> None:
        """
        The calls of a ticker are one turn: what they leave for its end is done there, also when one of them fails.
        """
        turn = self.turn
        ticker = Ticker(self.clock, 1, turnEnd=turn)
        ticker.at(1, lambda now: turn.atEnd(lambda: self.calls.append("end")))
        ticker.at(1, lambda now: {}["swordfish"])
        ticker.at(1, lambda now: self.calls.append("call"))
        self.clock.advance(1)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(self.calls, ["call", "end"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
