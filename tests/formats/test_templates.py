"""
Tests of the frame templates in the formats: they write the same bytes as `wire.encode`.
"""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.formats import EventsFormat, OpenAIFormat, TextFormat
from sseserver.streams.entries import packChunk
from sseserver.streams.log import StreamLog
from sseserver.values import Kind
from sseserver.wire import Event, encode
from tests.formats.cases import ALL, EPOCH, HOSTILE, makeLog

TOKEN = HOSTILE.filter(bool)


class TemplateTests(SynchronousTestCase):
    """The events that are written without `wire.encode`, because there is one for each token."""

    def openai(self, streamLog: StreamLog) -> bytes:
        """Read the newest entry in the format `openai`."""
        return OpenAIFormat("parrot").render(streamLog).read(streamLog.last - 1, ALL, False).data

    @given(TOKEN)
    def test_events(self, token: str) -> None:
        """
        A token in the format `events`.
        """
        data = EventsFormat().render(makeLog(" ", token)).read(1, ALL, False).data
        self.assertEqual(data, encode(Event(token, id=f"{EPOCH}-2")))

    @given(st.lists(TOKEN, min_size=1, max_size=5))
    def test_text(self, tokens: list[str]) -> None:
        """
        The text so far in the format `text`.
        """
        data = TextFormat().render(makeLog(*tokens)).read(0, ALL, False).data
        self.assertEqual(data, encode(Event("".join(tokens), id=f"{EPOCH}-{len(tokens)}")))

    @given(TOKEN)
    def test_openai(self, token: str) -> None:
        """
        A token in the format `openai`, and the chunk of an upstream with the same text.
        """
        data = self.openai(makeLog(" ", token))
        chunk = data.partition(b"\ndata: ")[2].removesuffix(b"\n\n").decode("ascii")
        self.assertEqual(json.loads(chunk)["choices"][0]["delta"], {"content": token})
        self.assertEqual(data, encode(Event(chunk, id=f"{EPOCH}-2")))
        streamLog = makeLog(" ")
        streamLog.append(*packChunk(chunk.encode("ascii"), token))
        self.assertEqual(streamLog.buffer.kind(2), Kind.CHUNK)
        self.assertEqual(self.openai(streamLog), data)
