"""Tests of `sseserver.protocols.messages.translation`."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.protocols.messages import MessagesTranslator
from sseserver.values import Kind
from sseserver.wire import Decoder


def makeChunk(delta: dict[str, Any] | None = None, **members: Any) -> bytes:
    """Return an upstream's chunk, UTF-8."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": members.pop("finish", None)}]
    return json.dumps({"model": "m-1", "choices": choices, **members}).encode()


def makeCall(index: int, **function: str) -> bytes:
    """Return a chunk with a piece of a tool call."""
    named = {"id": f"call-{index}"} if "name" in function else {}
    return makeChunk({"tool_calls": [{"index": index, **named, "function": function}]})


class TranslationTests(SynchronousTestCase):
    """The events of a message."""

    def setUp(self) -> None:
        self.translator = MessagesTranslator("msg_1", "source")

    def translate(self, *entries: tuple[Kind, bytes]) -> list[dict[str, Any]]:
        """Translate entries; return the data of their events, whose types are the same."""
        written = b"".join(event for kind, data in entries for event in self.translator.translate(kind, data))
        events = Decoder().feed(written)
        told = [json.loads(event.data) for event in events]
        self.assertEqual([each["type"] for each in told], [event.type for event in events])
        return told

    def chunks(self, *chunks: bytes, reason: str = "stop") -> list[dict[str, Any]]:
        """Translate a whole answer of an upstream; return its events without the first one."""
        entries = [(Kind.CHUNK, chunk) for chunk in chunks]
        return self.translate(*entries, (Kind.DONE, json.dumps({"reason": reason, "tokens": 3}).encode()))[1:]

    def test_tokens(self) -> None:
        """Tokens are deltas of one text block, between the events that open and end it."""
        done = b'{"reason":"length","tokens":2,"usage":{"prompt_tokens":5,"completion_tokens":2}}'
        first = self.translate((Kind.TOKEN, b'One"'), (Kind.TOKEN, "\n\u2028 zwei".encode()))
        last = self.translate((Kind.DONE, done))
        message = first[0].pop("message")
        self.assertEqual((message["id"], message["model"], message["content"]), ("msg_1", "source", []))
        self.assertEqual(message["usage"], {"input_tokens": 0, "output_tokens": 0})
        self.assertEqual(
            first[1:],
            [
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": 'One"'}},
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "\n\u2028 zwei"}},
            ],
        )
        usage = {
            "input_tokens": 5,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 2,
        }
        delta = {"stop_reason": "max_tokens", "stop_sequence": None}
        self.assertEqual(
            last,
            [
                {"type": "content_block_stop", "index": 0},
                {"type": "message_delta", "delta": delta, "usage": usage},
                {"type": "message_stop"},
            ],
        )

    def test_empty(self) -> None:
        """An answer without text is a message without content; its tokens are those of the terminal entry."""
        events = self.translate((Kind.DONE, b'{"reason":"stop","tokens":0}'))
        self.assertEqual([each["type"] for each in events], ["message_start", "message_delta", "message_stop"])

    def test_chunks(self) -> None:
        """Reasoning and text are blocks in their order; the model and the usage are those of the upstream."""
        usage = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 6}}
        start = self.translate((Kind.SILENT_CHUNK, makeChunk({"role": "assistant", "content": ""})))
        self.assertEqual([start[0]["message"]["model"], len(start)], ["m-1", 1])
        events = self.translate(
            (Kind.SILENT_CHUNK, makeChunk({"reasoning_content": "Hm"})),
            (Kind.CHUNK, makeChunk({"content": "a"})),
            (Kind.SILENT_CHUNK, makeChunk({}, finish="stop")),
            (Kind.SILENT_CHUNK, makeChunk(usage=usage)),
            (Kind.DONE, b'{"reason":"stop","tokens":1}'),
        )
        thinking = {"type": "thinking", "thinking": "", "signature": ""}
        self.assertEqual(
            events[:5],
            [
                {"type": "content_block_start", "index": 0, "content_block": thinking},
                {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm"}},
                {"type": "content_block_stop", "index": 0},
                {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
                {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "a"}},
            ],
        )
        told = events[-2]["usage"]
        self.assertEqual([told[f"{name}_tokens"] for name in ("input", "cache_read_input", "output")], [3, 6, 4])

    def test_sameChunks(self) -> None:
        """Chunks that differ only in their texts make the same events as chunks that are read one by one."""
        words = ["a", "b", " ", "é", '"', "\n", "\u2028", "c", "<|>", "\U0001f600"]
        padded = MessagesTranslator("msg_1", "source")
        for number, word in enumerate(words):
            text = b"\n" + word.encode()
            told = self.translator.translate(Kind.CHUNK, makeChunk({"content": word}) + text)
            data = makeChunk({"content": word}, padding="x" * number) + text
            self.assertEqual(told, padded.translate(Kind.CHUNK, data))
            self.assertEqual(json.loads(Decoder().feed(told[-1])[0].data)["delta"]["text"], word)

    def test_calls(self) -> None:
        """Tool calls are blocks that stay open to the end, since the arguments of several may come in turn."""
        events = self.chunks(
            makeChunk({"content": "a"}),
            makeCall(0, name="f", arguments=""),
            makeCall(0, arguments='{"x"'),
            makeCall(1, name="g", arguments="{}"),
            makeCall(0, arguments=":1}"),
            makeChunk({}, finish="stop"),
        )
        places = [(each["type"].removeprefix("content_block_"), each.get("index")) for each in events]
        self.assertEqual(
            " ".join(f"{kind}{index}" for kind, index in places[:-2]),
            "start0 delta0 stop0 start1 delta1 start2 delta2 delta1 stop1 stop2",
        )
        block = {"type": "tool_use", "id": "call-0", "name": "f", "input": {}}
        self.assertEqual(events[3]["content_block"], block)
        pieces = [each["delta"]["partial_json"] for each in events if each.get("index") == 1 and "delta" in each]
        self.assertEqual("".join(pieces), '{"x":1}')
        # Some upstreams end such an answer with `stop`.
        self.assertEqual(events[-2]["delta"]["stop_reason"], "tool_use")

    def test_reasons(self) -> None:
        """Each finish reason has a stop reason; a refusal is one, too."""
        for reason, stop in (
            ("stop", "end_turn"),
            ("length", "max_tokens"),
            ("content_filter", "refusal"),
            ("tool_calls", "tool_use"),
            ("eos", "end_turn"),
        ):
            self.setUp()
            events = self.chunks(makeChunk({"content": "a"}), makeChunk({}, finish=reason))
            self.assertEqual(events[-2]["delta"]["stop_reason"], stop)
        self.setUp()
        events = self.chunks(makeChunk({"refusal": "No."}), makeChunk({}, finish="stop"))
        self.assertEqual((events[1]["delta"]["text"], events[-2]["delta"]["stop_reason"]), ("No.", "refusal"))

    def test_failures(self) -> None:
        """A failure and a cancellation are errors of Anthropic's types, with the sentence of ours."""
        for kind, members, type, message in (
            (Kind.FAILED, {"reason": "upstream", "message": "m", "status": 429}, "rate_limit_error", "m"),
            (Kind.FAILED, {"reason": "source", "message": "m"}, "api_error", "m"),
            (Kind.CANCELLED, {"reason": "asked"}, "invalid_request_error", "The answer was cancelled (asked)."),
        ):
            (event,) = self.translate((kind, json.dumps(members).encode()))
            self.assertEqual(
                (event["type"], event["error"]["type"], event["error"]["message"]), ("error", type, message)
            )

    def test_fork(self) -> None:
        """A copy writes the rest as the original does, and neither changes the other."""
        entries = [
            (Kind.SILENT_CHUNK, makeChunk({"reasoning": "r"})),
            (Kind.SILENT_CHUNK, makeCall(0, name="f", arguments="{")),
            (Kind.SILENT_CHUNK, makeCall(1, name="g", arguments="{")),
            (Kind.CHUNK, makeChunk({"content": "a"})),
            (Kind.CHUNK, makeChunk({"content": "b"})),
            (Kind.SILENT_CHUNK, makeCall(0, arguments="}")),
            (Kind.SILENT_CHUNK, makeChunk({"refusal": "c"}, finish="length")),
            (Kind.SILENT_CHUNK, makeChunk(usage={"completion_tokens": 7})),
            (Kind.DONE, b'{"reason":"stop","tokens":1}'),
        ]
        whole = [self.translator.translate(*entry) for entry in entries]
        for place in range(len(entries)):
            self.setUp()
            for entry in entries[:place]:
                self.translator.translate(*entry)
            fork = self.translator.fork()
            for translator in (fork, self.translator):
                rest = [translator.translate(*entry) for entry in entries[place:]]
                self.assertEqual(rest, whole[place:], place)
