"""
Logs and readers of the tests of `openai` and `ui`. The output is read with a `Decoder`, as a client reads it.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st
from twisted.internet.task import Clock

from sseserver.streams.entries import packChunk
from sseserver.streams.log import StreamLog
from sseserver.timing.ticker import Ticker
from sseserver.values import Kind
from sseserver.wire import Decoder, Event

EPOCH = "0123456789abcdefghijAZ"


#: More than any test's log holds.
ALL = 10_000_000


CREATED = 1_700_000_000


# Line ends, what only str.splitlines takes for one, what JSON escapes, what could be mistaken for the format's own
# signs, wide characters.
SIGNS = '\r\n :a"\\/[]{}\u2028\x85\x0b\x0c\x1c\x00\x7f\ufeff\u00e9\U0001f600'


TOKENS = st.lists(st.text(st.sampled_from(SIGNS) | st.characters(codec="utf-8"), min_size=1), max_size=12)


#: White space and an order of members that no encoder of ours would make; line ends only where packChunk is called.
CHUNKS = [
    packChunk(b' {"id": "u-1",\r\n "choices":[{"delta" : {"role":"assistant"}}]}\n', ""),
    packChunk(b'{"z":1,"choices":[{"delta":{"content":"One\\u0020"}}],"a":1e2}', "One "),
    packChunk('{"choices":[{"delta":{"content":"\u00e9\u2028"}}]}'.encode(), "\u00e9\u2028"),
    packChunk(b'{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}', ""),
    packChunk(b'{"choices":[],"usage":{"total_tokens":3}}', ""),
]


def makeLog(*tokens: str, terminal: tuple[Kind, dict[str, Any]] | None = None, window: int = ALL) -> StreamLog:
    """Make a log with these tokens and, if wanted, a terminal entry."""
    clock = Clock()
    clock.advance(CREATED + 0.9)
    streamLog = StreamLog("name", EPOCH, Ticker(clock, 0.005), window)
    for token in tokens:
        streamLog.append(Kind.TOKEN, token.encode("utf-8"))
    if terminal is not None:
        end(streamLog, *terminal)
    return streamLog


def chunkLog() -> StreamLog:
    """Make a log of the chunks of an upstream."""
    streamLog = makeLog()
    for kind, data in CHUNKS:
        streamLog.append(kind, data)
    return streamLog


def end(streamLog: StreamLog, kind: Kind = Kind.DONE, terminal: dict[str, Any] | None = None) -> None:
    """End a log."""
    streamLog.append(kind, json.dumps(terminal or {"reason": "stop", "tokens": 1}).encode())


def decode(stream: bytes) -> list[Event]:
    """
    Decode a complete event stream in which no event has a type and none is without data. Each event
    has its own ID or `None`, instead of the last event ID.
    """
    events = Decoder(ALL).feed(stream)
    blocks = stream.split(b"\n\n")
    assert blocks.pop() == b"" and len(blocks) == len(events), stream
    assert {event.type for event in events} <= {"message"}
    return [
        Event(event.data, id=Decoder(ALL).feed(block + b"\n\n")[0].id or None)
        for event, block in zip(events, blocks, strict=True)
    ]


def parts(events: list[Event]) -> list[Any]:
    """Return the JSON of events, and `[DONE]` unchanged."""
    return [event.data if event.data == "[DONE]" else json.loads(event.data) for event in events]
