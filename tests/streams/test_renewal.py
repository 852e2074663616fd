"""
Tests for the epochs of `sseserver.streams.log`: a log gets another one in place, or is lost and dismisses its viewers.
"""

from __future__ import annotations

from sseserver.errors import GapError
from sseserver.streams.ids import findFirstEpoch, makeEpoch
from sseserver.values import Kind, State
from tests.fakes import FakeViewer
from tests.streams.logs import EPOCH, EVENTS, OTHER_EPOCH, LogTestCase, shortLog


class RenewalTests(LogTestCase):
    """`renew`: a new epoch, with the same entries so far."""

    def assertLost(self, lastEventID: str) -> None:
        """Check that a viewer with this ID gets the gap `lost`."""
        gap = self.assertRaises(GapError, self.log.locate, lastEventID)
        self.assertEqual((gap.reason, gap.cursor), ("lost", self.log.buffer.first - 1))

    def test_earlier(self) -> None:
        """An ID of an earlier epoch is continued up to the last entry that both have; one after it is lost."""
        third = makeEpoch()
        for epoch in (OTHER_EPOCH, third):
            self.token()
            self.token()
            self.log.renew(epoch)
        self.token()
        self.assertEqual((self.log.epoch, self.log.earlier), (third, {EPOCH: 2, OTHER_EPOCH: 4}))
        located = [self.log.locate(f"{epoch}-{n}") for epoch, n in ((EPOCH, 0), (EPOCH, 2), (OTHER_EPOCH, 4))]
        self.assertEqual([*located, self.log.locate(f"{third}-5")], [0, 2, 4, 5])
        for lost in (f"{EPOCH}-3", f"{OTHER_EPOCH}-5", f"{third}-6", f"{makeEpoch()}-0"):
            self.assertLost(lost)
        self.assertEqual(findFirstEpoch(self.log), EPOCH)

    def test_trimmed(self) -> None:
        """An ID of an earlier epoch whose following entries were trimmed gets that gap."""
        self.log = shortLog(self.clock, 3, 10)
        self.log.renew(OTHER_EPOCH)
        first = self.log.buffer.first
        gap = self.assertRaises(GapError, self.log.locate, f"{EPOCH}-1")
        self.assertEqual((gap.reason, gap.missed), ("trimmed", first - 2))

    def test_others(self) -> None:
        """Other logs have no earlier epochs, then and later."""
        self.log.renew(OTHER_EPOCH)
        self.assertEqual(shortLog(self.clock, 1, 1).earlier, {})

    def test_viewers(self) -> None:
        """Viewers go on without a break, and read new IDs, the shared and the remembered ones, too."""
        self.token(b"a")
        viewers = [FakeViewer(), FakeViewer()]
        _, rendering = [self.log.follow(viewer, EVENTS) for viewer in viewers]
        for joined in (False, True):
            self.assertIn(EPOCH.encode(), rendering.read(0, 1000, joined).data)
        self.log.renew(OTHER_EPOCH)
        self.assertIn(OTHER_EPOCH.encode(), rendering.read(0, 1000, False).data)
        self.token(b"b")
        self.quiet()
        for cursor in (0, 1):
            data = rendering.read(cursor, 1000, True).data
            self.assertIn(OTHER_EPOCH.encode(), data)
            self.assertNotIn(EPOCH.encode(), data)
        self.assertEqual([viewer.dismissed for viewer in viewers], [False, False])


class LossTests(LogTestCase):
    """`dismiss` and `release`: the log leaves memory."""

    def test_dismissed(self) -> None:
        """All viewers are told to return, those that leave meanwhile among them."""
        viewers = [self.follow() for _ in range(3)]
        self.log.dismiss()
        self.assertEqual([viewer.dismissed for viewer in viewers], [True] * 3)

    def test_released(self) -> None:
        """A log that is released stays as it is, and its account is no longer charged."""
        self.token(b"abc")
        account, used = self.log.account, self.log.account.used
        self.assertEqual(self.log.release(), self.log.size)
        self.log.append(Kind.TOKEN, b"d")
        self.assertEqual((account.used, self.log.state, self.log.last), (used, State.OPEN, 2))
