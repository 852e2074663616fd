"""
Tests for L{sseserver.streams.log}.
"""

from __future__ import annotations

import gc
import os
import string
import weakref
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from sseserver.errors import GapError, StreamEnded
from sseserver.formats import EventsFormat, TextFormat
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.streams import ids
from sseserver.streams import log as streamlog
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.ids import makeEpoch, parseID
from sseserver.streams.log import FLUSH_TICK, WAKES_PER_TURN, StreamLog
from sseserver.timing.ticker import Ticker
from sseserver.values import Kind, State
from tests.fakes import ClockTestCase, FakeViewer, TurnClock

EPOCH = "0123456789abcdefghijAZ"
OTHER_EPOCH = "0123456789abcdefghijAz"
EVENTS = EventsFormat()

#: Width of the ticker's slots, as in L{MemoryStore}.
SLOT = FLUSH_TICK / 4

#: What a comparison of times forgives.
HAIR = 1e-9


def makeLog(clock: TurnClock, window: int = 1_000_000) -> StreamLog:
    """Make an empty log on a ticker of its own."""
    return StreamLog("name", EPOCH, Ticker(clock, SLOT), window)


def shortLog(clock: TurnClock, keep: int, total: int) -> StreamLog:
    """Make a log that has had so many tokens of one byte and keeps only the newest."""
    streamLog = makeLog(clock, keep * (ENTRY_COST + 1))
    for number in range(total):
        streamLog.append(Kind.TOKEN, b"%d" % (number % 10))
    return streamLog


class LogTestCase(ClockTestCase):
    """Gives each test a log; what it announces is waited for in the end."""

    def setUp(self) -> None:
        """Make a log."""
        super().setUp()
        self.log = makeLog(self.clock)
        self.stopAtEnd(lambda: self.clock.advance(1.0))

    def follow(self, cursor: int = 0) -> FakeViewer:
        """Add a viewer that does nothing but count."""
        viewer = FakeViewer(cursor=cursor)
        self.log.follow(viewer, EVENTS)
        return viewer

    def token(self, data: bytes = b"x") -> int:
        """Append a token."""
        return self.log.append(Kind.TOKEN, data)

    def quiet(self) -> None:
        """Let a flush tick pass, and some more."""
        self.clock.advance(2 * FLUSH_TICK)


class AppendTests(LogTestCase):
    """Entries, their numbers, and the life of a stream."""

    def test_interface(self) -> None:
        """
        A stream log keeps the contract of L{IStreamLog}.
        """
        verifyObject(IStreamLog, self.log)

    def test_new(self) -> None:
        """
        A new log is open and empty, and knows when it was made.
        """
        self.clock.advance(77.0)
        log = makeLog(self.clock)
        self.assertEqual((log.name, log.epoch, log.state), ("name", EPOCH, State.OPEN))
        self.assertEqual((log.buffer.first, log.last, log.buffer.size, log.viewers), (1, 0, 0, 0))
        self.assertEqual((log.buffer.entries, bytes(log.buffer.kinds)), ([], b""))
        self.assertEqual((log.created, log.ended, log.onRead), (77.0, None, None))

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

    def test_epochs(self) -> None:
        """
        Epochs are 22 letters and digits, never the same, and IDs made with
        them are ours.
        """
        epochs = {makeEpoch() for _ in range(2000)}
        self.assertEqual(len(epochs), 2000)
        self.assertEqual({len(epoch) for epoch in epochs}, {22})
        self.assertEqual(set("".join(epochs)), set(string.ascii_letters + string.digits))
        for epoch in epochs:
            self.assertEqual(parseID(f"{epoch}-7"), (epoch, 7))

    def test_epochIsTheWholeNumber(self) -> None:
        """
        All 128 random bits are in the epoch: it tells the smallest, the
        largest and any number apart.
        """
        made = []
        for number in (0, 1, 62, 2**127, 2**128 - 2, 2**128 - 1):
            self.patch(ids.secrets, "randbits", {128: number}.__getitem__)
            ids._ready.clear()
            epoch = makeEpoch()
            made.append(epoch)
            alphabet = string.ascii_letters + string.digits
            self.assertEqual(sum(alphabet.index(digit) * 62**place for place, digit in enumerate(epoch)), number)
        self.assertEqual(len(set(made)), len(made))
        ids._ready.clear()

    def test_epochsOfTwoProcesses(self) -> None:
        """
        A process that is forked gives no epoch that its parent gives too.
        """
        makeEpoch()
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.write(writing, makeEpoch().encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        theirs = os.read(reading, 100).decode()
        os.close(reading)
        os.close(writing)
        self.assertEqual(parseID(f"{theirs}-0"), (theirs, 0))
        self.assertNotIn(theirs, {makeEpoch() for _ in range(100)})


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
        Whatever comes: the log keeps the newest entries, as many as fit. When
        it trims it makes room for a sixteenth of the window, and no entry more
        goes than that takes.
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


# Last event IDs that no server of ours ever sent.
MALFORMED = [
    "",
    "-",
    "5",
    EPOCH,
    f"{EPOCH}-",
    f"{EPOCH}-+1",
    f"{EPOCH}--1",
    f"{EPOCH}- 1",
    f"{EPOCH}-1 ",
    f" {EPOCH}-1",
    f"{EPOCH}-1\n",
    f"{EPOCH}-1\r\n",
    f"\n{EPOCH}-1",
    f"{EPOCH}-1\0",
    f"{EPOCH}-01",
    f"{EPOCH}-00",
    f"{EPOCH}-0x1",
    f"{EPOCH}-1_0",
    f"{EPOCH}-1.0",
    f"{EPOCH}-1e0",
    f"{EPOCH}-1-1",
    f"{EPOCH}-\u0661",  # ARABIC-INDIC DIGIT ONE
    f"{EPOCH}-\uff11",  # FULLWIDTH DIGIT ONE
    f"{EPOCH}-\u00b9",  # SUPERSCRIPT ONE
    f"{EPOCH}-1\u0660",
    f"{EPOCH[:-1]}-1",
    f"{EPOCH}0-1",
    f"{EPOCH[:-1]}\u00e9-1",
    f"{EPOCH[:-1]}_-1",
    f"{EPOCH[:-1]}--1",
    f"{EPOCH}-{10**19}",
    f"{EPOCH}-{'9' * 5000}",
    f"{EPOCH}-{'0' * 5000}1",
    "null",
    "undefined",
    "\ufeff",
]


class LocateTests(LogTestCase):
    """Where a viewer that comes back goes on."""

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
        Below the first entry kept, as many are missed as lie between; the
        place just before it is none too early.
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
        What we never sent is unknown: nothing is repaired, and nothing but a
        gap is raised, however long it is.
        """
        self.token()
        for lastEventID in MALFORMED:
            self.assertGap(self.log, lastEventID, "unknown", 0, None)
            self.assertIsNone(parseID(lastEventID), repr(lastEventID[:60]))

    @given(st.text(st.sampled_from("09aZ-_ \n\u0661")) | st.from_regex(r"[0-9A-Za-z]{21,23}-[0-9]{1,21}"))
    def test_anyText(self, lastEventID: str) -> None:
        """
        Any text either is refused or is exactly the ID that its epoch and
        number make.
        """
        parsed = parseID(lastEventID)
        if parsed is not None:
            self.assertEqual("{}-{}".format(*parsed), lastEventID)
            self.assertEqual(len(parsed[0]), 22)


class WakeTests(LogTestCase):
    """When viewers are woken."""

    def test_atOnce(self) -> None:
        """
        After a quiet time an entry wakes the viewers at once, inside
        C{append}, when it is in the log already.
        """
        viewer = FakeViewer(lambda: seen.append((self.log.last, self.log.state)))
        seen: list[tuple[int, State]] = []
        self.log.follow(viewer, EVENTS)
        self.token()
        self.quiet()
        self.log.append(Kind.DONE, b"{}")
        self.assertEqual(seen, [(1, State.OPEN), (2, State.DONE)])

    def test_trimmedBefore(self) -> None:
        """
        When viewers are woken the log is within its window already: they do
        not read what is trimmed the next moment.
        """
        log = shortLog(self.clock, keep=3, total=3)
        sizes: list[int] = []
        log.follow(FakeViewer(lambda: sizes.append(log.buffer.size)), EVENTS)
        log.append(Kind.TOKEN, b"x")
        self.assertEqual(len(sizes), 1)
        self.assertLessEqual(sizes[0], 3 * (ENTRY_COST + 1))

    def test_quietJustLongEnough(self) -> None:
        """
        Exactly one flush tick after the last wake-up is quiet enough.
        """
        viewer = self.follow()
        self.token()
        self.clock.advance(FLUSH_TICK)
        self.token()
        self.assertEqual(viewer.wakes, 2)

    def test_coalesced(self) -> None:
        """
        Entries that follow within one flush tick wake the viewers together
        when it ends: no two wake-ups are closer than a tick, and no entry waits
        longer than a tick and a slot.
        """
        woken: list[float] = []
        self.log.follow(FakeViewer(lambda: woken.append(self.clock.seconds())), EVENTS)
        appended = []
        step = SLOT / 4
        for turn in range(200):
            if turn < 160:
                appended.append(self.clock.seconds())
                self.token()
            self.clock.advance(step)
        self.assertEqual(woken[0], 0.0)
        for earlier, later in pairwise(woken):
            self.assertGreaterEqual(later - earlier, FLUSH_TICK - HAIR)
        for at in appended:
            # The clock's own step is on top.
            self.assertLessEqual(min(wake for wake in woken if wake >= at) - at, FLUSH_TICK + SLOT + step + HAIR)

    def test_flushIsAnnounced(self) -> None:
        """
        What comes just after a flush waits for the next one.
        """
        viewer = self.follow()
        self.token()
        self.token()
        self.clock.advance(FLUSH_TICK)
        self.assertEqual(viewer.wakes, 2)
        self.token()
        self.assertEqual(viewer.wakes, 2)
        self.quiet()
        self.assertEqual(viewer.wakes, 3)

    def test_endAtOnce(self) -> None:
        """
        The end waits for no tick, and takes with it what did; nothing is left
        to be called.
        """
        for waiting in (0, 1, 2):
            self.log = makeLog(self.clock)
            viewer = self.follow()
            for _ in range(1 + waiting):
                self.token()
            self.assertEqual(viewer.wakes, 1)
            self.log.append(Kind.DONE, b"{}")
            self.assertEqual(viewer.wakes, 2)
            self.assertFalse(self.clock.getDelayedCalls())

    def test_quietAgain(self) -> None:
        """
        After a flush and a quiet time the next entry is announced at once.
        """
        viewer = self.follow()
        self.token()
        self.token()
        self.quiet()
        self.quiet()
        self.token()
        self.assertEqual(viewer.wakes, 3)

    def test_nothingNewNoWake(self) -> None:
        """
        Without entries nobody is woken, and no timer runs.
        """
        viewer = self.follow()
        self.token()
        self.assertEqual(list(self.clock.getDelayedCalls()), [])
        self.clock.advance(10.0)
        self.assertEqual(viewer.wakes, 1)

    def test_noViewersNoTimer(self) -> None:
        """
        Without viewers entries cost no timer, and a viewer that comes then is
        woken at once by the next entry.
        """
        for _ in range(5):
            self.token()
        self.assertEqual(list(self.clock.getDelayedCalls()), [])
        viewer = self.follow(cursor=5)
        self.token()
        self.assertEqual(viewer.wakes, 1)

    def test_leftBeforeTheFlush(self) -> None:
        """
        A viewer that leaves before the flush is not woken by it; one that
        came since is.
        """
        left, stays = self.follow(), self.follow()
        self.token()
        self.token()
        self.log.leave(left)
        came = self.follow()
        self.quiet()
        self.assertEqual((left.wakes, stays.wakes, came.wakes), (1, 2, 1))

    def test_allLeftBeforeTheFlush(self) -> None:
        """
        When all viewers left before the flush, it ends quietly, and whoever
        comes later is woken as ever.
        """
        viewer = self.follow()
        self.token()
        self.token()
        self.log.leave(viewer)
        self.quiet()
        self.quiet()
        again = self.follow()
        self.token()
        self.assertEqual((viewer.wakes, again.wakes), (1, 1))

    def test_followTwice(self) -> None:
        """
        A viewer that follows twice is one viewer, and is woken once.
        """
        viewer = self.follow()
        self.log.follow(viewer, EVENTS)
        self.assertEqual(self.log.viewers, 1)
        self.token()
        self.assertEqual(viewer.wakes, 1)

    def test_leave(self) -> None:
        """
        A viewer that has left is woken no more; leaving again, or without ever
        having come, does no harm.
        """
        viewer, stranger = self.follow(), FakeViewer()
        self.assertEqual(self.log.viewers, 1)
        for _ in range(2):
            self.log.leave(viewer)
            self.log.leave(stranger)
        self.assertEqual(self.log.viewers, 0)
        self.token()
        self.quiet()
        self.assertEqual(viewer.wakes, 0)

    def test_leavesWhileWoken(self) -> None:
        """
        A viewer may leave while it is woken; the others are woken all the
        same.
        """
        viewers = [self.follow() for _ in range(5)]
        for viewer in viewers[::2]:
            viewer.onWake = lambda viewer=viewer: self.log.leave(viewer)
        self.token()
        self.assertEqual([viewer.wakes for viewer in viewers], [1] * 5)
        self.assertEqual(self.log.viewers, 2)

    def test_leavesWhileAnotherIsWoken(self) -> None:
        """
        A viewer that leaves because another one was woken before it is not
        woken any more.
        """
        first, second = self.follow(), self.follow()
        first.onWake = lambda: self.log.leave(second)
        self.token()
        self.assertEqual((first.wakes, second.wakes), (1, 0))

    def test_comesWhileOthersAreWoken(self) -> None:
        """
        A viewer may come while others are woken; it reads by itself, so it
        need not be woken for what is there, but is for what follows.
        """
        first = self.follow()
        came: list[FakeViewer] = []
        first.onWake = lambda: came or came.append(self.follow(cursor=self.log.last))
        self.token()
        self.token()
        self.quiet()
        self.assertGreaterEqual(came[0].wakes, 1)

    def test_appendsWhileWoken(self) -> None:
        """
        An entry that a viewer's reading brings about is announced like any
        other: nobody misses it, and there is no recursion.
        """
        depth: list[int] = []

        def read() -> None:
            depth.append(1)
            self.assertEqual(len(depth), 1)
            viewer.cursor = self.log.last
            if self.log.last < 4:
                self.token()
            depth.pop()

        viewer = FakeViewer(read)
        self.log.follow(viewer, EVENTS)
        other = self.follow()
        self.token()
        for _ in range(4):
            self.quiet()
        self.assertEqual((viewer.cursor, viewer.wakes, other.wakes), (4, 4, 4))

    def test_clockSetBack(self) -> None:
        """
        A clock that was set back does not hold back entries until it is where
        it was.
        """
        now = 1000.0
        log = StreamLog("name", EPOCH, Ticker(self.clock, SLOT, lambda: now), 1000)
        viewer = FakeViewer()
        log.follow(viewer, EVENTS)
        log.append(Kind.TOKEN, b"x")
        now -= 500.0
        log.append(Kind.TOKEN, b"x")
        self.assertEqual(viewer.wakes, 2)


class CrowdTests(LogTestCase):
    """Many viewers of one stream, woken in turns of the reactor."""

    def setUp(self) -> None:
        """Make turns short, so that few viewers are many."""
        super().setUp()
        self.patch(streamlog, "WAKES_PER_TURN", 4)

    def crowd(self, number: int) -> list[FakeViewer]:
        """Add viewers."""
        return [self.follow() for _ in range(number)]

    def woken(self, viewers: list[FakeViewer]) -> int:
        """Count all wake-ups."""
        return sum(viewer.wakes for viewer in viewers)

    def test_defaultIsTold(self) -> None:
        """
        By default five hundred viewers are woken in a turn.
        """
        self.assertEqual(WAKES_PER_TURN, 500)

    def test_justOneTurn(self) -> None:
        """
        As many viewers as fit one turn are woken inside C{append}, and no
        timer is left.
        """
        viewers = self.crowd(4)
        self.token()
        self.assertEqual([viewer.wakes for viewer in viewers], [1] * 4)
        self.assertEqual(list(self.clock.getDelayedCalls()), [])

    def test_turns(self) -> None:
        """
        More viewers are woken over several turns, in order, the first at once
        and each once.
        """
        viewers = self.crowd(10)
        self.token()
        for woken in (4, 8, 10):
            self.assertEqual([viewer.wakes for viewer in viewers], [1] * woken + [0] * (10 - woken))
            self.clock.turn()
        self.assertEqual(list(self.clock.getDelayedCalls()), [])
        self.assertEqual(self.woken(viewers), 10)

    def test_fullLastTurn(self) -> None:
        """
        When the last turn is just full, no empty one follows.
        """
        viewers = self.crowd(8)
        self.token()
        self.assertEqual(self.clock.turn(), 1)
        self.assertEqual(self.woken(viewers), 8)
        self.assertEqual(list(self.clock.getDelayedCalls()), [])

    def test_entriesMeanwhile(self) -> None:
        """
        When entries come while a crowd is being woken, those who were woken
        before are woken once more after it.
        """
        viewers = self.crowd(10)
        self.token()
        # The clock's time passes without a turn, as when the reactor is busy.
        self.clock.step(2 * FLUSH_TICK)
        self.token()
        self.token()
        self.assertEqual(self.woken(viewers), 4)
        self.clock.advance(2 * FLUSH_TICK)
        for viewer in viewers:
            self.assertGreaterEqual(viewer.wakes, 2)
        self.assertLessEqual(self.woken(viewers), 30)

    def test_neverMoreInATurn(self) -> None:
        """
        No turn wakes more viewers than its bound, also when one round follows
        the other because entries came in between.
        """
        viewers = self.crowd(10)
        self.token()
        self.clock.step(2 * FLUSH_TICK)
        self.token()
        before = self.woken(viewers)
        while self.clock.turn():
            self.assertLessEqual(self.woken(viewers) - before, 4)
            before = self.woken(viewers)
        self.assertEqual(before, 20)

    def test_leftBetweenTheTurns(self) -> None:
        """
        Viewers that leave between the turns are woken no more; all others are.
        """
        viewers = self.crowd(10)
        self.token()
        for viewer in (viewers[0], viewers[5], viewers[9]):
            self.log.leave(viewer)
        self.clock.advance(0)
        self.assertEqual([viewer.wakes for viewer in viewers], [1, 1, 1, 1, 1, 0, 1, 1, 1, 0])

    def test_allLeftBetweenTheTurns(self) -> None:
        """
        When all leave in the middle of a round it ends, and the next viewers
        are woken as ever.
        """
        for viewer in self.crowd(10):
            viewer.onWake = lambda viewer=viewer: self.log.leave(viewer)
        self.token()
        self.clock.advance(FLUSH_TICK)
        self.assertEqual(list(self.clock.getDelayedCalls()), [])
        viewers = self.crowd(6)
        self.token()
        self.clock.advance(FLUSH_TICK)
        self.assertEqual([viewer.wakes for viewer in viewers], [1] * 6)

    def test_leftViewersAreFreed(self) -> None:
        """
        A log holds no viewer that has left once its round is over.
        """
        viewers = self.crowd(10)
        gone = weakref.ref(viewers[9])
        self.token()
        self.log.leave(viewers.pop())
        self.clock.advance(0)
        gc.collect()
        self.assertIsNone(gone())


class ReadingViewer(FakeViewer):
    """A viewer that reads to the end when it is woken; some leave then, some bring about an entry."""

    def __init__(self, log: StreamLog, habit: str) -> None:
        super().__init__(self.read)
        self.log = log
        self.habit = habit
        self.follows = True
        log.follow(self, EVENTS)
        # A viewer registers first and reads then, whether it was woken or not.
        self.cursor = log.last

    def leave(self) -> None:
        """Follow no more."""
        self.follows = False
        self.log.leave(self)

    def read(self) -> None:
        """Take what there is."""
        self.cursor = self.log.last
        if self.habit == "leaves":
            self.leave()
        elif self.habit == "appends" and self.log.last < 60:
            self.habit = "reads"
            self.log.append(Kind.TOKEN, b"x")


crowdSteps = st.one_of(
    st.tuples(st.just("come"), st.sampled_from(["reads", "reads", "leaves", "appends"])),
    st.tuples(st.just("leave"), st.integers(0, 20)),
    st.tuples(st.just("append"), st.integers(1, 3)),
    st.tuples(st.just("turn"), st.integers(1, 3)),
    st.tuples(st.just("pass"), st.sampled_from([FLUSH_TICK / 8, FLUSH_TICK, 3 * FLUSH_TICK])),
    st.tuples(st.just("busy"), st.sampled_from([FLUSH_TICK / 8, FLUSH_TICK, 3 * FLUSH_TICK])),
)


class NobodyIsMissedTests(SynchronousTestCase):
    """The promise behind wake-ups: in the end everybody who follows has everything."""

    @given(st.integers(1, 3), st.lists(crowdSteps, max_size=40))
    def test_everybodyHasEverything(self, perTurn: int, script: list[tuple[str, object]]) -> None:
        """
        However viewers come, leave, and append while they are woken, and
        however turns and entries interleave: when all is quiet every viewer
        that follows has read the last entry, and no timer runs.
        """
        self.patch(streamlog, "WAKES_PER_TURN", perTurn)
        clock = TurnClock()
        log = makeLog(clock)
        viewers: list[ReadingViewer] = []
        for step, value in script:
            if step == "come":
                viewers.append(ReadingViewer(log, value))  # type: ignore[arg-type]
            elif step == "leave" and viewers:
                viewers[value % len(viewers)].leave()  # type: ignore[operator]
            elif step == "append":
                for _ in range(value):  # type: ignore[call-overload]
                    log.append(Kind.TOKEN, b"x")
            elif step == "turn":
                for _ in range(value):  # type: ignore[call-overload]
                    clock.turn()
            elif step == "pass":
                clock.advance(value)  # type: ignore[arg-type]
            elif step == "busy":
                clock.step(value)  # type: ignore[arg-type]
        for _ in range(100):
            clock.advance(FLUSH_TICK)
        self.assertEqual([viewer.cursor for viewer in viewers if viewer.follows and viewer.cursor != log.last], [])
        self.assertEqual(log.viewers, sum(viewer.follows for viewer in viewers))
        self.assertEqual(list(clock.getDelayedCalls()), [])


class AheadTests(LogTestCase):
    """How far a log is ahead of its fastest viewer."""

    def test_empty(self) -> None:
        """
        An empty log is not ahead.
        """
        self.assertEqual(self.log.ahead(), 0)

    def test_neverAViewer(self) -> None:
        """
        Before the first viewer everything counts, costs included.
        """
        self.token(b"12345")
        self.token(b"123")
        self.assertEqual(self.log.ahead(), 8 + 2 * ENTRY_COST)

    def test_fastest(self) -> None:
        """
        Only what the fastest viewer has not read counts.
        """
        slow, fast = self.follow(), self.follow()
        for size in (1, 10, 100):
            self.token(b"x" * size)
        self.assertEqual(self.log.ahead(), 111 + 3 * ENTRY_COST)
        slow.cursor = 1
        self.assertEqual(self.log.ahead(), 110 + 2 * ENTRY_COST)
        fast.cursor = 2
        self.assertEqual(self.log.ahead(), 100 + ENTRY_COST)
        fast.cursor = 3
        self.assertEqual(self.log.ahead(), 0)

    def test_lastViewersPlace(self) -> None:
        """
        Without viewers the place of the last one counts, not that of one who
        was faster but left before.
        """
        slow, fast = self.follow(cursor=1), self.follow(cursor=3)
        for size in (1, 10, 100):
            self.token(b"x" * size)
        self.log.leave(fast)
        self.assertEqual(self.log.ahead(), 110 + 2 * ENTRY_COST)
        self.log.leave(slow)
        self.assertEqual(self.log.ahead(), 110 + 2 * ENTRY_COST)
        slow.cursor = 3
        self.log.leave(slow)
        self.assertEqual(self.log.ahead(), 110 + 2 * ENTRY_COST)
        self.log.leave(self.follow(cursor=2))
        self.assertEqual(self.log.ahead(), 100 + ENTRY_COST)
        self.log.leave(self.follow(cursor=0))
        self.assertEqual(self.log.ahead(), 111 + 3 * ENTRY_COST)

    def test_trimmed(self) -> None:
        """
        What was trimmed before anybody read it does not count: it is no longer
        kept.
        """
        log = shortLog(self.clock, keep=10, total=25)
        self.assertEqual(log.ahead(), log.buffer.size)
        viewer = FakeViewer(cursor=log.buffer.first - 2)
        log.follow(viewer, EVENTS)
        self.assertEqual(log.ahead(), log.buffer.size)
        viewer.cursor = log.buffer.first
        self.assertEqual(log.ahead(), log.buffer.size - 1 - ENTRY_COST)


@implementer(IFormat)
class CountingFormat:
    """A format that remembers the renderings it made, weakly."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.made: list[weakref.ref[Rendering]] = []

    def render(self, streamLog: IStreamLog) -> IRendering:
        """See L{IFormat.render}."""
        rendering = Rendering(streamLog)
        self.made.append(weakref.ref(rendering))
        return rendering  # type: ignore[return-value]


class Rendering:
    """Nothing but an identity."""

    def __init__(self, streamLog: IStreamLog) -> None:
        self.streamLog = streamLog


class RenderingTests(LogTestCase):
    """Renderings are shared."""

    def test_shared(self) -> None:
        """
        All viewers of a format get the same rendering, made once of this log.
        """
        form = CountingFormat("counting")
        first = self.log.follow(FakeViewer(), form)
        self.assertIs(self.log.follow(FakeViewer(), form), first)
        self.assertIs(self.log.rendering(form), first)
        self.assertIs(first.streamLog, self.log)  # type: ignore[attr-defined]
        self.assertEqual(len(form.made), 1)

    def test_eachFormatItsOwn(self) -> None:
        """
        Viewers of different formats have different renderings.
        """
        events, text = self.log.follow(FakeViewer(), EventsFormat()), self.log.follow(FakeViewer(), TextFormat())
        self.assertIsNot(events, text)
        self.assertIs(self.log.rendering(TextFormat()), text)

    def test_keptWhileThereAreViewers(self) -> None:
        """
        A rendering outlives the viewer that it was made for, as long as there
        is another.
        """
        form = CountingFormat("counting")
        first, second = FakeViewer(), FakeViewer()
        rendering = self.log.follow(first, form)
        self.log.follow(second, form)
        self.log.leave(first)
        self.assertIs(self.log.follow(FakeViewer(), form), rendering)

    def test_droppedWithTheLastViewer(self) -> None:
        """
        When the last viewer leaves the log lets go of its renderings; the next
        viewer gets a new one.
        """
        form, other = CountingFormat("counting"), CountingFormat("other")
        first, second = FakeViewer(), FakeViewer()
        self.log.follow(first, form)
        self.log.follow(second, other)
        self.log.leave(first)
        self.log.leave(second)
        gc.collect()
        self.assertEqual([made() for made in form.made + other.made], [None, None])
        self.log.follow(FakeViewer(), form)
        self.assertEqual(len(form.made), 2)

    def test_passing(self) -> None:
        """
        Asked for a rendering that no viewer uses, the log makes one and does
        not keep it.
        """
        form = CountingFormat("counting")
        self.assertIs(self.log.rendering(form).streamLog, self.log)  # type: ignore[attr-defined]
        gc.collect()
        self.assertEqual([made() for made in form.made], [None])
