"""Tests of `sseserver.protocols.ollama.translation`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import Overloaded
from sseserver.protocols.ollama import CHAT, AnswerWriter, OllamaTranslator, writeProblemLine
from sseserver.protocols.ollama.translation import MOST_ARGUMENTS
from sseserver.values import Kind
from tests.formats.test_ollama import readLines
from tests.protocols.messages.test_translation import makeCall, makeChunk

DONE = (Kind.DONE, b'{"reason":"stop","tokens":2}')


class TranslationTests(SynchronousTestCase):
    """The lines of an answer."""

    def setUp(self) -> None:
        self.translator = OllamaTranslator(AnswerWriter(CHAT, "source", 1_700_000_000.5))

    def translate(self, *entries: tuple[Kind, bytes]) -> list[dict[str, Any]]:
        """Translate entries into lines."""
        written = b"".join(line for entry in entries for line in self.translator.translate(*entry))
        return readLines(written) if written else []

    def test_tokens(self) -> None:
        """Tokens are lines, the end is one, with the usage."""
        first, last = self.translate((Kind.TOKEN, "\n\u2028é".encode()), DONE)
        members = {"model": "source", "created_at": "2023-11-14T22:13:20.500000Z"}
        self.assertEqual(first, {**members, "message": {"role": "assistant", "content": "\n\u2028é"}, "done": False})
        end = {"done": True, "done_reason": "stop", "prompt_eval_count": 0, "eval_count": 2}
        self.assertEqual(last, {**members, "message": {"role": "assistant", "content": ""}, **end})

    def test_chunks(self) -> None:
        """Reasoning, text and refusals are lines; the model, the reason and the usage are those of the upstream."""
        lines = self.translate(
            (Kind.SILENT_CHUNK, makeChunk({"reasoning": "r"})),
            (Kind.CHUNK, makeChunk({"content": "a"}) + b"\na"),
            (Kind.SILENT_CHUNK, makeChunk({"refusal": "no"}, finish="length")),
            (Kind.SILENT_CHUNK, makeChunk(usage={"prompt_tokens": 5, "completion_tokens": 6})),
            DONE,
        )
        texts = [(line["message"].get("thinking"), line["message"]["content"]) for line in lines]
        self.assertEqual(texts, [("r", ""), (None, "a"), (None, "no"), (None, "")])
        self.assertEqual({line["model"] for line in lines}, {"m-1"})
        told = [lines[-1][name] for name in ("done_reason", "prompt_eval_count", "eval_count")]
        self.assertEqual(told, ["length", 5, 6])

    def test_calls(self) -> None:
        """Tool calls come with whole arguments, in a line before the end."""
        lines = self.translate(
            (Kind.SILENT_CHUNK, makeCall(0, name="f", arguments='{"x"')),
            (Kind.SILENT_CHUNK, makeCall(1, name="g")),
            (Kind.SILENT_CHUNK, makeCall(0, arguments=":1}")),
            DONE,
        )
        calls = [call["function"] for call in lines[0]["message"]["tool_calls"]]
        self.assertEqual(calls, [{"name": "f", "arguments": {"x": 1}}, {"name": "g", "arguments": {}}])
        self.assertEqual(len(lines), 2)

    def test_brokenCalls(self) -> None:
        """Arguments that are no JSON object, or too many, are an error."""
        for arguments in ("{", '{"x":"%s"}' % ("y" * MOST_ARGUMENTS)):
            self.setUp()
            lines = self.translate((Kind.SILENT_CHUNK, makeCall(0, name="f", arguments=arguments)), DONE)
            self.assertEqual([list(line) for line in lines], [["error"]])

    def test_failures(self) -> None:
        """A failure and a cancellation are lines with the sentence."""
        for kind, told, message in (
            (Kind.FAILED, b'{"reason":"source","message":"No."}', "No."),
            (Kind.CANCELLED, b'{"reason":"asked"}', "The answer was cancelled (asked)."),
        ):
            self.assertEqual(self.translate((kind, told)), [{"error": message}])
        self.assertEqual(readLines(writeProblemLine(Overloaded("Full."))), [{"error": "Full."}])

    def test_fork(self) -> None:
        """A copy writes the rest as the original does, and neither changes the other."""
        entries = [
            (Kind.SILENT_CHUNK, makeChunk({"reasoning": "r"})),
            (Kind.SILENT_CHUNK, makeCall(0, name="f", arguments="{")),
            (Kind.SILENT_CHUNK, makeCall(0, arguments="}")),
            (Kind.SILENT_CHUNK, makeChunk({}, finish="length")),
            (Kind.SILENT_CHUNK, makeChunk(usage={"completion_tokens": 7})),
            DONE,
        ]
        whole = [self.translator.translate(*entry) for entry in entries]
        for place in range(len(entries)):
            self.setUp()
            for entry in entries[:place]:
                self.translator.translate(*entry)
            fork = self.translator.fork()
            for translator in (fork, self.translator):
                self.assertEqual([translator.translate(*entry) for entry in entries[place:]], whole[place:])
