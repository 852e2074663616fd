"""Tests of `sseserver.protocols.chatcompletions.deltas`."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.protocols.chatcompletions import (
    CallArguments,
    CallStart,
    Citation,
    DeltaReader,
    Finish,
    Picture,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    Usage,
)


def chunkOf(delta: dict[str, Any], **members: Any) -> bytes:
    """Return a chunk with one choice."""
    return json.dumps({"choices": [{"index": 0, "delta": delta, **members}]}).encode()


def callOf(arguments: str, name: str | None = None, **members: Any) -> dict[str, Any]:
    """Return a delta with a piece of one tool call."""
    return {"tool_calls": [{**members, "function": {"name": name, "arguments": arguments}}]}


class TestDeltaReader(SynchronousTestCase):
    """`DeltaReader` reads what chunks add."""

    def read(self, *chunks: bytes) -> list[object]:
        """Return what some chunks of one answer add."""
        reader = DeltaReader()
        return [delta for chunk in chunks for delta in reader.read(chunk)]

    def test_text(self) -> None:
        """Text is a string or a list of parts; an empty one adds nothing."""
        parts = chunkOf({"content": [{"type": "text", "text": "b"}, {"type": "image"}, {"type": "text", "text": "c"}]})
        self.assertEqual(
            self.read(chunkOf({"role": "assistant", "content": ""}), chunkOf({"content": "a"}), parts),
            [TextDelta("a"), TextDelta("bc")],
        )

    def test_reasoningAndRefusal(self) -> None:
        """Reasoning has two names, which are not doubled where an upstream sends both; it comes before the text."""
        both = chunkOf({"reasoning_content": "r", "reasoning": "r", "content": "t", "refusal": "no"})
        self.assertEqual(
            self.read(both, chunkOf({"reasoning": "s"})),
            [ReasoningDelta("r"), TextDelta("t"), RefusalDelta("no"), ReasoningDelta("s")],
        )

    def test_calls(self) -> None:
        """Pieces of calls belong together by index."""
        self.assertEqual(
            self.read(
                chunkOf(callOf("", "add", index=0, id="a")),
                chunkOf(callOf('{"x":', index=0)),
                chunkOf(callOf("{}", "sub", index=1, id="b")),
                chunkOf(callOf("1}", index=0)),
                chunkOf({}, finish_reason="tool_calls"),
            ),
            [
                CallStart(0, "a", "add"),
                CallArguments(0, '{"x":'),
                CallStart(1, "b", "sub"),
                CallArguments(1, "{}"),
                CallArguments(0, "1}"),
                Finish("tool_calls"),
            ],
        )

    def test_callsNumberedZero(self) -> None:
        """Another ID at the same index begins a new call."""
        self.assertEqual(
            self.read(chunkOf(callOf("{}", "add", index=0, id="a")), chunkOf(callOf("{}", "add", index=0, id="b"))),
            [CallStart(0, "a", "add"), CallArguments(0, "{}"), CallStart(1, "b", "add"), CallArguments(1, "{}")],
        )

    def test_callsWithoutIndex(self) -> None:
        """Calls without an index belong together by their ID, and otherwise by their place in the list."""
        two = {"tool_calls": [{"id": "a", "function": {"name": "f"}}, {"id": "b", "function": {"name": "g"}}]}
        self.assertEqual(
            self.read(chunkOf(two), chunkOf(callOf("1", id="b")), chunkOf(callOf("2"))),
            [CallStart(0, "a", "f"), CallStart(1, "b", "g"), CallArguments(1, "1"), CallArguments(0, "2")],
        )

    def test_lateName(self) -> None:
        """A call is announced when its name is known, with what came before; one without an ID gets one."""
        self.assertEqual(
            self.read(chunkOf(callOf("{", index=0)), chunkOf(callOf("}", "f", index=0))),
            [CallStart(0, "call_0", "f"), CallArguments(0, "{}")],
        )

    def test_functionCall(self) -> None:
        """The older `function_call` is a tool call."""
        piece = chunkOf({"function_call": {"name": "f", "arguments": "{}"}})
        self.assertEqual(self.read(piece), [CallStart(0, "call_0", "f"), CallArguments(0, "{}")])

    def test_citations(self) -> None:
        """Annotations with a URL are citations; others are left out."""
        page = {"type": "url_citation", "url_citation": {"url": "https://example.org", "title": "Example"}}
        self.assertEqual(
            self.read(chunkOf({"annotations": [page, {"type": "file"}, None, {"url_citation": {"url": 1}}]})),
            [Citation("https://example.org", "Example")],
        )

    def test_pictures(self) -> None:
        """Pictures have URLs; those with scheme `data` say their media type."""
        images = [{"image_url": {"url": url}} for url in ("data:image/png;base64,AA==", "https://example.org/a", "", 1)]
        self.assertEqual(
            self.read(chunkOf({"images": [*images, None, {"image_url": "x"}]}), chunkOf({"images": {}})),
            [Picture("data:image/png;base64,AA==", "image/png"), Picture("https://example.org/a", "image/*")],
        )

    def test_usage(self) -> None:
        """The usage has no choice; counts that are no numbers are 0."""
        usage = {
            "prompt_tokens": 5,
            "completion_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 3},
            "completion_tokens_details": None,
        }
        chunk = json.dumps({"choices": [], "usage": usage}).encode()
        self.assertEqual(self.read(chunk, b'{"usage": {"prompt_tokens": "x"}}'), [Usage(5, 7, 3, 0), Usage(0, 0, 0, 0)])

    def test_otherChoices(self) -> None:
        """Only the first choice counts, whose index may be missing or null."""
        chunk = b'{"choices": [{"index": 1, "delta": {"content": "b"}}, {"index": null, "delta": {"content": "a"}}]}'
        self.assertEqual(self.read(chunk), [TextDelta("a")])

    def test_oddShapes(self) -> None:
        """Members of wrong types are left out, and halves of characters are replaced."""
        odd = b'{"choices": [1, {"index": "x", "delta": 1}, {"delta": {"content": "\\ud800", "tool_calls": [1]}}]}'
        self.assertEqual(self.read(odd, b'{"choices": 1, "usage": 1}', b'{"choices": NaN}'), [TextDelta("\ufffd")])

    def test_fork(self) -> None:
        """A fork reads on for itself."""
        reader = DeltaReader()
        reader.read(chunkOf(callOf("{", index=0)))
        other = reader.fork()
        named = chunkOf(callOf("}", "f", index=0))
        self.assertEqual(reader.read(named), other.read(named))
        more = chunkOf(callOf("", "g", index=1))
        self.assertEqual(other.read(more), [CallStart(1, "call_1", "g")])
        self.assertEqual(reader.read(more), [CallStart(1, "call_1", "g")])
