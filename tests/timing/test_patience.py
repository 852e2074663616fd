"""Tests for `sseserver.timing.patience`: limits that do not count a pause of the process."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed

from sseserver.timing.patience import PatientCall, addPatientTimeout
from tests.fakes import ClockTestCase


class PatientCallTests(ClockTestCase):
    """F127: `PatientCall`."""

    def setUp(self) -> None:
        """Begin a limit of ten seconds."""
        super().setUp()
        self.calls: list[float] = []
        self.call = PatientCall(self.clock, 10, lambda: self.calls.append(self.clock.seconds()))

    def test_limit(self) -> None:
        """The call is made at the limit; a reset begins it anew."""
        self.clock.advance(9)
        self.call.reset(5)
        self.clock.pump([4.9, 0.1])
        self.assertEqual(self.calls, [14.0])

    def test_cancel(self) -> None:
        """A cancelled call is not made."""
        self.call.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_F127_readsFirst(self) -> None:
        """F127: what is read in the turn in which the limit is over still resets it."""
        # Due together; the reactor reads between the two turns.
        self.clock.callLater(10, lambda: self.clock.callLater(0, lambda: self.call.reset(10)))
        self.call.cancel()
        self.call = PatientCall(self.clock, 10, lambda: self.calls.append(self.clock.seconds()))
        self.clock.advance(10)
        self.assertEqual(self.calls, [])
        self.clock.advance(10)
        self.assertEqual(self.calls, [20.0])

    def test_F127_paused(self) -> None:
        """F127: the time by which the process was late extends the limit, up to once the limit, and each time."""
        self.clock.advance(14)
        self.clock.advance(3.9)
        self.assertEqual(self.calls, [])
        # Paused again.
        self.clock.advance(50)
        self.clock.advance(9.9)
        self.assertEqual(self.calls, [])
        self.clock.advance(0.1)
        self.assertEqual(len(self.calls), 1)


class TimeoutTests(ClockTestCase):
    """`addPatientTimeout`."""

    def test_result(self) -> None:
        """A result in time passes, and leaves nothing on the clock."""
        deferred: Deferred[int] = addPatientTimeout(succeed(7), self.clock, 10, lambda seconds: -1)
        self.assertEqual(self.successResultOf(deferred), 7)
        waiting: Deferred[int] = Deferred()
        addPatientTimeout(waiting, self.clock, 10, lambda seconds: -1).addErrback(lambda failure: failure.type)
        waiting.errback(ZeroDivisionError())
        self.assertIs(self.successResultOf(waiting), ZeroDivisionError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_timeout(self) -> None:
        """After the limit the Deferred is cancelled, and has the result of the callback."""
        cancelled: list[object] = []
        deferred: Deferred[float] = Deferred(cancelled.append)
        addPatientTimeout(deferred, self.clock, 10, lambda seconds: seconds)
        self.clock.advance(10)
        self.assertEqual((cancelled, self.successResultOf(deferred)), ([deferred], 10))
