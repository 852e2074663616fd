"""
Outages between two stores and their Redis: no answers, late answers, and none for longer than a lease.
"""

from __future__ import annotations

import os
from pathlib import Path

from sseserver.formats import EventsFormat
from sseserver.streams.terminal import packDone
from sseserver.values import Kind, NewEntry, Reason, State
from tests.fakes import FakeViewer
from tests.redisproxies import RedisProxy
from tests.redisservers import RedisServer
from tests.stores.redis.twostores import TwoStoresCase


class OutageTests(TwoStoresCase):
    """Two stores behind a proxy."""

    def setUp(self) -> None:
        super().setUp()
        # Not the disk, but the kernel has everything that a killed process has written.
        self.server = RedisServer("appendonly yes", "appendfsync no").start()
        self.addCleanup(self.server.remove)
        self.proxy = RedisProxy(self.pump.reactor, self.server.path, str(Path(self.server.folder, "proxy")))
        self.addCleanup(self.stopProxy)

    def stopProxy(self) -> None:
        """Stop the proxy, and wait until its sockets are closed."""
        self.proxy.stop()
        self.pump.until(lambda: self.proxy.isClosed)
        self.pump.run(0.1)

    def test_halfOpen(self) -> None:
        """A Redis that answers nothing is noticed within seconds on both connections; then everything goes on."""
        self.startStores(self.proxy, 100_000, 60.0)
        run = self.pump.result(self.stores[0].create(None, published=False))
        there = self.pump.result(self.stores[1].find(run.name))
        there.follow(FakeViewer(), EventsFormat())
        began = self.pump.reactor.seconds()
        self.proxy.swallows = True
        run.append(Kind.TOKEN, b"a")
        self.pump.until(lambda: not any(store.client.up for store in self.stores))
        # By itself: after 2.5 seconds of silence it is asked, and after 5 more it is given up.
        self.assertLess(self.pump.reactor.seconds() - began, 30.0)
        run.append(Kind.TOKEN, b"b")
        self.proxy.swallows = False
        self.pump.until(lambda: there.last == 2)
        self.awaitStores()
        self.assertEqual(there.buffer.entries, [b"a", b"b"])

    def test_slow(self) -> None:
        """Answers that are late by 200 ms block nothing, and nothing is lost, repeated or reordered."""
        self.startStores(self.proxy, 100_000, 60.0)
        run = self.pump.result(self.stores[0].create(None, published=False))
        published = self.pump.result(self.stores[0].create("a", published=True))
        logs = [self.pump.result(self.stores[1].find(name)) for name in (run.name, "a")]
        self.proxy.delay = 0.2
        turns = 0
        for number in range(20):
            run.append(Kind.TOKEN, b"%d" % number)
            asked = self.stores[1].publish("a", [NewEntry(Kind.TOKEN, b"%d" % number)], False, key=f"{number}")
            while not asked.called:
                self.pump.run(0.02)
                turns += 1
        # The reactor was free while each of them waited.
        self.assertGreater(turns, 20)
        run.append(*packDone(Reason.STOP, 20))
        self.pump.until(lambda: logs[0].state is State.DONE and published.last == logs[1].last == 20)
        expected = [b"%d" % number for number in range(20)]
        for log in (run, *logs, published):
            self.assertEqual(log.buffer.entries[:20], expected)

    def test_long(self) -> None:
        """An outage that is longer than all leases ends no run: its process goes on when the Redis is back."""
        # Longer than the longest pause between two attempts to connect, as in earnest.
        lease, outage = (10.0, 30.0) if os.environ.get("SSESERVER_LONG") == "1" else (5.0, 6.0)
        self.startStores(self.proxy, 100_000, lease)
        runs = [self.pump.result(store.create(None, published=False)) for store in self.stores]
        logs = [self.pump.result(store.find(run.name)) for store, run in zip(reversed(self.stores), runs, strict=True)]
        for log in logs:
            # A log without viewers would leave memory meanwhile.
            log.follow(FakeViewer(), EventsFormat())
        for round_ in range(2):
            for run in runs:
                run.append(Kind.TOKEN, b"before")
            self.pump.until(lambda round_=round_: all(log.last == 2 * round_ + 1 for log in logs))
            self.server.kill()
            self.pump.until(lambda: not any(store.client.up for store in self.stores))
            began = self.pump.reactor.seconds()
            for run in runs:
                run.append(Kind.TOKEN, b"meanwhile")
            self.pump.until(lambda began=began: self.pump.reactor.seconds() - began > outage)
            self.server.start()
            self.pump.until(lambda round_=round_: all(log.last == 2 * round_ + 2 for log in logs))
        self.assertEqual({log.state for log in (*runs, *logs)}, {State.OPEN})
