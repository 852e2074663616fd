"""
Tests of `sseserver.service.streamends`, and of what a service leaves to a store that several processes share.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import fail
from twisted.logger import globalLogPublisher

from sseserver.apis.admin.health import findProblems
from sseserver.apis.root import StreamResource
from sseserver.errors import KeyReused, Overloaded, RateLimited, SourceError, StoreUnavailable
from sseserver.service.clients import Client, ClientLimits
from sseserver.service.service import Settings
from sseserver.streams.terminal import packCancelled, packFailed
from sseserver.values import Kind, NewEntry, Prompt, Reason, State
from tests.http import EVENTSOURCE
from tests.service.cases import ServiceTestCase
from tests.stores.shared import SharedMemoryStore


class EndTests(ServiceTestCase):
    """Ends from outside in a store of this process."""

    def test_deletionThatFails(self) -> None:
        """A run whose stream cannot be deleted has stopped, so its stream ends."""
        streamLog = self.startLog()
        # The stream cannot be ended by a request to the store, either.
        for word in ("delete", "end"):
            self.patch(self.service.store, word, lambda *arguments: fail(StoreUnavailable("The disk is full.")))
        self.failureResultOf(self.service.delete(streamLog.name), StoreUnavailable)
        self.assertTrue(self.source.run.cancelled)
        self.assertEqual(self.terminal(streamLog), ("cancelled", {"reason": "asked"}))

    def test_endThatFails(self) -> None:
        """A cancellation that the store cannot take is refused, and the stream is open."""
        self.successResultOf(self.service.open("a"))
        self.patch(self.service.store, "end", lambda *arguments: fail(StoreUnavailable("The disk is full.")))
        self.failureResultOf(self.service.cancel("a"), StoreUnavailable)
        self.assertIs(self.successResultOf(self.service.describe("a")).state, State.OPEN)

    def test_keptOnce(self) -> None:
        """A stream that is cancelled again and again is deleted once, after its time."""
        self.successResultOf(self.service.open("a"))
        for _ in range(3):
            self.assertIs(self.successResultOf(self.service.cancel("a")).state, State.CANCELLED)
        deleted: list[Any] = []
        delete = self.service.store.delete
        self.patch(self.service.store, "delete", lambda *arguments: deleted.append(arguments) or delete(*arguments))
        self.reactor.run(700, 10)
        self.assertEqual([name for name, _ in deleted], ["a"])


class SharedTests(ServiceTestCase):
    """A service with a store that several processes share."""

    settings = Settings(idle=100, keep=10, maxStreams=2, linger=10**6)
    store: SharedMemoryStore

    def setUp(self) -> None:
        super().setUp()
        self.store = SharedMemoryStore(self.reactor, 100_000)
        self.serve(self.source, self.settings, self.store)

    def publish(self, name: str) -> None:
        """Publish a token that ends its stream."""
        self.successResultOf(self.service.publish(name, [NewEntry(Kind.TOKEN, b"x")], True))

    def test_neitherListedNorEnded(self) -> None:
        """The service does not list all streams, ends no idle ones, and deletes no ended ones: the store does."""
        self.patch(self.store, "list", None)
        self.successResultOf(self.service.stopService())
        self.service.startService()
        for name in "ab":
            self.successResultOf(self.service.open(name))
        self.publish("a")
        self.reactor.run(1000, 10)
        states = [self.successResultOf(self.service.describe(name)).state for name in "ab"]
        self.assertEqual(states, [State.DONE, State.OPEN])

    def test_room(self) -> None:
        """A full memory drops logs that nobody uses, and refuses what has no room then."""
        for name in "ab":
            self.successResultOf(self.service.open(name))
        self.publish("a")
        self.failureResultOf(self.service.open("c"), Overloaded)
        self.store.unused = ["a"]
        self.successResultOf(self.service.open("c"))
        self.assertEqual(self.store.sheds, [True, True])

    def test_endedElsewhere(self) -> None:
        """The run of a stream that another process has ended is stopped, and counted by that end."""
        ends = [packCancelled(Reason.ASKED), packFailed(SourceError("Stopped.", Reason.INTERRUPTED))]
        for entry in ends:
            streamLog = self.startLog()
            self.source.run.write("a")
            streamLog.append(*entry)
            self.store.onEnded(streamLog)
            self.assertTrue(self.source.run.cancelled)
            self.source.run.write("late")
            self.assertEqual((streamLog.last, streamLog.buffer.entry(2)), (2, entry.data))
        self.assertEqual(self.service.runs.names, [])
        counts = self.service.runs.counts.ends
        self.assertEqual([counts.counts[reason] for reason in ("asked", "interrupted")], [1, 1])
        self.store.onEnded(streamLog)

    def test_awaited(self) -> None:
        """A service starts without a store that will come, and says so; viewers are told to return."""
        self.successResultOf(self.service.stopService())
        self.store.problem = "No connection to the server."
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        self.service.startService()
        lines = [event["problem"] for event in events if "The store is awaited" in (event["log_format"] or "")]
        self.assertEqual(lines, [self.store.problem])
        self.assertEqual(findProblems(self.service), {"store": self.store.problem})
        self.patch(self.store, "find", lambda name: fail(StoreUnavailable("No connection.")))
        self.patch(self.store, "describe", lambda name, key=None: fail(StoreUnavailable("No connection.")))
        response = self.ask("/streams/a", EVENTSOURCE)
        self.assertEqual(response.status, 200)
        self.assertRegex(response.body.decode(), r"^retry: \d+\n\n$")
        self.assertEqual(self.ask("/streams/a", "application/json").status, 503)


class TwoServicesTests(ServiceTestCase):
    """Two services with one store, as two processes have it."""

    takesPrompt = True

    def setUp(self) -> None:
        super().setUp()
        store = SharedMemoryStore(self.reactor, 100_000)
        self.serve(self.source, self.settings, store)
        self.other = self.service
        self.serve(self.source, self.settings, store)

    def test_joined(self) -> None:
        """A running answer is joined from another process by its idempotency key; another request is refused."""
        started = self.successResultOf(self.service.startRun(Prompt("Why?"), "key"))
        self.assertIs(self.successResultOf(self.other.startRun(Prompt("Why?"), "key")), started)
        self.failureResultOf(self.other.startRun(Prompt("How?"), "key"), KeyReused)
        self.assertEqual((len(self.source.runs), self.other.ledger.keys.used), (1, 0))
        self.source.run.fail(SourceError("Slower."))
        again = self.successResultOf(self.other.startRun(Prompt("Why?"), "key"))
        self.assertIsNot(again, started)

    def test_chats(self) -> None:
        """The newest answer of a chat, and the run of a visitor, are found by another process."""
        body = {"id": "chat-1", "messages": [{"role": "user", "parts": [{"type": "text", "text": "Hi"}]}]}
        wire = self.connect(self.factory)
        wire.begin(
            "/api/chat", method="POST", body=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
        )
        self.source.run.write("Hello")
        self.factory = self.site(StreamResource(self.other))
        self.assertIn("Hello", self.view("/api/chat/chat-1/stream").response.body.decode())

    def test_cancelled(self) -> None:
        """A stream is cancelled by any process, once."""
        self.successResultOf(self.service.open("a"))
        ended = [self.successResultOf(service.cancel("a")) for service in (self.other, self.service)]
        self.assertEqual([(stream.state, stream.last) for stream in ended], [(State.CANCELLED, 1)] * 2)

    def test_limits(self) -> None:
        """The limits of a client hold for all processes together."""
        client = Client("principal a", False)
        settings = Settings(maxRunsPerClient=2, runsPerMinute=3)
        first, second = [ClientLimits(settings, self.reactor.seconds, self.service.store) for _ in range(2)]
        first.startRun(client)
        second.startRun(client)
        for limits in (first, second):
            self.assertRaises(RateLimited, limits.startRun, client)
        first.runs.remove(client)
        second.startRun(client)
        first.runs.remove(client)
        self.assertRaises(RateLimited, first.startRun, client)
        self.assertEqual((first.starts.buckets.refused, first.count), (1, 2))
