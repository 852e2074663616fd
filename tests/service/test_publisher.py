"""
Tests of `sseserver.service.publisher`: how publishes use the store, and what they tell the age of a stream.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from sseserver.errors import Overloaded, StoreUnavailable, StreamEnded, StreamExists, StreamNotFound
from sseserver.interfaces import Publication
from sseserver.service.idle import IdleStreams
from sseserver.service.publisher import Publisher
from sseserver.service.retention import Retention
from sseserver.service.service import Settings
from sseserver.stores.sqlite import SQLiteStore
from sseserver.timing.ticker import Ticker
from sseserver.values import Kind, NewEntry, State
from tests.apis.native.test_slowstore import Thread
from tests.service.cases import SLOT, ServiceTestCase

_ENTRIES = [NewEntry(Kind.TOKEN, b"x")]


class PublisherTests(ServiceTestCase):
    """Publishes of a service."""

    settings = Settings(idle=100, keep=1000, maxBytes=100_000)

    def open(self, name: str) -> None:
        """Open a published stream."""
        self.successResultOf(self.service.open(name))

    def publish(self, name: str, close: bool = False) -> Deferred[Publication]:
        """Publish a token."""
        return self.service.publish(name, _ENTRIES, close)

    def test_published(self) -> None:
        """The service asks the store for no log: one call publishes, and its entries are counted once for a key."""
        self.open("a")
        self.patch(self.service.store, "find", None)
        for repeated in (False, True):
            publication = self.successResultOf(self.service.publish("a", _ENTRIES, False, "key"))
            self.assertEqual(publication[1:], (1, 1, repeated))
        self.assertEqual(self.service.ledger.publishedEntries, 1)

    def test_opened(self) -> None:
        """Opening a stream describes it; the stream of a run, and one that has ended, are refused."""
        for new in (True, False):
            stream, isNew = self.successResultOf(self.service.open("a"))
            self.assertEqual((stream.name, stream.last, isNew), ("a", 0, new))
        self.successResultOf(self.publish("a", close=True))
        ended = self.failureResultOf(self.service.open("a"), StreamEnded)
        self.assertIn("a has ended (done)", str(ended.value))
        written = self.failureResultOf(self.service.open(self.startLog().name), StreamExists)
        self.assertIn("is written by a run", str(written.value))

    def test_openedByAnother(self) -> None:
        """A stream that another request creates meanwhile is opened, too."""
        store = self.service.store
        create = store.create

        def createTwice(name: str, published: bool, question: str = "") -> Deferred[object]:
            self.successResultOf(create(name, published, question))
            return create(name, published, question)

        self.patch(store, "create", createTwice)
        stream, isNew = self.successResultOf(self.service.open("a"))
        self.assertEqual((stream.name, isNew), ("a", False))

    def test_noRoom(self) -> None:
        """Without room a publish is refused, and a missing stream is still reported as missing."""
        self.open("a")
        self.successResultOf(self.service.publish("a", [NewEntry(Kind.TOKEN, b"x" * 100_000)], False, "key"))
        self.failureResultOf(self.publish("a"), Overloaded)
        self.failureResultOf(self.publish("b"), StreamNotFound)
        repeated = self.service.publish("a", [NewEntry(Kind.TOKEN, b"x" * 100_000)], False, "key")
        self.assertTrue(self.successResultOf(repeated).repeated)

    def test_atOnce(self) -> None:
        """Entries that are visible at once need no Deferred; the same is noted as with one."""
        self.open("a")
        for key, number, repeated in ((None, 1, False), ("key", 2, False), ("key", 2, True)):
            publication = self.service.publishAtOnce("a", _ENTRIES, key)
            assert isinstance(publication, Publication)
            self.assertEqual(publication[1:], (number, number, repeated))
            self.assertEqual(self.service.ledger.publishedEntries, number)
        self.reactor.run(99, 1)
        self.service.publishAtOnce("a", _ENTRIES)
        self.reactor.run(99, 1)
        self.assertIs(self.successResultOf(self.service.describe("a")).state, State.OPEN)
        self.successResultOf(self.publish("a", close=True))
        self.assertRaises(StreamEnded, self.service.publishAtOnce, "a", _ENTRIES)

    def test_atOnceElsewhere(self) -> None:
        """A stream that is not in memory, and a store without room, are asked as otherwise."""
        missing: Any = self.service.publishAtOnce("a", _ENTRIES)
        self.failureResultOf(missing, StreamNotFound)
        self.open("a")
        self.successResultOf(self.service.publish("a", [NewEntry(Kind.TOKEN, b"x" * 100_000)], False, "key"))
        full: Any = self.service.publishAtOnce("a", _ENTRIES)
        self.failureResultOf(full, Overloaded)
        repeated: Any = self.service.publishAtOnce("a", [NewEntry(Kind.TOKEN, b"x" * 100_000)], "key")
        self.assertTrue(self.successResultOf(repeated).repeated)

    def test_atOnceLater(self) -> None:
        """With a store that writes later a publish is noted when it is stored; one that is refused leaves nothing."""
        thread = Thread()
        self.serve(self.source, self.settings, SQLiteStore(self.reactor, self.mktemp(), 10_000, thread))
        opened = self.service.open("a")
        self.reactor.advance(0.1)
        self.successResultOf(opened)
        for full, counted in ((False, 1), (True, 1), (False, 2)):
            thread.full = full
            published: Any = self.service.publishAtOnce("a", _ENTRIES)
            self.assertNoResult(published)
            self.reactor.advance(2)
            if full:
                self.failureResultOf(published, StoreUnavailable)
            else:
                self.assertEqual(self.successResultOf(published)[1:], (counted, counted, False))
            self.assertEqual(self.service.ledger.publishedEntries, counted)
        self.flushLoggedErrors()

    def test_refusedNames(self) -> None:
        """Names without an open stream leave nothing behind."""
        self.open("a")
        self.successResultOf(self.publish("a", close=True))
        run, store, ledger = self.startLog(), self.service.store, self.service.ledger
        sweep = Ticker(self.reactor, SLOT)
        retention = Retention(store, ledger, self.settings, sweep, lambda epoch: None)
        idle = IdleStreams(100, sweep, store.describe, lambda stream: succeed(None))
        publisher = Publisher(store, lambda name: store.create(name, True), retention, idle, ledger)
        self.failureResultOf(publisher.publish("a", _ENTRIES, False), StreamEnded)
        self.failureResultOf(publisher.publish("nobody", _ENTRIES, False), StreamNotFound)
        self.failureResultOf(publisher.publish(run.name, _ENTRIES, False), StreamExists)
        self.assertEqual(len(idle), 0)
        self.successResultOf(publisher.open("b"))
        self.assertEqual(len(idle), 1)
        idle.stop()
        sweep.stop()

    def test_storeThatFails(self) -> None:
        """A stream whose end the store could not take keeps its age, even if a publish has found it ended."""
        self.open("a")
        publish = self.service.store.publish
        ending: Deferred[Publication] = Deferred()
        self.patch(self.service.store, "publish", lambda *arguments: ending)
        ended = self.publish("a", close=True)
        self.patch(self.service.store, "publish", lambda *arguments: fail(StreamEnded("Ended.")))
        self.failureResultOf(self.publish("a"), StreamEnded)
        ending.errback(StoreUnavailable("The disk is full."))
        self.failureResultOf(ended, StoreUnavailable)
        self.patch(self.service.store, "publish", publish)
        self.reactor.run(101, 1)
        self.assertIs(self.successResultOf(self.service.describe("a")).state, State.CANCELLED)
