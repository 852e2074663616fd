"""
Tests of `sseserver.service.idle`, and of the limits of published streams.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from sseserver.interfaces import Publication
from sseserver.service.service import Settings
from sseserver.values import Kind, NewEntry, State
from tests.fakes import FakeViewer
from tests.service.cases import SLOT, ServiceTestCase


class IdleTests(ServiceTestCase):
    """The age of open published streams."""

    settings = Settings(idle=100, keep=10, maxStreams=3, maxBytes=1_000_000, linger=10**6)

    def open(self, name: str) -> Any:
        """Open a published stream."""
        self.successResultOf(self.service.open(name))
        return self.successResultOf(self.service.find(name))

    def publish(self, name: str, data: bytes = b"x") -> None:
        """Publish a token."""
        self.successResultOf(self.service.publish(name, [NewEntry(Kind.TOKEN, data)], False))

    def test_F12_ends(self) -> None:
        """F12: an open stream that nobody uses ends `cancelled`, reason `idle`, and frees its place."""
        logs = [self.open(name) for name in "abc"]
        refused = self.service.open("d")
        self.failureResultOf(refused)
        self.reactor.run(99, 1)
        self.assertEqual({streamLog.state for streamLog in logs}, {State.OPEN})
        self.reactor.run(1 + SLOT, 1)
        self.assertEqual([self.terminal(streamLog) for streamLog in logs], [("cancelled", {"reason": "idle"})] * 3)
        self.open("d")

    def test_use(self) -> None:
        """A publish, another `PUT`, or a viewer keeps a stream open; its time counts from the last of them."""
        published, opened, viewed = [self.open(name) for name in "abc"]
        viewer = FakeViewer()
        viewed.follow(viewer, self.service.formats["events"])
        for _ in range(3):
            self.reactor.run(60, 1)
            self.publish("a")
            self.open("b")
        self.reactor.run(99, 1)
        self.assertEqual([log.state for log in (published, opened, viewed)], [State.OPEN] * 3)
        self.reactor.run(2, 1)
        self.assertEqual([log.state for log in (published, opened)], [State.CANCELLED] * 2)
        viewed.leave(viewer)
        self.reactor.run(101, 1)
        self.assertIs(viewed.state, State.CANCELLED)

    def test_publishUnderWay(self) -> None:
        """A publish that the store has not finished keeps its stream open: seed 1100331 of the simulation."""
        streamLog = self.open("a")
        self.reactor.run(99, 1)
        stored: Deferred[Publication] = Deferred()
        self.patch(self.service.store, "publish", lambda *arguments: stored)
        published = self.service.publish("a", [NewEntry(Kind.TOKEN, b"x")], False)
        self.reactor.run(5, 1)
        self.assertIs(streamLog.state, State.OPEN)
        stored.callback(Publication(streamLog.epoch, 1, 1))
        self.successResultOf(published)

    def test_viewerThatLeaves(self) -> None:
        """The time of a stream counts from the leave of its last viewer."""
        streamLog = self.open("a")
        self.reactor.run(50, 1)
        wire = self.watch(streamLog)
        self.reactor.run(90, 1)
        wire.close()
        self.reactor.run(99, 1)
        self.assertIs(streamLog.state, State.OPEN)
        self.reactor.run(2, 1)
        self.assertIs(streamLog.state, State.CANCELLED)

    def test_others(self) -> None:
        """Streams of runs, and streams that were ended or deleted, are left alone."""
        run = self.startLog()
        ended = self.open("a")
        self.successResultOf(self.service.publish("a", [], True))
        self.open("b")
        self.successResultOf(self.service.delete("b"))
        self.reactor.run(5, 1)
        newer = self.open("b")
        self.reactor.run(98, 1)
        self.assertEqual((run.state, ended.state, newer.state), (State.OPEN, State.DONE, State.OPEN))

    def test_restart(self) -> None:
        """The time of a stream counts anew from the start of the service."""
        streamLog = self.open("a")
        self.reactor.run(50, 1)
        self.successResultOf(self.service.stopService())
        self.reactor.run(1000, 10)
        self.service.startService()
        self.reactor.run(99, 1)
        self.assertIs(streamLog.state, State.OPEN)
        self.reactor.run(2, 1)
        self.assertIs(streamLog.state, State.CANCELLED)

    def test_F13_separateLimits(self) -> None:
        """F13: published streams leave runs their place, in streams and in bytes, and runs leave it to them."""
        for name in "abc":
            self.open(name)
        for _ in range(3):
            self.publish("a", b"x" * 490_000)
        self.failureResultOf(self.service.publish("a", [NewEntry(Kind.TOKEN, b"x")], False))
        self.assertFalse(self.service.store.published.used < 1_000_000)
        runs = [self.startLog() for _ in range(3)]
        self.failureResultOf(self.service.startRun())
        self.source.run.write("x" * 1_100_000)
        self.source.run.end()
        for name in "ab":
            self.successResultOf(self.service.delete(name))
        self.open("d")
        self.publish("d")
        self.assertEqual([log.state for log in runs], [State.OPEN, State.OPEN, State.DONE])
