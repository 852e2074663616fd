"""
Tests for `sseserver.protocols.responses.upstream`.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import SourceError
from sseserver.protocols.chatcompletions import CompletionBuilder, build
from sseserver.protocols.responses.passing import DONE, readEvent
from sseserver.protocols.responses.upstream import ResponseConverter

RESPONSE = {"id": "resp_1", "object": "response", "created_at": 1_730_000_000.5, "model": "m", "status": "completed"}
USAGE = {
    "input_tokens": 3,
    "input_tokens_details": {"cached_tokens": 1},
    "output_tokens": 4,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 7,
}
CHAT_USAGE = {
    "prompt_tokens": 3,
    "prompt_tokens_details": {"cached_tokens": 1},
    "completion_tokens": 4,
    "completion_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 7,
}


def message(*parts: dict[str, Any]) -> dict[str, Any]:
    """Return an item of output with parts."""
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": list(parts)}


def call(arguments: str, name: str = "f", callID: str = "call_1") -> dict[str, Any]:
    """Return an item of output with a function call."""
    return {"type": "function_call", "id": "fc_1", "call_id": callID, "name": name, "arguments": arguments}


def event(kind: str, **members: Any) -> bytes:
    """Return the data of an event."""
    return json.dumps({"type": kind, **members}).encode()


def whole(kind: str = "completed", **members: Any) -> bytes:
    """Return the event with a response that has ended."""
    return event(f"response.{kind}", response={**RESPONSE, **members})


def delta(kind: str, piece: str, item: int = 0, **members: Any) -> bytes:
    """Return the event of a piece of text."""
    return event(f"response.{kind}.delta", output_index=item, delta=piece, **members)


def convert(converter: ResponseConverter, data: bytes) -> list[bytes]:
    """Return the chunks of an event."""
    read = readEvent(data)
    return [] if read is None else converter.convert(read.members)


class ConverterTestCase(SynchronousTestCase):
    """Tests of a converter."""

    def read(self, *events: bytes, withUsage: bool = False) -> list[Any]:
        """Convert events, and return the decoded chunks; `None` for `[DONE]`."""
        converter = ResponseConverter(withUsage)
        chunks = [chunk for data in events for chunk in convert(converter, data)]
        return [None if chunk == DONE else json.loads(chunk) for chunk in chunks]

    def deltas(self, *events: bytes) -> list[Any]:
        """Return the deltas of the first choice, those without members left out."""
        chunks = self.read(*events)
        found = [each["choices"][0]["delta"] for each in chunks if each and each.get("choices")]
        return [each for each in found if each]

    def complete(self, *events: bytes) -> Any:
        """Return the chat completion that a client gets."""
        builder = CompletionBuilder("none", 10_000)
        converter = ResponseConverter()
        for data in events:
            for chunk in convert(converter, data):
                if chunk != DONE:
                    builder.addChunk(chunk)
        return build(builder.build("none", 0, "none", None))


class EventTests(ConverterTestCase):
    """Events of a response."""

    def test_text(self) -> None:
        """Pieces of text become chunks with the ID, the time and the model of the response, the first with the role."""
        begun = event("response.created", response={**RESPONSE, "status": "in_progress"})
        events = (begun, delta("output_text", "One "), delta("output_text", "two"), whole(output=[]))
        first, second, last, end = self.read(*events)
        members = {"id": "resp_1", "object": "chat.completion.chunk", "created": 1_730_000_000, "model": "m"}
        choice = {"index": 0, "delta": {"role": "assistant", "content": "One "}, "finish_reason": None}
        self.assertEqual(first, {**members, "choices": [choice]})
        self.assertEqual(second["choices"][0]["delta"], {"content": "two"})
        self.assertEqual(last["choices"], [{"index": 0, "delta": {}, "finish_reason": "stop"}])
        self.assertIsNone(end)

    def test_others(self) -> None:
        """Events that add nothing, of unknown types, and `[DONE]` by itself become nothing."""
        noise = (
            event("response.output_text.done", text="One"),
            event("response.web_search_call.searching", output_index=0),
            event("response.created"),
            event("response.output_text.delta", delta=5),
            event("response.output_item.added", item=5),
            event("response.output_text.annotation.added", annotation={"type": "file_citation"}),
            b'{"type": 5}',
            b"{}",
            b"[]",
            b" ",
            b"[DONE]",
        )
        self.assertEqual(self.read(*noise), [])
        self.assertRaises(SourceError, readEvent, b"{")

    def test_reasoning(self) -> None:
        """Reasoning and its summaries are the reasoning of the message; a further summary is a paragraph."""
        events = (
            delta("reasoning_text", "Hm", content_index=0),
            delta("reasoning_summary_text", "First", summary_index=0),
            delta("reasoning_summary_text", ".", summary_index=0),
            delta("reasoning_summary_text", "Second", summary_index=1),
            delta("reasoning_summary_text", ".", summary_index=1),
        )
        self.assertEqual(
            [each["reasoning_content"] for each in self.deltas(*events)], ["Hm", "First", ".", "\n\nSecond", "."]
        )

    def test_refusal(self) -> None:
        """A refusal is that of the message."""
        answer = self.complete(delta("refusal", "I "), delta("refusal", "won't."), whole())
        self.assertEqual(answer["choices"][0]["message"]["refusal"], "I won't.")

    def test_calls(self) -> None:
        """Function calls have numbers in the order of their begins, and their arguments come in pieces."""
        events = (
            event("response.output_item.added", output_index=1, item=call("")),
            delta("function_call_arguments", '{"a"', 1),
            event("response.output_item.added", output_index=2, item=call("{}", "g", "call_2")),
            delta("function_call_arguments", ":1}", 1),
            whole(output=[message(), call('{"a":1}'), call("{}", "g", "call_2")]),
        )
        answer = self.complete(*events)["choices"][0]
        self.assertEqual(
            [(each["id"], each["function"]) for each in answer["message"]["tool_calls"]],
            [("call_1", {"name": "f", "arguments": '{"a":1}'}), ("call_2", {"name": "g", "arguments": "{}"})],
        )
        self.assertEqual(answer["finish_reason"], "tool_calls")
        late = self.complete(delta("function_call_arguments", "{}", 3, item_id="fc_9"), whole())
        self.assertEqual(late["choices"][0]["message"]["tool_calls"][0]["id"], "fc_9")

    def test_citation(self) -> None:
        """The citation of a page is an annotation of the message."""
        cited = {"type": "url_citation", "url": "https://a/", "title": "A", "start_index": 0, "end_index": 1}
        (found,) = self.deltas(event("response.output_text.annotation.added", annotation=cited))
        del cited["type"]
        self.assertEqual(found["annotations"], [{"type": "url_citation", "url_citation": cited}])

    def test_usage(self) -> None:
        """The usage has a chunk of its own if it is requested, and is in the last one otherwise."""
        events = (delta("output_text", "One"), whole(usage=USAGE))
        *_, last, _ = self.read(*events)
        self.assertEqual(last["usage"], CHAT_USAGE)
        *_, last, usage, _ = self.read(*events, withUsage=True)
        self.assertNotIn("usage", last)
        self.assertEqual((usage["choices"], usage["usage"]), ([], CHAT_USAGE))

    def test_incomplete(self) -> None:
        """An incomplete response ends with its reason."""
        for reason, finish in (("max_output_tokens", "length"), ("content_filter", "content_filter"), ("x", "length")):
            *_, last, _ = self.read(whole("incomplete", incomplete_details={"reason": reason}))
            self.assertEqual(last["choices"][0]["finish_reason"], finish)
        *_, last, _ = self.read(whole("incomplete"))
        self.assertEqual(last["choices"][0]["finish_reason"], "length")

    def test_failures(self) -> None:
        """A failure is the object of an error, in whatever shape it comes, and no end."""
        error = {"code": "server_error", "message": "No."}
        for data, told in (
            (whole("failed", error=error), error),
            (whole("failed", error=None), "The upstream's response failed."),
            (whole("cancelled"), "The upstream's response failed."),
            (event("error", **error), {**error, "param": None}),
            (event("error", error=error), error),
            (json.dumps({"error": error}).encode(), error),
        ):
            self.assertEqual(self.read(data), [{"error": told}])


class WholeTests(ConverterTestCase):
    """Responses that came without deltas, or in one piece."""

    OUTPUT = (
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]},
        message({"type": "output_text", "text": "One two"}, {"type": "refusal", "refusal": "No"}, {"type": "new"}),
        call("{}"),
        {"type": "web_search_call"},
        5,
    )

    def check(self, answer: Any) -> None:
        """Check a chat completion with all of the output."""
        said = answer["choices"][0]["message"]
        self.assertEqual((said["content"], said["refusal"], said["reasoning_content"]), ("One two", "No", "Hm"))
        self.assertEqual(said["tool_calls"][0]["function"], {"name": "f", "arguments": "{}"})
        self.assertEqual(answer["choices"][0]["finish_reason"], "tool_calls")

    def test_rest(self) -> None:
        """Texts without deltas are taken from the end; texts with deltas are not repeated."""
        self.check(self.complete(whole(output=self.OUTPUT)))
        begun = delta("output_text", "One ", 1)
        self.check(self.complete(begun, whole(output=self.OUTPUT)))
        texts = [each.get("content") for each in self.deltas(begun, whole(output=self.OUTPUT))]
        self.assertEqual([text for text in texts if text], ["One ", "two"])

    def test_document(self) -> None:
        """A response in one piece has everything, and no `[DONE]`."""
        document = json.dumps({**RESPONSE, "output": self.OUTPUT, "usage": USAGE}).encode()
        chunks = ResponseConverter().readDocument(document)
        builder = CompletionBuilder("none", 10_000)
        for chunk in chunks:
            builder.addChunk(chunk)
        self.check(build(builder.build("none", 0, "none", None)))

    def test_documentFailed(self) -> None:
        """A response that has failed, and an error, become the object of an error."""
        for document in ({**RESPONSE, "status": "failed", "error": "No."}, {"error": "No."}):
            (chunk,) = ResponseConverter().readDocument(json.dumps(document).encode())
            self.assertEqual(json.loads(chunk), {"error": "No."})

    def test_noDocument(self) -> None:
        """Anything else is refused: a response that goes on shows no success."""
        for document in (b"{", b"[]", b"{}", b'{"object": "response"}', json.dumps({**RESPONSE, "status": "queued"})):
            data = document if isinstance(document, bytes) else document.encode()
            self.assertRaises(SourceError, ResponseConverter().readDocument, data)
