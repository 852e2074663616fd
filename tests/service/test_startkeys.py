"""
Tests of `sseserver.service.startkeys`: one start for all requests with the same idempotency key.
"""

from __future__ import annotations

import gc
from typing import Any
from weakref import ref

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import KeyReused, SourceError, StoreUnavailable, StreamNotFound
from sseserver.interfaces import ITokenSink
from sseserver.service.localdirectory import LocalDirectory
from sseserver.service.startkeys import StartKeys
from sseserver.settings import Settings
from sseserver.sources.function import FunctionSource
from sseserver.streams.account import Account
from sseserver.streams.log import StreamLog
from sseserver.streams.terminal import INTERRUPTED, packCancelled, packDone
from sseserver.timing.ticker import Ticker
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
        self.keys = StartKeys(LocalDirectory(self.account), self.find)

    def find(self, name: str) -> Deferred[Any]:
        """Find the stream."""
        self.assertEqual(name, "epoch")
        return fail(StreamNotFound(name)) if self.found is None else succeed(self.found)

    def start(self) -> Deferred[Any]:
        """Start a run with the key `k`, which is new."""
        self.assertIsNone(self.successResultOf(self.keys.join("k", b"digest")))
        return self.keys.remember("k", self.created)

    def test_joined(self) -> None:
        """
        Requests with the key get the stream of the first one, while it is created and afterwards.
        """
        first, second = self.start(), self.keys.join("k", b"digest")
        self.assertNoResult(second)
        self.created.callback(self.log)
        for deferred in (first, second, self.keys.join("k", b"digest")):
            self.assertIs(self.successResultOf(deferred), self.log)

    def test_reused(self) -> None:
        """
        The key of another request is refused, also while the first one is under way.
        """
        self.start()
        self.failureResultOf(self.keys.join("k", b"other"), KeyReused)
        self.created.callback(self.log)
        self.failureResultOf(self.keys.join("k", b"other"), KeyReused)

    def test_failed(self) -> None:
        """
        If the stream cannot be created, every request fails, nothing is logged, and the key is free
        again.
        """
        first, second = self.start(), self.keys.join("k", b"digest")
        self.created.errback(StoreUnavailable("The disk is full."))
        for deferred in (first, second):
            self.failureResultOf(deferred, StoreUnavailable)
        self.assertEqual((self.account.used, self.account.count), (0, 0))
        self.assertIsNone(self.successResultOf(self.keys.join("k", b"other")))

    def test_F9_onlyTheEpoch(self) -> None:
        """F9: a key keeps no log."""
        self.created.callback(self.log)
        self.successResultOf(self.start())
        gone = ref(self.log)
        self.log = self.found = self.created = None
        gc.collect()
        self.assertIsNone(gone())

    def test_beingDeleted(self) -> None:
        """The key of a stream that the store does not find any more, or that another one has replaced, is free."""
        for found in (None, Other()):
            self.created = succeed(self.log)
            self.found = self.log
            self.successResultOf(self.start())
            self.found = found
            self.assertIsNone(self.successResultOf(self.keys.join("k", b"digest")))
            self.keys = StartKeys(LocalDirectory(self.account), self.find)

    def test_storeThatFails(self) -> None:
        """A key that cannot be stored is logged, and the run goes on; a lookup that fails is reported."""
        directory: Any = LocalDirectory(self.account)
        self.keys = StartKeys(directory, self.find)
        self.patch(directory, "bind", lambda key, stream: fail(StoreUnavailable("No connection.")))
        self.created.callback(self.log)
        self.assertIs(self.successResultOf(self.start()), self.log)
        self.assertEqual(len(self.flushLoggedErrors(StoreUnavailable)), 1)
        self.patch(directory, "claim", lambda key, digest: fail(StoreUnavailable("No connection.")))
        self.failureResultOf(self.keys.join("k", b"digest"), StoreUnavailable)

    def test_endedElsewhere(self) -> None:
        """A run that failed because its process is gone frees its key; one with an answer, or cancelled, does not."""
        for entry, free in ((INTERRUPTED, True), (packDone("stop", 0), False), (packCancelled(Reason.ASKED), False)):
            self.keys = StartKeys(LocalDirectory(self.account), self.find)
            self.found = streamLog = StreamLog("epoch", "epoch", Ticker(Clock(), 0.005), 10_000)
            self.created = succeed(streamLog)
            self.assertIs(self.successResultOf(self.start()), streamLog)
            streamLog.append(*entry)
            joined = self.successResultOf(self.keys.join("k", b"digest"))
            self.assertIs(joined, None if free else streamLog)

    def test_endedWithNewEpoch(self) -> None:
        """A run that another process has ended, which has given it a new epoch, frees its key."""
        streamLog = StreamLog("epoch", "epoch", Ticker(Clock(), 0.005), 10_000)
        self.created = succeed(streamLog)
        self.successResultOf(self.start())
        streamLog.renew("another")
        streamLog.append(*INTERRUPTED)
        self.keys.endRun(streamLog)
        self.assertEqual((self.account.used, self.account.count), (0, 0))

    def test_adopted(self) -> None:
        """A run that was taken over, with a new epoch, frees the key that it got before, unless it is left again."""
        for taken in (True, False):
            directory = LocalDirectory(self.account)
            keys, owner = StartKeys(directory, self.find), StartKeys(directory, self.find)
            streamLog = StreamLog("epoch", "epoch", Ticker(Clock(), 0.005), 10_000)
            self.successResultOf(owner.join("k", b"digest"))
            self.successResultOf(owner.remember("k", succeed(streamLog)))
            streamLog.renew("another")
            keys.adopt("k", streamLog)
            owner.leave(streamLog)
            if not taken:
                keys.leave(streamLog)
            streamLog.append(*INTERRUPTED)
            owner.endRun(streamLog)
            self.assertEqual(self.account.count, 1)
            keys.endRun(streamLog)
            self.assertEqual(self.account.count, 0 if taken else 1)
