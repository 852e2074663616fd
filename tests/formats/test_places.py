"""
Tests of `sseserver.formats.places`: from any place, a viewer gets what an undisturbed one got.

The answers have tokens, and chunks with everything that upstreams send.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import GapError, ReadingUnfinished
from sseserver.formats import AGUIFormat, ResponsesFormat, UIFormat
from sseserver.formats.messages import MessagesFormat
from sseserver.formats.places import EventPlace
from sseserver.formats.translation import TranslatedRendering
from sseserver.streams.entries import packChunk, packEvent
from sseserver.values import Kind
from tests.formats.chatcases import ALL, end, makeLog
from tests.readers import readAll

#: Makes a rendering of a log.
Render = Callable[[Any], TranslatedRendering]

_RENDERS: dict[str, Render] = {
    "responses": ResponsesFormat("m").makeRendering,
    "ui": UIFormat().makeRendering,
    "agui": AGUIFormat().makeRendering,
    "messages": lambda streamLog: MessagesFormat("m").render(streamLog),  # type: ignore[return-value]
}

_TEXT = st.text('ab "\\\né', max_size=6)


def chunkOf(delta: dict[str, Any], index: int = 0, text: str = "", **members: Any) -> tuple[Kind, bytes]:
    """Return the kind and the data of a chunk."""
    chunk = {"id": "1", **members, "choices": [{"index": index, "delta": delta, "finish_reason": None}]}
    return packChunk(json.dumps(chunk, ensure_ascii=False).encode(), text)


def _call(index: int, id: str, name: str, arguments: str) -> tuple[Kind, bytes]:
    call = {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}
    return chunkOf({"tool_calls": [call]})


def _cite(url: str) -> tuple[Kind, bytes]:
    return chunkOf({"annotations": [{"type": "url_citation", "url_citation": {"url": f"https://{url}", "title": "t"}}]})


#: One entry of an answer.
_ENTRY = st.one_of(
    _TEXT.map(lambda text: (Kind.TOKEN, text.encode())),
    _TEXT.map(lambda text: chunkOf({"content": text}, text=text)),
    _TEXT.map(lambda text: chunkOf({"content": text, "reasoning": "r"}, text=text)),
    _TEXT.map(lambda text: chunkOf({"content": text}, text=text, model="other")),
    _TEXT.map(lambda text: chunkOf({"reasoning_content": text})),
    _TEXT.map(lambda text: chunkOf({"refusal": text})),
    _TEXT.map(lambda text: chunkOf({"content": text}, index=1)),
    st.builds(_call, st.integers(0, 1), st.sampled_from(["", "a", "b"]), st.sampled_from(["", "f"]), _TEXT),
    st.builds(_cite, st.sampled_from("xy")),
    st.just((Kind.EVENT, packEvent(b"custom", b"data"))),
)

#: Entries, some of them many times in a row.
_ENTRIES = st.lists(st.tuples(_ENTRY, st.sampled_from([1, 1, 1, 3, 70])), max_size=12)


def split(data: bytes) -> list[bytes]:
    """Return the events."""
    return [event + b"\n\n" for event in data.split(b"\n\n")[:-1]]


def find(rendering: TranslatedRendering, events: int) -> EventPlace:
    """Find a place, in as many turns as it takes."""
    while True:
        try:
            return rendering.findEvent(events)
        except ReadingUnfinished:
            continue


def readFrom(rendering: TranslatedRendering, events: int, maxBytes: int) -> bytes:
    """Return the events after a number of events."""
    place = find(rendering, events)
    return place.events + readAll(rendering, place.cursor, maxBytes, True)[1]


class AnywhereTests(SynchronousTestCase):
    """Viewers that start after any event."""

    def follow(self, render: Render, entries: list[tuple[Kind, bytes]]) -> tuple[Any, int, list[bytes]]:
        """
        Make a log, entry by entry.

        Return it with the number of its void events, and with those of a viewer that has followed it from the start.
        """
        streamLog = makeLog()
        rendering, cursor, data, void = render(streamLog), 0, b"", 0
        streamLog.append(Kind.INPUT, b'{"api":"responses"}\n[]')
        for kind, entry in entries:
            streamLog.append(kind, entry)
            if kind == Kind.RESTART and rendering.start(False):
                # Its viewer is refused, and follows the new answer.
                cursor, data, void = streamLog.last, b"", rendering.countEvents()
            reading = rendering.read(cursor, 1, False)
            while reading.cursor != cursor:
                cursor, data = reading.cursor, data + reading.data
                reading = rendering.read(cursor, 1, False)
        end(streamLog)
        events = split(data + readAll(rendering, cursor, 1, False)[1])
        if void + len(events) > rendering.countEvents():
            # `[DONE]` is no part of a message.
            events[-2:] = [b"".join(events[-2:])]
        return streamLog, void, events

    @given(st.sampled_from(sorted(_RENDERS)), _ENTRIES, st.sampled_from([1, 700, ALL]), st.booleans())
    def test_anyEvent(self, name: str, rows: list[tuple[tuple[Kind, bytes], int]], maxBytes: int, anew: bool) -> None:
        """From every event on a viewer gets the same bytes, of a rendering that is new and of one that is not."""
        render = _RENDERS[name]
        before = [(Kind.TOKEN, b"void"), (Kind.RESTART, b"{}")] if anew else []
        streamLog, void, events = self.follow(
            render, [*before, *(entry for entry, count in rows for _ in range(count))]
        )
        known = render(streamLog)
        begin = known.start(False)
        self.assertEqual(readAll(known, begin, maxBytes, True)[1], b"".join(events))
        for rendering in (known, render(streamLog)):
            self.assertEqual(rendering.countEvents(), void + len(events))
        for number in {1, 2, 3, len(events) // 2, len(events) - 1, len(events)} & set(range(1, len(events) + 1)):
            for rendering in (known, render(streamLog)):
                self.assertEqual(readFrom(rendering, void + number, maxBytes), b"".join(events[number:]))
        self.assertRaises(GapError, find, render(streamLog), void + len(events) + 1)
