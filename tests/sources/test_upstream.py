"""Tests for `sseserver.sources.upstream`: requests, connections, secrets and models."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError, DNSLookupError, TimeoutError
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from sseserver import __version__
from sseserver.client.agent import Connections
from sseserver.sources.upstream import UpstreamLimits, UpstreamSource
from sseserver.testing import RecordingSink, SourceContract
from sseserver.values import MODEL, LargePrompt, Prompt
from tests.sources.upstreamcases import PROMPT, UpstreamTestCase, makeSource, play
from tests.upstreams import MemoryUpstream
from tests.upstreamscripts import CASES, END, EVENTS, HEAD, KEY, STREAM, Act, Drip, answer, framed, refusal, whole


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

    def test_surrogate(self) -> None:
        """A lone surrogate, which only a program can have in a prompt, is sent as an escape."""
        messages = [{"role": "user", "content": "\ud800"}]
        self.start(Prompt("x", messages))
        self.assertEqual(self.upstream.asked[0].json["messages"], messages)

    def test_largePrompt(self) -> None:
        """#12: a large prompt is encoded in several turns, and sent as any other, in one piece or in steps."""
        for number, words in enumerate((20_000, 100_000)):
            messages = [{"role": "user", "content": [{"type": "text", "text": "K\u00e4se " * words}] * 2}]
            self.start(LargePrompt("x", messages, {"seed": 1}))
            asked = self.upstream.asked[number]
            self.assertEqual(asked.json, {"seed": 1, "messages": messages, "stream": True})
            self.assertEqual(asked.headers["content-length"], str(len(asked.body)))

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

    def test_F27_encoding(self) -> None:
        """F27: no encoding of the answer is accepted."""
        self.start()
        self.assertEqual(self.upstream.asked[0].headers["accept-encoding"], "identity")

    def test_F88_query(self) -> None:
        """F88: the query of the base URL is sent with each request, behind the path."""
        url = "http://upstream.example/openai/?api-version=V&x=%20"
        self.source = UpstreamSource(self.clock, url, connections=Connections(self.upstream.agent))
        self.start()
        self.source.models().addErrback(lambda _: None)
        self.turn()
        self.clock.advance(10)
        self.turn()
        self.assertEqual(
            [asked.line for asked in self.upstream.asked],
            [
                "POST /openai/chat/completions?api-version=V&x=%20 HTTP/1.1",
                "GET /openai/models?api-version=V&x=%20 HTTP/1.1",
            ],
        )
        self.assertNotIn("V", repr(self.source))

    def test_F88_headers(self) -> None:
        """F88: further headers are sent with each request, but none that belongs to the connection."""
        self.source.authenticate(None, {"api-key": "hunter2", "Authorization": "Basic x"})
        self.start()
        headers = self.upstream.asked[0].headers
        self.assertEqual((headers["api-key"], headers["authorization"]), ("hunter2", "Basic x"))
        for name, value in (
            ("Host", "x"),
            ("content-length", "1"),
            ("a b", "x"),
            ("", "x"),
            ("X", ""),
            ("X", "a\r\nb"),
        ):
            self.assertRaises(ValueError, self.source.authenticate, None, {name: value})

    def test_F88_secretHeader(self) -> None:
        """F88: the value of a header appears in no error."""
        self.source.authenticate(None, {"api-key": "hunter2"})
        self.upstream.scripts = [(answer("400 Bad Request", refusal("hunter2 is wrong")),)]
        self.assertEqual(str(self.error(self.start())), "*** is wrong")

    def test_F77_pinnedModel(self) -> None:
        """F77: a pinned model is the only one; another name is refused as by any source with one model."""
        limits = UpstreamLimits(pinModel=True)
        self.source = makeSource(self.upstream, model="cheap", limits=limits)
        error = self.error(self.start(Prompt("?", (), {"model": "expensive"})))
        self.assertEqual((error.status, error.code, error.param), (404, "model_not_found", "model"))
        for options in ({}, {"model": "cheap"}):
            self.start(Prompt("?", (), options))
        self.assertEqual([asked.json["model"] for asked in self.upstream.asked], ["cheap", "cheap"])
        self.assertRaises(ValueError, makeSource, self.upstream, limits=limits)

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
