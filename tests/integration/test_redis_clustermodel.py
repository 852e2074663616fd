"""
Two stores on a cluster against a model: a seed decides what they are asked, and which slots move meanwhile.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import StoreUnavailable, StreamNotFound
from sseserver.interfaces import IStreamLog
from sseserver.streams.terminal import packDone
from sseserver.values import Kind, NewEntry, Reason, State
from tests.redisservers import RedisServer, findMissing

if findMissing() is None:
    from sseserver.stores.redis.layout import Layout, findSlot
    from sseserver.stores.redis.store import RedisStore
    from tests.redisclusters import RedisCluster
    from tests.stores.redis.cases import Pump, sharedCluster

#: Number of seeds, and of steps of each.
SEEDS, STEPS = (50, 200) if os.environ.get("SSESERVER_LONG") == "1" else (2, 60)


@dataclass
class Stream:
    """A stream as it must be."""

    name: str
    published: bool
    log: IStreamLog
    entries: list[bytes] = field(default_factory=list)
    keys: dict[str, int] = field(default_factory=dict)
    ended: bool = False


class Mover:
    """Moves one slot after the other, a step at a time."""

    def __init__(self, chance: random.Random, cluster: RedisCluster) -> None:
        self._chance = chance
        self._cluster = cluster
        self._keys: Iterator[bytes] | None = None
        self._slot, self._target = 0, self._cluster.nodes[0]

    def step(self, name: str) -> None:
        """Begin to move the slot of a stream, move one more key of that which is being moved, or end that."""
        if self._keys is None:
            self._slot = findSlot(Layout().locate(name).stream)
            owner = self._cluster.findOwner(self._slot)
            others: list[RedisServer] = [node for node in self._cluster.nodes if node is not owner]
            self._target = self._chance.choice(others)
            self._cluster.beginMove(self._slot, self._target)
            self._keys = self._cluster.moveKeys(self._slot, self._target)
        elif next(self._keys, None) is None:
            self._cluster.endMove(self._slot, self._target)
            self._keys = None

    def finish(self) -> None:
        """End the move that is under way."""
        while self._keys is not None:
            self.step("")


class ModelTests(SynchronousTestCase):
    """Random steps."""

    skip = findMissing()

    def setUp(self) -> None:
        self.pump = Pump(Clock())

    def test_seeds(self) -> None:
        """Whatever moves: each stream has exactly the entries that it was given, in both stores, under one name."""
        for seed in range(SEEDS):
            self.play(seed)

    def play(self, seed: int) -> None:
        """Play one seed."""
        chance = random.Random(seed)
        cluster = sharedCluster()
        mover = Mover(chance, cluster)
        stores = [self.pump.makeStore(cluster, 100_000) for _ in range(2)]
        streams: dict[str, Stream] = {}
        for store in stores:
            store.session.node.lease = 60.0
            store.start()
            self.pump.until(lambda store=store: store.findProblem() is None)
        for number in range(STEPS):
            step = chance.random()
            stream = chance.choice(list(streams.values())) if streams else None
            if stream is None or step < 0.1:
                mover.finish()
                self.create(stores[0], streams, f"s{number}", chance.random() < 0.5)
            elif step < 0.4:
                mover.step(stream.name)
            elif step < 0.9:
                self.write(stores[chance.randrange(2)], stream, chance, mover)
            elif step < 0.95:
                mover.finish()
                self.end(stores[chance.randrange(2)], stream)
            else:
                mover.finish()
                self.pump.result(stores[chance.randrange(2)].delete(stream.name))
                del streams[stream.name]
                # The other store is told in a message.
                other = stores[chance.randrange(2)]
                self.pump.until(lambda other=other, name=stream.name: self.isGone(other, name))
        mover.finish()
        self.compare(stores, streams)
        for store in stores:
            self.pump.result(store.stop())

    def isGone(self, store: RedisStore, name: str) -> bool:
        """Return whether a store knows no such stream."""
        try:
            self.pump.result(store.find(name))
        except StreamNotFound:
            return True
        return False

    def create(self, store: RedisStore, streams: dict[str, Stream], name: str, published: bool) -> None:
        """Make a stream."""
        log = self.pump.result(store.create(name, published=published))
        streams[name] = Stream(name, published, log)

    def write(self, store: RedisStore, stream: Stream, chance: random.Random, mover: Mover) -> None:
        """Append to a run, or publish, sometimes with a key that was used."""
        data = b"%d" % len(stream.entries)
        if stream.ended:
            return
        if not stream.published:
            stream.log.append(Kind.TOKEN, data)
            stream.entries.append(data)
            return
        key = chance.choice([*stream.keys, f"k{len(stream.keys)}"])
        first = stream.keys.get(key)
        data = data if first is None else stream.entries[first - 1]
        asked = store.publish(stream.name, [NewEntry(Kind.TOKEN, data)], False, key=key)
        self.pump.run(0.05)
        if not asked.called:
            mover.finish()
        publication = self.pump.result(asked)
        if first is None:
            stream.entries.append(data)
            stream.keys[key] = len(stream.entries)
        self.assertEqual((publication.last, publication.repeated), (stream.keys[key], first is not None))

    def end(self, store: RedisStore, stream: Stream) -> None:
        """End a stream, once."""
        self.pump.until(lambda: stream.log.buffer.appended == stream.log.last or stream.published)
        entry = packDone(Reason.STOP, len(stream.entries))
        self.assertEqual(self.pump.result(store.end(stream.name, entry)), not stream.ended)
        if not stream.ended:
            stream.entries.append(entry.data)
            stream.ended = True

    def compare(self, stores: list[RedisStore], streams: dict[str, Stream]) -> None:
        """Compare all streams with the model, in both stores."""
        for stream in streams.values():
            for store in stores:
                log = self.findLog(store, stream.name)
                self.pump.until(lambda log=log, stream=stream: log.last == len(stream.entries))
                self.assertEqual(log.buffer.entries, stream.entries)
                self.assertEqual(log.state is State.OPEN, not stream.ended)
        self.pump.until(lambda: self.listNames(stores[1]) == set(streams))

    def findLog(self, store: RedisStore, name: str) -> IStreamLog:
        """Find a stream, in several attempts while a server has not heard yet which slots it has."""
        for _ in range(100):
            try:
                found: IStreamLog = self.pump.result(store.find(name))
            except StoreUnavailable:
                self.pump.run(0.1)
            else:
                return found
        raise AssertionError(f"{name} is not found.")

    def listNames(self, store: RedisStore) -> set[str]:
        """List the names of all streams; of none while a server has not heard yet which slots it has."""
        try:
            return {each.name for each in self.pump.result(store.list(1000))}
        except StoreUnavailable:
            return set()
