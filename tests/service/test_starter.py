"""
Tests of `sseserver.service.starter`: the start of runs, and what a repeated request gets.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from sseserver.errors import Overloaded
from sseserver.settings import Settings
from sseserver.stores.sqlite import SQLiteStore
from sseserver.values import Prompt
from tests.service.cases import ServiceTestCase


class StartTests(ServiceTestCase):
    """Starts of runs, with a store in a file."""

    settings = Settings(linger=10**6, maxViewers=1)

    def setUp(self) -> None:
        super().setUp()
        self.store = SQLiteStore(self.reactor, self.mktemp(), self.settings.kept, self.inThread)
        self.blocked: list[Deferred[Any]] = []
        self.isBlocked = False
        self.serve(self.source, self.settings, self.store)

    def inThread(self, function: Any, *arguments: Any) -> Deferred[Any]:
        """Make a call, unless the disk is blocked: then later."""
        if not self.isBlocked:
            return maybeDeferred(function, *arguments)
        waiting: Deferred[Any] = Deferred()
        self.blocked.append(waiting)
        return waiting.addCallback(lambda _: function(*arguments))

    def unblock(self) -> None:
        """Make the calls that wait."""
        self.isBlocked = False
        while self.blocked:
            self.blocked.pop(0).callback(None)
            self.reactor.advance(0.01)

    def start(self, text: str = "x", key: str | None = "key") -> Any:
        """Start a run."""
        starting = self.service.startRun(Prompt(text), key)
        self.reactor.advance(0)
        return starting

    def test_F9_ended(self) -> None:
        """F9: an ended run with a key is found in the file, and is not in memory."""
        first = self.successResultOf(self.start())
        epoch = first.epoch
        self.source.run.write("text")
        self.source.run.end()
        self.reactor.advance(1)
        self.source.runs.clear()
        self.isBlocked = True
        del first
        again = self.start()
        self.assertNoResult(again)
        self.unblock()
        streamLog = self.successResultOf(again)
        self.assertEqual((streamLog.epoch, self.text(streamLog)), (epoch, "text"))
        self.assertEqual(self.source.runs, [])

    def test_beingDeleted(self) -> None:
        """A request whose stream is being deleted starts a run anew; repeated, it joins that one."""
        first = self.successResultOf(self.start())
        self.isBlocked = True
        self.service.delete(first.name)
        self.reactor.advance(0)
        second, third = self.start(), self.start()
        self.unblock()
        found = self.successResultOf(second)
        self.assertIsNot(found, first)
        self.assertIs(self.successResultOf(third), found)
        self.assertEqual(len(self.source.runs), 2)
        self.assertEqual(self.service.ledger.keys.count, 1)

    def test_waitsAsBytes(self) -> None:
        """While the stream is created, the prompt is kept as bytes; the source gets an equal one."""
        self.isBlocked = True
        prompt = Prompt("x")
        starting = self.service.startRun(prompt)
        self.reactor.advance(0)
        self.assertNoResult(starting)
        self.unblock()
        self.successResultOf(starting)
        self.assertEqual(self.source.run.prompt, prompt)
        self.assertIsNot(self.source.run.prompt, prompt)

    def test_refused(self) -> None:
        """A run that could not have its viewer is refused; nothing of it counts."""
        self.watch(self.successResultOf(self.start()))
        before = self.service.ledger.report()
        self.failureResultOf(self.service.startRun(Prompt("y"), "other", viewed=True), Overloaded)
        self.assertEqual(self.service.ledger.report(), before)
