"""Tests for `sseserver.sources.upstream`: requests, connections, secrets and models."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError, DNSLookupError, TimeoutError
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from sseserver import __version__
from sseserver.client.agent import Connections
from sseserver.errors import SourceError
from sseserver.sources.upstream import UpstreamSource
from sseserver.testing import RecordingSink, SourceContract
from sseserver.values import MODEL, Prompt
from tests.sources.upstreamcases import PROMPT, UpstreamTestCase, makeSource, play
from tests.upstreams import (
    CASES,
    END,
    EVENTS,
    HEAD,
    KEY,
    STREAM,
    Act,
    Drip,
    MemoryUpstream,
    Step,
    answer,
    framed,
    head,
    refusal,
    whole,
)


class RequestTests(UpstreamTestCase):
    """Requests as the upstream sees them."""

    def test_text(self) -> None:
        """A prompt that is a text becomes one message of the user, and the answer is requested as a stream."""
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
        """Messages and all other members of a request are sent unchanged, except `stream`."""
        messages = [{"role": "system", "content": [{"type": "text", "text": "Käse"}], "x": 1}]
        options = {"model": "m", "tools": [{"a": None}], "seed": 2**53, "new": {"é": 0.1}, "stream": False}
        self.start(Prompt("Käse", messages, options))
        self.assertEqual(self.upstream.asked[0].json, {**options, "messages": messages, "stream": True})

    def test_model(self) -> None:
        """The model is that of the request or the configured one, after which the source is named too."""
        self.source = makeSource(self.upstream, model="configured")
        self.start()
        self.start(Prompt("", (), {"model": "own"}))
        self.assertEqual([asked.json["model"] for asked in self.upstream.asked], ["configured", "own"])
        self.assertEqual((self.source.model, makeSource(self.upstream).model), ("configured", MODEL))

    def test_noKey(self) -> None:
        """Without a key there is no `Authorization` header."""
        self.source = UpstreamSource(
            self.clock, "https://upstream.example:8443/a/v1/", connections=Connections(self.upstream.agent)
        )
        self.start()
        self.assertNotIn("authorization", self.upstream.asked[0].headers)
        self.assertEqual(self.upstream.asked[0].line, "POST /a/v1/chat/completions HTTP/1.1")

    def test_noPrompt(self) -> None:
        """A run without a prompt fails without a request."""
        self.assertEqual(self.error(self.start(None)).status, 400)
        self.assertEqual(self.upstream.asked, [])

    def test_badURL(self) -> None:
        """A URL that is not the base of an API is refused in a message that does not repeat it."""
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
        """A key that cannot be sent in a header is refused in a message that does not repeat it."""
        for key in ("", "hunter2\r\nX: y", "hunter2 hunter2", "hunter2\xe4"):
            error = self.assertRaises(ValueError, UpstreamSource, self.clock, "http://upstream.example", key=key)
            self.assertNotIn("hunter2", str(error))


class ConnectionTests(UpstreamTestCase):
    """Use and release of connections."""

    def test_reused(self) -> None:
        """A request uses the connection of the one before, also after a refusal that was read completely."""
        self.upstream.scripts = [whole(*EVENTS), (answer("400 Bad Request", "{}"),), whole(*EVENTS)]
        for _ in range(3):
            self.start()
        self.assertEqual([asked.connection for asked in self.upstream.asked], [0, 0, 0])

    def test_many(self) -> None:
        """Simultaneous runs have a connection each, and all of these are used again."""
        for _ in range(2):
            sinks = [RecordingSink() for _ in range(20)]
            for sink in sinks:
                sink.start(self.source, PROMPT)
            self.turn()
            self.assertEqual(["".join(sink.tokens) for sink in sinks], ["Hello world"] * 20)
        self.assertEqual(self.upstream.connections, 20)

    def test_staleConnection(self) -> None:
        """A connection that the upstream closes as it is used again is replaced, and the request repeated."""
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
        A request that failed on a new connection, or after a byte of an answer, is not repeated: the answer
        may have been started, and cost money.
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
        The end of an answer is reported at once even if its response does not end. Its connection is closed
        within a second.
        """
        self.upstream.scripts = [(HEAD, framed(STREAM), Act.HANG)]
        sink = self.start()
        self.assertEqual((sink.result, self.upstream.open), ("stop", 1))
        self.clock.advance(1)
        self.turn()
        self.assertEqual(self.upstream.open, 0)

    def test_cancel(self) -> None:
        """A cancelled run closes its connection at once, in every phase."""
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
        """A run that is cancelled before it has a connection leaves nothing behind."""
        connecting: Deferred[Any] = Deferred()
        self.upstream.connect = lambda factory: connecting  # type: ignore[method-assign]
        sink = self.start()
        sink.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertTrue(connecting.called)

    def test_sinkThatHasEnded(self) -> None:
        """A sink that ended before the run started gets nothing."""
        sink = RecordingSink()
        sink.ended = True
        sink.start(self.source, PROMPT)
        sink.cancel()
        self.turn()
        self.assertEqual((sink.tokens, sink.late, self.upstream.open), ([], [], 0))

    def test_unreachable(self) -> None:
        """
        A run without a connection fails with 502, or 504 after a timeout, and the message does not name the
        upstream.
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
        """A source closes its idle connections."""
        self.assertIsNone(self.successResultOf(UpstreamSource(self.clock, "http://upstream.example/v1").close()))


class SecretTests(UpstreamTestCase):
    """The key is sent to the upstream and appears nowhere else."""

    def test_secret(self) -> None:
        """The key is in no log, no error and no representation of an object, whatever the upstream does."""
        records: list[LogEvent] = []
        globalLogPublisher.addObserver(records.append)
        self.addCleanup(globalLogPublisher.removeObserver, records.append)
        for case in CASES:
            sink, _ = play(case)
            shown = repr(sink.result) + str(sink.result)
            if isinstance(sink.result, Failure):
                shown += sink.result.getTraceback() + repr(sink.result.value.toEntry())
            self.assertNotIn(KEY, shown, case.name)
        self.assertNotEqual(records, [])
        for record in records:
            self.assertNotIn(KEY, (formatEvent(record) or "") + repr(record.get("log_failure")))
        self.assertNotIn(KEY, repr(self.source) + str(self.source))

    def test_brokenSink(self) -> None:
        """An exception of the sink ends the run with this error, and closes the connection."""
        sink = RecordingSink()
        sink.writeChunk = lambda chunk, text: 1 / 0  # type: ignore[method-assign, assignment, return-value]
        sink.start(self.source, PROMPT)
        self.turn()
        self.assertIsInstance(sink.result.value, ZeroDivisionError)


class ModelsTests(UpstreamTestCase):
    """The list of models."""

    def ask(self, *steps: Step) -> Any:
        """Request the list, and return it or the error."""
        self.upstream.scripts = [steps]
        results: list[Any] = []
        self.source.models().addBoth(results.append)
        self.turn()
        self.clock.advance(10)
        self.turn()
        (result,) = results
        return result.value if isinstance(result, Failure) else result

    def test_models(self) -> None:
        """The list is requested from the upstream with the key."""
        listed = {"object": "list", "data": [{"id": "a", "object": "model"}, {"id": "b/c:d", "new": 1}]}
        self.assertEqual(self.ask(answer("200 OK", json.dumps(listed))), ["a", "b/c:d"])
        (asked,) = self.upstream.asked
        self.assertEqual((asked.line, asked.headers["authorization"]), ("GET /v1/models HTTP/1.1", f"Bearer {KEY}"))

    def test_long(self) -> None:
        """A list of thousands of models is read completely."""
        listed = {"data": [{"id": f"model-{number}", "description": "x" * 100} for number in range(3000)]}
        self.assertEqual(len(self.ask(answer("200 OK", json.dumps(listed)))), 3000)

    def test_configured(self) -> None:
        """A configured model is the only one, and nothing is requested."""
        self.source = makeSource(self.upstream, model="m")
        self.assertEqual(self.successResultOf(self.source.models()), ["m"])
        self.assertEqual(self.upstream.asked, [])

    def test_errors(self) -> None:
        """Every failure is a `SourceError`, as for an answer."""
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
        """Cancelling the result closes the connection."""
        self.upstream.scripts = [(Act.HANG,)]
        asking = self.source.models()
        self.turn()
        asking.cancel()
        self.failureResultOf(asking)
        self.turn()
        self.assertEqual(self.upstream.open, 0)


class ContractTests(SourceContract, SynchronousTestCase):
    """`UpstreamSource` passes the contract for token sources."""

    prompt = PROMPT

    def makeSource(self) -> UpstreamSource:
        """Make a source whose upstream sends a chunk at each step."""
        slow = [step for event in EVENTS for step in (framed(event), Drip(b"", 0.1))]
        self.upstream = MemoryUpstream(self.clock, (HEAD, *slow, END))
        # Idle connections are closed at once: nothing may wait on the clock when a run is through.
        self.upstream.pool.cachedConnectionTimeout = 0.0
        return makeSource(self.upstream)
