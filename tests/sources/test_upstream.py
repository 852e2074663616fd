"""
Tests for L{sseserver.sources.upstream}, L{sseserver.client.agent}, L{sseserver.protocols.chunks}
and L{sseserver.sources.upstreamerrors}: the table of scripted upstreams, in memory and on a clock.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError, DNSLookupError, TimeoutError
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from sseserver import __version__
from sseserver.errors import SourceError
from sseserver.sources.upstream import UpstreamLimits, UpstreamSource
from sseserver.testing.sources import RecordingSink, SourceContract
from sseserver.values import MODEL, Prompt
from tests.upstreams import (
    CASES,
    END,
    EVENTS,
    HEAD,
    KEY,
    STREAM,
    TURN,
    Act,
    Case,
    Drip,
    MemoryUpstream,
    Step,
    answer,
    framed,
    head,
    refusal,
    whole,
)
from tests.wires import soon

PROMPT = Prompt("Say hello.")


def makeSource(upstream: MemoryUpstream, **more: Any) -> UpstreamSource:
    """Make a source that asks an upstream in memory."""
    return UpstreamSource(upstream.reactor, "http://upstream.example/v1", agent=upstream.agent, key=KEY, **more)


class TableTests(SynchronousTestCase):
    """The table of scripts, in memory."""

    def play(self, case: Case) -> tuple[RecordingSink, MemoryUpstream]:
        """Play a script to its end, and let time pass until nothing waits any more."""
        clock = Clock()
        upstream = MemoryUpstream(clock, case.steps)
        sink = RecordingSink()
        sink.start(makeSource(upstream), PROMPT)
        for _ in range(200_000):
            if sink.ended and len(clock.getDelayedCalls()) <= len(upstream.pool._timeouts):
                break
            clock.advance(0.05)
        upstream.pool.closeCachedConnections().addErrback(self.fail)
        clock.advance(TURN)
        self.assertEqual(clock.getDelayedCalls(), [], case.name)
        self.assertEqual((sink.producer, sink.late, upstream.open), (None, [], 0), case.name)
        return sink, upstream

    def check(self, case: Case) -> None:
        """Play a script; what must come of it has come."""
        sink, _ = self.play(case)
        self.assertEqual("".join(sink.tokens), case.text, case.name)
        if case.chunks is not None:
            self.assertEqual(tuple(sink.chunks), case.chunks, case.name)
        if case.state == "done":
            self.assertEqual(sink.result, case.reason, case.name)
            return
        self.assertIsInstance(sink.result, Failure, case.name)
        error = sink.result.value
        self.assertIsInstance(error, SourceError, f"{case.name}: {sink.result}")
        self.assertEqual((error.reason, error.retryAfter), (case.reason, case.retryAfter), case.name)
        if case.status != 200:
            self.assertEqual(error.status or 502, case.status, case.name)
        message = str(error)
        self.assertIn(case.message, message, case.name)
        self.assertNotIn(KEY, message + repr(error), case.name)
        self.assertTrue(message.isprintable() and 0 < len(message) <= 600, message)

    def test_table(self) -> None:
        """
        Each script of the table ends as the table says, and nothing is left
        of it: no timer, no connection, no producer.
        """
        for case in CASES:
            self.check(case)

    def test_everySplit(self) -> None:
        """
        An answer ends the same wherever it is cut in two.
        """
        data = HEAD + framed(STREAM) + END
        for place in range(1, len(data)):
            self.check(Case(f"cut at {place}", (data[:place], data[place:])))

    def test_randomSplits(self) -> None:
        """
        All that an upstream sends means the same however it is cut.
        """
        chance = random.Random(4)
        for case in CASES:
            if "10 MB" not in case.name and "deep" not in case.name:
                steps: list[Step] = []
                for step in case.steps:
                    steps += cut(step, chance) if isinstance(step, bytes) else [step]
                self.check(replace(case, steps=tuple(steps)))


def cut(data: bytes, chance: random.Random) -> list[Step]:
    """Cut bytes into some pieces."""
    places = sorted({0, len(data), *(chance.randrange(len(data) + 1) for _ in range(6))})
    return [data[start:end] for start, end in pairwise(places)]


class UpstreamTestCase(SynchronousTestCase):
    """An upstream in memory, and a source that asks it."""

    def setUp(self) -> None:
        """Make both; the clock must be empty at the end."""
        self.clock = Clock()
        self.upstream = MemoryUpstream(self.clock, whole(*EVENTS))
        self.source = makeSource(self.upstream)
        self.addCleanup(self.checkEmpty)

    def checkEmpty(self) -> None:
        """When the idle connections are closed nothing is left."""
        self.upstream.pool.closeCachedConnections().addErrback(self.fail)
        self.turn()
        self.assertEqual((self.clock.getDelayedCalls(), self.upstream.open), ([], 0))

    def turn(self, turns: int = 100) -> None:
        """Let the reactor turn, and hardly any time pass."""
        for _ in range(turns):
            self.clock.advance(TURN)

    def start(self, prompt: Prompt | None = PROMPT) -> RecordingSink:
        """Start a run, and let what can happen at once happen."""
        sink = RecordingSink()
        sink.start(self.source, prompt)
        self.turn()
        return sink

    def error(self, sink: RecordingSink) -> SourceError:
        """Give what a run has failed with."""
        self.assertIsInstance(sink.result, Failure)
        self.assertIsInstance(sink.result.value, SourceError)
        error: SourceError = sink.result.value
        return error


class RequestTests(UpstreamTestCase):
    """What the upstream is asked."""

    def test_text(self) -> None:
        """
        A prompt that is a text becomes one message of the user, and the
        answer is asked for as a stream.
        """
        self.start()
        (asked,) = self.upstream.asked
        self.assertEqual(asked.line, "POST /v1/chat/completions HTTP/1.1")
        self.assertEqual(asked.json, {"messages": [{"role": "user", "content": "Say hello."}], "stream": True})
        self.assertEqual(asked.headers["authorization"], f"Bearer {KEY}")
        self.assertEqual(asked.headers["accept"], "text/event-stream")
        self.assertEqual(asked.headers["content-type"], "application/json")
        self.assertEqual(asked.headers["user-agent"], f"sseserver/{__version__}")
        self.assertEqual(asked.headers["host"], "upstream.example")
        self.assertNotIn("cookie", asked.headers)

    def test_options(self) -> None:
        """
        Messages and all other members of a request go through as they came;
        only that it streams is ours.
        """
        messages = [{"role": "system", "content": [{"type": "text", "text": "Käse"}], "x": 1}]
        options = {"model": "m", "tools": [{"a": None}], "seed": 2**53, "new": {"é": 0.1}, "stream": False}
        self.start(Prompt("Käse", messages, options))
        self.assertEqual(self.upstream.asked[0].json, {**options, "messages": messages, "stream": True})

    def test_model(self) -> None:
        """
        The model is the request's own, or else the configured one; the source
        is called so too.
        """
        self.source = makeSource(self.upstream, model="configured")
        self.start()
        self.start(Prompt("", (), {"model": "own"}))
        self.assertEqual([asked.json["model"] for asked in self.upstream.asked], ["configured", "own"])
        self.assertEqual((self.source.model, makeSource(self.upstream).model), ("configured", MODEL))

    def test_noKey(self) -> None:
        """
        Without a key there is no authorization.
        """
        self.source = UpstreamSource(self.clock, "https://upstream.example:8443/a/v1/", agent=self.upstream.agent)
        self.start()
        self.assertNotIn("authorization", self.upstream.asked[0].headers)
        self.assertEqual(self.upstream.asked[0].line, "POST /a/v1/chat/completions HTTP/1.1")

    def test_noPrompt(self) -> None:
        """
        A run without a prompt asks nothing, and fails.
        """
        self.assertEqual(self.error(self.start(None)).status, 400)
        self.assertEqual(self.upstream.asked, [])

    def test_badURL(self) -> None:
        """
        A URL that is no base of an API is refused, in words that do not
        repeat what stands in it.
        """
        for url in (
            "",
            "upstream.example/v1",
            "ftp://upstream.example/",
            "http://",
            "http://user:hunter2@upstream.example/",
            "http://hunter2@upstream.example/",
            "http://upstream.example/?key=hunter2",
            "http://upstream.example/#hunter2",
            "http://upstream.example/a b",
            "http://upstream.example/\r\nhunter2",
            "http://k\xe4se.example/",
            "http://upstream.example:0/",
            "http://upstream.example:99999/",
            "http://[::1/",
        ):
            error = self.assertRaises(ValueError, UpstreamSource, self.clock, url)
            self.assertNotIn("hunter2", str(error))

    def test_badKey(self) -> None:
        """
        A key that cannot stand in a header is refused, and not repeated.
        """
        for key in ("", "hunter2\r\nX: y", "hunter2 hunter2", "hunter2\xe4"):
            error = self.assertRaises(ValueError, UpstreamSource, self.clock, "http://upstream.example", key=key)
            self.assertNotIn("hunter2", str(error))


class ConnectionTests(UpstreamTestCase):
    """How connections are used, and let go."""

    def test_reused(self) -> None:
        """
        The second request goes over the connection of the first; so does one
        after a refusal that was read to its end.
        """
        self.upstream.scripts = [whole(*EVENTS), (answer("400 Bad Request", "{}"),), whole(*EVENTS)]
        for _ in range(3):
            self.start()
        self.assertEqual([asked.connection for asked in self.upstream.asked], [0, 0, 0])

    def test_many(self) -> None:
        """
        Runs at the same time have a connection each, and all of these wait
        for the next runs.
        """
        for _ in range(2):
            sinks = [RecordingSink() for _ in range(20)]
            for sink in sinks:
                sink.start(self.source, PROMPT)
            self.turn()
            self.assertEqual(["".join(sink.tokens) for sink in sinks], ["Hello world"] * 20)
        self.assertEqual(self.upstream.connections, 20)

    def test_staleConnection(self) -> None:
        """
        A connection that the upstream closes just as it is used again is
        replaced: the request is made once more, on a new one.
        """
        for act in (Act.CLOSE, Act.RESET):
            self.upstream.scripts = [whole(*EVENTS), (act,), whole(*EVENTS)]
            before = self.upstream.connections
            self.start()
            sink = self.start()
            self.assertEqual((sink.result, "".join(sink.tokens)), ("stop", "Hello world"))
            self.assertLessEqual(self.upstream.connections, before + 2)
        self.assertEqual(self.upstream.asked[1].json, self.upstream.asked[2].json)

    def test_notAskedTwice(self) -> None:
        """
        What broke on a new connection, or after a byte of an answer, is not
        asked again: it may have been begun, and is paid for.
        """
        good = whole(*EVENTS)
        for scripts in ([(Act.CLOSE,)], [good, (b"HTTP/1.1 2", Act.CLOSE)], [good, (HEAD, Act.RESET)]):
            self.upstream.pool.closeCachedConnections().addErrback(self.fail)
            self.upstream.scripts = [*scripts, good]
            self.upstream.asked = []
            for _ in scripts:
                sink = self.start()
            self.assertIn(self.error(sink).reason, {"unreachable", "truncated"})
            self.assertEqual(len(self.upstream.asked), len(scripts))

    def test_openAfterTheEnd(self) -> None:
        """
        The end of an answer is told at once, also when its response does not
        end; the connection is then closed, within a second.
        """
        self.upstream.scripts = [(HEAD, framed(STREAM), Act.HANG)]
        sink = self.start()
        self.assertEqual((sink.result, self.upstream.open), ("stop", 1))
        self.clock.advance(1)
        self.turn()
        self.assertEqual(self.upstream.open, 0)

    def test_cancel(self) -> None:
        """
        A run that is cancelled closes its connection at once, wherever it is.
        """
        for steps in ((), (HEAD[:9],), (HEAD,), (HEAD, *map(framed, EVENTS[:2])), (answer("400 Bad", "{}")[:-1],)):
            for pause in (False, True):
                self.upstream.scripts = [(*steps, Act.HANG)]
                sink = self.start()
                self.assertEqual((sink.ended, self.upstream.open), (False, 1))
                if pause:
                    sink.pause()
                sink.cancel()
                self.turn()
                self.assertEqual((self.upstream.open, sink.late, self.clock.getDelayedCalls()), (0, [], []))

    def test_cancelWhileItConnects(self) -> None:
        """
        A run that is cancelled before there is a connection leaves nothing.
        """
        connecting: Deferred[Any] = Deferred()
        self.upstream.connect = lambda factory: connecting  # type: ignore[method-assign]
        sink = self.start()
        sink.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertTrue(connecting.called)

    def test_sinkThatHasEnded(self) -> None:
        """
        A sink that has ended before the run has begun gets nothing.
        """
        sink = RecordingSink()
        sink.ended = True
        sink.start(self.source, PROMPT)
        sink.cancel()
        self.turn()
        self.assertEqual((sink.tokens, sink.late, self.upstream.open), ([], [], 0))

    def test_unreachable(self) -> None:
        """
        Without a connection the run fails, in words that do not say where the
        upstream is: 502; 504 if it took too long.
        """
        for self.upstream.refusal, reason, status in (
            (ConnectionRefusedError(), "unreachable", 502),
            (DNSLookupError("upstream.example"), "unreachable", 502),
            (TimeoutError(), "timeout", 504),
        ):
            error = self.error(self.start())
            self.assertEqual((error.reason, error.status), (reason, status))
            self.assertNotIn("upstream.example", str(error))

    def test_close(self) -> None:
        """
        The source closes the connections that wait; it can be used again.
        """
        self.assertIsNone(self.successResultOf(UpstreamSource(self.clock, "http://upstream.example/v1").close()))


class PaceTests(UpstreamTestCase):
    """Pauses and time limits."""

    def test_pause(self) -> None:
        """
        A paused run reads nothing from its connection, and goes on where it was.
        """
        self.upstream.scripts = [(HEAD, *map(framed, EVENTS[:2]), Drip(framed(*EVENTS[2:]) + END, 0))]
        sink = RecordingSink()
        sink.start(self.source, PROMPT)
        for _ in soon(lambda: sink.tokens):
            self.turn(1)
        sink.pause()
        self.turn(500)
        self.assertEqual(sink.tokens, ["Hello"])
        self.assertTrue(self.upstream.ends[0]._received)
        sink.resume()
        self.turn(1000)
        self.assertEqual((sink.result, sink.tokens), ("stop", ["Hello", " world"]))

    def test_pausedByAToken(self) -> None:
        """
        A run that is paused inside a write gets nothing more of what has come
        with it, and its end not either.
        """
        self.upstream.scripts = [(HEAD + framed(STREAM) + END,)]
        sink = PausingSink()
        sink.start(self.source, PROMPT)
        for token in ("Hello", " world"):
            self.turn()
            self.assertEqual((sink.tokens[-1], sink.ended), (token, False))
            sink.resume()
        self.turn()
        self.assertEqual((sink.result, sink.tokens), ("stop", ["Hello", " world"]))

    def test_pausedAtTheEnd(self) -> None:
        """
        A run that is paused when its answer has ended, and then goes on, gives
        its connection back.
        """
        self.upstream.scripts = [(HEAD, framed(*EVENTS[:2]), framed(*EVENTS[2:]), END)]
        sink = RecordingSink()
        sink.start(self.source, PROMPT)
        for _ in soon(lambda: sink.tokens):
            self.turn(1)
        sink.pause()
        self.turn()
        sink.resume()
        self.turn()
        self.start()
        self.assertEqual((sink.result, self.upstream.connections), ("stop", 1))

    def limits(self, *steps: Step) -> RecordingSink:
        """Start a run of a script with limits of 5 seconds for the first token and 3 for the others."""
        self.upstream.scripts = [steps]
        self.source = makeSource(self.upstream, limits=UpstreamLimits(firstTokenTimeout=5.0, tokenTimeout=3.0))
        return self.start()

    def advance(self, *seconds: float) -> None:
        """Let time pass."""
        for some in seconds:
            self.clock.advance(some)
            self.turn()

    def test_firstToken(self) -> None:
        """
        The first chunk has its own limit, which counts from the start.
        """
        for steps in ((Act.HANG,), (HEAD, Act.HANG), (Drip(HEAD, 0.5),), (HEAD, Drip(framed(b":\n") * 99, 0.1))):
            sink = self.limits(*steps)
            self.advance(*[0.25] * 19, 0.2)
            self.assertFalse(sink.ended)
            self.advance(0.1)
            self.assertEqual((self.error(sink).reason, self.error(sink).status), ("timeout", 504))
            self.assertEqual(self.upstream.open, 0)

    def test_nextToken(self) -> None:
        """
        Each chunk has its limit, which counts from the one before; comments
        are no chunks.
        """
        slow = [step for event in EVENTS[:3] for step in (Drip(b"", 2.9), framed(event))]
        sink = self.limits(HEAD, *slow, Drip(framed(b":\n") * 99, 0.1))
        self.advance(*[0.1] * (3 * 29 + 29))
        self.assertEqual((sink.tokens, sink.ended), (["Hello", " world"], False))
        self.advance(0.2)
        self.assertEqual(str(self.error(sink)), "The upstream sent nothing for 3 seconds.")

    def test_pauseIsNoSilence(self) -> None:
        """
        While a run is paused its upstream need not say anything; after it the
        limit counts anew.
        """
        sink = self.limits(HEAD, framed(EVENTS[0]), Act.HANG)
        self.advance(2.9)
        sink.pause()
        self.advance(*[1.0] * 100)
        self.assertFalse(sink.ended)
        sink.resume()
        self.advance(2.9)
        self.assertFalse(sink.ended)
        self.advance(0.2)
        self.assertEqual(self.error(sink).reason, "timeout")


class PausingSink(RecordingSink):
    """A sink that has enough after each token."""

    def writeChunk(self, chunk: bytes, text: str) -> None:
        """See L{ITokenSink.writeChunk}."""
        super().writeChunk(chunk, text)
        if text:
            self.pause()


class SecretTests(UpstreamTestCase):
    """The key is told to the upstream and to nobody else."""

    def test_secret(self) -> None:
        """
        Whatever an upstream does, the key stands in no log, no error and no
        text that shows an object.
        """
        records: list[LogEvent] = []
        globalLogPublisher.addObserver(records.append)
        self.addCleanup(globalLogPublisher.removeObserver, records.append)
        for case in CASES:
            sink, _ = TableTests("play").play(case)
            shown = repr(sink.result) + str(sink.result)
            if isinstance(sink.result, Failure):
                shown += sink.result.getTraceback() + repr(sink.result.value.toEntry())
            self.assertNotIn(KEY, shown, case.name)
        self.assertNotEqual(records, [])
        for record in records:
            self.assertNotIn(KEY, (formatEvent(record) or "") + repr(record.get("log_failure")))
        self.assertNotIn(KEY, repr(self.source) + str(self.source))

    def test_brokenSink(self) -> None:
        """
        A sink that raises ends the run with what it raised, and the
        connection.
        """
        sink = RecordingSink()
        sink.writeChunk = lambda chunk, text: 1 / 0  # type: ignore[method-assign, assignment, return-value]
        sink.start(self.source, PROMPT)
        self.turn()
        self.assertIsInstance(sink.result.value, ZeroDivisionError)


class ModelsTests(UpstreamTestCase):
    """The list of models."""

    def ask(self, *steps: Step) -> Any:
        """Ask for the list; give it, or its error."""
        self.upstream.scripts = [steps]
        results: list[Any] = []
        self.source.models().addBoth(results.append)
        self.turn()
        self.clock.advance(10)
        self.turn()
        (result,) = results
        return result.value if isinstance(result, Failure) else result

    def test_models(self) -> None:
        """
        The upstream is asked for its models, with the key.
        """
        listed = {"object": "list", "data": [{"id": "a", "object": "model"}, {"id": "b/c:d", "new": 1}]}
        self.assertEqual(self.ask(answer("200 OK", json.dumps(listed))), ["a", "b/c:d"])
        (asked,) = self.upstream.asked
        self.assertEqual((asked.line, asked.headers["authorization"]), ("GET /v1/models HTTP/1.1", f"Bearer {KEY}"))

    def test_long(self) -> None:
        """
        A list of thousands of models is whole.
        """
        listed = {"data": [{"id": f"model-{number}", "description": "x" * 100} for number in range(3000)]}
        self.assertEqual(len(self.ask(answer("200 OK", json.dumps(listed)))), 3000)

    def test_configured(self) -> None:
        """
        A model that is configured is the only one; nobody is asked.
        """
        self.source = makeSource(self.upstream, model="m")
        self.assertEqual(self.successResultOf(self.source.models()), ["m"])
        self.assertEqual(self.upstream.asked, [])

    def test_errors(self) -> None:
        """
        What goes wrong is a source's error, as with an answer.
        """
        for steps, reason, status in (
            ((answer("401 Unauthorized", refusal(KEY)),), "refused", 502),
            ((answer("503 Service Unavailable", ""),), "refused", 503),
            ((answer("302 Found", "", "Location: http://127.0.0.2/"),), "refused", 502),
            ((answer("200 OK", "<html>"),), "malformed", 502),
            ((answer("200 OK", '{"data":7}'),), "malformed", 502),
            ((answer("200 OK", b"[" * 100_000),), "malformed", 502),
            ((head("200 OK", "Content-Length: 9999999"), *[b" " * 100_000] * 99), "malformed", 502),
            ((Act.HANG,), "timeout", 504),
            ((Act.CLOSE,), "unreachable", 502),
        ):
            error = self.ask(*steps)
            self.assertIsInstance(error, SourceError)
            self.assertEqual((error.reason, error.status), (reason, status))
            self.assertNotIn(KEY, str(error))

    def test_cancel(self) -> None:
        """
        Who does not want the list any more closes the connection.
        """
        self.upstream.scripts = [(Act.HANG,)]
        asking = self.source.models()
        self.turn()
        asking.cancel()
        self.failureResultOf(asking)
        self.turn()
        self.assertEqual(self.upstream.open, 0)


class ContractTests(SourceContract, SynchronousTestCase):
    """L{UpstreamSource} is a token source, as the contract has it."""

    prompt = PROMPT

    def makeSource(self) -> UpstreamSource:
        """Make one whose upstream sends a chunk at each step."""
        slow = [step for event in EVENTS for step in (framed(event), Drip(b"", 0.1))]
        self.upstream = MemoryUpstream(self.clock, (HEAD, *slow, END))
        # Idle connections are closed at once: nothing may wait on the clock when a run is through.
        self.upstream.pool.cachedConnectionTimeout = 0.0
        return makeSource(self.upstream)
