"""
Tests for `sseserver.formats.openai`.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import GapError
from sseserver.formats import OpenAIFormat
from sseserver.interfaces import IFormat
from sseserver.interfaces.reading import Reading
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.entries import packEvent
from sseserver.streams.log import StreamLog
from sseserver.testing import FormatContract
from sseserver.values import Kind
from sseserver.wire import Decoder, Event
from tests.formats.chatcases import ALL, CHUNKS, CREATED, EPOCH, TOKENS, chunkLog, decode, end, makeLog, parts
from tests.readers import readAll


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
    """The contract of formats."""

    def makeFormat(self) -> IFormat:
        return OpenAIFormat("parrot")


class OpenAITests(SynchronousTestCase):
    """The format `openai`."""

    def read(self, streamLog: StreamLog, cursor: int = 0, maxBytes: int = ALL, joined: bool = False) -> list[Event]:
        """Read a log to its end."""
        return decode(readAll(OpenAIFormat("parrot").render(streamLog), cursor, maxBytes, joined)[1])

    def test_tokens(self) -> None:
        """
        Each token is a chunk; the role stands before the first, the finish reason and `[DONE]`
        after the last. Only the last event of an entry has its ID.
        """
        events = self.read(makeLog("One", " two", terminal=(Kind.DONE, {"reason": "stop", "tokens": 2})))
        expected = [ROLE, chunk({"content": "One"}), chunk({"content": " two"}), chunk({}, "stop"), "[DONE]"]
        self.assertEqual(parts(events), expected)
        ids = [None, f"{EPOCH}-1", f"{EPOCH}-2", None, f"{EPOCH}-3"]
        self.assertEqual([event.id for event in events], ids)

    def test_bytes(self) -> None:
        """
        A token is an ID and one line of data, with the members in OpenAI's order.
        """
        frames = OpenAIFormat("parrot").render(makeLog("a", '"\r\n\u2028')).read(1, ALL, False).data
        data = (
            f'{{"id":"chatcmpl-{EPOCH}","object":"chat.completion.chunk","created":{CREATED},"model":"parrot",'
            '"choices":[{"index":0,"delta":{"content":"\\"\\r\\n\\u2028"},"finish_reason":null}]}'
        )
        self.assertEqual(frames, f"id: {EPOCH}-2\ndata: {data}\n\n".encode("ascii"))

    def test_joined(self) -> None:
        """
        Joined tokens are one chunk with the ID of the last; the role stands before it only if the
        first entry is among them.
        """
        streamLog = makeLog("a\r", "\nb", "c")
        [role, text] = self.read(streamLog, joined=True)
        self.assertEqual(parts([role, text]), [ROLE, chunk({"content": "a\r\nbc"})])
        self.assertEqual(text.id, f"{EPOCH}-3")
        self.assertEqual(parts(self.read(streamLog, 1, joined=True)), [chunk({"content": "\nbc"})])

    def test_trimmed(self) -> None:
        """
        The role belongs to the first entry of the stream, not to the first one kept; reading before
        that is a gap.
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
        Whatever the tokens are, and however they are read, the chunks together are the text, no ID
        is repeated, and every line is ASCII.
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
        An ID has the same data wherever a viewer begins, and however others have read.
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
        The chunks of an upstream are passed on byte for byte, joined or not; only `[DONE]` follows
        them.
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
        The finish reason is that of the stream if OpenAI has it, otherwise `stop`.
        """
        for reason, expected in [("length", "length"), ("content_filter", "content_filter"), ("enough", "stop")]:
            [finish, _] = self.read(makeLog("a", terminal=(Kind.DONE, {"reason": reason})), 1)
            self.assertEqual(parts([finish]), [chunk({}, expected)])

    def test_usage(self) -> None:
        """
        The usage in a terminal entry is a chunk without choices.
        """
        usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
        told = parts(self.read(makeLog("a", terminal=(Kind.DONE, {"reason": "stop", "usage": usage})), 1))
        self.assertEqual(told, [chunk({}, "stop"), {**chunk({}), "choices": [], "usage": usage}, "[DONE]"])

    def test_emptyAnswer(self) -> None:
        """
        An answer without tokens is still complete.
        """
        events = self.read(makeLog(terminal=(Kind.DONE, {"reason": "stop"})))
        self.assertEqual(parts(events), [ROLE, chunk({}, "stop"), "[DONE]"])
        self.assertEqual([event.id for event in events], [None, None, f"{EPOCH}-1"])

    def test_failed(self) -> None:
        """
        A failed or cancelled stream ends with an error whose code is the reason, never with
        `[DONE]`.
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
        Published events are left out, and the cursor passes them. The first entry still brings the
        role.
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
        A response begins with a reconnection time that is no event, with or without heartbeats
        after it.
        """
        rendering = OpenAIFormat("parrot").render(makeLog("a"))
        head = rendering.head(0, 3000, "/streams/name")
        decoder = Decoder()
        self.assertEqual(decoder.feed(head + b":\n:\n"), [])
        self.assertEqual(decoder.reconnectionTime, 3000)
        self.assertEqual(decode(head + b":\n" + rendering.read(0, ALL, False).data), self.read(makeLog("a")))

    def test_gap(self) -> None:
        """
        A gap is an error with the ID before the entries that follow; it says whether they continue
        or replace.
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
        A response that ends before its stream says so in an error, so that it is not taken for a
        complete answer.
        """
        decoder = Decoder()
        [event] = decoder.feed(OpenAIFormat("parrot").render(makeLog("a")).retire(2500))
        self.assertEqual((json.loads(event.data)["error"]["code"], decoder.reconnectionTime), ("shutdown", 2500))
