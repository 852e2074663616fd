"""Tests for `sseserver.sources.upstreamrelay`: chunks on their way, the end of the choices, and what follows it."""

from __future__ import annotations

import json

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from sseserver.errors import SourceError
from sseserver.interfaces import IResponseSink
from sseserver.protocols.responses.upstream import ResponseConverter
from sseserver.sources.upstreamrelay import GRACE_SECONDS, HELD_BYTES, HELD_EVENTS_BYTES, ChunkRelay, TranslatedRelay
from sseserver.sources.upstreamsilence import SilenceTimer
from sseserver.testing import RecordingSink
from sseserver.wire import Decoder
from tests.upstreamscripts import CHUNKS, HELLO, KEY, ROLE, STOP, USAGE, chunk, event, failing

CREATED = b'{"type": "response.created", "response": {"id": "resp_1"}}'
PIECE = b'{"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hello"}'
COMPLETED = b'{"type": "response.completed", "response": {"id": "resp_1"}}'


class RelayTestCase(SynchronousTestCase):
    """A relay for an answer with two choices, whose chunks follow within 20 seconds, the first within 60."""

    def setUp(self) -> None:
        """Make the relay and its timer, which the tests advance."""
        self.clock = Clock()
        self.sink = RecordingSink()
        self.reports: list[object] = []
        self.silence = SilenceTimer(self.clock, 60.0, self.reports.append)
        self.relay = ChunkRelay(self.sink, self.silence, 20.0, 2, (KEY,), lambda: self.reports.append("done"))
        self.silence.start()
        self.addCleanup(self.silence.stop)

    def advance(self, seconds: float) -> None:
        """Let time pass in small steps."""
        self.clock.pump([0.1] * round(seconds * 10))


class RelayTests(RelayTestCase):
    """Chunks of chat completions."""

    def test_chunks(self) -> None:
        """Chunks reach the sink unchanged; events without data do not."""
        for data in (ROLE, b" ", HELLO, USAGE):
            self.relay.take(data)
        self.assertEqual((self.sink.chunks, self.sink.tokens), ([ROLE, HELLO, USAGE], ["Hello"]))

    def test_limits(self) -> None:
        """The first chunk ends its own limit; the last finish reason begins a short one."""
        self.advance(30)
        self.relay.take(ROLE)
        self.advance(19.8)
        self.relay.take(STOP)
        self.assertEqual((self.relay.isComplete(), self.relay.finishReason), (False, "stop"))
        self.advance(19.8)
        self.relay.take(chunk({}, "length", 1))
        self.assertEqual((self.relay.isComplete(), self.relay.finishReason), (True, "stop"))
        self.advance(GRACE_SECONDS - 0.2)
        self.assertEqual(self.reports, [])
        self.advance(0.4)
        self.assertEqual(self.reports, [GRACE_SECONDS])

    def test_done(self) -> None:
        """`[DONE]` is reported after chunks, and refused before them."""
        self.assertRaises(SourceError, self.relay.take, b"[DONE]")
        self.assertEqual(self.reports, [])
        self.relay.take(ROLE)
        self.relay.take(b"[DONE]")
        self.assertEqual(self.reports, ["done"])

    def test_stop(self) -> None:
        """A stopped relay takes neither chunks nor errors, in whichever way they come."""
        self.relay.take(HELLO)
        self.relay.stop()
        for data in (*CHUNKS, b"[DONE]", failing("overloaded"), b"garbage"):
            self.relay.take(data)
        decoder = Decoder()
        decoder.feed(event(HELLO)[:-1])
        self.relay.takeRest(decoder)
        self.assertEqual((self.sink.chunks, self.reports), ([HELLO], []))

    def test_error(self) -> None:
        """An error of the upstream is raised, without the key in it."""
        error = self.assertRaises(SourceError, self.relay.take, failing(f"The key {KEY} is wrong."))
        self.assertIn("is wrong.", str(error))
        self.assertNotIn(KEY, str(error))

    def test_rest(self) -> None:
        """A last event without its empty line is taken if it is complete: a chunk, or an error."""
        for cut, chunks in ((-1, [HELLO]), (-10, [])):
            del self.sink.chunks[:]
            decoder = Decoder()
            decoder.feed(event(HELLO)[:cut])
            self.relay.takeRest(decoder)
            self.assertEqual(self.sink.chunks, chunks)
        decoder = Decoder()
        decoder.feed(event(failing("overloaded"))[:-1])
        self.assertRaises(SourceError, self.relay.takeRest, decoder)


class HoldTests(RelayTestCase):
    """A relay that holds a first chunk without text."""

    def setUp(self) -> None:
        """Let the relay hold."""
        super().setUp()
        self.relay.hold(lambda: self.reports.append("begin"))

    def test_role(self) -> None:
        """The role waits for the chunk that follows it, and the sink gets both; then nothing is held any more."""
        self.relay.take(ROLE)
        self.assertEqual((self.sink.chunks, self.relay.hasBegun, self.reports), ([], False, []))
        self.relay.take(HELLO)
        self.assertEqual((self.sink.chunks, self.relay.hasBegun, self.reports), ([ROLE, HELLO], True, ["begin"]))
        self.relay.take(ROLE)
        self.assertEqual((self.sink.chunks, self.reports), ([ROLE, HELLO, ROLE], ["begin"]))

    def test_second(self) -> None:
        """A second chunk without text goes on together with the first."""
        self.relay.take(ROLE)
        self.relay.take(ROLE)
        self.assertEqual(self.sink.chunks, [ROLE, ROLE])

    def test_notHeld(self) -> None:
        """A first chunk with text, or a large one, does not wait."""
        self.relay.take(HELLO)
        self.assertEqual(self.sink.chunks, [HELLO])
        relay = ChunkRelay(self.sink, self.silence, 20.0, 1, (), lambda: None)
        relay.hold(lambda: None)
        large = chunk({"reasoning": "x" * HELD_BYTES})
        relay.take(large)
        self.assertEqual(self.sink.chunks, [HELLO, large])

    def test_flush(self) -> None:
        """The only chunk of a complete answer is written at its end."""
        call = chunk({"tool_calls": []}, "tool_calls")
        self.relay.take(call)
        self.relay.flush()
        self.relay.flush()
        self.assertEqual((self.sink.chunks, self.reports), ([call], ["begin"]))

    def test_drop(self) -> None:
        """A chunk that was held when the answer failed is not written, and the answer has not begun."""
        self.relay.take(ROLE)
        self.relay.drop()
        self.relay.flush()
        self.assertEqual((self.sink.chunks, self.relay.hasBegun, self.reports), ([], False, []))


class TranslationTests(RelayTestCase):
    """A relay of the events of Responses."""

    def setUp(self) -> None:
        """Make the translation."""
        super().setUp()
        self.translated = TranslatedRelay(self.relay, ResponseConverter(), False)

    def test_events(self) -> None:
        """Events become chunks, and the last response ends the answer; what follows it is not read."""
        for data in (CREATED, PIECE, COMPLETED):
            self.translated.take(data)
        self.relay.stop()
        self.translated.take(b"garbage")
        self.assertEqual((self.sink.tokens, self.reports), (["Hello"], ["done"]))
        self.assertEqual(self.relay.finishReason, "stop")

    def test_unfinished(self) -> None:
        """`[DONE]` by itself is no end, and a last event without its empty line is taken."""
        self.translated.take(PIECE)
        self.translated.take(b"[DONE]")
        self.assertEqual(self.reports, [])
        decoder = Decoder()
        decoder.feed(event(COMPLETED)[:-1])
        self.translated.takeRest(decoder)
        self.assertEqual(self.reports, ["done"])

    def test_silence(self) -> None:
        """Events without a chunk do not begin an answer, but keep one alive that has begun."""
        self.advance(50)
        self.translated.take(CREATED)
        self.advance(10.2)
        self.assertEqual(self.reports, [60.0])
        self.reports.clear()
        self.silence = SilenceTimer(self.clock, 60.0, self.reports.append)
        relay = ChunkRelay(self.sink, self.silence, 20.0, 1, (), lambda: None)
        translated = TranslatedRelay(relay, ResponseConverter(), False)
        self.silence.start()
        translated.take(PIECE)
        for _ in range(4):
            self.advance(15)
            translated.take(b'{"type": "response.web_search_call.searching"}')
        self.assertEqual(self.reports, [])
        self.silence.stop()

    def test_errors(self) -> None:
        """A failed response is an error, without the key in it; garbage is one, too."""
        failed = {"error": {"code": "rate_limit_exceeded", "message": f"{KEY} is slow."}}
        data = json.dumps({"type": "response.failed", "response": failed}).encode()
        error = self.assertRaises(SourceError, self.translated.take, data)
        self.assertEqual((str(error), error.status), ("*** is slow.", 429))
        self.assertRaises(SourceError, self.translated.take, b"garbage")

    def test_document(self) -> None:
        """A response in one piece is an answer."""
        parts = [{"type": "output_text", "text": "Hello"}]
        response = {"object": "response", "status": "completed", "output": [{"type": "message", "content": parts}]}
        self.translated.takeDocument(json.dumps(response).encode())
        self.assertEqual((self.sink.tokens, self.relay.finishReason), (["Hello"], "stop"))
        self.assertRaises(SourceError, self.translated.takeDocument, b"{}")


@implementer(IResponseSink)
class EventSink(RecordingSink):
    """A sink that records events and chunks in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def writeResponseEvent(self, event: bytes) -> None:
        """See `IResponseSink.writeResponseEvent`."""
        self.written.append(event)

    def writeChunk(self, chunk: bytes, text: str) -> None:
        """See `ITokenSink.writeChunk`."""
        self.written.append(text.encode())


class PassingTests(RelayTestCase):
    """A relay of the events of Responses into a sink that takes them."""

    def setUp(self) -> None:
        """Make the relay."""
        super().setUp()
        self.events = EventSink()
        self.make()

    def make(self, *, holds: bool = False) -> None:
        """Make a relay, which may hold what comes first."""
        self.relay = ChunkRelay(
            self.events, self.silence, 20.0, 1, (KEY, "failed"), lambda: self.reports.append("done")
        )
        if holds:
            self.relay.hold(lambda: self.reports.append("begin"))
        self.translated = TranslatedRelay(self.relay, ResponseConverter(), True)

    def take(self, *events: bytes) -> list[bytes]:
        """Take events, and return what the sink has got."""
        for data in events:
            self.translated.take(data)
        return self.events.written

    def test_order(self) -> None:
        """Each event is written before its chunks; an object without a type, which is no event, is not."""
        self.assertEqual(self.take(CREATED, PIECE, b'{"a": 1}', COMPLETED), [CREATED, PIECE, b"Hello", COMPLETED, b""])

    def test_held(self) -> None:
        """Events that say nothing about the answer are held until another one comes."""
        for released in (PIECE, b'{"type": "response.web_search_call.in_progress"}'):
            self.events.written, self.reports[:] = [], []
            self.make(holds=True)
            added = b'{"type": "response.output_item.added", "item": {"type": "message"}}'
            self.assertEqual(self.take(CREATED, added), [])
            self.assertEqual(self.reports, [])
            self.assertEqual(self.take(released)[:3], [CREATED, added, released])
            self.assertEqual(self.reports, ["begin"])

    def test_heldChunk(self) -> None:
        """An event that becomes a chunk without text is held with it; the next event writes both, in their order."""
        self.make(holds=True)
        call = b'{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","name":"f"}}'
        self.assertEqual(self.take(CREATED, call), [])
        self.assertEqual(self.take(CREATED), [CREATED, call, b"", CREATED])

    def test_heldMuch(self) -> None:
        """No more is held than a limit."""
        self.make(holds=True)
        large = b'{"type":"response.created","padding":"%b"}' % (b"x" * (HELD_EVENTS_BYTES // 2))
        self.assertEqual(self.take(large), [])
        self.assertEqual(self.take(large), [large, large])

    def test_heldFailure(self) -> None:
        """Events of a failed upstream are dropped: another one may answer."""
        self.make(holds=True)
        self.take(CREATED)
        failed = b'{"type":"response.failed","response":{"error":{"message":"No."}}}'
        self.assertRaises(SourceError, self.take, failed)
        self.relay.drop()
        self.relay.flush()
        self.assertEqual((self.events.written, self.reports), ([], []))

    def test_secrets(self) -> None:
        """No secret is in the error of an event; the rest of the event stays, even if it has the same word."""
        for told, expected in (
            ({"type": "error", "message": f"{KEY} is wrong."}, {"type": "error", "message": "*** is wrong."}),
            ({"type": "error", "error": {"a": [KEY]}}, {"type": "error", "error": {"a": ["***"]}}),
            (
                {"type": "response.failed", "response": {"status": "failed", "error": {"message": KEY}}},
                {"type": "response.failed", "response": {"status": "failed", "error": {"message": "***"}}},
            ),
        ):
            self.events.written = []
            self.assertRaises(SourceError, self.take, json.dumps(told).encode())
            self.assertEqual(json.loads(self.events.written[0]), expected)
