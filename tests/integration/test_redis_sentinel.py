"""
Stores on a Redis whose master the Sentinels name.
"""

from __future__ import annotations

from sseserver.errors import GapError
from sseserver.formats import EventsFormat
from sseserver.interfaces import IStreamLog
from sseserver.values import Kind, NewEntry
from tests.fakes import FakeViewer
from tests.redisservers import findMissing, isReplicated
from tests.stores.redis.twostores import TwoStoresCase

_X = [NewEntry(Kind.TOKEN, b"x")]

if findMissing() is None:
    from tests.redissentinels import SERVICE, WatchedRedis


class SentinelTests(TwoStoresCase):
    """A master, a replica, a Sentinel and two stores."""

    def setUp(self) -> None:
        super().setUp()
        self.redis = WatchedRedis()
        self.addCleanup(self.redis.remove)
        self.redis.start()

    def watch(self, run: IStreamLog) -> IStreamLog:
        """Return the log of a run in the other store, with a viewer: without one it would leave memory."""
        there = self.pump.result(self.stores[1].find(run.name))
        there.follow(FakeViewer(), EventsFormat())
        return there

    def test_lostWrites(self) -> None:
        """A fail-over loses the last writes: a run writes them again, viewers of a published stream must return."""
        self.startStores(self.redis)
        run = self.pump.result(self.stores[0].create(None, published=False))
        there = self.watch(run)
        published = self.pump.result(self.stores[0].create("a", published=True))
        viewer, epoch = FakeViewer(), published.epoch
        published.follow(viewer, EventsFormat())
        run.append(Kind.TOKEN, b"1")
        self.pump.result(self.stores[0].publish("a", _X, False))
        self.pump.until(lambda: there.last == published.last == 1)
        self.pump.until(lambda: isReplicated(self.redis.master))
        self.redis.cut()
        run.append(Kind.TOKEN, b"2")
        self.pump.result(self.stores[0].publish("a", _X, False))
        self.pump.until(lambda: there.last == published.last == 2)
        self.redis.master.kill()
        self.pump.until(lambda: any(store.findProblem() is not None for store in self.stores))
        self.awaitStores()
        run.append(Kind.TOKEN, b"3")
        self.pump.until(lambda: there.last == 3)
        self.assertEqual((there.buffer.entries, there.epoch), ([b"1", b"2", b"3"], run.epoch))
        self.pump.result(self.stores[1].publish("a", [NewEntry(Kind.TOKEN, b"other")], False))
        again = self.pump.result(self.stores[0].find("a"))
        self.assertEqual(again.locate(f"{epoch}-1"), 1)
        self.assertRaises(GapError, again.locate, f"{epoch}-2")
        self.assertTrue(viewer.dismissed)
        self.assertEqual(self.redis.replica.call("ROLE")[0], b"master")

    def test_ordered(self) -> None:
        """A fail-over by order: the stores leave the server that has become a replica, and nothing is lost."""
        self.startStores(self.redis)
        run = self.pump.result(self.stores[0].create(None, published=False))
        there = self.watch(run)
        self.pump.until(lambda: self.redis.sentinel.call("SENTINEL", "FAILOVER", SERVICE) == b"OK")
        for number in range(20):
            run.append(Kind.TOKEN, b"%d" % number)
            self.pump.run(0.05)
        self.pump.until(lambda: self.redis.replica.call("ROLE")[0] == b"master")
        self.pump.until(lambda: self.redis.master.call("ROLE")[0] == b"slave")
        self.pump.until(lambda: there.last == 20)
        self.awaitStores()
        run.append(Kind.TOKEN, b"20")
        self.pump.until(lambda: there.last == 21)
        self.assertEqual(there.buffer.entries, [b"%d" % number for number in range(21)])

    def test_readonly(self) -> None:
        """A server that is made a replica by hand is left as soon as it refuses a write."""
        self.startStores(self.redis)
        self.redis.sentinel.kill()
        self.redis.replica.call("REPLICAOF", "NO", "ONE")
        self.redis.master.call("REPLICAOF", "127.0.0.1", self.redis.replica.call("CONFIG", "GET", "port")[1])
        self.stores[0].publish("a", _X, False).addErrback(lambda _: None)
        self.pump.until(lambda: "No Sentinel names" in (self.stores[0].findProblem() or ""))
