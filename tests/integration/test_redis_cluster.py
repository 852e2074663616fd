"""
Stores on a real cluster of three masters, whose slots move, and whose servers die.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from sseserver.errors import StoreUnavailable
from sseserver.formats import EventsFormat
from sseserver.interfaces import IStreamLog, Publication
from sseserver.values import Kind, NewEntry
from tests.fakes import FakeViewer
from tests.redisservers import RedisServer, findMissing, isReplicated
from tests.stores.redis.twostores import TwoStoresCase

if findMissing() is None:
    from sseserver.stores.redis.layout import Layout, findSlot
    from tests.redisclusters import RedisCluster
    from tests.stores.redis.cases import sharedCluster


class MovingTests(TwoStoresCase):
    """Slots of a cluster move, while streams are written and followed."""

    def setUp(self) -> None:
        super().setUp()
        self.cluster = sharedCluster()
        self.startStores(self.cluster, 100_000)

    def test_moved(self) -> None:
        """A run and a published stream go on while their slots move: nothing is lost, repeated or reordered."""
        first, second = self.stores
        run = self.pump.result(first.create("run", published=False))
        published = self.pump.result(first.create("published", published=True))
        logs = [self.pump.result(second.find(name)) for name in ("run", "published")]
        before = published.epoch
        numbers = iter(range(1000))
        sent: list[bytes] = []
        asked: list[Deferred[Publication]] = []

        def work() -> None:
            """Write one token into each stream."""
            data = b"%d" % next(numbers)
            sent.append(data)
            run.append(Kind.TOKEN, data)
            asked.append(second.publish("published", [NewEntry(Kind.TOKEN, data)], False, key=f"k{data!r}"))
            self.pump.run(0.01)

        for stream in (run, published):
            work()
            slot = findSlot(Layout().locate(stream.name).stream)
            owner = self.cluster.findOwner(slot)
            target = next(node for node in self.cluster.nodes if node is not owner)
            self.cluster.beginMove(slot, target)
            work()
            for _ in self.cluster.moveKeys(slot, target):
                work()
            self.cluster.endMove(slot, target)
            work()
        publications = [self.pump.result(each) for each in asked]
        self.pump.until(lambda: all(log.last == len(sent) for log in (published, *logs)))
        self.assertEqual([log.buffer.entries for log in (run, logs[0])], [sent] * 2)
        # The order is that of the answers.
        order = [sent[i] for i in sorted(range(len(sent)), key=lambda i: publications[i].first)]
        self.assertEqual([log.buffer.entries for log in (published, logs[1])], [order] * 2)
        self.assertEqual((logs[0].epoch, logs[1].locate(f"{before}-1")), (run.epoch, 1))

    def test_readWhileMoving(self) -> None:
        """A stream is found, described, listed and read wherever its keys are."""
        first, second = self.stores
        self.pump.result(first.create("a", published=True))
        self.pump.result(first.publish("a", [NewEntry(Kind.TOKEN, b"x")], True))
        slot = findSlot(Layout().locate("a").stream)
        owner = self.cluster.findOwner(slot)
        target = next(node for node in self.cluster.nodes if node is not owner)
        self.cluster.beginMove(slot, target)
        for _ in self.cluster.moveKeys(slot, target):
            store = self.pump.makeStore(self.cluster)
            store.start()
            self.pump.until(lambda store=store: store.findProblem() is None)
            self.assertEqual(self.pump.result(store.find("a")).last, 2)
            self.assertEqual(self.pump.result(store.describe("a")).last, 2)
            self.assertEqual([each.name for each in self.pump.result(store.list(10))], ["a"])
            self.pump.result(store.stop())
        self.cluster.endMove(slot, target)
        self.assertEqual(self.pump.result(second.find("a")).last, 2)
        self.pump.result(second.delete("a"))
        self.assertEqual(self.pump.result(first.list(10)), [])

    def test_stopped(self) -> None:
        """A store is stopped while its commands wait for a slot that moves; they fail."""
        first, second = self.stores
        self.pump.result(first.create("a", published=True))
        slot = findSlot(Layout().locate("a").stream)
        owner = self.cluster.findOwner(slot)
        target = next(node for node in self.cluster.nodes if node is not owner)
        self.cluster.beginMove(slot, target)
        asked = second.publish("a", [NewEntry(Kind.TOKEN, b"x")], False)
        self.pump.run(0.1)
        self.assertFalse(asked.called)
        self.pump.result(self.stores.pop().stop())
        with self.assertRaises(StoreUnavailable):
            self.pump.result(asked)
        self.cluster.move(slot, target)


class FailTests(TwoStoresCase):
    """Servers of a cluster die."""

    def startCluster(self, replicas: int, *options: str) -> RedisCluster:
        """Start a cluster for this test only, and two stores on it."""
        self.cluster = RedisCluster(replicas, *options)
        self.addCleanup(self.cluster.remove)
        self.cluster.start()
        self.startStores(self.cluster, 100_000)
        return self.cluster

    def startRuns(self) -> list[tuple[IStreamLog, IStreamLog]]:
        """Start a run on each server; return their logs in both stores."""
        first, second = self.stores
        runs = [self.pump.result(first.create(f"run-{n}", published=False)) for n in range(12)]
        pairs = [(run, self.pump.result(second.find(run.name))) for run in runs]
        for _, there in pairs:
            # Without viewers it would leave memory.
            there.follow(FakeViewer(), EventsFormat())
        return pairs

    def startPublished(self) -> list[IStreamLog]:
        """Create a published stream on each server; return their logs in the first store, which have viewers, too."""
        logs = [self.pump.result(self.stores[0].create(f"p-{n}", published=True)) for n in range(12)]
        for log in logs:
            log.follow(FakeViewer(), EventsFormat())
        return logs

    def test_replica(self) -> None:
        """A replica takes over from a master that dies: runs and viewers go on with nothing lost."""
        self.startCluster(1)
        pairs = self.startRuns()
        published = self.startPublished()
        for run, _ in pairs:
            run.append(Kind.TOKEN, b"before")
        self.pump.until(lambda: all(there.last == 1 for _, there in pairs))
        self.pump.until(lambda: isReplicated(self.cluster.nodes[0]))
        self.cluster.nodes[0].kill()
        for run, _ in pairs:
            run.append(Kind.TOKEN, b"while it is away")
        self.pump.until(lambda: any(store.findProblem() is not None for store in self.stores))
        self.awaitStores()
        for run, _ in pairs:
            run.append(Kind.TOKEN, b"after")
        self.pump.until(lambda: all(there.last == 3 for _, there in pairs))
        for run, there in pairs:
            self.assertEqual(there.buffer.entries, [b"before", b"while it is away", b"after"])
            self.assertEqual(there.epoch, run.epoch)
        for log in published:
            self.pump.result(self.stores[1].publish(log.name, [NewEntry(Kind.TOKEN, b"x")], False))
        self.pump.until(lambda: all(log.last == 1 for log in published))

    def test_demoted(self) -> None:
        """A master becomes a replica by order, and the master again: the streams of its slots get new epochs."""
        self.startCluster(1)
        master = self.cluster.nodes[0]
        published = self.startPublished()
        before = {log.name: log.epoch for log in published}
        for _ in range(2):
            # Before, and while it follows its new master.
            self.pump.until(lambda master=master: self.findReplica(master) is not None)
            self.pump.until(lambda master=master: isReplicated(master))
            replica = self.findReplica(master)
            self.pump.until(lambda replica=replica: replica.call("CLUSTER", "FAILOVER", "TAKEOVER") == b"OK")
            self.pump.until(lambda replica=replica: replica.call("ROLE")[0] == b"master")
            master = replica
        for log in published:
            self.pump.result(self.stores[1].publish(log.name, [NewEntry(Kind.TOKEN, b"x")], False))
        self.pump.until(lambda: all(log.last == 1 for log in published))
        renewed = {log.name for log in published if log.epoch != before[log.name]}
        self.assertTrue(renewed)
        self.assertEqual(
            renewed, {log.name for log in published if self.cluster.findOwner(self.findSlot(log)) is master}
        )

    def findReplica(self, master: RedisServer) -> Any:
        """Return the replica of a master; `None` if it has none now."""
        for node in self.cluster.nodes:
            role = node.call("ROLE")
            if role[0] == b"slave" and role[2:4] == [self.cluster.findPort(master), b"connected"]:
                return node
        return None

    def findSlot(self, log: IStreamLog) -> int:
        """Return the slot of a stream."""
        return findSlot(Layout().locate(log.name).stream)

    def test_restarted(self) -> None:
        """A server without a replica is away for a while: streams of others go on, and its own do afterwards."""
        self.startCluster(0, "appendonly yes", "appendfsync no", "cluster-require-full-coverage no")
        pairs = self.startRuns()
        dead = self.cluster.nodes[1]
        mine = {run.name for run, _ in pairs if self.cluster.findOwner(self.findSlot(run)) is dead}
        self.assertTrue(0 < len(mine) < 12)
        dead.kill()
        self.pump.until(lambda: all(store.findProblem() is not None for store in self.stores))
        for run, _ in pairs:
            run.append(Kind.TOKEN, b"a")
        self.pump.until(lambda: all(there.last == 1 for run, there in pairs if run.name not in mine))
        self.assertEqual({run.name for run, there in pairs if there.last == 0}, mine)
        dead.start()
        self.pump.until(lambda: all(there.last == 1 for _, there in pairs))
        self.awaitStores()
