"""
Tests for L{sseserver.formats.openai}.

What comes out is read with L{sseserver.wire.Decoder}, as a client would.
"""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import GapError
from sseserver.formats import OpenAIFormat, UIFormat
from sseserver.formats.rendering import REFUSED
from sseserver.interfaces import IFormat
from sseserver.reading import Reading
from sseserver.service.service import StreamService
from sseserver.sources.text import TextSource
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.entries import packChunk, packEvent
from sseserver.streams.log import StreamLog
from sseserver.testing import FormatContract
from sseserver.timing.ticker import Ticker
from sseserver.values import Kind
from sseserver.wire import Decoder, Event
from tests.readers import readAll, step

EPOCH = "0123456789abcdefghijAZ"

#: More than any test's log holds.
ALL = 10_000_000

CREATED = 1_700_000_000

# Line ends, what only str.splitlines takes for one, what JSON escapes, what could be mistaken for the format's own
# signs, wide characters.
SIGNS = '\r\n :a"\\/[]{}\u2028\x85\x0b\x0c\x1c\x00\x7f\ufeff\u00e9\U0001f600'
TOKENS = st.lists(st.text(st.sampled_from(SIGNS) | st.characters(codec="utf-8"), min_size=1), max_size=12)

#: White space and an order of members that no encoder of ours would make; line ends only where packChunk is called.
CHUNKS = [
    packChunk(b' {"id": "u-1",\r\n "choices":[{"delta" : {"role":"assistant"}}]}\n', ""),
    packChunk(b'{"z":1,"choices":[{"delta":{"content":"One\\u0020"}}],"a":1e2}', "One "),
    packChunk('{"choices":[{"delta":{"content":"\u00e9\u2028"}}]}'.encode(), "\u00e9\u2028"),
    packChunk(b'{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}', ""),
    packChunk(b'{"choices":[],"usage":{"total_tokens":3}}', ""),
]


def makeLog(*tokens: str, terminal: tuple[Kind, dict[str, Any]] | None = None, window: int = ALL) -> StreamLog:
    """Make a log with these tokens and, if wanted, a terminal entry."""
    clock = Clock()
    clock.advance(CREATED + 0.9)
    streamLog = StreamLog("name", EPOCH, Ticker(clock, 0.005), window)
    for token in tokens:
        streamLog.append(Kind.TOKEN, token.encode("utf-8"))
    if terminal is not None:
        end(streamLog, *terminal)
    return streamLog


def chunkLog() -> StreamLog:
    """Make a log of an upstream's chunks."""
    streamLog = makeLog()
    for kind, data in CHUNKS:
        streamLog.append(kind, data)
    return streamLog


def end(streamLog: StreamLog, kind: Kind = Kind.DONE, terminal: dict[str, Any] | None = None) -> None:
    """End a log."""
    streamLog.append(kind, json.dumps(terminal or {"reason": "stop", "tokens": 1}).encode())


def decode(stream: bytes) -> list[Event]:
    """
    Read a whole event stream: nothing of it is unfinished, no event has a
    type, none is without data. Each event has its own ID, or none, where a
    L{Decoder} gives it that of the one before.
    """
    events = Decoder(ALL).feed(stream)
    blocks = stream.split(b"\n\n")
    assert blocks.pop() == b"" and len(blocks) == len(events), stream
    assert {event.type for event in events} <= {"message"}
    return [
        Event(event.data, id=Decoder(ALL).feed(block + b"\n\n")[0].id or None)
        for event, block in zip(events, blocks, strict=True)
    ]


def parts(events: list[Event]) -> list[Any]:
    """Give the JSON of events; of `[DONE]`, itself."""
    return [event.data if event.data == "[DONE]" else json.loads(event.data) for event in events]


def chunk(delta: dict[str, str], finishReason: str | None = None) -> dict[str, Any]:
    """Make a chunk as the format should."""
    return {
        "id": f"chatcmpl-{EPOCH}",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": "parrot",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finishReason}],
    }


def error(message: str, code: str) -> dict[str, Any]:
    """Make an error as the format should."""
    return {"error": {"message": message, "type": "server_error", "param": None, "code": code}}


ROLE = chunk({"role": "assistant", "content": ""})


class OpenAIContractTests(FormatContract, SynchronousTestCase):
    """The format C{openai}."""

    def makeFormat(self) -> IFormat:
        return OpenAIFormat("parrot")


class UIContractTests(FormatContract, SynchronousTestCase):
    """The format C{ui}."""

    def makeFormat(self) -> IFormat:
        return UIFormat()


class ServiceTests(SynchronousTestCase):
    """Who has the formats."""

    def test_ofTheService(self) -> None:
        """
        Every service has both; the chunks are of its source's model.
        """
        clock = Clock()
        service = StreamService(clock, TextSource(clock, "a", 0))
        self.assertEqual(list(service.formats), ["events", "text", "openai", "ui"])
        events = decode(readAll(service.formats["openai"].render(makeLog("a")), 0, ALL, False)[1])
        self.assertEqual({part["model"] for part in parts(events)}, {service.source.model})

    def test_traits(self) -> None:
        """
        Their viewers are no EventSources; C{ui} names its version in a header.
        """
        self.assertEqual([(form.reconnects, form.headers) for form in (OpenAIFormat("m"),)], [(False, ())])
        form = UIFormat()
        self.assertEqual((form.reconnects, form.headers), (False, ((b"x-vercel-ai-ui-message-stream", b"v1"),)))


class OpenAITests(SynchronousTestCase):
    """The format C{openai}."""

    def read(self, streamLog: StreamLog, cursor: int = 0, maxBytes: int = ALL, joined: bool = False) -> list[Event]:
        """Read a log to its end."""
        return decode(readAll(OpenAIFormat("parrot").render(streamLog), cursor, maxBytes, joined)[1])

    def test_tokens(self) -> None:
        """
        Each token is a chunk; before the first comes the role, after the last
        the finish reason and `[DONE]`. Only the last event of an entry has its
        ID.
        """
        events = self.read(makeLog("One", " two", terminal=(Kind.DONE, {"reason": "stop", "tokens": 2})))
        expected = [ROLE, chunk({"content": "One"}), chunk({"content": " two"}), chunk({}, "stop"), "[DONE]"]
        self.assertEqual(parts(events), expected)
        ids = [None, f"{EPOCH}-1", f"{EPOCH}-2", None, f"{EPOCH}-3"]
        self.assertEqual([event.id for event in events], ids)

    def test_bytes(self) -> None:
        """
        The bytes of a token: ID, data in one line, the members in the order of
        OpenAI's.
        """
        frames = OpenAIFormat("parrot").render(makeLog("a", '"\r\n\u2028')).read(1, ALL, False).data
        data = (
            f'{{"id":"chatcmpl-{EPOCH}","object":"chat.completion.chunk","created":{CREATED},"model":"parrot",'
            '"choices":[{"index":0,"delta":{"content":"\\"\\r\\n\\u2028"},"finish_reason":null}]}'
        )
        self.assertEqual(frames, f"id: {EPOCH}-2\ndata: {data}\n\n".encode("ascii"))

    def test_joined(self) -> None:
        """
        Tokens that wait are one chunk with the last one's ID; the role comes
        before it only where the first entry is in it.
        """
        streamLog = makeLog("a\r", "\nb", "c")
        [role, text] = self.read(streamLog, joined=True)
        self.assertEqual(parts([role, text]), [ROLE, chunk({"content": "a\r\nbc"})])
        self.assertEqual(text.id, f"{EPOCH}-3")
        self.assertEqual(parts(self.read(streamLog, 1, joined=True)), [chunk({"content": "\nbc"})])

    def test_trimmed(self) -> None:
        """
        The role belongs to the first entry that there was, not to the first
        that is kept; reading before that is a gap.
        """
        streamLog = makeLog(*"abcdefgh", window=4 * (ENTRY_COST + 1))
        self.assertGreater(streamLog.buffer.first, 2)
        rendering = OpenAIFormat("parrot").render(streamLog)
        for joined in (False, True):
            events = self.read(streamLog, rendering.start(False), joined=joined)
            self.assertEqual({"role" in part["choices"][0]["delta"] for part in parts(events)}, {False})
            self.assertRaises(GapError, rendering.read, 1, ALL, joined)

    @given(TOKENS, st.integers(1, 400), st.booleans(), st.booleans())
    def test_anyText(self, tokens: list[str], maxBytes: int, joined: bool, ends: bool) -> None:
        """
        Whatever the tokens are, and however they are read, the chunks together
        are the text, no ID comes twice, and every line is ASCII.
        """
        streamLog = makeLog(*tokens, terminal=(Kind.DONE, {"reason": "stop"}) if ends else None)
        events = self.read(streamLog, maxBytes=maxBytes, joined=joined)
        chunks = [part["choices"][0] for part in parts(events) if part != "[DONE]"]
        self.assertEqual("".join(choice["delta"].get("content", "") for choice in chunks), "".join(tokens))
        self.assertEqual(["role" in choice["delta"] for choice in chunks].count(True), bool(events))
        ids = [event.id for event in events if event.id]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertEqual(parts(events)[-1:] == ["[DONE]"], ends)
        self.assertTrue(all(event.data.isascii() for event in events))

    @given(TOKENS, st.integers(1, 400), st.lists(st.integers(0, 12)))
    def test_oneIDOneContent(self, tokens: list[str], maxBytes: int, cursors: list[int]) -> None:
        """
        Wherever a viewer begins, and however others have read, an ID has the
        same data.
        """
        streamLog = makeLog(*tokens, terminal=(Kind.DONE, {"reason": "stop"}))
        rendering = OpenAIFormat("parrot").render(streamLog)
        expected = {event.id: event.data for event in self.read(streamLog)}
        for cursor in cursors:
            for event in decode(readAll(rendering, min(cursor, streamLog.last), maxBytes, False)[1]):
                if event.id:
                    self.assertEqual(event.data, expected[event.id])

    def test_chunks(self) -> None:
        """
        An upstream's chunks pass byte for byte, joined or not; after them
        comes only `[DONE]`, since they have told everything.
        """
        streamLog = chunkLog()
        end(streamLog, Kind.DONE, {"reason": "tool_calls", "usage": {"total_tokens": 3}})
        lines = [data.partition(b"\n")[0].decode() for _, data in CHUNKS]
        for joined in (False, True):
            events = self.read(streamLog, joined=joined)
            self.assertEqual([event.data for event in events], [*lines, "[DONE]"])
            self.assertEqual([event.id for event in events], [f"{EPOCH}-{n}" for n in range(1, 7)])
        frames = OpenAIFormat("parrot").render(streamLog).read(1, 1, False).data
        self.assertEqual(frames, f"id: {EPOCH}-2\ndata: {lines[1]}\n\n".encode())

    def test_finishReason(self) -> None:
        """
        The finish reason is the stream's, where OpenAI knows it; else `stop`.
        """
        for reason, expected in [("length", "length"), ("content_filter", "content_filter"), ("enough", "stop")]:
            [finish, _] = self.read(makeLog("a", terminal=(Kind.DONE, {"reason": reason})), 1)
            self.assertEqual(parts([finish]), [chunk({}, expected)])

    def test_usage(self) -> None:
        """
        A terminal entry with the usage has it in a chunk of its own, without
        choices.
        """
        usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
        told = parts(self.read(makeLog("a", terminal=(Kind.DONE, {"reason": "stop", "usage": usage})), 1))
        self.assertEqual(told, [chunk({}, "stop"), {**chunk({}), "choices": [], "usage": usage}, "[DONE]"])

    def test_emptyAnswer(self) -> None:
        """
        An answer without a token is one all the same.
        """
        events = self.read(makeLog(terminal=(Kind.DONE, {"reason": "stop"})))
        self.assertEqual(parts(events), [ROLE, chunk({}, "stop"), "[DONE]"])
        self.assertEqual([event.id for event in events], [None, None, f"{EPOCH}-1"])

    def test_failed(self) -> None:
        """
        What failed ends with an error that has the reason as its code, what
        was cancelled too; and never with `[DONE]`.
        """
        for kind, terminal, message in [
            (Kind.FAILED, {"reason": "error", "message": "It broke."}, "It broke."),
            (Kind.FAILED, {"reason": "error"}, "The answer failed (error)."),
            (Kind.CANCELLED, {"reason": "error"}, "The answer was cancelled (error)."),
        ]:
            [event] = self.read(makeLog("a", terminal=(kind, terminal)), 1)
            self.assertEqual((parts([event]), event.id), ([error(message, "error")], f"{EPOCH}-2"))
        self.assertEqual(len(self.read(makeLog(terminal=(Kind.FAILED, {"reason": "r"})))), 1)

    def test_publishedEvents(self) -> None:
        """
        Published events do not appear: the cursor goes over them. The first
        entry brings the role all the same.
        """
        streamLog = makeLog()
        streamLog.append(Kind.EVENT, packEvent(b"custom", b"data"))
        streamLog.append(Kind.EVENT, packEvent(b"message", b"data"))
        self.assertEqual(OpenAIFormat("parrot").render(streamLog).read(1, 1, False), Reading(2, b""))
        streamLog.append(Kind.TOKEN, b"a")
        events = self.read(streamLog)
        self.assertEqual(parts(events), [ROLE, chunk({"content": "a"})])
        self.assertEqual([event.id for event in events], [f"{EPOCH}-1", f"{EPOCH}-3"])

    def test_head(self) -> None:
        """
        A response begins with a reconnection time that makes no event, with or
        without heartbeats after it.
        """
        rendering = OpenAIFormat("parrot").render(makeLog("a"))
        head = rendering.head(0, 3000, "/streams/name")
        decoder = Decoder()
        self.assertEqual(decoder.feed(head + b":\n:\n"), [])
        self.assertEqual(decoder.reconnectionTime, 3000)
        self.assertEqual(decode(head + b":\n" + rendering.read(0, ALL, False).data), self.read(makeLog("a")))

    def test_gap(self) -> None:
        """
        A gap is an error with the ID just before what follows; it says whether
        that goes on or begins anew.
        """
        rendering = OpenAIFormat("parrot").render(makeLog("a"))
        [event] = decode(rendering.gap("x", GapError("trimmed", 4, 3)))
        message = "3 entries are no longer kept (trimmed). The stream continues after them."
        self.assertEqual((parts([event]), event.id), ([error(message, "gap")], f"{EPOCH}-4"))
        for reason in ("lost", "unknown"):
            [event] = decode(rendering.gap("x", GapError(reason, 0, None)))
            self.assertIn("replace", json.loads(event.data)["error"]["message"])

    def test_retire(self) -> None:
        """
        A response that ends before its stream says so, since it would be taken
        for a whole answer; the reconnection time rides along.
        """
        decoder = Decoder()
        [event] = decoder.feed(OpenAIFormat("parrot").render(makeLog("a")).retire(2500))
        self.assertEqual((json.loads(event.data)["error"]["code"], decoder.reconnectionTime), ("shutdown", 2500))


class OpenAIClientTests(SynchronousTestCase):
    """What OpenAI's own client makes of it, with a heartbeat after each frame."""

    def body(self, streamLog: StreamLog) -> bytes:
        """Make what a viewer is sent, as far as the log goes."""
        rendering = OpenAIFormat("parrot").render(streamLog)
        frames = [rendering.head(0, 3000, "/streams/name")]
        frames += [rendering.read(cursor, 1, False).data for cursor in range(streamLog.last)]
        return b"".join([frame + b":\n" for frame in frames])

    def ask(self, body: bytes) -> tuple[list[ChatCompletionChunk], openai.APIError | None]:
        """Let the client read a response; give the chunks, and what it raised."""
        response = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=body)
        transport = httpx.MockTransport(lambda request: response)
        chunks = []
        with openai.OpenAI(
            api_key="-", base_url="http://x/v1", http_client=httpx.Client(transport=transport)
        ) as client:
            try:
                for chunk in client.chat.completions.create(model="parrot", messages=[], stream=True):
                    chunks.append(chunk)  # noqa: PERF402 (an error in the middle leaves what came before)
            except openai.APIError as error:
                return chunks, error
        return chunks, None

    def text(self, chunks: list[ChatCompletionChunk]) -> str:
        """Put the pieces together."""
        return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)

    def test_whole(self) -> None:
        """
        It reads text, finish reason and usage.
        """
        usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
        terminal = (Kind.DONE, {"reason": "length", "usage": usage})
        chunks, error = self.ask(self.body(makeLog("a\r", "\nb\u2028c", terminal=terminal)))
        self.assertIsNone(error)
        self.assertEqual(self.text(chunks), "a\r\nb\u2028c")
        self.assertEqual((chunks[0].choices[0].delta.role, chunks[0].created), ("assistant", CREATED))
        self.assertEqual([choice.finish_reason for chunk in chunks for choice in chunk.choices][-1], "length")
        assert chunks[-1].usage is not None
        self.assertEqual(chunks[-1].usage.total_tokens, 3)

    def test_chunks(self) -> None:
        """
        It reads an upstream's chunks.
        """
        streamLog = chunkLog()
        end(streamLog)
        chunks, error = self.ask(self.body(streamLog))
        self.assertEqual((len(chunks), self.text(chunks), error), (5, "One \u00e9\u2028", None))

    def test_errors(self) -> None:
        """
        It raises what went wrong, after the text that came before.
        """
        broken = makeLog("a", terminal=(Kind.FAILED, {"reason": "timeout", "message": "It broke."}))
        rendering = OpenAIFormat("parrot").render(broken)
        gap = rendering.gap("asked", GapError("lost", 0, None))
        for body, text, code in [
            (self.body(broken), "a", "timeout"),
            (self.body(makeLog("a", terminal=(Kind.CANCELLED, {"reason": "asked"}))), "a", "asked"),
            (self.body(makeLog("a")) + rendering.retire(3000), "a", "shutdown"),
            (gap + self.body(broken), "", "gap"),
        ]:
            chunks, error = self.ask(body)
            assert error is not None
            self.assertEqual((self.text(chunks), error.code), (text, code))


class UITests(SynchronousTestCase):
    """The format C{ui}."""

    START = ({"type": "start", "messageId": f"msg-{EPOCH}"}, {"type": "start-step"}, {"type": "text-start", "id": "0"})
    END = ({"type": "text-end", "id": "0"}, {"type": "finish-step"}, {"type": "finish"}, "[DONE]")

    def read(self, streamLog: StreamLog, cursor: int = 0, maxBytes: int = ALL, joined: bool = False) -> list[Any]:
        """Read a log to its end; no part has an ID."""
        events = decode(readAll(UIFormat().render(streamLog), cursor, maxBytes, joined)[1])
        self.assertEqual({event.id for event in events}, {None} if events else set())
        return parts(events)

    def delta(self, text: str) -> dict[str, str]:
        """Make a piece of text as the format should."""
        return {"type": "text-delta", "id": "0", "delta": text}

    def test_tokens(self) -> None:
        """
        Parts open the message, hold the text, and close it. They have no
        member beyond those that the SDK's first versions know.
        """
        streamLog = makeLog("One", " two", terminal=(Kind.DONE, {"reason": "stop", "usage": {}}))
        told = [*self.START, self.delta("One"), self.delta(" two"), *self.END]
        self.assertEqual(self.read(streamLog), told)
        self.assertEqual(self.read(streamLog, joined=True), [*self.START, self.delta("One two"), *self.END])
        self.assertEqual(self.read(makeLog(terminal=(Kind.DONE, {"reason": "stop"}))), [*self.START, *self.END])

    @given(TOKENS, st.integers(1, 400), st.booleans())
    def test_anyText(self, tokens: list[str], maxBytes: int, joined: bool) -> None:
        """
        Whatever the tokens are, and however they are read, the deltas together
        are the text, and the message is opened once.
        """
        told = self.read(makeLog(*tokens), maxBytes=maxBytes, joined=joined)
        self.assertEqual(told[:3], list(self.START) if tokens else [])
        self.assertEqual("".join(part["delta"] for part in told[3:]), "".join(tokens))

    def test_chunks(self) -> None:
        """
        Of an upstream's chunks the text is told; a message that begins with a
        chunk without any is opened too.
        """
        self.assertEqual(self.read(chunkLog()), [*self.START, self.delta("One "), self.delta("\u00e9\u2028")])
        self.assertEqual(self.read(chunkLog(), joined=True), [*self.START, self.delta("One \u00e9\u2028")])
        silent = makeLog()
        silent.append(*CHUNKS[0])
        for joined in (False, True):
            self.assertEqual(self.read(silent, joined=joined), list(self.START))
        silent.append(*CHUNKS[3])
        self.assertEqual(self.read(silent, joined=True), list(self.START))

    def test_failed(self) -> None:
        """
        What failed ends with an error, what was cancelled with `abort`.
        """
        failed = (Kind.FAILED, {"reason": "error", "message": "It broke."})
        broke = {"type": "error", "errorText": "It broke."}
        self.assertEqual(self.read(makeLog("a", terminal=failed), 1), [broke, "[DONE]"])
        self.assertEqual(self.read(makeLog(terminal=failed)), [*self.START, broke, "[DONE]"])
        cancelled = makeLog("a", terminal=(Kind.CANCELLED, {"reason": "asked"}))
        self.assertEqual(self.read(cancelled, 1), [{"type": "abort"}, "[DONE]"])

    def test_publishedEvents(self) -> None:
        """
        Published events do not appear.
        """
        streamLog = makeLog()
        streamLog.append(Kind.EVENT, packEvent(b"custom", b"data"))
        streamLog.append(Kind.TOKEN, b"a")
        streamLog.append(Kind.EVENT, packEvent(b"custom", b"data"))
        self.assertEqual(self.read(streamLog), [*self.START, self.delta("a")])

    def test_head(self) -> None:
        """
        Bytes flow at once. A viewer that does not see the first entry has the
        message opened for it, else its text would belong to none.
        """
        rendering = UIFormat().render(makeLog("a", "b"))
        self.assertEqual(rendering.head(rendering.start(False), 3000, "/"), b":\n")
        self.assertEqual(rendering.start(True), 2)
        self.assertEqual(parts(decode(rendering.head(2, 3000, "/"))), list(self.START))

    def test_trimmed(self) -> None:
        """
        Where the beginning is gone, or the log has run away from a slow
        viewer, the message cannot be whole: that is said, and all.
        """
        streamLog = makeLog(*"abcdefgh", window=4 * (ENTRY_COST + 1))
        self.assertGreater(streamLog.buffer.first, 2)
        rendering = UIFormat().render(streamLog)
        for cursor in (rendering.start(False), 1):
            self.assertFalse(rendering.complete(cursor))
            after, frames = step(rendering, cursor, ALL, True)
            [problem, done] = parts(decode(frames))
            missed = streamLog.buffer.first - 1 - cursor
            text = f"{missed} entries are no longer kept (trimmed): the message cannot be whole."
            self.assertEqual((problem, done), ({"type": "error", "errorText": text}, "[DONE]"))
            self.assertEqual((after, rendering.complete(after)), (REFUSED, True))
            self.assertEqual(rendering.read(after, ALL, True), Reading(after, b""))
        self.assertEqual(self.read(streamLog, streamLog.buffer.first - 1, joined=True)[0]["type"], "text-delta")

    def test_retire(self) -> None:
        """
        A response that ends before its stream says so.
        """
        told = parts(decode(UIFormat().render(makeLog("a")).retire(2500)))
        self.assertEqual([told[0]["type"], told[1]], ["error", "[DONE]"])
