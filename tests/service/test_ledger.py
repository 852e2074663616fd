"""
Tests of `sseserver.service.ledger`: one place that counts everything that outlives its request.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from sseserver.errors import Overloaded
from sseserver.service.ledger import CONNECTION_COST, PROMPT_SHARE, REST_SHARE, RUN_COST, VIEWER_COST, Figures, Ledger
from sseserver.settings import Settings
from sseserver.stores.memory import MemoryStore
from sseserver.stores.sqlite import SQLiteStore
from sseserver.values import Kind, NewEntry, Prompt
from sseserver.web.arrivingbodies import ArrivingBodies
from sseserver.web.openconnections import OpenConnections
from tests.fakes import ClockTestCase
from tests.service.cases import ServiceTestCase


class LedgerTests(ClockTestCase):
    """The accounts and their limits."""

    def setUp(self) -> None:
        super().setUp()
        self.store = MemoryStore(self.clock, Settings().kept)
        self.ledger = Ledger(Settings(maxStreams=3, maxBytes=20_000, maxViewers=7), self.store, self.clock.seconds)

    def test_hasRoom(self) -> None:
        """The limits of streams and of bytes hold for each kind of streams."""
        for name in "abc":
            self.successResultOf(self.store.create(name, True))
        self.assertEqual((self.ledger.hasRoom(0, True), self.ledger.hasRoom(1, True)), (True, False))
        self.successResultOf(self.store.create("d", True)).append(Kind.TOKEN, b"x" * 20_000)
        self.assertFalse(self.ledger.hasRoom(0, True))
        self.assertTrue(self.ledger.hasRoom(3))
        self.assertFalse(self.ledger.hasRoom(4))

    def test_runs(self) -> None:
        """Keys and sources at work take room of runs."""
        for account in (self.ledger.keys, self.ledger.work):
            account.add(20_001)
            self.assertEqual((self.ledger.hasRoom(), self.ledger.hasRoom(0, True)), (False, True))
            account.subtract(20_001)
            self.assertTrue(self.ledger.hasRoom())

    def test_prompts(self) -> None:
        """Prompts have a limit of their own, a share of the bytes of streams."""
        self.ledger.prompts.add(20_000 // PROMPT_SHARE - 1)
        self.ledger.checkPrompts()
        self.ledger.prompts.add(1)
        self.assertRaises(Overloaded, self.ledger.checkPrompts)
        self.assertTrue(self.ledger.hasRoom())

    def test_report(self) -> None:
        """The report has the figures of each account."""
        self.ledger.keys.add(100)
        self.ledger.viewers.count += 2
        report = self.ledger.report()
        self.assertEqual(list(report), ["runs", "published", "keys", "work", "prompts", "viewers", "rests", "clients"])
        self.assertEqual(report["rests"], Figures(0, 0, 20_000 // REST_SHARE))
        self.assertEqual(report["keys"], Figures(100, 1, 20_000))
        self.assertEqual(report["prompts"], Figures(0, 0, 5000))
        self.assertEqual((report["clients"].used, report["clients"].count), (0, 0))
        self.assertEqual(report["viewers"], Figures(2 * VIEWER_COST, 2, 7 * VIEWER_COST))

    def test_connections(self) -> None:
        """The connections of a site, and its bodies, are in the report if the site is known."""
        self.ledger.connections = connections = OpenConnections(10, self.clock)
        self.ledger.bodies = bodies = ArrivingBodies(1000)
        connections.admit()
        bodies.grow(0, 70)
        report = self.ledger.report()
        self.assertEqual(report["connections"], Figures(CONNECTION_COST, 1, 10 * CONNECTION_COST))
        self.assertEqual(report["bodies"], Figures(70, 1, 1000))


class ZeroTests(ServiceTestCase):
    """Refunds are exact."""

    settings = Settings(keep=10, idle=100, linger=20)
    takesPrompt = True

    def figures(self) -> dict[str, tuple[int, int]]:
        """Return bytes and count of each account that is not empty."""
        report = self.service.ledger.report()
        return {name: (each.used, each.count) for name, each in report.items() if each.used or each.count}

    def settle(self, deferred: Deferred[Any]) -> Any:
        """Let the store write, and return the result."""
        self.reactor.advance(0)
        return self.successResultOf(deferred)

    def exercise(self) -> None:
        """Use each account."""
        kept = self.service.keys.makeKept("chats")
        for number in range(4):
            streamLog = self.settle(self.service.startRun(Prompt("x" * 100)))
            kept.add(str(number), streamLog)
            kept.add(str(number), self.settle(self.service.startRun(Prompt("y"), f"key-{number}")))
        wire = self.watch(streamLog)
        self.source.runs[0].write("a", "b")
        self.source.runs[0].end()
        for name in ("a", "b"):
            self.settle(self.service.open(name))
            for number in range(10):
                entries = [NewEntry(Kind.TOKEN, b"x" * number or b"y")]
                self.settle(self.service.publish(name, entries, False, f"key-{number}"))
        busy = self.figures()
        self.assertEqual(list(busy), ["runs", "published", "keys", "work", "prompts", "viewers"])
        self.assertEqual(busy["work"], (7 * RUN_COST, 7))
        self.assertEqual(busy["keys"][1], 8)
        wire.close()
        self.service.delete("a")
        self.reactor.run(200, 1)

    def test_memory(self) -> None:
        """At the end of everything each account is empty: in memory …"""
        self.exercise()
        self.assertEqual(self.figures(), {})

    def test_sqlite(self) -> None:
        """… and with a store in a file."""
        store = SQLiteStore(self.reactor, self.mktemp(), self.settings.kept, maybeDeferred)
        self.serve(self.source, self.settings, store)
        self.exercise()
        self.assertEqual(self.figures(), {})
