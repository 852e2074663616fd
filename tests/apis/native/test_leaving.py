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
    """Clients that disconnect while the store is working."""

    def setUp(self) -> None:
        super().setUp()
        self.waiting: Deferred[None] = Deferred()
        self.serveSlowly(self.settings)

    def serveSlowly(self, settings: Settings) -> None:
        """Serve from a store whose methods can be slowed down."""
        self.store = MemoryStore(self.reactor, settings.kept)
        self.serve(self.source, settings, self.store)

    def slow(self, name: str) -> None:
        """Hold back a method of the store."""
        method = getattr(self.store, name)
        self.patch(self.store, name, lambda *arguments: self.waiting.addCallback(lambda _: method(*arguments)))

    def leave(self, path: str, **keywords: Any) -> None:
        """Request a stream, disconnect, and then let the store continue."""
        wire = self.connect(self.factory)
        wire.send(makeRequest(path, **keywords))
        wire.close()
        self.waiting.callback(None)
        self.reactor.turn()
        self.assertEqual(self.service.viewers.count, 0)

    def test_visitor(self) -> None:
        """
        A visitor that disconnects before its run begins is no viewer. The run lingers, for a
        reconnection.
        """
        self.slow("create")
        self.leave("/", accept=EVENTSOURCE)
        self.assertEqual(len(self.source.runs), 1)
        self.reactor.run(61, 0.25)
        self.assertTrue(self.source.run.cancelled)

    def test_viewer(self) -> None:
        """A viewer that disconnects before its stream is found is no viewer."""
        path = self.startRun()
        self.slow("find")
        for accept in (EVENTSOURCE, JSON, "text/plain"):
            self.waiting = Deferred()
            self.leave(path, accept=accept)

    def test_turnedAway(self) -> None:
        """A viewer without room that has disconnected gets nothing."""
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
        """A client of HEAD that has disconnected gets nothing."""
        path = self.startRun()
        self.slow("find")
        self.leave(path, accept=EVENTSOURCE, method="HEAD")

    def test_starter(self) -> None:
        """A client that starts a run by POST and disconnects gets no answer, but the run exists."""
        self.slow("create")
        self.leave("/streams", method="POST")
        self.assertEqual(len(self.source.runs), 1)
