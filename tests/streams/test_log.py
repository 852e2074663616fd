"""
Tests for `sseserver.streams.log` and `sseserver.streams.keeper`: entries, the window and places.

Epochs are in `test_renewal`.
"""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sseserver.errors import GapError, StoreUnavailable, StreamEnded
from sseserver.interfaces import IStreamLog
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.ids import parseID
from sseserver.streams.keeper import Keeper
from sseserver.streams.log import StreamLog
from sseserver.timing.ticker import Ticker
from sseserver.values import Kind, State
from tests.fakes import FakeViewer, TurnClock
from tests.streams.logs import EPOCH, EVENTS, OTHER_EPOCH, SLOT, LogTestCase, makeLog, shortLog
from tests.streams.test_ids import MALFORMED


class AppendTests(LogTestCase):
    """Entries, their numbers, and the life of a stream."""

    def test_interface(self) -> None:
        """
        A stream log keeps the contract of `IStreamLog`.
        """
        verifyObject(IStreamLog, self.log)

    def test_new(self) -> None:
        """
        A new log is open and empty, and has the time at which it was made.
        """
        self.clock.advance(77.0)
        log = makeLog(self.clock)
        self.assertEqual((log.name, log.epoch, log.state), ("name", EPOCH, State.OPEN))
        self.assertEqual((log.buffer.first, log.last, log.buffer.size, log.viewers), (1, 0, 0, 0))
        self.assertEqual((log.buffer.entries, bytes(log.buffer.kinds)), ([], b""))
        self.assertEqual((log.created, log.ended, log.onChange), (77.0, None, None))

    def test_numbers(self) -> None:
        """
        Entries are numbered 1, 2, 3 ... and are in the log at once.
        """
        for number in range(1, 6):
            self.assertEqual(self.token(b"%d" % number), number)
            self.assertEqual(self.log.last, number)
            self.assertEqual(self.log.buffer.entries[number - self.log.buffer.first], b"%d" % number)
        self.assertEqual(bytes(self.log.buffer.kinds), bytes([Kind.TOKEN] * 5))

    def test_terminal(self) -> None:
        """
        A terminal entry is numbered and kept like any other; it leads to its
        state, and the time is noted.
        """
        for kind, state in [(Kind.DONE, State.DONE), (Kind.FAILED, State.FAILED), (Kind.CANCELLED, State.CANCELLED)]:
            log = makeLog(self.clock)
            log.append(Kind.TOKEN, b"x")
            self.clock.advance(3.0)
            self.assertEqual(log.append(kind, b'{"reason":"r"}'), 2)
            self.assertEqual((log.state, log.ended), (state, self.clock.seconds()))
            self.assertEqual(
                (log.buffer.entries, bytes(log.buffer.kinds)), ([b"x", b'{"reason":"r"}'], bytes([Kind.TOKEN, kind]))
            )

    def test_answered(self) -> None:
        """Tokens before the last restart are no part of the answer."""
        log = makeLog(self.clock)
        for answered in (1, 2):
            log.append(Kind.TOKEN, b"x")
            self.assertEqual((log.buffer.tokens, log.answered), (answered, answered))
        for restarts in (1, 2):
            log.append(Kind.RESTART, b"{}")
            self.assertEqual(log.answered, 0)
            log.append(Kind.TOKEN, b"x")
            log.append(Kind.CHUNK, b"{}\nx")
            log.append(Kind.SILENT_CHUNK, b"{}")
            self.assertEqual((log.buffer.tokens, log.answered), (2 + 2 * restarts, 2))

    def test_tokenLeavesOpen(self) -> None:
        """
        A token leaves the stream open.
        """
        self.token()
        self.assertEqual((self.log.state, self.log.ended), (State.OPEN, None))

    def test_nothingAfterTheTerminal(self) -> None:
        """
        After the terminal entry every append is refused, a second terminal
        too, changes nothing, and wakes nobody.
        """
        for terminal in (Kind.DONE, Kind.FAILED, Kind.CANCELLED):
            log = makeLog(self.clock)
            log.append(terminal, b"{}")
            self.clock.advance(1.0)
            viewer = FakeViewer()
            log.follow(viewer, EVENTS)
            ended = log.ended
            for kind in Kind:
                self.assertRaises(StreamEnded, log.append, kind, b"late")
            self.assertEqual((log.last, log.buffer.entries, log.buffer.size), (1, [b"{}"], 2 + ENTRY_COST))
            self.assertEqual((bytes(log.buffer.kinds), log.ended), (bytes([terminal]), ended))
            self.assertIs(log.state, {8: State.DONE, 9: State.FAILED, 10: State.CANCELLED}[terminal])
            self.quiet()
            self.assertEqual(viewer.wakes, 0)


class WindowTests(SynchronousTestCase):
    """The bounds of a log."""

    def check(self, log: StreamLog, everything: list[bytes]) -> None:
        """The log holds the newest of all entries, numbers and accounts are right."""
        self.assertEqual(log.last, len(everything))
        self.assertEqual(log.buffer.entries, everything[log.buffer.first - 1 :])
        self.assertEqual(len(log.buffer.kinds), len(log.buffer.entries))
        self.assertEqual(log.buffer.size, sum(map(len, log.buffer.entries)) + ENTRY_COST * len(log.buffer.entries))

    def test_withinTheWindow(self) -> None:
        """
        Nothing is trimmed as long as the entries with their costs just fill
        the window; the next byte trims.
        """
        log = makeLog(TurnClock(), 3 * (ENTRY_COST + 10))
        for _ in range(3):
            log.append(Kind.TOKEN, b"0123456789")
        self.assertEqual((log.buffer.first, log.buffer.size), (1, 3 * (ENTRY_COST + 10)))
        log.append(Kind.TOKEN, b"")
        self.assertGreater(log.buffer.first, 1)

    def test_trimmedTokensCount(self) -> None:
        """
        The count of tokens is of all that there ever were.
        """
        log = shortLog(TurnClock(), keep=3, total=50)
        self.assertLessEqual(len(log.buffer.entries), 3)
        self.assertEqual(log.buffer.tokens, 50)

    def test_newestStays(self) -> None:
        """
        An entry larger than the whole window is kept as long as it is the
        newest, and trimmed with the next one.
        """
        log = makeLog(TurnClock(), 100)
        log.append(Kind.TOKEN, b"small")
        log.append(Kind.TOKEN, b"x" * 1000)
        self.assertEqual((log.buffer.first, log.last, log.buffer.entries), (2, 2, [b"x" * 1000]))
        self.assertEqual(log.buffer.size, 1000 + ENTRY_COST)
        log.append(Kind.DONE, b"{}")
        self.assertEqual((log.buffer.first, log.last, log.buffer.entries), (3, 3, [b"{}"]))
        self.assertEqual(bytes(log.buffer.kinds), bytes([Kind.DONE]))

    def test_noWindowAtAll(self) -> None:
        """
        Even a window of no bytes keeps the newest entry.
        """
        log = makeLog(TurnClock(), 0)
        for number in range(1, 4):
            log.append(Kind.TOKEN, b"x")
            self.assertEqual((log.buffer.first, log.last, log.buffer.entries), (number, number, [b"x"]))

    @given(st.integers(0, 2000), st.lists(st.integers(0, 700), max_size=60))
    # Sixteen entries fill this window; the next one makes room of just a sixteenth, to the byte.
    @example(16 * 64, [64 - ENTRY_COST] * 17)
    def test_accounts(self, window: int, sizes: list[int]) -> None:
        """
        The log keeps the newest entries, as many as fit. When it trims, it makes room for a sixteenth of the window,
        and drops no entry more than that takes.
        """
        log = makeLog(TurnClock(), window)
        everything: list[bytes] = []
        room = window - window // 16
        for number, size in enumerate(sizes):
            everything.append(bytes([number]) * size)
            kind = Kind.DONE if number + 1 == len(sizes) else Kind.TOKEN
            first, before = log.buffer.first, log.buffer.size + size + ENTRY_COST
            log.append(kind, everything[-1])
            self.check(log, everything)
            self.assertEqual(log.buffer.first > first, before > window and len(everything) > first)
            if log.buffer.first > first:
                self.assertTrue(log.buffer.size <= room or len(log.buffer.entries) == 1)
                self.assertGreater(log.buffer.size + len(everything[log.buffer.first - 2]) + ENTRY_COST, room)
        if sizes:
            self.assertEqual(log.buffer.kinds, bytes([Kind.TOKEN] * (len(log.buffer.entries) - 1) + [Kind.DONE]))


class LocateTests(LogTestCase):
    """The cursor of a viewer that returns."""

    def assertGap(self, log: StreamLog, lastEventID: str, reason: str, cursor: int, missed: int | None) -> None:
        """This ID gives this gap."""
        gap = self.assertRaises(GapError, log.locate, lastEventID)
        self.assertEqual((gap.reason, gap.cursor, gap.missed), (reason, cursor, missed), repr(lastEventID[:60]))

    def test_own(self) -> None:
        """
        Each ID of the log, from the 0 of the head to the last, is its own
        place.
        """
        for _ in range(12):
            self.token()
        for number in range(13):
            self.assertEqual(self.log.locate(f"{EPOCH}-{number}"), number)

    def test_ownAfterTheEnd(self) -> None:
        """
        The ID of the terminal entry is a place like any other.
        """
        self.token()
        self.log.append(Kind.DONE, b"{}")
        self.assertEqual(self.log.locate(f"{EPOCH}-2"), 2)

    def test_future(self) -> None:
        """
        A number above the last one was given by a log that is lost.
        """
        for number in (1, 2, 10**18, 10**19 - 1):
            self.assertGap(self.log, f"{EPOCH}-{number}", "lost", 0, None)
        self.token()
        self.assertEqual(self.log.locate(f"{EPOCH}-1"), 1)
        self.assertGap(self.log, f"{EPOCH}-2", "lost", 0, None)

    def test_foreignEpoch(self) -> None:
        """
        An ID of another epoch belongs to a log that is lost, whatever its
        number; epochs are told apart by case.
        """
        self.token()
        for number in (0, 1, 2, 999):
            self.assertGap(self.log, f"{OTHER_EPOCH}-{number}", "lost", 0, None)
        self.assertGap(self.log, f"{EPOCH.swapcase()}-1", "lost", 0, None)

    def test_trimmed(self) -> None:
        """
        An ID before the first entry kept misses the entries between; the ID just before it misses none.
        """
        log = shortLog(self.clock, keep=32, total=100)
        start = log.buffer.first - 1
        self.assertGreater(start, 2)
        for number in range(start):
            self.assertGap(log, f"{EPOCH}-{number}", "trimmed", start, start - number)
        for number in range(start, 101):
            self.assertEqual(log.locate(f"{EPOCH}-{number}"), number)
        self.assertGap(log, f"{EPOCH}-101", "lost", start, None)
        self.assertGap(log, f"{OTHER_EPOCH}-1", "lost", start, None)
        self.assertGap(log, "nonsense", "unknown", start, None)

    def test_malformed(self) -> None:
        """
        An ID that the server never sent is unknown: it is not repaired, and only a gap is raised, however long the ID
        is.
        """
        self.token()
        for lastEventID in MALFORMED:
            self.assertGap(self.log, lastEventID, "unknown", 0, None)
            self.assertIsNone(parseID(lastEventID), repr(lastEventID[:60]))


class AheadTests(LogTestCase):
    """How far a log is ahead of its fastest viewer."""

    def test_empty(self) -> None:
        """
        An empty log is not ahead.
        """
        self.assertEqual(self.log.measureAhead(), 0)

    def test_neverAViewer(self) -> None:
        """
        Before the first viewer everything counts, costs included.
        """
        self.token(b"12345")
        self.token(b"123")
        self.assertEqual(self.log.measureAhead(), 8 + 2 * ENTRY_COST)

    def test_fastest(self) -> None:
        """
        Only what the fastest viewer has not read counts.
        """
        slow, fast = self.follow(), self.follow()
        for size in (1, 10, 100):
            self.token(b"x" * size)
        self.assertEqual(self.log.measureAhead(), 111 + 3 * ENTRY_COST)
        slow.cursor = 1
        self.assertEqual(self.log.measureAhead(), 110 + 2 * ENTRY_COST)
        fast.cursor = 2
        self.assertEqual(self.log.measureAhead(), 100 + ENTRY_COST)
        fast.cursor = 3
        self.assertEqual(self.log.measureAhead(), 0)

    def test_lastViewersPlace(self) -> None:
        """
        Without viewers the place of the last one counts, not that of one who
        was faster but left before.
        """
        slow, fast = self.follow(cursor=1), self.follow(cursor=3)
        for size in (1, 10, 100):
            self.token(b"x" * size)
        self.log.leave(fast)
        self.assertEqual(self.log.measureAhead(), 110 + 2 * ENTRY_COST)
        self.log.leave(slow)
        self.assertEqual(self.log.measureAhead(), 110 + 2 * ENTRY_COST)
        slow.cursor = 3
        self.log.leave(slow)
        self.assertEqual(self.log.measureAhead(), 110 + 2 * ENTRY_COST)
        self.log.leave(self.follow(cursor=2))
        self.assertEqual(self.log.measureAhead(), 100 + ENTRY_COST)
        self.log.leave(self.follow(cursor=0))
        self.assertEqual(self.log.measureAhead(), 111 + 3 * ENTRY_COST)

    def test_trimmed(self) -> None:
        """
        Entries that were trimmed before they were read do not count.
        """
        log = shortLog(self.clock, keep=10, total=25)
        self.assertEqual(log.measureAhead(), log.buffer.size)
        viewer = FakeViewer(cursor=log.buffer.first - 2)
        log.follow(viewer, EVENTS)
        self.assertEqual(log.measureAhead(), log.buffer.size)
        viewer.cursor = log.buffer.first
        self.assertEqual(log.measureAhead(), log.buffer.size - 1 - ENTRY_COST)


class RecordingKeeper(Keeper):
    """Keeper that records its calls and stores nothing."""

    def __init__(self) -> None:
        super().__init__(durable=True)
        self.writes = self.trims = 0

    def write(self, streamLog: StreamLog) -> None:
        """See `Keeper.write`."""
        self.writes += 1

    def trim(self, streamLog: StreamLog) -> None:
        """See `Keeper.trim`."""
        self.trims += 1


class KeeperTests(LogTestCase):
    """The contract between a log and its keeper."""

    def setUp(self) -> None:
        """Make a log with a keeper."""
        super().setUp()
        self.keeper = RecordingKeeper()
        self.log = StreamLog("name", EPOCH, Ticker(self.clock, SLOT), 10 * (ENTRY_COST + 1), self.keeper)

    def test_commit(self) -> None:
        """
        Each entry is told to the keeper, and is visible when it is committed; viewers are woken then.
        """
        viewer = self.follow()
        for _ in range(3):
            self.token()
        settled = self.log.awaitStored()
        self.assertEqual((self.keeper.writes, self.log.last, self.log.buffer.appended), (3, 0, 3))
        self.log.commit(2)
        self.assertNoResult(settled)
        self.assertEqual((self.log.last, viewer.wakes), (2, 1))
        self.log.commit(3)
        self.successResultOf(settled)

    def test_end(self) -> None:
        """
        The state changes with the commit of the terminal entry.
        """
        self.token()
        self.log.append(Kind.DONE, b"{}")
        self.log.commit(1)
        self.assertEqual((self.log.state, self.log.sealed, self.log.ended), (State.OPEN, True, None))
        self.log.commit(2)
        self.assertEqual((self.log.state, self.log.ended), (State.DONE, 0.0))

    def test_refuse(self) -> None:
        """
        Refused entries are gone with their keys and bytes, also a terminal one; the next entry gets their number.
        """
        self.token()
        self.log.commit(1)
        self.token()
        self.log.remember("key", b"digest", 2)
        self.log.append(Kind.DONE, b"{}")
        settled = self.log.awaitStored()
        self.log.refuse(StoreUnavailable("The disk is full."))
        self.failureResultOf(settled, StoreUnavailable)
        self.assertEqual((self.log.buffer.entries, self.log.keys.get("key"), self.log.sealed), ([b"x"], None, False))
        self.assertEqual(self.keeper.used, ENTRY_COST + 1)
        self.assertEqual(self.token(), 2)

    def test_trim(self) -> None:
        """
        The keeper is told of trimmed entries, which are visible ones only.
        """
        for _ in range(30):
            self.token()
        self.assertEqual((self.keeper.trims, self.log.buffer.first), (0, 1))
        self.log.commit(20)
        self.assertEqual((self.keeper.trims, self.log.buffer.first), (1, 20))
        self.assertEqual(self.keeper.used, self.log.buffer.size)
