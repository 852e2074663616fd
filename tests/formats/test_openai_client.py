"""
Tests for `sseserver.formats.openai` with OpenAI's own client.
"""

from __future__ import annotations

import httpx
import openai
from openai.types.chat import ChatCompletionChunk
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import GapError
from sseserver.formats import OpenAIFormat
from sseserver.streams.log import StreamLog
from sseserver.values import Kind
from tests.formats.chatcases import CREATED, chunkLog, end, makeLog


class OpenAIClientTests(SynchronousTestCase):
    """OpenAI's own client, with a heartbeat after each piece of the response."""

    def body(self, streamLog: StreamLog) -> bytes:
        """Write the response of a viewer, as far as the log goes."""
        rendering = OpenAIFormat("parrot").render(streamLog)
        frames = [rendering.head(0, 3000, "/streams/name")]
        frames += [rendering.read(cursor, 1, False).data for cursor in range(streamLog.last)]
        return b"".join([frame + b":\n" for frame in frames])

    def ask(self, body: bytes) -> tuple[list[ChatCompletionChunk], openai.APIError | None]:
        """Let the client read a response; return the chunks, and the error that it raised."""
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
        """Join the text of chunks."""
        return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)

    def test_whole(self) -> None:
        """
        The client reads text, finish reason and usage.
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
        The client reads the chunks of an upstream.
        """
        streamLog = chunkLog()
        end(streamLog)
        chunks, error = self.ask(self.body(streamLog))
        self.assertEqual((len(chunks), self.text(chunks), error), (5, "One \u00e9\u2028", None))

    def test_errors(self) -> None:
        """
        The client raises the error, after the text before it.
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
