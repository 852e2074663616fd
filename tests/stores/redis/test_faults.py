"""
Faults of a Redis under two stores.

Tests of `sseserver.stores.redis.shards` and `sseserver.stores.redis.scripts`, and of all that must survive a fault.
"""

from __future__ import annotations

import signal
from typing import Any

from twisted.internet.defer import Deferred, fail

from sseserver.errors import GapError, StoreUnavailable
from sseserver.formats import EventsFormat
from sseserver.interfaces import KeyedStream
from sseserver.streams.terminal import INTERRUPTED, packCancelled, packDone
from sseserver.values import Kind, NewEntry, Reason, State
from tests.fakes import FakeViewer
from tests.redisservers import RedisServer, findMissing
from tests.stores.redis.twostores import TwoStoresCase

if findMissing() is None:
    from sseserver.stores.redis import link
    from sseserver.stores.redis.connection import Disconnected
    from sseserver.stores.redis.reader import parseEpochs
    from sseserver.stores.redis.table import HOLD
    from tests.stores.redis.cases import LEASE

_X = [NewEntry(Kind.TOKEN, b"x")]


class FaultTests(TwoStoresCase):
    """A Redis that fails."""

    def startServer(self, *options: str, lease: float = 60.0) -> RedisServer:
        """Start a server for this test only, and two stores."""
        server = RedisServer(*options)
        self.addCleanup(server.remove)
        server.start()
        self.startStores(server, lease=lease)
        return server

    def test_down(self) -> None:
        """A store starts without its Redis, refuses work meanwhile, and works when the Redis is there."""
        server = RedisServer()
        self.addCleanup(server.remove)
        store = self.pump.makeStore(server)
        self.assertEqual(store.start(), [])
        self.stores.append(store)
        self.assertIsNotNone(store.findProblem())
        for refused in (store.create("a", True), store.find("a"), store.publish("a", _X, False), store.list(1)):
            with self.assertRaises(StoreUnavailable):
                self.pump.result(refused)
        server.start()
        self.awaitStores()
        self.pump.result(store.create("a", True))

    def test_outage(self) -> None:
        """A run goes on while the Redis is away, and what it wrote comes to all viewers afterwards, once."""
        server = self.startServer("appendonly yes", "appendfsync always")
        run = self.pump.result(self.stores[0].create(None, published=False))
        there = self.pump.result(self.stores[1].find(run.name))
        run.append(Kind.TOKEN, b"before")
        self.pump.until(lambda: there.last == 1)
        server.kill()
        self.pump.until(lambda: not any(store.client.up for store in self.stores))
        for number in range(50):
            run.append(Kind.TOKEN, b"%d" % number)
        self.pump.run(0.1)
        self.assertEqual((run.last, there.last), (1, 1))
        server.start()
        self.pump.until(lambda: there.last == 51)
        run.append(*packDone(Reason.STOP, 51))
        self.pump.until(lambda: there.state is not State.OPEN)
        self.assertEqual((run.buffer.entries, run.epoch), (there.buffer.entries, there.epoch))

    def test_renewed(self) -> None:
        """After a restart a published stream has a new epoch; viewers go on, and earlier IDs are continued."""
        server = self.startServer("appendonly yes", "appendfsync always")
        logs = [self.pump.result(self.stores[0].create("a", published=True))]
        logs.append(self.pump.result(self.stores[1].find("a")))
        self.pump.result(self.stores[0].publish("a", _X * 2, False))
        epoch = logs[0].epoch
        server.kill()
        self.pump.until(lambda: not any(store.client.up for store in self.stores))
        server.start()
        self.awaitStores()
        self.pump.result(self.stores[1].publish("a", _X, False))
        self.pump.until(lambda: all(log.last == 3 for log in logs))
        self.assertEqual({log.epoch == epoch for log in logs}, {False})
        self.assertEqual(logs[0].epoch, logs[1].epoch)
        for log in logs:
            self.assertEqual(log.locate(f"{epoch}-2"), 2)
            self.assertRaises(GapError, log.locate, f"{epoch}-3")

    def test_lostWrites(self) -> None:
        """Entries that the Redis has lost: a run appends them again, viewers of a published stream must return."""
        server = self.startServer("appendonly no")
        run = self.pump.result(self.stores[0].create(None, published=False))
        published = self.pump.result(self.stores[0].create("a", published=True))
        viewer = FakeViewer()
        published.follow(viewer, EventsFormat())
        run.append(Kind.TOKEN, b"1")
        self.pump.result(self.stores[0].publish("a", _X, False))
        self.pump.until(lambda: run.last == 1)
        server.command("SAVE")
        epoch = published.epoch
        run.append(Kind.TOKEN, b"2")
        self.pump.result(self.stores[0].publish("a", _X, False))
        self.pump.until(lambda: run.last == published.last == 2)
        server.kill()
        self.pump.until(lambda: not any(store.client.up for store in self.stores))
        server.start()
        self.awaitStores()
        run.append(Kind.TOKEN, b"3")
        there = self.pump.result(self.stores[1].find(run.name))
        self.pump.until(lambda: there.last == 3)
        self.assertEqual((there.buffer.entries, there.epoch), ([b"1", b"2", b"3"], run.epoch))
        self.pump.result(self.stores[1].publish("a", [NewEntry(Kind.TOKEN, b"other")], False))
        again = self.pump.result(self.stores[0].find("a"))
        self.assertNotEqual(again.epoch, epoch)
        self.assertEqual(again.locate(f"{epoch}-1"), 1)
        self.assertRaises(GapError, again.locate, f"{epoch}-2")
        self.assertTrue(viewer.dismissed)

    def test_lostRun(self) -> None:
        """A run that lost entries and its process ends with a new epoch: the IDs of these entries stay lost."""
        server = self.startServer("appendonly no")
        run = self.pump.result(self.stores[0].create(None, published=False))
        run.append(Kind.TOKEN, b"1")
        self.pump.until(lambda: run.last == 1)
        server.command("SAVE")
        run.append(Kind.TOKEN, b"2")
        self.pump.until(lambda: run.last == 2)
        server.kill()
        self.pump.until(lambda: not any(store.client.up for store in self.stores))
        self.pump.result(self.stores.pop(0).stop())
        server.start()
        self.awaitStores()
        self.assertTrue(self.pump.result(self.stores[0].end(run.name, INTERRUPTED)))
        there = self.pump.result(self.stores[0].find(run.name))
        self.assertEqual((there.buffer.entries[:1], there.last, there.state), ([b"1"], 2, State.FAILED))
        self.assertEqual(there.locate(f"{run.epoch}-1"), 1)
        self.assertRaises(GapError, there.locate, f"{run.epoch}-2")

    def test_lostEnd(self) -> None:
        """A run whose end the Redis has lost is ended again, also when its process has forgotten it."""
        server = self.startServer("appendonly no")
        run = self.pump.result(self.stores[0].create(None, published=False))
        run.append(Kind.TOKEN, b"1")
        self.pump.until(lambda: run.last == 1)
        server.command("SAVE")
        run.append(*packDone(Reason.STOP, 1))
        self.pump.until(lambda: run.state is State.DONE)
        session = self.stores[0].session
        session.sweeper.release(session.table.streams[run.name])
        server.kill()
        self.pump.until(lambda: not any(store.client.up for store in self.stores))
        server.start()
        self.awaitStores()
        there = self.pump.result(self.stores[1].find(run.name))
        self.pump.until(lambda: there.state is not State.OPEN)
        self.assertEqual((there.state, there.last), (State.FAILED, 2))
        self.assertNotEqual(there.epoch, run.epoch)

    def test_lostUnnoticed(self) -> None:
        """A Redis that was a replica for a while, and has lost a deletion: no connection ends, but the run does."""
        server = self.startServer("enable-debug-command yes", lease=LEASE)
        run = self.pump.result(self.stores[0].create(None, published=False))
        run.append(Kind.TOKEN, b"1")
        self.pump.until(lambda: run.last == 1)
        server.command("SAVE")
        self.pump.result(self.stores[1].delete(run.name))
        self.pump.until(lambda: self.stores[0].session.table.find(run.name) is None)
        self.assertEqual(server.command("DEBUG", "RELOAD", "NOSAVE"), b"+OK\r\n")
        self.assertEqual(server.command("DEBUG", "CHANGE-REPL-ID"), b"+OK\r\n")
        there = self.pump.result(self.stores[1].find(run.name))
        self.pump.until(lambda: there.state is not State.OPEN)
        self.assertEqual((there.state, there.last), (State.FAILED, 2))

    def test_lostEpoch(self) -> None:
        """A Redis that has lost the epoch of a stream: its viewers return for a gap, they are not told of an end."""
        server = self.startServer("enable-debug-command yes")
        published = self.pump.result(self.stores[0].create("a", published=True))
        viewer = FakeViewer()
        published.follow(viewer, EventsFormat())
        server.command("SAVE")
        server.command("DEBUG", "CHANGE-REPL-ID")
        self.pump.result(self.stores[1].publish("a", _X, False))
        self.pump.until(lambda: published.last == 1)
        server.command("DEBUG", "RELOAD", "NOSAVE")
        server.command("DEBUG", "CHANGE-REPL-ID")
        self.pump.result(self.stores[1].publish("a", _X, False))
        self.pump.until(lambda: viewer.dismissed or published.state is not State.OPEN)
        self.assertTrue(viewer.dismissed)

    def test_lostEndUnheard(self) -> None:
        """A store that gets no messages at the moment does not answer with an end that the Redis has lost."""
        # Connections that are lost are not made again.
        self.patch(link, "FIRST_PAUSE", 3600.0)
        server = self.startServer("enable-debug-command yes")
        self.pump.result(self.stores[0].create("a", published=True))
        there = self.pump.result(self.stores[1].find("a"))
        server.command("SAVE")
        self.pump.result(self.stores[0].publish("a", _X, True))
        self.pump.until(lambda: there.state is State.DONE)
        server.command("CLIENT", "KILL", "TYPE", "pubsub")
        self.pump.until(lambda: all(store.client.problem for store in self.stores))
        server.command("DEBUG", "RELOAD", "NOSAVE")
        server.command("DEBUG", "CHANGE-REPL-ID")
        publication = self.pump.result(self.stores[1].publish("a", [NewEntry(Kind.TOKEN, b"y")], True))
        again = self.pump.result(self.stores[1].find("a"))
        self.assertEqual((again.epoch, again.buffer.entries[0]), (publication.epoch, b"y"))

    def test_lostWhileAsked(self) -> None:
        """Somebody who waits for a log that is dropped meanwhile gets another one."""
        self.startServer()
        self.pump.result(self.stores[0].create("a", published=True))
        there = self.pump.result(self.stores[1].find("a"))
        session = self.stores[1].session
        stream = session.table.streams["a"]
        session.follower.noteDeaf(lambda _: True)
        self.pump.result(self.stores[0].publish("a", _X, False))
        found = self.stores[1].find("a")
        self.pump.until(lambda: stream.reaching)
        session.forget(stream)
        again = self.pump.result(found)
        self.assertEqual((there.state, again.state, again.last), (State.CANCELLED, State.OPEN, 1))

    def test_comparedBeforeReleased(self) -> None:
        """The log of an ended run stays in memory while it is compared with Redis, which may have lost the end."""
        self.startServer()
        run = self.pump.result(self.stores[0].create(None, published=False))
        run.append(*packDone(Reason.STOP, 0))
        self.pump.until(lambda: run.state is State.DONE)
        session = self.stores[0].session
        stream, later = session.table.streams[run.name], self.pump.clock.seconds() + 2 * HOLD
        self.assertEqual(session.table.listUnused(later), [stream])
        self.assertIs(session.table.findOldest(published=False), stream)
        session.writer.write(stream)
        self.assertEqual(session.table.listUnused(later), [])
        self.assertIsNone(session.table.findOldest(published=False))

    def test_lostCancel(self) -> None:
        """A run goes on whose end by another process was lost: its next entry has another ID than that end."""
        server = self.startServer("enable-debug-command yes")
        run = self.pump.result(self.stores[0].create(None, published=False))
        run.append(Kind.TOKEN, b"1")
        self.pump.until(lambda: run.last == 1)
        server.command("SAVE")
        self.stores[0].client.onMessage = max
        cancelled = packCancelled(Reason.ASKED)
        self.assertTrue(self.pump.result(self.stores[1].end(run.name, cancelled)))
        there = self.pump.result(self.stores[1].find(run.name))
        self.assertEqual((there.last, there.buffer.entries[1], there.earlier), (2, cancelled.data, {run.epoch: 1}))
        server.command("DEBUG", "RELOAD", "NOSAVE")
        server.command("DEBUG", "CHANGE-REPL-ID")
        run.append(Kind.TOKEN, b"2")
        self.pump.until(lambda: run.last == 2)
        self.assertNotEqual(run.epoch, there.epoch)

    def test_lostCancelKnown(self) -> None:
        """A run whose end by another process was lost is ended again by its own process, which had heard of it."""
        server = self.startServer("enable-debug-command yes", lease=LEASE)
        run = self.pump.result(self.stores[0].create(None, published=False))
        run.append(Kind.TOKEN, b"1")
        self.pump.until(lambda: run.last == 1)
        server.command("SAVE")
        self.pump.result(self.stores[1].end(run.name, packCancelled(Reason.ASKED)))
        self.pump.until(lambda: run.state is State.CANCELLED)
        server.command("DEBUG", "RELOAD", "NOSAVE")
        server.command("DEBUG", "CHANGE-REPL-ID")
        there = self.pump.result(self.stores[1].find(run.name))
        self.pump.until(lambda: there.state is not State.OPEN)
        self.assertEqual((there.state, there.last), (State.FAILED, 2))

    def test_lostAnswer(self) -> None:
        """A run that was made, but whose process does not know that, ends soon."""
        self.startServer(lease=LEASE)
        shards = self.stores[0].session.shards
        names: list[bytes] = []

        def run(script: Any, shard: int, keys: Any, arguments: Any) -> Deferred[Any]:
            """Run a script, and lose its answer."""
            names.append(arguments[0])
            lost = Disconnected("The connection to the store was lost.")
            return call(script, shard, keys, arguments).addCallback(lambda _: fail(lost))

        call = shards.run
        patched = self.patch(shards, "run", run)
        with self.assertRaises(StoreUnavailable):
            self.pump.result(self.stores[0].create(None, published=False))
        patched.restore()
        there = self.pump.result(self.stores[1].find(names[0]))
        self.pump.until(lambda: there.state is not State.OPEN)
        self.assertEqual((there.state, there.last), (State.FAILED, 1))

    def test_empty(self) -> None:
        """A Redis that comes back empty: all streams end for their viewers."""
        server = self.startServer()
        run = self.pump.result(self.stores[0].create(None, published=False))
        published = self.pump.result(self.stores[1].create("a", published=True))
        there = self.pump.result(self.stores[1].find(run.name))
        server.kill()
        self.pump.until(lambda: not any(store.client.up for store in self.stores))
        server.start()
        self.pump.until(lambda: not any(log.state is State.OPEN for log in (run, published, there)))

    def test_frozen(self) -> None:
        """A Redis that stands still for long blocks nothing, and nothing is lost."""
        server = self.startServer()
        run = self.pump.result(self.stores[0].create(None, published=False))
        there = self.pump.result(self.stores[1].find(run.name))
        server.signal(signal.SIGSTOP)
        run.append(Kind.TOKEN, b"a")
        self.pump.until(lambda: not self.stores[0].client.up)
        run.append(Kind.TOKEN, b"b")
        server.signal(signal.SIGCONT)
        self.pump.until(lambda: there.last == 2)
        self.assertEqual(there.buffer.entries, [b"a", b"b"])

    def test_full(self) -> None:
        """Without memory publishes are refused and runs wait; a stream can still be ended, and keeps its key."""
        server = self.startServer("maxmemory-policy noeviction")
        run = self.pump.result(self.stores[0].create(None, published=False))
        self.pump.result(self.stores[1].create("a", published=True))
        starts = [store.makeDirectory("starts") for store in self.stores]
        self.assertIsNone(self.pump.result(starts[0].claim("key", b"digest")))
        server.command("CONFIG", "SET", "maxmemory", "1")
        self.pump.result(starts[0].bind("key", KeyedStream(run.name, run.epoch)))
        with self.assertRaises(StoreUnavailable):
            self.pump.result(self.stores[1].publish("a", _X, False))
        run.append(Kind.TOKEN, b"a")
        self.pump.until(lambda: self.stores[0].findProblem() is not None)
        self.assertTrue(self.pump.result(self.stores[1].end("a", packDone(Reason.STOP, 0))))
        server.command("CONFIG", "SET", "maxmemory", "0")
        self.pump.until(lambda: run.last == 1)
        self.assertIsNone(self.stores[0].findProblem())
        self.assertEqual(self.pump.result(starts[1].claim("key", b"digest")), KeyedStream(run.name, run.epoch))

    def test_fullAndDeleted(self) -> None:
        """A store whose only entries that could not be written were deleted works again."""
        server = self.startServer("maxmemory-policy noeviction")
        run = self.pump.result(self.stores[0].create(None, published=False))
        server.command("CONFIG", "SET", "maxmemory", "1")
        run.append(Kind.TOKEN, b"a")
        self.pump.until(lambda: self.stores[0].findProblem() is not None)
        self.pump.result(self.stores[1].delete(run.name))
        self.pump.until(lambda: self.stores[0].findProblem() is None)

    def test_wrongType(self) -> None:
        """A foreign value at a key of one stream ends its run, and harms no other stream."""
        server = self.startServer()
        runs = [self.pump.result(self.stores[0].create(None, published=False)) for _ in range(2)]
        key = self.stores[0].session.table.streams[runs[0].name].place.entries
        server.command("SET", key, "x")
        for run in runs:
            run.append(Kind.TOKEN, b"a")
        self.pump.until(lambda: runs[1].last == 1)
        self.assertEqual((runs[0].state, runs[1].state), (State.CANCELLED, State.OPEN))
        self.assertIsNone(self.stores[0].findProblem())

    def test_lostRuns(self) -> None:
        """A run ends whose process dies after a foreign hand has deleted the list of runs: a viewer elsewhere waits."""
        server = self.startServer(lease=LEASE)
        run = self.pump.result(self.stores[0].create(None, published=False))
        run.append(Kind.TOKEN, b"1")
        there = self.pump.result(self.stores[1].find(run.name))
        there.follow(FakeViewer(), EventsFormat())
        server.command("DEL", self.stores[1].session.shards.layout.locate(run.name).runs)
        self.stores[0].client.stop()
        for _ in range(20):
            self.pump.run(2.0)
        self.pump.until(lambda: self.pump.run(2.0) or there.state is not State.OPEN)
        self.assertEqual((there.state, there.last), (State.FAILED, 2))

    def test_epochs(self) -> None:
        """Entries that a later epoch has lost are lost for the earlier ones, too."""
        self.assertEqual(parseEpochs(""), {})
        self.assertEqual(parseEpochs("a-5 b-3 c-9 "), {"a": 3, "b": 3, "c": 9})
