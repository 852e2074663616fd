"""
Tests of `sseserver.service.restarts`: two services on one Redis, of which the first one dies.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import Overloaded, SourceError
from sseserver.service.clients import Client
from sseserver.service.opening import Opening, RunTraits
from sseserver.service.restarts import MAX_PROMPT
from sseserver.service.service import StreamService
from sseserver.settings import Settings
from sseserver.values import Kind, LargePrompt, Prompt, State
from tests.redisservers import findMissing
from tests.served import ScriptedSource

if findMissing() is None:
    from sseserver.stores.redis.layout import Layout
    from tests.stores.redis.cases import Pump, sharedServer

CLIENT = Client("principal someone", False)

PROMPT = Prompt(
    "Why?",
    [{"role": "user", "content": "Why?"}],
    {"model": "m", "stream_options": {"include_usage": True}},
)


class RestartCase(SynchronousTestCase):
    """Two services. A run of the first is begun anew in the second."""

    skip = findMissing()
    settings = Settings(retryInterrupted=1, maxRuns=1, maxWaiting=1, maxRunsPerClient=1, drain=0)

    def setUp(self) -> None:
        self.server = sharedServer()
        self.pump = Pump(Clock())
        self.services: list[StreamService] = []
        self.sources: list[Any] = []
        for _ in range(2):
            self.addService(self.settings)

    def addService(self, settings: Settings, takesPrompt: bool = True) -> StreamService:
        """Start a service."""
        self.sources.append(ScriptedSource(takesPrompt))
        store = self.pump.makeStore(self.server)
        service = StreamService(self.pump.clock, self.sources[-1], settings, store)
        service.startService()
        self.services.append(service)
        self.pump.until(lambda: store.findProblem() is None)
        return service

    def tearDown(self) -> None:
        for service in self.services:
            self.pump.result(service.stopService())
        self.assertEqual(self.pump.clock.getDelayedCalls(), [])

    def start(self, prompt: Prompt | None = PROMPT, key: str | None = "key", client: Client | None = CLIENT) -> Any:
        """Start a run in the first service that writes a token."""
        run = self.pump.result(self.services[0].startRun(prompt, key, client=client))
        self.sources[0].run.write("a")
        self.pump.until(lambda: run.last == 1)
        return run

    def kill(self) -> None:
        """End the first service as the end of its process would."""
        service: Any = self.services.pop(0)
        service.store.client.stop()
        self.pump.result(service.stopService())
        self.sources.pop(0)

    def awaitRun(self) -> Any:
        """Wait until the run is begun anew, and return what drives it."""
        self.pump.until(lambda: self.sources[0].runs)
        return self.sources[0].run

    def find(self, name: str) -> Any:
        """Find the stream in the service that is left."""
        return self.pump.result(self.services[0].find(name))


class RestartTests(RestartCase):
    """Everything that the run had goes with it."""

    def test_prompt(self) -> None:
        """The source gets the prompt; the end has the usage and the tokens of the answer alone."""
        run = self.start()
        self.kill()
        script = self.awaitRun()
        self.assertEqual(script.prompt, PROMPT)
        streamLog = self.find(run.name)
        self.assertEqual((list(streamLog.earlier), streamLog.question), ([run.epoch], "Why?"))
        script.write("b", "c", "d")
        script.end()
        self.pump.until(lambda: streamLog.state is State.DONE)
        usage = b'{"prompt_tokens":1,"completion_tokens":3,"total_tokens":4}'
        self.assertEqual(streamLog.buffer.entry(streamLog.last), b'{"reason":"stop","tokens":3,"usage":%b}' % usage)
        counts = self.services[0].runs.counts
        self.assertEqual((counts.started, counts.restarted, counts.tokens), (1, 1, 3))
        self.assertEqual(sum(counts.firstTokens.counts), 0)

    def test_ledger(self) -> None:
        """The prompt counts until the run ends, in the first process and in the next."""
        self.start()
        prompts = self.services[0].ledger.prompts
        self.assertGreater(prompts.used, 50)
        self.kill()
        self.assertEqual((prompts.used, prompts.count), (0, 0))
        script = self.awaitRun()
        script.write(*["b"] * 70)
        prompts = self.services[0].ledger.prompts
        self.assertGreater(prompts.used, 50)
        script.end()
        self.assertEqual((prompts.used, prompts.count), (0, 0))

    def test_client(self) -> None:
        """The run counts for its client."""
        self.start()
        self.kill()
        script = self.awaitRun()
        runs = self.services[0].ledger.clients.runs
        self.assertFalse(runs.hasRoom(CLIENT))
        script.end()
        self.pump.until(lambda: runs.hasRoom(CLIENT))

    def test_key(self) -> None:
        """A repeated request joins the run; a run that fails after all frees the key."""
        run = self.start()
        self.kill()
        script = self.awaitRun()
        joined = self.pump.result(self.services[0].startRun(PROMPT, "key", client=CLIENT))
        self.assertEqual(joined.name, run.name)
        script.fail(SourceError("Broken."))
        self.pump.until(lambda: joined.state is State.FAILED and self.services[0].store.client.awaiting == 0)  # type: ignore[attr-defined]
        again = self.pump.result(self.services[0].startRun(PROMPT, "key", client=CLIENT))
        self.assertNotEqual(again.name, run.name)

    def test_cancel(self) -> None:
        """The run is cancelled as any other, and so is one that waits for its turn."""
        for waits in (False, True):
            run = self.start(key=None, client=None)
            if waits:
                self.pump.result(self.services[1].startRun(PROMPT))
            self.kill()
            self.pump.until(lambda: self.services[0].runs.counts.restarted)
            self.pump.result(self.services[0].cancel(run.name))
            self.assertIs(self.find(run.name).state, State.CANCELLED)
            self.assertEqual(self.services[0].runs.find(run.name), None)
            self.services[0].runs.endAll()
            self.addService(self.settings)
            self.services.reverse()
            self.sources.reverse()

    def test_large(self) -> None:
        """A prompt of a large request is kept, too, but not one that is too large."""
        for size, begun in ((300_000, True), (MAX_PROMPT, False)):
            prompt = LargePrompt("x" * size, [{"role": "user", "content": "x"}])
            run = self.start(prompt, None, None)
            self.kill()
            streamLog = self.find(run.name)
            self.pump.until(lambda log=streamLog: log.last == 2)  # type: ignore[misc]
            self.assertEqual(streamLog.buffer.kind(2), Kind.RESTART if begun else Kind.FAILED)
            if begun:
                self.pump.until(lambda: self.sources[0].runs)
                self.assertEqual(self.sources[0].run.prompt.text, prompt.text)
                self.sources[0].run.end()
                self.addService(self.settings)
                self.services.reverse()
                self.sources.reverse()

    def test_damaged(self) -> None:
        """A run whose order cannot be read ends `failed`."""
        service: Any = self.services[0]
        for order in (b"", b"x\n[]", b"{}\n1", b'{"key":1}\n["",[],{}]', b"{}\n[1]"):
            streamLog = self.pump.result(service.store.create(None, published=False))
            service.store.takeover.restarter.restart(streamLog, order)
            self.pump.until(lambda log=streamLog: log.state is State.FAILED)  # type: ignore[misc]
            self.assertIn(b'"interrupted"', streamLog.buffer.entry(1))
        self.assertEqual(service.ledger.prompts.count, 0)
        self.assertEqual(self.sources[0].runs, [])


class TraitTests(RestartCase):
    """Traits of a run, which its API has chosen."""

    settings = Settings(retryInterrupted=1, linger=0, drain=0)

    def test_kept(self) -> None:
        """A run that goes on without viewers, and tells its end, does so in the next process."""
        opening = Opening(b"{}\n[]", RunTraits(isDetached=True, tellsEnd=True))
        run = self.pump.result(self.services[0].startRun(PROMPT, opening=opening))
        self.kill()
        script = self.awaitRun()
        # A run that has had no viewer ends after five seconds.
        self.pump.clock.advance(6)
        self.pump.result(self.services[0].store.isFollowed(run.name))  # type: ignore[attr-defined]
        self.assertFalse(script.cancelled)
        script.write("a")
        ended = int(self.pump.clock.seconds())
        script.end()
        streamLog = self.find(run.name)
        self.pump.until(lambda: streamLog.state is State.DONE)
        self.assertEqual(json.loads(streamLog.buffer.entry(streamLog.last))["ended"], ended)


class RoomTests(RestartCase):
    """Only a service with room takes a run."""

    def test_full(self) -> None:
        """A service whose queue is full, or that is being stopped, leaves the run to others."""
        service = self.services[1]
        restarter: Any = service.store.takeover.restarter  # type: ignore[attr-defined]
        self.assertTrue(restarter.hasRoom())
        for _ in range(2):
            self.pump.result(service.startRun(PROMPT))
        self.assertFalse(restarter.hasRoom())
        service.runs.endAll()
        self.assertTrue(restarter.hasRoom())
        service.ledger.prompts.add(service.settings.maxBytes)
        self.assertFalse(restarter.hasRoom())
        service.ledger.prompts.subtract(service.settings.maxBytes)
        service.leave()
        self.assertFalse(restarter.hasRoom())

    def test_off(self) -> None:
        """Without the option, or with a source that takes no prompt, nothing is kept, and nothing is taken."""
        for settings, takesPrompt in ((Settings(drain=0), True), (self.settings, False)):
            service: Any = self.addService(settings, takesPrompt)
            self.assertIsNone(service.store.takeover.restarter)
            run = self.pump.result(service.startRun(PROMPT if takesPrompt else None))
            order = self.server.call("HGET", Layout().locate(run.name).stream, "order")
            self.assertIsNone(order)

    def test_meanwhile(self) -> None:
        """A run does not start that was deleted while its prompt was being kept, nor when the service stops."""
        for change in (lambda name: self.services[0].delete(name), lambda _: self.services[0].drain()):
            service: Any = self.services[0]
            keep, waiting = service.store.takeover.keep, Deferred()
            names: list[str] = []

            def wait(streamLog: Any, _: bytes, names: Any = names, waiting: Any = waiting) -> Any:
                """Note that a prompt is being kept."""
                names.append(streamLog.name)
                return waiting

            service.store.takeover.keep = wait
            starting = service.startRun(PROMPT, client=CLIENT)
            results: list[Any] = []
            starting.addBoth(results.append)
            self.pump.until(lambda names=names: names)  # type: ignore[misc]
            self.pump.result(change(names[0]))
            waiting.callback(None)
            self.assertTrue(results)
            if service.state.takesWork:
                self.assertTrue(results[0].sealed)
            else:
                results[0].trap(Overloaded)
            self.assertEqual(self.sources[0].runs, [])
            self.assertEqual(service.ledger.prompts.count, 0)
            self.assertTrue(service.ledger.clients.runs.hasRoom(CLIENT))
            service.store.takeover.keep = keep
