"""
Tests for `sseserver.protocols.responses.translation`.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.protocols.responses.response import Identity
from sseserver.protocols.responses.translation import DONE, ResponseTranslator, writeProblem
from sseserver.streams.entries import packChunk
from sseserver.values import Kind
from tests.protocols.responses.judge import judgeEvents, readEvents

IDENTITY = Identity("name", 1_700_000_000, "parrot")

INPUT = (Kind.INPUT, b'{"model":"m","metadata":{"a":"b"}}\n[]')

#: The members of a response, in their order.
MEMBERS = [
    *("id", "object", "created_at", "status", "completed_at", "error", "incomplete_details", "model", "background"),
    *("instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls"),
    *("previous_response_id", "prompt_cache_key", "reasoning", "safety_identifier", "service_tier", "store"),
    *("temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p", "presence_penalty"),
    *("frequency_penalty", "truncation", "output", "usage"),
]

DONE_ENTRY = (Kind.DONE, b'{"reason":"stop","tokens":1,"ended":1700000009}')


def chunk(finish: str | None = None, **delta: Any) -> tuple[Kind, bytes]:
    """Make a chunk of an upstream."""
    members = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return packChunk(json.dumps(members).encode(), delta.get("content") or "")


#: Chunks with everything that an answer can have.
RICH = (
    chunk(role="assistant"),
    chunk(reasoning_content="Hm"),
    chunk(content="One"),
    chunk(content=" two\n\u2028\u00e9"),
    chunk(annotations=[{"type": "url_citation", "url_citation": {"url": "http://a", "title": "A"}}]),
    chunk(refusal="No"),
    chunk(tool_calls=[{"index": 0, "id": "call_a", "function": {"name": "f", "arguments": "{"}}]),
    chunk(tool_calls=[{"index": 1, "id": "call_b", "function": {"name": "g", "arguments": "{}"}}]),
    chunk(tool_calls=[{"index": 0, "function": {"arguments": "}"}}]),
    chunk(content="After"),
    packChunk(b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}', ""),
)


def write(*entries: tuple[Kind, bytes], translator: ResponseTranslator | None = None) -> bytes:
    """Translate entries."""
    translator = translator or ResponseTranslator(IDENTITY)
    return b"".join(event for kind, data in entries for event in translator.translate(kind, data))


def types(stream: bytes) -> list[str]:
    """Return the types of events, without their common beginning."""
    return [event["type"].removeprefix("response.") for event in readEvents(stream)]


class TranslationTests(SynchronousTestCase):
    """Answers as events."""

    def test_text(self) -> None:
        """The events of a text open a message and a part, add to it, close both, and end with the response."""
        stream = write(INPUT, (Kind.TOKEN, b"One "), (Kind.TOKEN, b"two"), DONE_ENTRY)
        self.assertTrue(stream.endswith(DONE))
        events = readEvents(stream)
        self.assertEqual([event["sequence_number"] for event in events], list(range(len(events))))
        self.assertEqual(
            types(stream),
            [
                "created",
                "in_progress",
                "output_item.added",
                "content_part.added",
                "output_text.delta",
                "output_text.delta",
                "output_text.done",
                "content_part.done",
                "output_item.done",
                "completed",
            ],
        )
        place = {"item_id": "msg_name_0", "output_index": 0, "content_index": 0}
        delta = {"type": "response.output_text.delta", "sequence_number": 5, **place, "delta": "two", "logprobs": []}
        self.assertEqual(events[5], delta)
        self.assertEqual(events[6]["text"], "One two")
        response = events[-1]["response"]
        self.assertEqual(response["output"], [events[8]["item"]])
        self.assertEqual(response["output"][0]["content"][0]["text"], "One two")
        self.assertEqual((response["model"], response["metadata"]), ("m", {"a": "b"}))
        self.assertEqual((response["completed_at"], response["status"]), (1_700_000_009, "completed"))

    def test_members(self) -> None:
        """The response has exactly the members of the specification; `text.verbosity` is absent, not null."""
        response = readEvents(write(INPUT))[0]["response"]
        self.assertEqual(list(response), MEMBERS)
        self.assertEqual(response["text"], {"format": {"type": "text"}})
        self.assertEqual(response["id"], "resp_name")

    def test_specification(self) -> None:
        """Every event is as the specification says, of everything that an answer can have, however it ends."""
        for end in (
            DONE_ENTRY,
            (Kind.DONE, b'{"reason":"length"}'),
            (Kind.DONE, b'{"reason":"content_filter"}'),
            (Kind.FAILED, b'{"reason":"upstream","message":"It broke."}'),
            (Kind.CANCELLED, b'{"reason":"asked"}'),
        ):
            judgeEvents(write(INPUT, *RICH, end))
            judgeEvents(write(end))
        judgeEvents(write((Kind.INPUT, b'{"background":true}\n[]'), (Kind.TOKEN, b"a")))
        judgeEvents(writeProblem("It broke.", "trimmed"))

    def test_rich(self) -> None:
        """Reasoning, text, citations, refusals and calls are items and parts in their order; pieces may come mixed."""
        stream = write(INPUT, *RICH, DONE_ENTRY)
        events = readEvents(stream)
        self.assertEqual([event["sequence_number"] for event in events], list(range(len(events))))
        reasoning, message, first, second, after = events[-1]["response"]["output"]
        self.assertEqual(reasoning["summary"], [{"type": "summary_text", "text": "Hm"}])
        text, refusal = message["content"]
        self.assertEqual((text["text"], refusal["refusal"]), ("One two\n\u2028\u00e9", "No"))
        self.assertEqual([one["url"] for one in text["annotations"]], ["http://a"])
        self.assertEqual((first["name"], first["call_id"], first["arguments"]), ("f", "call_a", "{}"))
        self.assertEqual((second["name"], second["arguments"]), ("g", "{}"))
        self.assertEqual(after["content"][0]["text"], "After")
        done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        self.assertCountEqual(done, events[-1]["response"]["output"])
        usage = events[-1]["response"]["usage"]
        self.assertEqual((usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]), (3, 4, 7))

    def test_ends(self) -> None:
        """The last event and the status tell how the answer has ended, and open items are incomplete."""
        for kind, terminal, last, status in (
            (Kind.DONE, {"reason": "tool_calls"}, "completed", "completed"),
            (Kind.DONE, {"reason": "length"}, "incomplete", "incomplete"),
            (Kind.FAILED, {"reason": "x", "message": "It broke.", "code": "bad"}, "failed", "failed"),
            (Kind.CANCELLED, {"reason": "asked"}, "incomplete", "cancelled"),
        ):
            events = readEvents(write(INPUT, (Kind.TOKEN, b"a"), (kind, json.dumps(terminal).encode())))
            response = events[-1]["response"]
            self.assertEqual((events[-1]["type"], response["status"]), (f"response.{last}", status))
            item = "completed" if status == "completed" else "incomplete"
            self.assertEqual(response["output"][0]["status"], item)
        failed = readEvents(write((Kind.FAILED, b'{"message":"It broke.","code":"bad"}')))[-1]["response"]
        self.assertEqual(failed["error"], {"code": "bad", "message": "It broke."})
        ended = readEvents(write((Kind.DONE, b'{"usage":{"prompt_tokens":1,"completion_tokens":2}}')))[-1]["response"]
        self.assertEqual(ended["usage"]["total_tokens"], 3)

    def test_background(self) -> None:
        """A background response is queued until its run has begun."""
        asked = (Kind.INPUT, b'{"background":true}\n[]')
        self.assertEqual(types(write(asked)), ["created", "queued"])
        events = readEvents(write(asked, (Kind.TOKEN, b"a")))
        self.assertEqual(
            [event["type"] for event in events[2:4]], ["response.in_progress", "response.output_item.added"]
        )
        self.assertEqual([event["response"]["status"] for event in events[:3]], ["queued", "queued", "in_progress"])

    def test_noRequest(self) -> None:
        """An answer to another API is a response, too."""
        events = readEvents(write((Kind.TOKEN, b"a"), DONE_ENTRY))
        self.assertEqual(events[0]["response"]["model"], "parrot")

    def test_forks(self) -> None:
        """At every place a fork goes on as its original does, whichever goes first, and shares no state with it."""
        for entries in (
            (INPUT, *RICH, DONE_ENTRY),
            (INPUT, (Kind.TOKEN, b"One"), (Kind.TOKEN, b"two"), (Kind.TOKEN, b"three"), DONE_ENTRY),
        ):
            whole = write(*entries)
            for place in range(len(entries)):
                original = ResponseTranslator(IDENTITY)
                begin = write(*entries[:place], translator=original)
                fork = original.fork()
                for one in (fork, original, fork.fork() if place == len(entries) else fork):
                    if one is fork and one is not original:
                        fork = one.fork()
                    self.assertEqual(begin + write(*entries[place:], translator=one.fork()), whole)

    def test_skip(self) -> None:
        """Tokens that are skipped count as those that are written, once the first is."""
        translator = ResponseTranslator(IDENTITY)
        self.assertFalse(translator.skip(b"ab", 2))
        write(INPUT, (Kind.TOKEN, b"One"), translator=translator)
        behind = translator.fork()
        self.assertTrue(translator.skip(b" two three", 2))
        write((Kind.TOKEN, b" two"), translator=behind)
        end = write((Kind.TOKEN, b" three"), DONE_ENTRY, translator=behind)
        self.assertTrue(end.endswith(write(DONE_ENTRY, translator=translator)))
        self.assertIn(b'"text":"One two three"', end)

    def test_problem(self) -> None:
        """A problem is an `error` whose member `error` makes OpenAI's clients raise it."""
        [event] = readEvents(writeProblem("It broke.", "trimmed", 7))
        self.assertEqual(event["error"]["message"], "It broke.")
        self.assertEqual((event["type"], event["sequence_number"]), ("error", 7))
