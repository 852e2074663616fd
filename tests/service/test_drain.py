"""
Tests of `sseserver.service.drain`: what a service that stops still does, and for how long.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred

from sseserver.errors import Overloaded
from sseserver.service.drain import CUT_AFTER, RETIRE_AFTER
from sseserver.service.runqueue import RELEASE_LIMIT
from sseserver.settings import Settings
from sseserver.values import Kind, NewEntry, State
from sseserver.web.accept import JSON
from tests.fakes import logged
from tests.service.cases import ServiceTestCase

#: Seconds. The drain of the tests, and the longest time that a stop takes.
DRAIN = 10
LONGEST = DRAIN + 5

ASK = b'{"messages": [{"role": "user", "content": "x"}]}'
TOKEN = b'{"token": "a"}'


class DrainTests(ServiceTestCase):
    """The stop of a service with work under way."""

    settings = Settings(drain=DRAIN, maxRuns=2, stall=1000.0)

    def begin(self) -> Deferred[None]:
        """Begin to stop the service."""
        return self.service.stopService()

    def test_runEnds(self) -> None:
        """A running answer goes on; when it has ended, and its viewer has it, the service has stopped."""
        wire = self.view()
        self.write("a")
        stopped = self.begin()
        self.reactor.run(DRAIN - 1)
        self.assertNoResult(stopped)
        self.write("b")
        self.source.run.end()
        self.reactor.run(0.5)
        self.assertEqual((wire.response.texts[-1], wire.response.types[-1]), ("ab", "done"))
        self.assertTrue(wire.response.complete)
        self.successResultOf(stopped)

    def test_runDoesNotEnd(self) -> None:
        """An answer that has not ended in time ends `failed`, `shutdown`; its viewer gets that."""
        wire = self.view()
        stopped = self.begin()
        self.reactor.run(DRAIN - 0.1)
        self.assertEqual(wire.response.types, ["message"])
        self.reactor.run(0.6)
        self.assertEqual(json.loads(wire.response.events[-1].data)["reason"], "shutdown")
        self.assertTrue(wire.response.complete)
        self.successResultOf(stopped)

    def test_unwatched(self) -> None:
        """A run without viewers has the time of the drain, too, unless the drain is for the others only."""
        for abandons in (False, True):
            self.startLog()
            if abandons:
                self.service.abandon()
            stopped = self.begin()
            self.reactor.run(0.1)
            if not abandons:
                self.assertNoResult(stopped)
                self.source.run.end()
                self.reactor.run(0.1)
            self.successResultOf(stopped)
            self.service.startService()

    def test_abandoned(self) -> None:
        """In such a drain a run ends when its last viewer leaves; it may also become one when it is under way."""
        log = self.startLog()
        wires = [self.watch(log) for _ in range(2)]
        unwatched = self.startLog()
        stopped = self.begin()
        self.assertIs(unwatched.state, State.OPEN)
        self.service.abandon()
        self.assertIs(unwatched.state, State.FAILED)
        wires.pop().close()
        self.assertIs(log.state, State.OPEN)
        self.assertNoResult(stopped)
        wires.pop().close()
        self.assertIs(log.state, State.FAILED)
        self.reactor.run(0.1)
        self.successResultOf(stopped)

    def test_waitingRun(self) -> None:
        """A run that has not begun yet ends at once: its client can ask elsewhere."""
        working = [self.startLog() for _ in range(2)]
        waiting = self.startLog()
        stopped = self.begin()
        self.assertIs(waiting.state, State.FAILED)
        self.assertEqual([each.state for each in working], [State.OPEN] * 2)
        self.assertEqual(len(self.source.runs), 2)
        for run in self.source.runs:
            run.end()
        self.reactor.run(0.1)
        self.successResultOf(stopped)

    def test_completion(self) -> None:
        """A completion in one piece that is under way is answered."""
        wire = self.connect(self.factory)
        wire.begin("/v1/chat/completions", method="POST", body=ASK, headers={"Content-Type": JSON})
        stopped = self.begin()
        self.reactor.run(1)
        self.write("a")
        self.source.run.end()
        self.reactor.run(0.5)
        self.assertEqual(wire.response.json["choices"][0]["message"]["content"], "a")
        self.successResultOf(stopped)

    def test_published(self) -> None:
        """The viewer of a published stream is told at once to return later, between two events."""
        self.successResultOf(self.service.open("news"))
        wire = self.view("/streams/news")
        stopped = self.begin()
        self.reactor.run(0.1)
        self.assertRegex(wire.response.body, rb"\n\nretry: \d+\n\n$")
        self.assertTrue(wire.response.complete)
        self.successResultOf(stopped)

    def test_newViewers(self) -> None:
        """An EventSource is told to return later, at jittered times; every other client gets 503, `Retry-After`."""
        streamLog = self.startLog()
        self.begin()
        path = f"/streams/{streamLog.name}"
        told = [self.view(path) for _ in range(8)]
        for wire in told:
            self.assertEqual(wire.response.status, 200)
            self.assertRegex(wire.response.body, rb"^retry: \d+\n\n$")
            self.assertTrue(wire.response.complete)
        self.assertGreater(len({wire.response.body for wire in told}), 1)
        for answer in (
            self.ask(f"{path}?format=openai"),
            self.ask("/streams", method="POST", body=b""),
            self.ask("/v1/chat/completions", method="POST", body=ASK, headers={"Content-Type": JSON}),
        ):
            self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "3"))

    def test_publishing(self) -> None:
        """Publishing is refused, in every way; before, it was answered 200 and lost in memory."""
        self.successResultOf(self.service.open("news"))
        wire = self.connect(self.factory)
        self.startLog()
        self.begin()
        failed = self.service.publish("news", [NewEntry(Kind.TOKEN, b"a")], False)
        self.failureResultOf(failed, Overloaded)
        # The second request of a connection whose head is known is answered directly.
        for _ in range(2):
            answer = wire.ask("/streams/news", method="POST", body=TOKEN, headers={"Content-Type": JSON})
            self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "3"))
        for path in ("/streams/news", "/streams/new"):
            for body in (b"", TOKEN):
                answer = self.ask(path, method="PUT", body=body, headers={"Content-Type": JSON})
                self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "3"))
        self.assertEqual(self.state("/streams/news")["last"], 0)

    def test_reading(self) -> None:
        """States, texts, lists, cancellations and deletions are answered as before."""
        streamLog = self.startLog()
        other = self.startLog()
        self.write("a")
        self.begin()
        self.assertEqual(self.state(f"/streams/{streamLog.name}")["state"], "open")
        self.assertEqual(len(self.ask("/streams").json["streams"]), 2)
        self.assertEqual(self.ask(f"/streams/{other.name}/cancel", method="POST", body=b"").status, 200)
        self.assertEqual(self.ask(f"/streams/{other.name}", method="DELETE").status, 204)
        self.assertEqual(self.ask("/readyz").status, 503)

    def test_stalled(self) -> None:
        """Viewers that read nothing, and a source that lets nothing go, do not make the stop longer."""

        class Clinging(type(self.source)):  # type: ignore[misc]
            """A source whose runs do not end when they are cancelled."""

            def produce(self, sink: Any, prompt: Any) -> Any:
                """See `ITokenSource.produce`."""
                super().produce(sink, prompt)
                self.run.done = Deferred()
                work: Deferred[None] = Deferred()
                return work.addErrback(lambda _: self.run.done)

        self.source = Clinging()
        self.serve(self.source, self.settings)
        wires = [self.view(room=0) for _ in range(3)]
        self.source.run.write("x" * 500_000)
        stopped = self.begin()
        self.reactor.run(DRAIN + max(RETIRE_AFTER + CUT_AFTER, RELEASE_LIMIT) - 0.5)
        self.assertNoResult(stopped)
        self.reactor.run(1)
        self.successResultOf(stopped)
        self.assertLess(max(RETIRE_AFTER + CUT_AFTER, RELEASE_LIMIT) + 0.5, LONGEST - DRAIN)
        self.assertTrue(all(wire.closed for wire in wires))
        for run in self.source.runs:
            run.done.callback(None)

    def test_hurry(self) -> None:
        """A stop that is hurried ends runs and viewers at once."""
        quick, slow = self.view(), self.view(room=0)
        self.source.run.write("x" * 500_000)
        stopped = self.begin()
        self.reactor.run(1)
        self.assertNoResult(stopped)
        self.service.hurry()
        self.reactor.run(0.1)
        self.successResultOf(stopped)
        self.assertTrue((quick.response.complete or quick.closed) and slow.closed)
        self.assertEqual([run.cancelled for run in self.source.runs], [True, True])
        self.service.hurry()

    def test_drainFirst(self) -> None:
        """A service can be drained before it is stopped: its store stays open until then."""
        wire = self.view()
        drained = self.service.drain()
        self.source.run.end()
        self.reactor.run(0.1)
        self.successResultOf(drained)
        self.assertTrue(wire.response.complete)
        self.successResultOf(self.service.drain())
        self.assertEqual(self.ask("/streams").status, 200)
        self.successResultOf(self.begin())

    def test_log(self) -> None:
        """The log says what the stop waits for; a stop that waits for nothing has no line."""
        with logged() as events:
            self.successResultOf(self.begin())
        self.assertEqual(events, [])
        self.service.startService()
        self.view()
        self.startLog()
        with logged() as events:
            self.begin()
        [line] = events
        self.assertEqual((line["runs"], line["viewers"], line["seconds"]), (2, 1, DRAIN))

    def test_F127_pause(self) -> None:
        """F127: a pause of the process does not count: what has arrived meanwhile is read first."""
        wire = self.view()
        self.begin()
        self.reactor.advance(DRAIN + 5)
        self.assertEqual(wire.response.types, ["message"])
        self.source.run.end()
        self.reactor.run(1)
        self.assertEqual(wire.response.types[-1], "done")
