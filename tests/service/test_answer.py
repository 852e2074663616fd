"""
Tests for `sseserver.service.answer`.
"""

from __future__ import annotations

import json
from time import process_time
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import AnswerTooLong, RunCancelled, SourceError
from sseserver.jsontext import toJSON
from sseserver.protocols.chatcompletions import FOLDING, build
from sseserver.protocols.jsonpieces import encodePieces
from sseserver.service.answer import STEP_ENTRIES, Answer, refusal
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.entries import packChunk
from sseserver.streams.log import StreamLog
from sseserver.streams.terminal import packRestart
from sseserver.timing.ticker import Ticker
from sseserver.values import Kind

EPOCH = "0123456789abcdefghijAZ"


class AnswerTestCase(SynchronousTestCase):
    """A stream log, written by an upstream or another source."""

    def setUp(self) -> None:
        self.log = self.makeLog()

    def makeLog(self, window: int = 1_000_000) -> StreamLog:
        """Make an empty log of the year 2023."""
        clock = Clock()
        clock.advance(1_700_000_000.9)
        return StreamLog("name", EPOCH, Ticker(clock, 0.005), window)

    def chunk(self, *choices: dict[str, Any], **members: Any) -> None:
        """Append an upstream's chunk."""
        self.log.append(*packChunk(json.dumps({"choices": choices, **members}).encode(), ""))

    def delta(self, index: int = 0, **delta: Any) -> None:
        """Append a chunk with one choice."""
        self.chunk({"index": index, "delta": delta})

    def token(self, *tokens: str) -> None:
        """Append tokens."""
        for token in tokens:
            self.log.append(Kind.TOKEN, token.encode())

    def end(self, kind: Kind = Kind.DONE, **terminal: Any) -> None:
        """End the stream."""
        self.log.append(kind, json.dumps(terminal or {"reason": "stop", "tokens": 1}).encode())

    def read(self, maxBytes: int = 1_000_000) -> dict[str, Any]:
        """End the stream if it has not, and read it."""
        if not self.log.sealed:
            self.end()
        answer, cursor, over = Answer(self.log, "model", maxBytes), 0, False
        while not over:
            cursor, over = answer.read(cursor)
        self.assertEqual(cursor, self.log.last)
        completion: dict[str, Any] = build(answer.completion())
        # A large one is encoded in pieces, with the same outcome.
        self.assertEqual(b"".join(encodePieces(answer.completion(), FOLDING)), toJSON(completion, spaced=True))
        return completion

    def message(self) -> dict[str, Any]:
        """Return the message of the first choice."""
        message: dict[str, Any] = self.read()["choices"][0]["message"]
        return message


class AnswerTests(AnswerTestCase):
    """Answers that are complete."""

    def test_tokens(self) -> None:
        """
        Tokens become a completion with all members of OpenAI's API.
        """
        self.token("One ", "tw", "\u00f6")
        self.end(reason="length", tokens=3, usage={"total_tokens": 5})
        self.assertEqual(
            self.read(),
            {
                "id": f"chatcmpl-{EPOCH}",
                "object": "chat.completion",
                "created": 1_700_000_000,
                "model": "model",
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": "One tw\u00f6", "refusal": None},
                        "logprobs": None,
                        "finish_reason": "length",
                    }
                ],
                "usage": {"total_tokens": 5},
            },
        )

    def test_empty(self) -> None:
        """
        A stream without tokens is an empty answer. A reason that OpenAI does not have becomes
        `stop`.
        """
        self.end(reason="exhausted", tokens=0)
        (choice,) = self.read()["choices"]
        self.assertEqual((choice["message"]["content"], choice["finish_reason"]), ("", "stop"))
        self.assertNotIn("usage", self.read())

    def test_restarted(self) -> None:
        """Text before the last restart of the run is void, whether or not it is kept."""
        for window in (1_000_000, 8 * (ENTRY_COST + 40)):
            self.log = self.makeLog(window)
            self.token(*["void"] * 60)
            self.log.append(*packRestart(1))
            self.token("One ", "two")
            self.assertEqual(self.log.buffer.first > 1, window < 1_000_000)
            self.assertEqual(self.message()["content"], "One two")

    def test_piecewise(self) -> None:
        """
        A log read as it grows gives the same completion, and reading tells whether the stream has
        ended.
        """
        answer = Answer(self.log, "model", 100)
        self.assertEqual(answer.read(0), (0, False))
        self.token("a")
        self.assertEqual(answer.read(0), (1, False))
        self.token("b", "c")
        self.end()
        self.assertEqual(answer.read(1), (4, True))
        self.assertEqual(build(answer.completion()), self.read())

    def test_chunks(self) -> None:
        """
        The text in chunks is joined for each member of the delta. Members of the chunks become
        members of the completion.
        """
        self.delta(role="assistant", content="", refusal=None)
        self.delta(reasoning_content="Hm")
        self.delta(reasoning_content=".")
        self.delta(content="One ")
        self.chunk({"delta": {"content": "two"}, "finish_reason": None}, model="gpt", system_fingerprint="fp")
        self.chunk({"delta": {}, "finish_reason": "length"}, service_tier=None)
        self.chunk(usage={"total_tokens": 9})
        self.chunk(usage=None)
        completion = self.read()
        self.assertEqual(
            completion["choices"],
            [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "One two", "refusal": None, "reasoning_content": "Hm."},
                    "logprobs": None,
                    "finish_reason": "length",
                }
            ],
        )
        self.assertEqual((completion["model"], completion["system_fingerprint"]), ("gpt", "fp"))
        self.assertEqual(completion["usage"], {"total_tokens": 9})
        self.assertNotIn("service_tier", completion)

    def test_refusal(self) -> None:
        """
        A refusal is joined, and leaves no content.
        """
        self.delta(role="assistant", content=None, refusal="I can")
        self.delta(refusal="not.")
        self.assertEqual(self.message()["refusal"], "I cannot.")

    def test_toolCalls(self) -> None:
        """
        Tool calls are put together by index, without the index in the result and without content.
        Repeated names are not doubled.
        """
        self.delta(tool_calls=[{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}}])
        self.delta(tool_calls=[{"index": 0, "id": "a", "type": "function", "function": {"name": "f"}}])
        self.delta(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x"'}}])
        self.delta(tool_calls=[{"index": 1, "function": {"arguments": "{}"}}])
        self.delta(tool_calls=[{"index": 0, "id": None, "function": {"arguments": ":1}"}}])
        self.chunk({"delta": {}, "finish_reason": "tool_calls"})
        (choice,) = self.read()["choices"]
        self.assertEqual(choice["finish_reason"], "tool_calls")
        self.assertEqual(
            choice["message"],
            {
                "role": "assistant",
                "content": None,
                "refusal": None,
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
                    {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
                ],
            },
        )

    def test_callsWithoutIndex(self) -> None:
        """
        Complete tool calls without indices are kept apart.
        """
        calls = [{"id": name, "function": {"name": name, "arguments": "{}"}} for name in ("f", "g")]
        self.delta(tool_calls=calls)
        self.assertEqual(self.message()["tool_calls"], calls)

    def call(self, index: object, **call: Any) -> None:
        """Append a piece of a tool call."""
        self.delta(tool_calls=[call if index is None else {"index": index, **call}])

    def calls(self) -> list[tuple[str, str, str]]:
        """Give ID, name and arguments of the tool calls."""
        calls = self.message()["tool_calls"]
        return [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in calls]

    def test_F37_parallelCalls(self) -> None:
        """F37: another ID begins a new call, with the index 0 or none; a piece without an ID belongs to the newest."""
        for index in (None, 0):
            self.log = self.makeLog()
            for name, city in (("c1", "A"), ("c2", "B")):
                self.call(index, id=name, type="function", function={"name": "weather", "arguments": '{"c":"'})
                self.call(index, function={"arguments": city + '"}'})
            self.assertEqual(self.calls(), [("c1", "weather", '{"c":"A"}'), ("c2", "weather", '{"c":"B"}')], index)

    def test_F37_callsOutOfOrder(self) -> None:
        """F37: pieces without an index find their call by its ID."""
        self.delta(tool_calls=[{"id": name, "function": {"name": name, "arguments": "{"}} for name in "ab"])
        self.call(None, id="c", function={"name": "c", "arguments": "{}"})
        self.call(None, id="b", function={"arguments": "}"})
        self.call(None, id="a", function={"arguments": "}"})
        self.assertEqual(self.calls(), [("a", "a", "{}"), ("b", "b", "{}"), ("c", "c", "{}")])

    def test_F38_emptyStrings(self) -> None:
        """F38: an empty string replaces nothing."""
        self.call(0, id="call_7", type="function", function={"name": "lookup", "arguments": ""})
        self.call(0, id="", function={"name": "", "arguments": "{}"})
        self.assertEqual(self.calls(), [("call_7", "lookup", "{}")])

    def test_F39_otherMembers(self) -> None:
        """F39: other members are put together as well: strings joined, lists extended, entries merged by index."""
        for text in ("The ", "user "):
            self.delta(reasoning_details=[{"type": "reasoning.text", "text": text, "index": 0}])
        audio: list[dict[str, Any]] = [{"id": "a1", "transcript": "Hel"}, {"transcript": "lo"}, {"data": "AAAA"}]
        for piece in (*audio, {"data": "BBBB"}, {"expires_at": 9}):
            self.delta(audio=piece)
        cited = [{"type": "url_citation", "url": f"http://{name}.example"} for name in "ab"]
        for citation in cited:
            self.delta(annotations=[citation])
        self.delta(content="42")
        message = self.message()
        self.assertEqual(message["reasoning_details"], [{"type": "reasoning.text", "text": "The user ", "index": 0}])
        self.assertEqual(message["audio"], {"id": "a1", "transcript": "Hello", "data": "AAAABBBB", "expires_at": 9})
        self.assertEqual((message["annotations"], message["content"]), (cited, "42"))

    def test_F40_null(self) -> None:
        """F40: the content is null if nothing else was sent, or if there is a refusal instead."""
        for content in (None, ""):
            self.log = self.makeLog()
            self.delta(role="assistant", content=content, refusal="I can")
            self.delta(content=None, refusal="not.")
            self.assertEqual(self.message(), {"role": "assistant", "content": None, "refusal": "I cannot."})
        self.log = self.makeLog()
        self.delta(content=None, audio={"id": "a"})
        self.assertIsNone(self.message()["content"])

    def test_F36_usageOfGroq(self) -> None:
        """F36: the usage in `x_groq` is the usage of the answer."""
        self.delta(content="A")
        self.chunk({"delta": {}, "finish_reason": "stop"}, x_groq={"usage": {"total_tokens": 2}})
        self.assertEqual(self.read()["usage"], {"total_tokens": 2})

    def test_F124_members(self) -> None:
        """F124: ID, time and unknown members are those of the chunks; the last one wins, if it is not empty."""
        self.chunk({"delta": {"content": "A"}}, id="gen-1", created=7, citations=["a"], provider="P")
        self.chunk({"delta": {}, "finish_reason": "stop", "native_finish_reason": "end"}, id="", created=0)
        self.chunk(id="gen-1", created=7, citations=["a", "b"], obfuscation="xx")
        answer = self.read()
        self.assertEqual((answer["id"], answer["created"], answer["object"]), ("gen-1", 7, "chat.completion"))
        self.assertEqual((answer["citations"], answer["provider"]), (["a", "b"], "P"))
        self.assertEqual(answer["choices"][0]["native_finish_reason"], "end")
        self.assertNotIn("obfuscation", answer)

    def test_F51_manyPieces(self) -> None:
        """F51: a tool call in many pieces takes time in proportion to their number."""
        piece = b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"%b"}}]}}]}' % (b"x" * 100)
        times = []
        for count in (10_000, 40_000):
            self.log = self.makeLog(100_000_000)
            for _ in range(count):
                self.log.append(*packChunk(piece, ""))
            start = process_time()
            (call,) = self.read(100_000_000)["choices"][0]["message"]["tool_calls"]
            times.append(process_time() - start)
            self.assertEqual(len(call["function"]["arguments"]), 100 * count)
        self.assertLess(times[1], 8 * times[0])

    def test_F50_severalTurns(self) -> None:
        """F50: a long answer is read in steps of bounded size."""
        for count, size in ((10_000, 1), (10, 100_000)):
            self.log = self.makeLog(100_000_000)
            for number in range(count):
                self.delta(content="x" * size) if number % 2 else self.token("y" * size)
            self.end()
            answer, cursor, over, steps = Answer(self.log, "model", 100_000_000), 0, False, 0
            while not over:
                before = cursor
                cursor, over = answer.read(cursor)
                steps += 1
                self.assertLessEqual(cursor - before, STEP_ENTRIES)
            self.assertGreater(steps, 3)
            self.assertEqual(build(answer.completion()), self.read(100_000_000))

    def test_functionCall(self) -> None:
        """
        The older `function_call` is put together as well.
        """
        self.delta(function_call={"name": "f", "arguments": "{"})
        self.delta(function_call={"arguments": "}"})
        message = self.message()
        self.assertEqual(message["function_call"], {"name": "f", "arguments": "{}"})
        self.assertIsNone(message["content"])

    def test_logprobs(self) -> None:
        """
        Log probabilities are one list for each member.
        """
        self.chunk({"delta": {"content": "a"}, "logprobs": {"content": [{"token": "a"}], "refusal": None}})
        self.chunk({"delta": {"content": "b"}, "logprobs": {"content": [{"token": "b"}], "refusal": None}})
        self.chunk({"delta": {}, "logprobs": None})
        (choice,) = self.read()["choices"]
        self.assertEqual(choice["logprobs"], {"content": [{"token": "a"}, {"token": "b"}], "refusal": None})

    def test_choices(self) -> None:
        """
        Several choices are kept apart, in order.
        """
        self.delta(1, content="b")
        self.chunk({"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {}, "finish_reason": "length"})
        told = [(one["index"], one["message"]["content"], one["finish_reason"]) for one in self.read()["choices"]]
        self.assertEqual(told, [(0, "a", "stop"), (1, "b", "length")])

    def test_oddDeltas(self) -> None:
        """
        Members with types that OpenAI's API does not have are ignored.
        """
        self.delta(tool_calls="x", function_call="y", audio={"id": 1}, content="a")
        self.delta(tool_calls=[1, {"index": "x", "function": 2}, {"index": 1, "function": {"arguments": "z"}}])
        self.chunk({"delta": None, "logprobs": {"content": 1}})
        self.chunk({"delta": 1, "logprobs": 1, "finish_reason": 1}, usage=1, model=1, service_tier={})
        self.log.append(*packChunk(b'{"choices":null}', ""))
        self.log.append(*packChunk(b'{"choices":[{"delta":{"x":NaN}}]}', ""))
        completion = self.read()
        self.assertEqual(completion["choices"][0]["finish_reason"], "stop")
        self.assertEqual((completion["model"], "usage" in completion), ("model", False))
        message = self.message()
        self.assertEqual((message["content"], message["audio"]), ("a", {"id": 1}))

    def test_halves(self) -> None:
        """
        Halves of a character in two chunks are joined; a single half becomes U+FFFD.
        """
        for half in ("\\ud83d", "\\ude00", "!\\ud83d"):
            self.log.append(*packChunk(b'{"choices":[{"delta":{"content":"%b"}}]}' % half.encode(), ""))
        self.assertEqual(self.message()["content"], "\U0001f600!\ufffd")

    def test_parts(self) -> None:
        """
        A content that is a list of parts counts as their text.
        """
        self.delta(content=[{"type": "text", "text": "a"}, {"type": "x"}, 1])
        self.delta(content="b")
        self.assertEqual(self.message()["content"], "ab")

    def test_unreadable(self) -> None:
        """
        A chunk that cannot be read ends the answer.
        """
        deep = b'{"choices":[{"delta":{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}}]}"
        for data in (b"{}x", b'{"choices":[{"index":-1}]}', b'{"choices":[{"index":128}]}', deep):
            log = self.makeLog()
            log.append(*packChunk(data, ""))
            with self.assertRaises(SourceError) as caught:
                Answer(log, "model", 1_000_000).read(0)
            self.assertEqual((caught.exception.status, caught.exception.code), (502, "malformed"))

    def test_tooLong(self) -> None:
        """
        An answer over the limit is refused. A chunk counts with its text, or entirely if it has
        more than text.
        """
        self.token("12345")
        self.delta(role="", content="12345")
        self.read(10)
        self.assertRaises(AnswerTooLong, self.read, 9)
        self.log = self.makeLog()
        self.chunk({"delta": {"content": "a"}, "logprobs": {"content": [{"token": "a"}]}})
        self.assertRaises(AnswerTooLong, self.read, 50)
        self.read(100)

    def test_trimmed(self) -> None:
        """
        An answer whose beginning is no longer kept is too long.
        """
        self.log = self.makeLog(10 * (1 + ENTRY_COST))
        self.token(*"abcdefghijkl")
        self.assertRaises(AnswerTooLong, self.read)


class FailureTests(AnswerTestCase):
    """Runs that ended without an answer."""

    def failed(self, **terminal: Any) -> SourceError:
        """Read a run that failed."""
        self.log = self.makeLog()
        self.token("a")
        self.end(Kind.FAILED, **terminal)
        error = self.failure()
        assert isinstance(error, SourceError)
        return error

    def failure(self) -> Exception:
        """Read a stream that has no answer."""
        try:
            self.read()
        except (SourceError, RunCancelled) as error:
            return error
        raise AssertionError("there is an answer")

    def test_failed(self) -> None:
        """
        Status, retry time and message are those of the source.
        """
        error = self.failed(reason="upstream", message="Too many.", status=429, retryAfter=7)
        self.assertEqual((str(error), error.code), ("Too many.", "upstream"))
        self.assertEqual((error.status, error.retryAfter, error.type), (429, 7, "rate_limit_error"))
        error = self.failed(reason="error", message="Broke.")
        self.assertEqual((error.status, error.retryAfter, error.type), (502, None, "server_error"))
        self.assertEqual(self.failed(reason="x", status=404).type, "invalid_request_error")
        for reason in ("shutdown", "interrupted"):
            error = self.failed(reason=reason)
            self.assertEqual((error.status, error.retryAfter), (503, 3))

    def test_cancelled(self) -> None:
        """
        A cancelled run has a status that clients do not retry.
        """
        self.token("a")
        self.end(Kind.CANCELLED, reason="asked")
        error = self.failure()
        self.assertIsInstance(error, RunCancelled)
        self.assertIn("asked", str(error))

    def test_refusals(self) -> None:
        """
        A run whose first entry is its failure has no answer; any other has part of one, or nothing
        yet.
        """
        self.assertIsNone(refusal(self.log))
        self.token("a")
        self.end(Kind.FAILED, reason="x")
        self.assertIsNone(refusal(self.log))
        for kind, error in ((Kind.FAILED, SourceError), (Kind.CANCELLED, RunCancelled)):
            self.log = self.makeLog()
            self.end(kind, reason="x")
            self.assertIsInstance(refusal(self.log), error)
        self.log = self.makeLog()
        self.end()
        self.assertIsNone(refusal(self.log))
