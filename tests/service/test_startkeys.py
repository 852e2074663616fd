"""
Tests of `sseserver.service.startkeys`: one start for all requests with the same idempotency key.
"""

from __future__ import annotations

import gc
from typing import Any
from weakref import ref

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import KeyReused, SourceError, StoreUnavailable, StreamNotFound
from sseserver.interfaces import ITokenSink
from sseserver.service.startkeys import START_COST, StartKeys
from sseserver.settings import Settings
from sseserver.sources.function import FunctionSource
from sseserver.streams.account import Account
from sseserver.values import Prompt, Reason
from tests.service.cases import ServiceTestCase


class Log:
    """A stream log, as far as keys need one."""

    name = epoch = "epoch"
    earlier: dict[str, int] = {}
    sealed = False


class Other(Log):
    """A published stream that was given the name of the run later."""

    epoch = "another"


class ReleaseTests(ServiceTestCase):
    """Keys of runs whose requests may be tried again."""

    settings = Settings(linger=10)

    def start(self) -> Any:
        """Start a run with a key."""
        return self.successResultOf(self.service.startRun(None, "key"))

    def test_F60_failed(self) -> None:
        """F60: the key of a run that failed is free again; that of an answer is not."""
        first = self.start()
        self.assertIs(self.start(), first)
        self.source.run.fail(SourceError("Slower.", Reason.REFUSED, 429, 1))
        second = self.start()
        self.assertIsNot(second, first)
        self.source.run.end()
        self.assertIs(self.start(), second)

    def test_F60_failedAtOnce(self) -> None:
        """F60: so is the key of a run whose source fails at once."""

        def produce(sink: ITokenSink, prompt: Prompt | None) -> None:
            raise SourceError("Slower.")

        self.serve(FunctionSource(produce), self.settings)
        self.assertIsNot(self.start(), self.start())

    def test_F61_lostConnection(self) -> None:
        """F61: the key of a run that was cancelled because no viewer was left is free again."""
        first = self.start()
        self.reactor.run(11, 1)
        second = self.start()
        self.assertIsNot(second, first)
        self.successResultOf(self.service.cancel(second.name))
        self.assertIs(self.start(), second)


class StartKeysTests(SynchronousTestCase):
    """The keys of runs."""

    def setUp(self) -> None:
        self.account = Account()
        self.created: Deferred[Any] = Deferred()
        self.log: Any = Log()
        self.found: Any = self.log
        self.keys = StartKeys(self.find, self.account)

    def find(self, name: str) -> Deferred[Any]:
        """Find the stream."""
        self.assertEqual(name, "epoch")
        return fail(StreamNotFound(name)) if self.found is None else succeed(self.found)

    def remember(self) -> Deferred[Any]:
        """Start a run with the key `k`."""
        return self.keys.remember("k", b"digest", self.created)

    def test_new(self) -> None:
        """
        A new key joins nothing.
        """
        self.assertIsNone(self.keys.join("k", b"digest"))

    def test_joined(self) -> None:
        """
        Requests with the key get the stream of the first one, while it is created and afterwards.
        """
        first, second = self.remember(), self.keys.join("k", b"digest")
        assert second is not None
        self.assertNoResult(second)
        self.created.callback(self.log)
        third = self.keys.join("k", b"digest")
        assert third is not None
        for deferred in (first, second, third):
            self.assertIs(self.successResultOf(deferred), self.log)

    def test_reused(self) -> None:
        """
        The key of another request is refused.
        """
        self.created.callback(self.log)
        self.successResultOf(self.remember())
        self.assertRaises(KeyReused, self.keys.join, "k", b"other")

    def test_failed(self) -> None:
        """
        If the stream cannot be created, every request fails, nothing is logged, and the key is free
        again.
        """
        first, second = self.remember(), self.keys.join("k", b"digest")
        assert second is not None
        self.created.errback(StoreUnavailable("The disk is full."))
        for deferred in (first, second):
            self.failureResultOf(deferred, StoreUnavailable)
        self.assertIsNone(self.keys.join("k", b"other"))
        self.assertEqual((self.account.used, self.account.count), (0, 0))

    def test_F9_onlyTheEpoch(self) -> None:
        """F9: a key keeps no log, and is counted until its stream is deleted."""
        self.created.callback(self.log)
        self.successResultOf(self.remember())
        self.assertEqual((self.account.used, self.account.count), (START_COST + 1, 1))
        gone = ref(self.log)
        self.log = self.found = self.created = None
        gc.collect()
        self.assertIsNone(gone())
        self.keys.forget("epoch")
        self.assertEqual((self.account.used, self.account.count), (0, 0))

    def test_beingDeleted(self) -> None:
        """The key of a stream that the store does not find any more, or that another one has replaced, is free."""
        for found in (None, Other()):
            self.created = succeed(self.log)
            self.successResultOf(self.remember())
            self.found = found
            joined = self.keys.join("k", b"digest")
            assert joined is not None
            self.failureResultOf(joined, StreamNotFound)
            self.assertIsNone(self.keys.join("k", b"digest"))

    def test_forgotten(self) -> None:
        """
        The key is free when its stream is deleted; the deletion of any other stream changes
        nothing.
        """
        self.created.callback(self.log)
        self.successResultOf(self.remember())
        self.keys.forget("another")
        self.assertIsNotNone(self.keys.join("k", b"digest"))
        self.keys.forget("epoch")
        self.assertIsNone(self.keys.join("k", b"other"))
