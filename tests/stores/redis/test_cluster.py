"""
Stores on a real cluster of three masters, whose slots stay where they are.

Tests of `sseserver.stores.redis.servers`, `sseserver.stores.redis.errand`, `sseserver.stores.redis.peer` and
`sseserver.stores.redis.slots`; those of moving slots and dying servers are in `tests.integration.test_redis_cluster`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import StoreUnavailable
from sseserver.streams.terminal import packDone
from sseserver.values import Kind, Reason, State
from tests.redisservers import findMissing
from tests.stores.redis.twostores import TwoStoresCase

if findMissing() is None:
    from sseserver.stores.redis.address import Server
    from sseserver.stores.redis.connection import Refused
    from sseserver.stores.redis.layout import Layout, findSlot
    from sseserver.stores.redis.slots import parseRedirect, parseSlots
    from tests.stores.redis.cases import sharedCluster


class SlotTests(SynchronousTestCase):
    """The words of a cluster about its slots."""

    skip = findMissing()

    def test_map(self) -> None:
        """Each range has its master; a server without a known host has that of the server that was asked."""
        origin = Server("here", 1)
        reply = [
            [0, 99, [b"db", 7000, b"id"], [b"replica", 7001, b"id"]],
            [100, 100, [b"", 7002]],
            [101, 101, [None, 3]],
        ]
        self.assertEqual(
            parseSlots(reply, origin),
            [(0, 99, Server("db", 7000)), (100, 100, Server("here", 7002)), (101, 101, Server("here", 3))],
        )
        for wrong in (b"OK", [[0]], [[0, 1, [b"db", b"x"]]]):
            self.assertRaises(StoreUnavailable, parseSlots, wrong, origin)

    def test_redirects(self) -> None:
        """A redirect names the slot and the server."""
        for text, server in (
            ("db:7000", Server("db", 7000)),
            ("::1:7000", Server("::1", 7000)),
            (":1", Server("a", 1)),
        ):
            self.assertEqual(parseRedirect(Refused(f"MOVED 5 {text}"), Server("a", 9)), (5, server))
        self.assertRaises(StoreUnavailable, parseRedirect, Refused("MOVED 5"), Server("a", 9))


class SharedTests(TwoStoresCase):
    """A cluster in good health."""

    def test_spread(self) -> None:
        """Runs and published streams of all three servers are written, followed, listed and ended."""
        self.cluster = sharedCluster()
        self.startStores(self.cluster, 100_000)
        first, second = self.stores
        runs = [self.pump.result(first.create(f"run-{n}", published=False)) for n in range(30)]
        self.assertEqual(
            len({id(self.cluster.findOwner(findSlot(Layout().locate(run.name).stream))) for run in runs}), 3
        )
        there = [self.pump.result(second.find(run.name)) for run in runs]
        for number in range(20):
            for run in runs:
                run.append(Kind.TOKEN, b"%d" % number)
        self.pump.until(lambda: all(log.last == 20 for log in there))
        for run in runs:
            run.append(*packDone(Reason.STOP, 20))
        self.pump.until(lambda: all(log.state is State.DONE for log in there))
        self.assertEqual([log.buffer.entries for log in there], [run.buffer.entries for run in runs])
        self.assertEqual(len(self.pump.result(second.list(100))), 30)
