"""
Tests for `sseserver.formats.completions`. What it has in common with `openai` is tested there.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.formats import CompletionsFormat
from sseserver.interfaces import IFormat
from sseserver.protocols.completions import TextWriter
from sseserver.streams.entries import packChunk
from sseserver.streams.log import StreamLog
from sseserver.testing import FormatContract
from sseserver.values import Kind
from sseserver.wire import Event
from tests.formats.chatcases import ALL, CREATED, EPOCH, chunkLog, decode, end, makeLog
from tests.readers import readAll


def chunk(text: str, finishReason: str | None = None, **members: Any) -> dict[str, Any]:
    """Make a chunk as the format should."""
    return {
        "id": f"cmpl-{EPOCH}",
        "object": "text_completion",
        "created": CREATED,
        "model": "parrot",
        "choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": finishReason}],
        **members,
    }


class CompletionsContractTests(FormatContract, SynchronousTestCase):
    """The contract of formats."""

    def makeFormat(self) -> IFormat:
        return CompletionsFormat("parrot")


class CompletionsTests(SynchronousTestCase):
    """The format `completions`."""

    def read(self, streamLog: StreamLog, withUsage: bool = False, joined: bool = False) -> list[Event]:
        """Read a log to its end."""
        return decode(readAll(CompletionsFormat("parrot", withUsage).render(streamLog), 0, ALL, joined)[1])

    def test_tokens(self) -> None:
        """Each token is a chunk, and the end is one more and `[DONE]`."""
        streamLog = makeLog("One\n", "two", terminal=(Kind.DONE, {"reason": "length", "tokens": 2}))
        *chunks, last = self.read(streamLog)
        expected = [chunk(""), chunk("One\n"), chunk("two"), chunk("", "length")]
        self.assertEqual([json.loads(event.data) for event in chunks], expected)
        self.assertEqual((last.data, last.id), ("[DONE]", f"{EPOCH}-3"))
        self.assertEqual(json.loads(self.read(streamLog, joined=True)[1].data), chunk("One\ntwo"))

    def test_usage(self) -> None:
        """The usage is in the last chunk, and `null` in the others."""
        usage = {"total_tokens": 3}
        streamLog = makeLog("One", terminal=(Kind.DONE, {"reason": "stop", "tokens": 1, "usage": usage}))
        *chunks, last, _ = [event.data for event in self.read(streamLog, withUsage=True)]
        self.assertEqual([json.loads(data)["usage"] for data in chunks], [None, None, None])
        self.assertEqual(json.loads(last), {**chunk("", usage=usage), "choices": []})

    def test_chunks(self) -> None:
        """Chunks of an upstream are converted; those without text are left out, but for the usage."""
        streamLog = chunkLog()
        end(streamLog, Kind.DONE, {"reason": "stop", "tokens": 2})
        *chunks, last = self.read(streamLog)
        self.assertEqual(last.data, "[DONE]")
        self.assertEqual(
            [json.loads(event.data) for event in chunks],
            [chunk("One "), chunk("\u00e9\u2028"), {**chunk(""), "choices": [], "usage": {"total_tokens": 3}}],
        )
        self.assertEqual([event.id.rpartition("-")[2] for event in chunks], ["2", "3", "5"])

    def test_alike(self) -> None:
        """Chunks that differ in nothing but the text are converted as each of them is by itself."""
        writer = TextWriter(f"chatcmpl-{EPOCH}", CREATED, "parrot")
        streamLog, expected = makeLog(), []
        texts = ["a", 'b"\n', "\u00e9", "c", "d" * 3000, "e", "f"]
        for number, text in enumerate([*texts, *texts]):
            choices = [{"delta": {"content": text}}, {"index": 1, "delta": {"content": "a"}}]
            data = json.dumps({"id": "u-1", "model": f"m{number // 10}", "choices": choices}).encode()
            streamLog.append(*packChunk(data, text))
            expected.append(writer.convert(data, text))
        found = [event.data.encode() for event in self.read(streamLog)]
        self.assertEqual(found, expected)
        self.assertEqual(json.loads(found[3])["choices"][0]["text"], "c")

    def test_failure(self) -> None:
        """A failure is an error in place of a chunk."""
        streamLog = makeLog("One", terminal=(Kind.FAILED, {"reason": "refused", "message": "No."}))
        self.assertEqual(json.loads(self.read(streamLog)[-1].data)["error"]["message"], "No.")
