"""
Tests for the wake-ups of `sseserver.streams.followed`: when, in which turns, and that no viewer misses one.
"""

from __future__ import annotations

import gc
import weakref
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.streams import wakes
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.followed import FLUSH_TICK
from sseserver.streams.log import StreamLog
from sseserver.timing.ticker import Ticker
from sseserver.values import Kind, State
from tests.fakes import FakeViewer, TurnClock
from tests.streams.logs import EPOCH, EVENTS, SLOT, LogTestCase, makeLog, shortLog

#: The default, which the tests change.
DEFAULT = wakes.WAKES_PER_TURN

#: Seconds. Rounding error of times.
HAIR = 1e-9


class WakeTests(LogTestCase):
    """When viewers are woken."""

    def test_atOnce(self) -> None:
        """
        After a quiet time an entry wakes the viewers at once, inside
        `append`, when it is in the log already.
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
        An entry just after a flush waits for the next one.
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
        A flush without viewers wakes none, and a viewer that comes later is woken as usual.
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
        self.patch(wakes, "WAKES_PER_TURN", 4)
        self.patch(wakes, "WAKES_PER_LOOK", 2)

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
        self.assertEqual(DEFAULT, 500)

    def test_justOneTurn(self) -> None:
        """
        As many viewers as fit one turn are woken inside `append`, and no
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

    def test_slowViewers(self) -> None:
        """
        #12: a turn ends when its time is up, however few viewers it has woken. An end takes longer than an event.
        """
        self.patch(wakes, "WAKES_PER_TURN", 100)
        viewers = self.crowd(20)
        for viewer in viewers:
            viewer.onWake = lambda: self.clock.step(wakes.LONGEST_TURN / 3)
        self.log.append(Kind.DONE, b"{}")
        counts = [self.woken(viewers)]
        while self.clock.turn():
            counts.append(self.woken(viewers))
        self.assertEqual(counts, [4, 8, 12, 16, 20])
        self.assertLessEqual(wakes.LONGEST_TURN, 0.005)

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


class LeavingViewer(FakeViewer):
    """A viewer that leaves when it is woken, and counts its end."""

    def __init__(self, log: StreamLog, freed: list[None]) -> None:
        super().__init__(lambda: None)
        self.log = log
        weakref.finalize(self, freed.append, None)
        log.follow(self, EVENTS)

    def wake(self) -> None:
        """Leave."""
        self.log.leave(self)


class LongTurnTests(LogTestCase):
    """No turn of the reactor grows with the number of viewers."""

    def test_largeWrites(self) -> None:
        """#12: viewers that take a quarter of a millisecond each make no turn long, be they few or many."""
        for number in (10, 30, 50, 51, 300):
            self.log = makeLog(self.clock)
            viewers = [FakeViewer(lambda: self.clock.step(0.00025)) for _ in range(number)]
            for viewer in viewers:
                self.log.follow(viewer, EVENTS)
            begin = self.clock.seconds()
            self.token()
            while self.clock.seconds() - begin and self.clock.seconds() - begin <= 0.0051:
                begin = self.clock.seconds()
                self.clock.turn()
            self.assertEqual([viewer.wakes for viewer in viewers], [1] * number)

    def test_freedInTurns(self) -> None:
        """#12: viewers that leave when they are woken are freed one by one, not all at the end of the round."""
        freed: list[None] = []
        for _ in range(2 * DEFAULT):
            LeavingViewer(self.log, freed)
        self.token()
        self.assertEqual(len(freed), DEFAULT)


class ReadingViewer(FakeViewer):
    """A viewer that reads to the end when it is woken, and then stays, leaves, or appends an entry."""

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
    """In the end every viewer that follows has every entry."""

    @given(st.integers(1, 3), st.lists(crowdSteps, max_size=40))
    def test_everybodyHasEverything(self, perTurn: int, script: list[tuple[str, object]]) -> None:
        """
        However viewers come, leave, and append while they are woken, and
        however turns and entries interleave: when all is quiet every viewer
        that follows has read the last entry, and no timer runs.
        """
        self.patch(wakes, "WAKES_PER_TURN", perTurn)
        self.patch(wakes, "WAKES_PER_LOOK", 1)
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
