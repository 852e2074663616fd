"""
Tests of `sseserver.service.starter`: the start of runs, and what a repeated request gets.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred

from sseserver.errors import KeyReused, Overloaded, RateLimited
from sseserver.service.clients import Client
from sseserver.service.opening import Opening
from sseserver.settings import Settings
from sseserver.stores.sqlite import SQLiteStore
from sseserver.streams.followed import FLUSH_TICK
from sseserver.values import Kind, LargePrompt, Prompt
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

    def test_viewersToCome(self) -> None:
        """While the stream of a run is being stored, room is kept for its viewer: no run starts in vain meanwhile."""
        client = Client("shop", False)
        for settings, error in (
            (self.settings, Overloaded),
            (Settings(linger=10**6, maxViewersPerClient=1), RateLimited),
        ):
            self.stop()
            self.store = SQLiteStore(self.reactor, self.mktemp(), settings.kept, self.inThread)
            self.serve(self.source, settings, self.store)
            self.isBlocked = True
            starting = self.service.startRun(viewed=True, client=client)
            self.reactor.advance(0)
            self.failureResultOf(self.service.startRun(viewed=True, client=client), error)
            self.unblock()
            self.successResultOf(starting)
            # It is the viewer's own room now; there is none here.
            again = self.service.startRun(viewed=True, client=client)
            self.reactor.advance(0)
            self.successResultOf(again)

    def test_opening(self) -> None:
        """A stream can begin with what its run answers, before anything that the source writes."""
        starting = self.service.startRun(Prompt("x"), opening=Opening(b"{}\n[]"))
        self.reactor.advance(0)
        streamLog = self.successResultOf(starting)
        self.source.run.write("text")
        self.reactor.advance(1)
        self.assertEqual(streamLog.buffer.entries, [b"{}\n[]", b"text"])
        self.assertEqual(bytes(streamLog.buffer.kinds), bytes((Kind.INPUT, Kind.TOKEN)))

    def test_note(self) -> None:
        """A note on the request does not count for its key: a repeated request joins the same run."""
        found = []
        for note in (b"", b'"a":1,'):
            opening = Opening(b'{"model":"m"}\n[]', note=note)
            starting = self.service.startRun(Prompt("x"), "key", opening=opening)
            self.reactor.advance(0)
            found.append(self.successResultOf(starting))
        self.assertIs(found[0], found[1])
        self.assertEqual(opening.pack(), b'{"a":1,"model":"m"}\n[]')

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


class LargePromptTests(ServiceTestCase):
    """#12: prompts that are packed and unpacked in several turns of the reactor."""

    settings = Settings(linger=10**6, maxRuns=1)

    def setUp(self) -> None:
        super().setUp()
        self.prompt = self.makePrompt("word " * 50_000)

    def makePrompt(self, text: str) -> LargePrompt:
        """Make a prompt."""
        return LargePrompt(text, [{"role": "user", "content": text}], {"seed": 1, "stop": ["a", "b"]})

    def start(self, prompt: Prompt) -> Any:
        """Start a run with a key, and let it be packed."""
        starting = self.service.startRun(prompt, "key")
        self.assertNoResult(starting)
        self.reactor.advance(0)
        return starting

    def test_turns(self) -> None:
        """A turn packs a few pieces, which are counted at once."""
        prompts = self.service.ledger.prompts
        counted: list[int] = []
        callLater = self.reactor.callLater

        def watch(delay: float, call: Any, *arguments: Any) -> Any:
            counted.append(prompts.used)
            return callLater(delay, call, *arguments)

        self.patch(self.reactor, "callLater", watch)
        self.start(self.prompt)
        self.assertGreater(len(counted), 3)
        for before, after in pairwise([0, *counted]):
            self.assertLessEqual(after - before, 200_000)
        self.assertEqual(self.source.run.prompt, self.prompt)
        self.source.run.write("x" * 2000)
        self.assertEqual((prompts.used, prompts.count), (0, 0))

    def test_waits(self) -> None:
        """A run that waits for its turn gets the same prompt, in several turns."""
        self.startLog()
        waiting = self.successResultOf(self.start(self.prompt))
        self.assertEqual(len(self.source.runs), 1)
        self.assertGreater(self.service.ledger.prompts.used, 500_000)
        self.source.run.end()
        self.assertEqual(len(self.source.runs), 1)
        self.reactor.advance(0)
        self.assertEqual((len(self.source.runs), self.source.run.prompt), (2, self.prompt))
        self.source.run.end()
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(self.terminal(waiting)[0], "done")
        self.assertEqual(self.service.ledger.prompts.count, 0)

    def test_cancelledMeanwhile(self) -> None:
        """A run that is cancelled while its prompt is unpacked never reaches the source, and releases everything."""
        self.startLog()
        waiting = self.successResultOf(self.start(self.prompt))
        self.source.run.end()
        self.successResultOf(self.service.cancel(waiting.name))
        self.reactor.advance(0)
        self.assertEqual((len(self.source.runs), self.service.runs.held), (1, 0))
        self.assertEqual(self.service.ledger.prompts.count, 0)

    def test_key(self) -> None:
        """The same prompt and key join the run; another prompt is refused. Nothing of either is kept."""
        first = self.successResultOf(self.start(self.prompt))
        self.source.run.write("x" * 2000)
        self.assertIs(self.successResultOf(self.start(self.makePrompt(self.prompt.text))), first)
        self.failureResultOf(self.start(self.makePrompt("other " * 50_000)), KeyReused)
        self.assertEqual(self.service.ledger.prompts.count, 0)

    def test_noRoom(self) -> None:
        """Without room for prompts it is refused, and one whose start is cancelled is not counted."""
        starting = self.service.startRun(self.prompt)
        self.service.ledger.prompts.used += self.settings.maxBytes
        self.failureResultOf(self.service.startRun(self.prompt), Overloaded)
        self.service.ledger.prompts.used -= self.settings.maxBytes
        starting.cancel()
        self.failureResultOf(starting, CancelledError)
        self.assertEqual((self.service.ledger.prompts.used, self.service.ledger.prompts.count), (0, 0))
