"""
Tests of clients that disconnect while the store is working.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from sseserver.settings import Settings
from sseserver.stores.memory import MemoryStore
from sseserver.web.accept import JSON
from tests.apis.cases import ScriptedTestCase
from tests.http import EVENTSOURCE, makeRequest


class LeavingTests(ScriptedTestCase):
    """Clients that leave while the store takes its time."""

    def setUp(self) -> None:
        super().setUp()
        self.waiting: Deferred[None] = Deferred()
        self.serveSlowly(self.settings)

    def serveSlowly(self, settings: Settings) -> None:
        """Serve from a store whose methods can be slowed down."""
        self.store = MemoryStore(self.reactor, settings.kept)
        self.serve(self.source, settings, self.store)

    def slow(self, name: str) -> None:
        """Let a method of the store wait."""
        method = getattr(self.store, name)
        self.patch(self.store, name, lambda *arguments: self.waiting.addCallback(lambda _: method(*arguments)))

    def leave(self, path: str, **keywords: Any) -> None:
        """Ask for a stream, leave, and let the store be ready then."""
        wire = self.connect(self.factory)
        wire.send(makeRequest(path, **keywords))
        wire.close()
        self.waiting.callback(None)
        self.reactor.turn()
        self.assertEqual(self.service.viewers.count, 0)

    def test_visitor(self) -> None:
        """
        A visitor that has left before their run began is no viewer; the run
        lingers, since they may come back.
        """
        self.slow("create")
        self.leave("/", accept=EVENTSOURCE)
        self.assertEqual(len(self.source.runs), 1)
        self.reactor.run(61, 0.25)
        self.assertTrue(self.source.run.cancelled)

    def test_viewer(self) -> None:
        """
        A viewer that has left before the stream was found is none.
        """
        path = self.startRun()
        self.slow("find")
        for accept in (EVENTSOURCE, JSON, "text/plain"):
            self.waiting = Deferred()
            self.leave(path, accept=accept)

    def test_turnedAway(self) -> None:
        """
        One too many who has left meanwhile is not even turned away.
        """
        self.serveSlowly(Settings(maxViewers=1))
        path = self.startRun()
        self.view(path)
        self.slow("find")
        wire = self.connect(self.factory)
        wire.send(makeRequest(path, accept=EVENTSOURCE))
        wire.close()
        self.waiting.callback(None)
        self.assertEqual(wire.received, b"")

    def test_head(self) -> None:
        """
        Who asked only for the headers and has left gets none.
        """
        path = self.startRun()
        self.slow("find")
        self.leave(path, accept=EVENTSOURCE, method="HEAD")

    def test_starter(self) -> None:
        """
        Who started a run by POST and has left is not answered; the run is
        there.
        """
        self.slow("create")
        self.leave("/streams", method="POST")
        self.assertEqual(len(self.source.runs), 1)
