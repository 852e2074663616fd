"""
Tests of `sseserver.timing.ticker` against a model, with random calls.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from sseserver.timing.ticker import Ticker
from tests.fakes import ClockTestCase, TurnClock
from tests.timing.cases import HAIR, SLOT


class Promise:
    """
    A call on a ticker, as the model has it.

    Attributes:
        due: When it is due, or was put there if that is later; `None` when
            it must not be made any more.
        made: How often it was made.
    """

    def __init__(self, test: ModelTests, ticker: Ticker, clock: TurnClock, delays: Sequence[int]) -> None:
        self._test = test
        self._clock = clock
        self._delays = iter(delays)
        self.made = 0
        self.due: float | None = None
        self.tick = ticker.at(self._next(clock.seconds()) or 0.0, self.call)

    def _next(self, now: float) -> float | None:
        delay = next(self._delays, None)
        due = None if delay is None else now + delay * SLOT / 8
        self.due = None if due is None else max(due, now)
        return due

    def call(self, now: float) -> float | None:
        """Note a call, which must come at the right time."""
        self._test.assertEqual(now, self._clock.seconds())
        self._test.assertIsNotNone(self.due, "Made after it was done or cancelled.")
        self._test.assertGreaterEqual(now, (self.due or 0.0) - HAIR, "Early.")
        self.made += 1
        return self._next(now)

    def cancel(self, ticker: Ticker) -> None:
        """Expect no more calls."""
        ticker.cancel(self.tick)
        self.due = None

    def check(self) -> None:
        """Check that the call is not overdue."""
        if self.due is not None:
            self._test.assertLessEqual(self._clock.seconds() - self.due, SLOT + HAIR, "Late by more than one slot.")


# Delays are in eighths of a slot, those below 0 in the past. The first is for `at`, the others for
# being due again.
steps = st.one_of(
    st.tuples(st.just("at"), st.lists(st.integers(-8, 40), min_size=1, max_size=4)),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("pass"), st.integers(1, 40)),
)


class ModelTests(ClockTestCase):
    """The ticker against a simple model of what it promises."""

    @given(st.lists(steps, max_size=30), st.sampled_from([0.0, 7 * SLOT, 1e6]))
    def test_promises(self, script: list[tuple[str, object]], start: float) -> None:
        """
        Random calls are never early, never later than a slot, never made after they are done or
        cancelled; in the end all were made and the loop rests.
        """
        clock = TurnClock()
        clock.advance(start)
        ticker = Ticker(clock, SLOT)
        promises: list[Promise] = []
        for step, value in [*script, ("pass", 300)]:
            if step == "at":
                promises.append(Promise(self, ticker, clock, value))  # type: ignore[arg-type]
            elif step == "cancel" and promises:
                promises[value % len(promises)].cancel(ticker)  # type: ignore[operator]
            elif step == "pass":
                for _ in range(value):  # type: ignore[call-overload]
                    clock.advance(SLOT / 8)
                    for promise in promises:
                        promise.check()
            waiting = any(promise.due is not None for promise in promises)
            self.assertEqual(len(clock.getDelayedCalls()), int(waiting))
        self.assertEqual([promise.due for promise in promises], [None] * len(promises))
