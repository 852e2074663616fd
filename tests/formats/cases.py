"""
Logs and readers of the tests of `events` and `text`.

The output is read with a `Decoder`, as a viewer reads it; a few tests compare bytes.
"""

from __future__ import annotations

import re

from hypothesis import strategies as st
from twisted.internet.task import Clock

from sseserver.formats import EventsFormat, TextFormat
from sseserver.interfaces import IFormat
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.log import StreamLog
from sseserver.timing.ticker import Ticker
from sseserver.values import Kind
from sseserver.wire import Decoder, Event

EPOCH = "0123456789abcdefghijAZ"


#: More than any test's log holds.
ALL = 10_000_000


FORMATS: dict[str, IFormat] = {form.name: form for form in (EventsFormat(), TextFormat())}


TERMINALS = [(Kind.DONE, "done"), (Kind.FAILED, "failed"), (Kind.CANCELLED, "cancelled")]


def makeLog(*tokens: str, terminal: Kind | None = None, window: int = ALL) -> StreamLog:
    """Make a log with these tokens and, if wanted, a terminal entry."""
    streamLog = StreamLog("name", EPOCH, Ticker(Clock(), 0.005), window)
    for token in tokens:
        streamLog.append(Kind.TOKEN, token.encode("utf-8"))
    if terminal is not None:
        streamLog.append(terminal, b'{"reason":"r"}')
    return streamLog


def trimmedLog(keep: int, total: int, terminal: Kind | None = None) -> StreamLog:
    """
    Make a log that had `total` tokens of one byte, `0` to `9` in turn, and keeps only the newest.
    """
    return makeLog(*(str(n % 10) for n in range(1, total + 1)), terminal=terminal, window=keep * (ENTRY_COST + 1))


def decode(stream: bytes) -> list[Event]:
    """Decode a complete event stream."""
    decoder = Decoder(ALL)
    events = decoder.feed(stream)
    assert not decoder.pending, stream
    return events


def number(event: Event) -> int:
    """Return the number in the ID of an event."""
    match = re.fullmatch(rf"{EPOCH}-(0|[1-9][0-9]*)", event.id or "")
    assert match is not None, event
    return int(match[1])


def lineEnds(text: str) -> str:
    """Write a text as EventSource shows it, with LF for every line end."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


# Line ends, what only str.splitlines takes for one, what could be mistaken for the format's own signs, wide characters.
SIGNS = "\r\n :a\u2028\x85\x0b\x0c\x1c\x00\ufeff\u00e9\U0001f600"


HOSTILE = st.text(st.sampled_from(SIGNS) | st.characters(codec="utf-8"))


@st.composite
def tokenLists(draw: st.DrawFn) -> list[str]:
    """
    Draw tokens as a sink writes them: none is empty, and a CR at the end of one is moved to the
    next, so that no CR LF is cut in two.
    """
    tokens, held = [], ""
    for piece in draw(st.lists(HOSTILE, max_size=12)):
        token, held = held + piece, ""
        if token.endswith("\r"):
            token, held = token[:-1], "\r"
        if token:
            tokens.append(token)
    return [*tokens, held] if held else tokens
