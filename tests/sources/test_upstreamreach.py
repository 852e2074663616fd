"""Tests for `sseserver.sources.upstreamreach`."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from sseserver.client import ConnectionFailed
from sseserver.errors import SourceError
from sseserver.sources.upstreamreach import CHECK_SECONDS, Reachability
from sseserver.values import Reason


class ReachabilityTests(SynchronousTestCase):
    """Whether an upstream is reached."""

    def setUp(self) -> None:
        """Make one."""
        self.clock = Clock()
        self.reach = Reachability(self.clock)

    def test_outcomes(self) -> None:
        """A failed connection is a problem until an answer comes, even a refusal; a cancelled request tells nothing."""
        timeout = SourceError("It is slow.", Reason.TIMEOUT, 504)
        refusal = SourceError("No.", Reason.REFUSED, 400)
        for error, expected in (
            (ConnectionFailed("No."), True),
            (CancelledError(), True),
            (refusal, False),
            (CancelledError(), False),
            (timeout, True),
        ):
            failure = Failure(error)
            self.assertIs(self.reach.noteFailure(failure), failure)
            self.assertEqual(self.reach.problem is not None, expected, error)
        self.assertEqual(self.reach.noteReached(5), 5)
        self.assertIsNone(self.reach.problem)

    def test_checks(self) -> None:
        """An upstream with a problem is to be checked now and then, and not soon after it was silent."""
        self.clock.advance(CHECK_SECONDS)
        self.assertFalse(self.reach.takeCheck())
        self.reach.noteFailure(Failure(ConnectionFailed("No.")))
        self.assertEqual([self.reach.takeCheck(), self.reach.takeCheck()], [True, False])
        self.clock.advance(CHECK_SECONDS)
        self.reach.noteSilence()
        self.assertFalse(self.reach.takeCheck())
        self.clock.advance(CHECK_SECONDS)
        self.assertTrue(self.reach.takeCheck())
