"""
Several stores on one Redis, as several processes have them.

Tests of `sseserver.stores.redis.session`, `sseserver.stores.redis.leases`, `sseserver.stores.redis.follower`,
`sseserver.stores.redis.opener`, `sseserver.stores.redis.reader`, `sseserver.stores.redis.shards`,
`sseserver.stores.redis.writer`, `sseserver.stores.redis.table`, `sseserver.stores.redis.streams`,
`sseserver.stores.redis.publisher`, `sseserver.stores.redis.unused` and `sseserver.stores.redis.directory`.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import KeyReused, StoreUnavailable, StreamNotFound
from sseserver.interfaces import IStreamLog, KeyedStream
from sseserver.streams.terminal import packCancelled, packDone
from sseserver.testing.storecase import NoFormat, RecordingViewer
from sseserver.values import Kind, NewEntry, Reason, State
from tests.redisservers import findMissing

if findMissing() is None:
    from sseserver.stores.redis.store import RedisStore
    from sseserver.stores.redis.sweeper import SWEEP
    from sseserver.stores.redis.table import HOLD
    from tests.stores.redis.cases import Pump, sharedServer


class ProcessCase(SynchronousTestCase):
    """Two stores."""

    skip = findMissing()

    def setUp(self) -> None:
        self.server = sharedServer()
        self.pump = Pump(Clock())
        self.stores: list[RedisStore] = []
        self.first, self.second = self.makeStore(), self.makeStore()

    def makeStore(self, **keywords: Any) -> RedisStore:
        """Make one more store, and wait until it works."""
        store = self.pump.makeStore(self.server, **keywords)
        store.start()
        self.stores.append(store)
        self.pump.until(lambda: store.findProblem() is None)
        return store

    def tearDown(self) -> None:
        for store in self.stores:
            self.pump.result(store.stop())
        self.assertEqual(self.pump.clock.getDelayedCalls(), [])

    def kill(self, store: RedisStore) -> None:
        """End a store as the end of its process would."""
        store.client.stop()
        self.pump.result(store.stop())

    def startRun(self, *tokens: bytes) -> IStreamLog:
        """Start a run in the first store."""
        run = self.pump.result(self.first.create(None, published=False))
        for token in tokens:
            run.append(Kind.TOKEN, token)
        self.pump.until(lambda: run.last == len(tokens))
        return run


class FollowTests(ProcessCase):
    """A stream of one process is read in another one."""

    def test_run(self) -> None:
        """A run is followed from its first entry to its end, with the same IDs."""
        run = self.startRun(b"a", b"b")
        there = self.pump.result(self.second.find(run.name))
        self.assertEqual((there.epoch, there.last, there.buffer.entries), (run.epoch, 2, [b"a", b"b"]))
        viewer = RecordingViewer(there)
        there.follow(viewer, NoFormat())
        for token in (b"c", b"x" * 100_000, b"d"):
            run.append(Kind.TOKEN, token)
            self.pump.until(lambda: there.last == run.buffer.appended)
        run.append(*packDone(Reason.STOP, 5))
        self.pump.until(lambda: there.state is not State.OPEN)
        self.assertEqual(there.buffer.entries, run.buffer.entries)
        self.assertEqual((there.state, there.ended), (State.DONE, run.ended))
        there.leave(viewer)

    def test_followed(self) -> None:
        """A process knows whether another one follows its run, until the last one has dropped the log."""
        run = self.startRun(b"a")
        self.assertIs(self.pump.result(self.first.isFollowed(run.name)), False)
        there = self.pump.result(self.second.find(run.name))
        self.pump.until(lambda: self.pump.result(self.first.isFollowed(run.name)))
        self.pump.run(HOLD + 2 * SWEEP)
        self.assertIs(self.pump.result(self.first.isFollowed(there.name)), False)
        self.kill(self.second)
        self.first.client.stop()
        self.failureResultOf(self.first.isFollowed(run.name), StoreUnavailable)

    def test_long(self) -> None:
        """A long stream comes in pages, and is cut where its oldest entries were dropped."""
        run = self.startRun(*[b"%d" % number for number in range(5000)])
        there = self.pump.result(self.second.find(run.name))
        self.assertEqual((there.last, there.buffer.first > 1, there.buffer.tokens), (5000, True, 5000))
        self.assertEqual(there.buffer.entries[-3:], [b"4997", b"4998", b"4999"])

    def test_published(self) -> None:
        """Entries of several publishers have one order everywhere."""
        here = self.pump.result(self.first.create("a", published=True))
        there = self.pump.result(self.second.find("a"))
        publishing = [
            store.publish("a", [NewEntry(Kind.TOKEN, b"%d %d" % (number, index))], False)
            for number in range(20)
            for index, store in enumerate(self.stores)
        ]
        numbers = sorted(self.pump.result(each).last for each in publishing)
        self.assertEqual(numbers, list(range(1, 41)))
        self.pump.until(lambda: here.last == there.last == 40)
        self.assertEqual(here.buffer.entries, there.buffer.entries)

    def test_key(self) -> None:
        """An idempotency key counts in all processes."""
        self.pump.result(self.first.create("a", published=True))
        entries = [NewEntry(Kind.TOKEN, b"x")]
        first = self.pump.result(self.first.publish("a", entries, False, "key"))
        again = self.pump.result(self.second.publish("a", entries, False, "key"))
        self.assertEqual((again.last, again.repeated, first.repeated), (first.last, True, False))
        with self.assertRaises(KeyReused):
            self.pump.result(self.second.publish("a", entries * 2, False, "key"))

    def test_cancelled(self) -> None:
        """A run is ended from another process: its own is told, and loses what it appended later."""
        run = self.startRun(b"a")
        taken: list[IStreamLog] = []
        self.first.onEnded = taken.append
        self.assertTrue(self.pump.result(self.second.end(run.name, packCancelled(Reason.ASKED))))
        run.append(Kind.TOKEN, b"too late")
        self.pump.until(lambda: taken)
        self.assertEqual((taken, run.state, run.last), ([run], State.CANCELLED, 2))
        self.assertEqual(run.buffer.entries, [b"a", b'{"reason":"asked"}'])
        self.assertFalse(self.pump.result(self.first.end(run.name, packDone(Reason.STOP, 0))))

    def test_deleted(self) -> None:
        """A stream that is deleted in one process ends in all others."""
        run, taken = self.startRun(b"a"), []
        self.first.onEnded = taken.append
        other = self.makeStore()
        there = self.pump.result(other.find(run.name))
        self.pump.result(self.second.delete(run.name))
        self.pump.until(lambda: there.state is not State.OPEN and taken)
        self.assertEqual((there.state, run.state), (State.CANCELLED, State.CANCELLED))
        for store in self.stores:
            with self.assertRaises(StreamNotFound):
                self.pump.result(store.find(run.name))

    def test_released(self) -> None:
        """A log that nobody uses leaves memory, and is not followed any more."""
        run = self.startRun(b"a")
        self.pump.result(self.second.find(run.name))
        self.assertEqual(self.second.count, 1)
        self.pump.clock.advance(HOLD + SWEEP)
        self.pump.until(lambda: self.second.count == 0)
        self.assertEqual((self.second.used, self.first.count), (0, 1))
        self.assertEqual(self.pump.result(self.second.find(run.name)).last, 1)

    def test_shed(self) -> None:
        """A log that is not used can be dropped at once."""
        run = self.startRun(b"a")
        self.pump.result(self.second.find(run.name))
        self.assertEqual(
            [self.second.shed(False), self.second.shed(False), self.first.shed(False)], [True, False, False]
        )

    def test_idle(self) -> None:
        """A published stream that no process uses ends after its time."""
        other = self.makeStore(idle=0.05)
        self.pump.result(other.create("a", published=True))
        # Each sweep looks at a part of the shards.
        self.pump.clock.pump([SWEEP] * 20)
        self.pump.until(lambda: other.client.awaiting == 0)
        found = self.pump.result(self.second.find("a"))
        self.pump.until(lambda: found.state is not State.OPEN)
        self.assertEqual(found.buffer.entries, [b'{"reason":"idle"}'])


class DeathTests(ProcessCase):
    """A process dies, or stands still."""

    def test_killed(self) -> None:
        """The run of a dead process ends `failed` in all others, exactly once; its lease is forgotten."""
        run = self.startRun(b"a", b"b")
        third = self.makeStore()
        logs = [self.pump.result(store.find(run.name)) for store in (self.second, third)]
        self.kill(self.first)
        self.pump.until(lambda: all(log.state is not State.OPEN for log in logs))
        for log in logs:
            self.assertEqual((log.state, log.last, log.buffer.entries[:2]), (State.FAILED, 3, [b"a", b"b"]))
            self.assertIn(b'"interrupted"', log.buffer.entries[-1])
        self.pump.until(lambda: self.server.command("ZCARD", b"sseserver:{nodes}:nodes") == b":2\r\n")

    def test_returned(self) -> None:
        """A process that stood still is refused, stops its run, and has the same end as the others."""
        run, taken = self.startRun(b"a"), []
        self.first.onEnded = taken.append
        there = self.pump.result(self.second.find(run.name))
        node = self.first.session.node
        self.pump.result(node.stop())
        self.pump.until(lambda: there.state is not State.OPEN)
        run.append(Kind.TOKEN, b"late")
        self.pump.until(lambda: taken)
        self.assertEqual((run.state, run.buffer.entries), (State.FAILED, there.buffer.entries))

    def test_stopped(self) -> None:
        """A process that stops in order leaves its ended streams to the others."""
        run = self.startRun(b"a")
        run.append(*packDone(Reason.STOP, 1))
        self.pump.until(lambda: run.state is not State.OPEN)
        self.pump.result(self.first.stop())
        found = self.pump.result(self.second.find(run.name))
        self.assertEqual((found.state, found.last), (State.DONE, 2))
        with self.assertRaises(StoreUnavailable):
            self.pump.result(self.first.find(run.name))


class DirectoryTests(ProcessCase):
    """Keys under which all processes find streams."""

    def test_claims(self) -> None:
        """One caller gets a key; others wait for its stream, wherever they are."""
        here, there = (store.makeDirectory("starts") for store in self.stores)
        self.assertIsNone(self.pump.result(here.claim("k", b"d")))
        waiting = [each.claim("k", b"d") for each in (here, there)]
        with self.assertRaises(KeyReused):
            self.pump.result(there.claim("k", b"other"))
        stream = KeyedStream("name", "epoch")
        self.pump.result(here.bind("k", stream))
        self.assertEqual([self.pump.result(each) for each in waiting], [stream, stream])
        self.assertEqual(self.pump.result(there.find("k")), stream)
        here.forget("epoch")
        self.pump.run(0.1)
        with self.assertRaises(StreamNotFound):
            self.pump.result(there.find("k"))

    def test_released(self) -> None:
        """A key that is released goes to one of those that wait."""
        here, there = (store.makeDirectory("starts") for store in self.stores)
        self.assertIsNone(self.pump.result(here.claim("k", b"d")))
        waiting = there.claim("k", b"d")
        here.release("k")
        self.assertIsNone(self.pump.result(waiting))
        mine = there.claim("k", b"d")
        self.pump.run(0.1)
        there.release("k", error=StoreUnavailable("no"))
        with self.assertRaises(StoreUnavailable):
            self.pump.result(mine)
