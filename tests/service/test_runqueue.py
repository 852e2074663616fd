"""
Tests of `sseserver.service.runqueue`: the release of sources, and the prompts of runs.
"""

from __future__ import annotations

import tracemalloc
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from sseserver.errors import Overloaded, StoreUnavailable
from sseserver.interfaces import ITokenSink, ITokenSource
from sseserver.service.runqueue import RELEASE_LIMIT
from sseserver.settings import Settings
from sseserver.streams.account import Account
from sseserver.values import MODEL, Prompt, State
from tests.fakes import logged
from tests.served import ServedTestCase
from tests.service.cases import ServiceTestCase


@implementer(ITokenSource)
class SlowToLetGo:
    """A source that holds a resource for a while after its cancellation, as a program does."""

    takesPrompt = False
    model = MODEL

    def __init__(self) -> None:
        self.released: list[Deferred[None]] = []

    def produce(self, sink: ITokenSink, prompt: Prompt | None) -> Deferred[Any]:
        gone: Deferred[None] = Deferred()
        self.released.append(gone)
        work: Deferred[Any] = Deferred()

        def letGo(failure: Failure) -> Deferred[Any]:
            failure.trap(CancelledError)
            return gone.addCallback(lambda _: failure)

        return succeed(None).addCallback(lambda _: work.addErrback(letGo))


class LettingGoTests(ServedTestCase):
    """Sources that release their resources late."""

    settings = Settings(maxRuns=1)

    def setUp(self) -> None:
        super().setUp()
        self.slow = SlowToLetGo()
        self.serve(self.slow)

    def start(self) -> Any:
        """Start a run."""
        return self.successResultOf(self.service.startRun())

    def test_turn(self) -> None:
        """
        The stream ends at once; the next run has its turn when the source has released its
        resources.
        """
        streamLog = self.start()
        self.start()
        self.successResultOf(self.service.cancel(streamLog.name))
        self.assertIs(streamLog.state, State.CANCELLED)
        self.assertEqual(len(self.slow.released), 1)
        self.slow.released[0].callback(None)
        self.assertEqual(len(self.slow.released), 2)
        self.slow.released[1].callback(None)

    def test_stopWaits(self) -> None:
        """A service that is stopped waits until the sources have released their resources."""
        self.start()
        stopped = self.service.stopService()
        self.service.hurry()
        self.reactor.advance(1)
        self.assertNoResult(stopped)
        self.slow.released[0].callback(None)
        self.reactor.advance(1)
        self.successResultOf(stopped)

    def test_stopDoesNotWaitForEver(self) -> None:
        """It waits for a source that never does so for `RELEASE_LIMIT`."""
        self.start()
        with logged() as events:
            stopped = self.service.stopService()
            self.service.hurry()
            self.reactor.pump([1.0] * int(RELEASE_LIMIT + 1))
            self.successResultOf(stopped)
        self.assertEqual([event for event in events if "log_failure" in event], [])
        self.slow.released[0].callback(None)


class PromptTests(ServiceTestCase):
    """Prompts of runs that wait for their turn."""

    settings = Settings(maxRuns=1, linger=10**6)

    @property
    def prompts(self) -> Account:
        """The account of the prompts."""
        return self.service.ledger.prompts

    def test_F7_bytes(self) -> None:
        """F7: a prompt that waits takes its bytes, not those of its objects, and is gone once the source has it."""
        self.startLog()
        options = {"x": [[] for _ in range(100_000)]}
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before = tracemalloc.get_traced_memory()[0]
        self.startLog(Prompt("Why?", [{"role": "user", "content": "Why?"}], options))
        self.assertLess(tracemalloc.get_traced_memory()[0] - before, 1.5 * 300_000)
        self.source.run.end()
        self.assertEqual(self.source.run.prompt, Prompt("Why?", [{"role": "user", "content": "Why?"}], options))

    def test_F7_bound(self) -> None:
        """F7: the prompts of all runs are bounded, until the run was cancelled."""
        self.serve(self.source, Settings(maxRuns=1, linger=10**6, maxBytes=240_000))
        self.startLog()
        for _ in range(3):
            waiting = [self.startLog(Prompt("x" * 36_000)) for _ in range(2)]
            self.failureResultOf(self.service.startRun(Prompt("y")), Overloaded)
            for streamLog in waiting:
                self.successResultOf(self.service.cancel(streamLog.name))
            self.assertEqual(self.prompts.used, 0)
        self.startLog(Prompt("a"))
        self.startLog()
        for prompt in (Prompt("a"), None):
            self.source.run.end()
            self.assertEqual(self.source.run.prompt, prompt)
        self.assertEqual((self.prompts.used, self.prompts.count), (0, 0))

    def test_F7_working(self) -> None:
        """F7: the prompt of a run at work counts until its source has written some tokens, or has ended."""
        self.startLog(Prompt("x" * 600))
        size = self.prompts.used
        self.assertGreater(size, 600)
        self.write(*["a"] * 63)
        self.assertEqual(self.prompts.used, size)
        self.write("a")
        self.assertEqual((self.prompts.used, self.prompts.count), (0, 0))
        self.startLog(Prompt("x" * 600))
        self.assertEqual(self.prompts.used, size)
        self.source.runs[0].end()
        self.assertEqual(self.prompts.used, size)
        self.source.run.end()
        self.assertEqual(self.prompts.used, 0)

    def test_F7_refused(self) -> None:
        """F7: the prompt of a run whose stream the store refuses does not count."""
        created: Deferred[Any] = Deferred()
        self.patch(self.service.store, "create", lambda *arguments: created)
        starting = self.service.startRun(Prompt("x" * 600), "key")
        self.assertGreater(self.prompts.used, 600)
        created.errback(StoreUnavailable("Full."))
        self.failureResultOf(starting, StoreUnavailable)
        self.assertEqual((self.prompts.used, self.service.ledger.keys.used), (0, 0))
