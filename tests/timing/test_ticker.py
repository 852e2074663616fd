"""
Tests of `sseserver.timing.ticker`: slots, cancelled calls, failing calls, the loop.
"""

from __future__ import annotations

import tracemalloc
from itertools import count
from time import monotonic
from weakref import ref

from twisted.internet.testing import MemoryReactorClock

from sseserver.timing.ticker import IDLE, Tick, Ticker
from sseserver.timing.turnend import TurnEnd
from tests.timing.cases import HAIR, SLOT, TickerTestCase


class LazyTests(TickerTestCase):
    """A ticker whose ticks come and go quickly."""

    def test_lazy(self) -> None:
        """Its loop runs on for one turn after the last tick was cancelled, and `stop` ends it at once."""
        ticker = Ticker(self.clock, SLOT, lazy=True)
        ticker.cancel(ticker.at(9 * SLOT, self.record()))
        (turn,) = self.clock.getDelayedCalls()
        ticker.cancel(ticker.at(9 * SLOT, self.record()))
        self.assertEqual(self.clock.getDelayedCalls(), [turn])
        self.clock.advance(SLOT)
        self.assertEqual((self.clock.getDelayedCalls(), self.calls), ([], []))
        ticker.cancel(ticker.at(20 * SLOT, self.record()))
        ticker.at(3.5 * SLOT, self.record())
        self.slots(3)
        self.assertEqual(self.calls, [4 * SLOT])
        ticker.cancel(ticker.at(20 * SLOT, self.record()))
        ticker.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class SlotTests(TickerTestCase):
    """The time at which calls are made."""

    def test_atTheSlotsEnd(self) -> None:
        """
        A call that is due in the middle of a slot is made at the slot's end,
        once, and is given the time.
        """
        self.ticker.at(2.5 * SLOT, self.record())
        self.slots(2.75)
        self.assertEqual(self.calls, [])
        self.slots(0.25)
        self.assertEqual(self.calls, [3 * SLOT])
        self.slots(5)
        self.assertEqual(self.calls, [3 * SLOT])

    def test_atTheBorder(self) -> None:
        """
        A call that is due just where a slot ends is made there, not a slot
        later.
        """
        self.ticker.at(2 * SLOT, self.record())
        self.slots(1.75)
        self.assertEqual(self.calls, [])
        self.slots(0.25)
        self.assertEqual(self.calls, [2 * SLOT])

    def test_sumsOfStepsAreForgiven(self) -> None:
        """
        A due time that should be the end of a slot but is a rounding error
        after it still means that slot.
        """
        ticker = Ticker(self.clock, 0.1)
        due = 0.1 + 0.1 + 0.1
        self.assertGreater(due, 0.3)
        ticker.at(due, self.record())
        for _ in range(3):
            self.clock.advance(0.1)
        self.assertEqual(len(self.calls), 1)

    def test_dueNow(self) -> None:
        """
        A call that is due now or in the past is made at the end of the present slot, not inside
        `at`.
        """
        self.slots(8)
        self.ticker.at(8 * SLOT, self.record("now"))
        self.ticker.at(0.0, self.record("past"))
        self.assertEqual(self.calls, [])
        self.slots(1)
        self.assertEqual(sorted(self.calls), ["now", "past"])

    def test_lateByOneSlotAtMost(self) -> None:
        """
        A call is late by one slot at most, also when the first call came in
        the middle of a slot.
        """
        self.slots(0.75)
        due = self.clock.seconds() + 0.5 * SLOT
        self.ticker.at(due, self.record())
        self.slots(4)
        [made] = self.calls
        self.assertLessEqual(made - due, SLOT + HAIR)  # type: ignore[operator]

    def test_clocksThatDrift(self) -> None:
        """
        The reactor's clock is set a little slower than the ticker's: calls are
        made where the ticker's slots end all the same, after any time.
        """
        ticker = Ticker(self.clock, SLOT, lambda: 1.001 * self.clock.seconds())
        late: list[float] = []

        def call(now: float) -> float:
            late.append(now % SLOT)
            return now + SLOT / 2

        ticker.at(SLOT / 2, call)
        for _ in range(1000 * 64):
            self.clock.advance(SLOT / 64)
        self.assertGreater(len(late), 900)
        self.assertLess(max(late), SLOT / 32)
        ticker.stop()

    def test_never(self) -> None:
        """
        A call may be due so late that it is never made, even at an infinite
        time: it waits, and can be cancelled.
        """
        ticks = [self.ticker.at(due, self.record()) for due in (1e17, 1e300, float("inf"))]
        self.ticker.at(SLOT, self.record("soon"))
        self.slots(2)
        self.assertEqual(self.calls, ["soon"])
        for tick in ticks:
            self.ticker.cancel(tick)

    def test_orderOfTime(self) -> None:
        """
        Calls are made in the order of their slots; in one slot, in the order
        in which they came. That holds too when all of them are late.
        """
        for name, due in [("d", 3.0), ("b", 1.5), ("a", 0.5), ("c", 1.25), ("e", 2.5)]:
            self.ticker.at(due * SLOT, self.record(name))
        self.clock.advance(10 * SLOT)
        self.assertEqual(self.calls, ["a", "b", "c", "d", "e"])

    def test_oneLoopForAll(self) -> None:
        """
        A thousand waiting calls are one delayed call for the reactor.
        """
        for number in range(1000):
            self.ticker.at(number % 7 * SLOT, self.record(number))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.slots(7)
        self.assertEqual(sorted(self.calls), list(range(1000)))  # type: ignore[type-var]


class AgainTests(TickerTestCase):
    """Repeated calls."""

    def test_dueAgain(self) -> None:
        """A call is repeated at the times that it returns, until it returns `None`."""
        answers = iter([3 * SLOT, 4.5 * SLOT, None])

        def call(now: float) -> float | None:
            self.calls.append(now)
            return next(answers)

        self.ticker.at(SLOT, call)
        self.slots(12)
        self.assertEqual(self.calls, [SLOT, 3 * SLOT, 5 * SLOT])

    def test_dueAgainAtOnce(self) -> None:
        """A call that is due again at once, or in the past, waits for the next slot."""
        self.stopAtEnd(self.ticker.stop)
        self.ticker.at(SLOT, self.record(again=0.0))
        self.ticker.at(SLOT, lambda now: self.calls.append("past") or 0.0)  # type: ignore[func-returns-value]
        self.slots(3)
        self.assertEqual(self.calls, [SLOT, "past", 2 * SLOT, "past", 3 * SLOT, "past"])

    def test_addedInsideACall(self) -> None:
        """
        A call that is added by another is not made in the same turn, even if
        it is due.
        """

        def call(now: float) -> None:
            self.ticker.at(now, self.record())

        self.ticker.at(SLOT, call)
        self.slots(1)
        self.assertEqual(self.calls, [])
        self.slots(1)
        self.assertEqual(self.calls, [2 * SLOT])

    def test_afterALateClock(self) -> None:
        """
        When the clock is late by many slots, each call is made once with the
        late time, and goes on from what it returns.
        """
        self.stopAtEnd(self.ticker.stop)
        self.ticker.at(SLOT, self.record(again=SLOT))
        self.clock.advance(100 * SLOT)
        self.assertEqual(self.calls, [100 * SLOT])
        self.slots(4)
        self.assertEqual(self.calls, [number * SLOT for number in range(100, 105)])

    def test_catchesUp(self) -> None:
        """A call that keeps to its own times catches up one call a slot."""
        self.stopAtEnd(self.ticker.stop)
        dues = count(2)

        def call(now: float) -> float:
            self.calls.append(now)
            return next(dues) * 2 * SLOT

        self.ticker.at(2 * SLOT, call)
        self.clock.advance(8 * SLOT)
        self.slots(12)
        # Due at 2, 4, 6 ... slots: 2 is made at 8, 4 at 9, 6 at 10, 8 at 11; 10 at 12, 12 at 13,
        # and so on in time.
        self.assertEqual([made / SLOT for made in self.calls], [8, 9, 10, 11, 12, 13, 14, 16, 18, 20])  # type: ignore[operator]


class CancelTests(TickerTestCase):
    """Cancelled calls."""

    def test_cancel(self) -> None:
        """
        A cancelled call is not made; others in its slot are.
        """
        tick = self.ticker.at(SLOT, self.record("cancelled"))
        self.ticker.at(SLOT, self.record("kept"))
        self.ticker.cancel(tick)
        self.slots(3)
        self.assertEqual(self.calls, ["kept"])

    def test_cancelLast(self) -> None:
        """
        When the last call is cancelled the loop stops at once.
        """
        ticks = [self.ticker.at(due * SLOT, self.record()) for due in (1, 1, 5)]
        for tick in ticks[1:]:
            self.ticker.cancel(tick)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.ticker.cancel(ticks[0])
        self.assertEqual(list(self.clock.getDelayedCalls()), [])

    def test_cancelTwice(self) -> None:
        """
        Cancelling again, or after the call, does nothing, not even to newer calls of the same slot.
        """
        tick = self.ticker.at(SLOT, self.record("first"))
        self.ticker.cancel(tick)
        self.ticker.cancel(tick)
        done = self.ticker.at(SLOT, self.record("second"))
        self.ticker.cancel(tick)
        self.slots(2)
        self.ticker.cancel(done)
        self.ticker.at(3 * SLOT, self.record("third"))
        self.ticker.cancel(done)
        self.slots(2)
        self.assertEqual(self.calls, ["second", "third"])

    def test_cancelItself(self) -> None:
        """
        A call that cancels itself is not made again, whatever it returns.
        """
        ticks: list[Tick] = []

        def call(now: float) -> float:
            self.calls.append(now)
            self.ticker.cancel(ticks[0])
            return now + SLOT

        ticks.append(self.ticker.at(SLOT, call))
        self.slots(4)
        self.assertEqual(self.calls, [SLOT])

    def test_cancelOthersInsideACall(self) -> None:
        """
        A call can cancel others: one of the same slot that would come next,
        one of a later slot of the same turn, and one of the future.
        """
        ticks: list[Tick] = []

        def call(now: float) -> None:
            self.calls.append("first")
            for tick in ticks:
                self.ticker.cancel(tick)

        self.ticker.at(SLOT, call)
        ticks += [self.ticker.at(due * SLOT, self.record(due)) for due in (1, 2, 9)]
        self.ticker.at(SLOT, self.record("last"))
        self.clock.advance(3 * SLOT)
        self.assertEqual(self.calls, ["first", "last"])

    def test_cancelBeforeInTheSameTurn(self) -> None:
        """
        A call can cancel one that was made before it in the same turn and is
        due again.
        """
        tick = self.ticker.at(SLOT, self.record("repeats", again=SLOT))
        self.ticker.at(SLOT, lambda now: self.ticker.cancel(tick))
        self.slots(4)
        self.assertEqual(self.calls, ["repeats"])

    def test_cancelAllInsideACall(self) -> None:
        """
        A call that cancels all that wait and adds a new one does not make the
        loop run twice from then on.
        """
        self.stopAtEnd(self.ticker.stop)
        other = self.ticker.at(9 * SLOT, self.record("other"))

        def call(now: float) -> None:
            self.ticker.cancel(other)
            self.ticker.at(now + SLOT, self.record(again=0.0))

        self.ticker.at(SLOT, call)
        self.slots(1)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.slots(3)
        self.assertEqual(self.calls, [2 * SLOT, 3 * SLOT, 4 * SLOT])

    def test_cancelledCallIsLetGo(self) -> None:
        """A cancelled tick releases its function."""
        call = self.record()
        held = ref(call)
        tick = self.ticker.at(SLOT, call)
        del call
        self.assertIsNotNone(held())
        self.ticker.cancel(tick)
        self.assertIsNone(held())
        self.assertEqual(tick.slot, IDLE)

    def test_cancelledCallsLeaveNothingBehind(self) -> None:
        """
        A far call that is put off again and again, while another one keeps the
        loop running, takes no memory for each time.
        """
        self.ticker.at(9 * SLOT, self.record("waits"))
        call = self.record("put off")
        tracemalloc.start()
        try:
            for _ in range(50_000):
                self.ticker.cancel(self.ticker.at(5 * SLOT, call))
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.stopAtEnd(self.ticker.stop)
        self.assertLess(kept, 50_000)
        self.slots(9)
        self.assertEqual(self.calls, ["waits"])


class FailingCallTests(TickerTestCase):
    """Calls that raise."""

    def test_isLogged(self) -> None:
        """An exception of a call is logged and ends only that tick."""

        def breaks(now: float) -> float:
            self.calls.append("breaks")
            raise ZeroDivisionError("made up")

        self.ticker.at(SLOT, self.record("before", again=3 * SLOT))
        self.ticker.at(SLOT, breaks)
        self.ticker.at(SLOT, self.record("after"))
        self.stopAtEnd(self.ticker.stop)
        self.slots(4)
        self.assertEqual(self.calls, ["before", "breaks", "after", "before"])
        self.assertEqual([str(failure.value) for failure in self.flushLoggedErrors(ZeroDivisionError)], ["made up"])

    def test_F57_exit(self) -> None:
        """
        F57: `SystemExit` in a call, and in a call at the end of the turn, is logged and ends no other one.
        """

        def leave(now: float) -> None:
            raise SystemExit

        turnEnd = TurnEnd(self.clock)
        ticker = Ticker(self.clock, SLOT, turnEnd=turnEnd)
        ticker.at(SLOT, leave)
        ticker.at(SLOT, lambda now: turnEnd.atEnd(lambda: leave(now)))
        ticker.at(SLOT, lambda now: turnEnd.atEnd(lambda: self.calls.append("end")))
        ticker.at(2 * SLOT, self.record("later"))
        self.slots(2)
        self.assertEqual(self.calls, ["end", "later"])
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lastOne(self) -> None:
        """If the only call raises, the loop stops, and starts again for the next call."""

        def breaks(now: float) -> float:
            raise ZeroDivisionError

        self.ticker.at(SLOT, breaks)
        self.slots(2)
        self.assertEqual(list(self.clock.getDelayedCalls()), [])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.ticker.at(3 * SLOT, self.record("next"))
        self.slots(1)
        self.assertEqual(self.calls, ["next"])

    def test_wrongAnswer(self) -> None:
        """A call that returns `nan` affects no other call."""
        self.ticker.at(SLOT, lambda now: float("nan"))
        self.ticker.at(SLOT, self.record("same slot"))
        self.ticker.at(2 * SLOT, self.record("next slot"))
        self.slots(3)
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.assertEqual(self.calls, ["same slot", "next slot"])


class LoopTests(TickerTestCase):
    """The loop of a ticker."""

    def test_idle(self) -> None:
        """
        Without calls the loop does not run, neither at first nor when the last
        call is done.
        """
        self.assertEqual(list(self.clock.getDelayedCalls()), [])
        self.ticker.at(SLOT, self.record())
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.slots(1)
        self.assertEqual(list(self.clock.getDelayedCalls()), [])

    def test_startsAgain(self) -> None:
        """
        After each rest the loop runs once, not once more than before.
        """
        for rest in range(1, 6):
            start = self.clock.seconds()
            tick = self.ticker.at(start + SLOT, self.record(again=0.0))
            self.slots(4)
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
            self.assertEqual(len(self.calls), 4 * rest)
            self.ticker.cancel(tick)
            self.slots(rest)
        self.assertEqual(list(self.clock.getDelayedCalls()), [])

    def test_startsAgainInItsLastCall(self) -> None:
        """
        When the only call adds another while it ends itself, the loop goes on
        once.
        """
        self.stopAtEnd(self.ticker.stop)

        def call(now: float) -> None:
            self.ticker.at(now + SLOT, self.record(again=0.0))

        self.ticker.at(SLOT, call)
        self.slots(4)
        self.assertEqual(self.calls, [2 * SLOT, 3 * SLOT, 4 * SLOT])
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_stop(self) -> None:
        """
        A stopped ticker forgets all calls and can be used again; its old ticks can still be
        cancelled.
        """
        ticks = [self.ticker.at(due * SLOT, self.record("forgotten")) for due in (1, 1, 3)]
        self.ticker.stop()
        self.assertEqual(list(self.clock.getDelayedCalls()), [])
        self.ticker.stop()
        self.ticker.at(SLOT, self.record("new"))
        for tick in ticks:
            self.ticker.cancel(tick)
        self.slots(4)
        self.assertEqual(self.calls, ["new"])

    def test_lastTickAtTheEndOfATurn(self) -> None:
        """A failed send at the end of a turn may cancel the last tick and bring a new one: the loop goes on once."""
        turnEnd = TurnEnd(self.clock)
        ticker = Ticker(self.clock, SLOT, turnEnd=turnEnd)
        waiting = ticker.at(9 * SLOT, self.record())

        def fail() -> None:
            ticker.cancel(waiting)
            ticker.at(self.clock.seconds() + 2 * SLOT, self.record("new"))

        ticker.at(SLOT, lambda now: turnEnd.atEnd(fail))
        self.slots(2)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.slots(4)
        self.assertEqual((self.calls, self.clock.getDelayedCalls()), (["new"], []))

    def test_stopInsideACall(self) -> None:
        """
        A call that stops the ticker is the last one that is made: not even
        those of its own slot follow, nor itself again.
        """

        def stops(now: float) -> float:
            self.calls.append("stops")
            self.ticker.stop()
            return now + SLOT

        self.ticker.at(SLOT, stops)
        self.ticker.at(SLOT, self.record("same slot"))
        self.ticker.at(SLOT, self.record("same slot, again", again=SLOT))
        self.ticker.at(2 * SLOT, self.record("next slot"))
        self.stopAtEnd(self.ticker.stop)
        self.clock.advance(2 * SLOT)
        self.slots(4)
        self.assertEqual(self.calls, ["stops"])
        self.assertEqual(list(self.clock.getDelayedCalls()), [])


class TimeTests(TickerTestCase):
    """The clock of a ticker."""

    def test_besideAClock(self) -> None:
        """With a `task.Clock` the ticker has the clock's time."""
        self.clock.advance(12.0)
        self.assertEqual(self.ticker.seconds(), 12.0)

    def test_besideAReactor(self) -> None:
        """With a reactor, whose time is the wall clock, it has the monotonic time."""
        self.assertIs(Ticker(MemoryReactorClock(), SLOT).seconds, monotonic)

    def test_givenTime(self) -> None:
        """A time that is given as a parameter is used, whatever the reactor's clock shows."""
        now = 1000.0
        ticker = Ticker(self.clock, SLOT, lambda: now)
        ticker.at(1000.0 + 2 * SLOT, self.record())
        self.slots(8)
        self.assertEqual(self.calls, [])
        now += 2 * SLOT
        self.slots(1)
        self.assertEqual(self.calls, [now])
