"""
Helpers of the tests of the event stream format: feeding a decoder in pieces, and a decoder by the letter.

`SSESERVER_LONG=1` tries 100,000 random splits of random streams, written events and garbage, instead of 300, and
5,000,000 of the vectors instead of 100,000; it takes a quarter of an hour.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from hypothesis import settings

from sseserver.errors import EventTooLarge
from sseserver.wire import (
    MAX_EVENT_BYTES,
    MAX_RECONNECTION_TIME,
    Decoder,
    Event,
)

LONG = os.environ.get("SSESERVER_LONG") == "1"


property_ = settings(max_examples=10_000 if LONG else 300, deadline=None)


anySplit = settings(max_examples=100_000 if LONG else 300, deadline=None)


class Outcome(NamedTuple):
    """The events and the final state of a decoder."""

    events: list[Event]
    lastEventID: str
    reconnectionTime: int | None
    pending: bool
    dead: bool


def decode(pieces: Iterable[bytes], maxEventBytes: int = MAX_EVENT_BYTES) -> Outcome:
    """Feed a stream in pieces, up to one that is refused."""
    decoder = Decoder(maxEventBytes)
    events: list[Event] = []
    dead = False
    try:
        for piece in pieces:
            events += decoder.feed(piece)
    except EventTooLarge:
        dead = True
    return Outcome(events, decoder.lastEventID, decoder.reconnectionTime, decoder.pending, dead)


def bytewise(stream: bytes) -> list[bytes]:
    """Cut a stream into its bytes."""
    return [stream[i : i + 1] for i in range(len(stream))]


def cutAt(stream: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut a stream at places, which are taken modulo its length; some pieces may be empty."""
    at = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(at)]


def reference(stream: bytes, maxEventBytes: int = MAX_EVENT_BYTES) -> Outcome:
    """
    Decode a whole stream by the letter of 9.2.6, as plainly as possible.

    The bytes are decoded first and then split, as in the standard; the sizes of the lines are those
    of the split bytes.
    """
    stream = stream.removeprefix(b"\xef\xbb\xbf")
    *lines, rest = re.split("\r\n|\r|\n", stream.decode("utf-8", "replace"))
    *sizes, restSize = [len(line) for line in re.split(b"\r\n|\r|\n", stream)]
    events: list[Event] = []
    data = type = idBuffer = lastEventID = ""
    retry = reconnectionTime = None
    size = 0
    for line, lineSize in zip(lines, sizes, strict=True):
        if line == "":
            lastEventID = idBuffer
            if data != "":
                events.append(Event(data[:-1], type or "message", lastEventID, retry))
            data = type = ""
            retry = None
            size = 0
            continue
        if line.startswith(":"):
            continue
        size += lineSize + 1
        if size > maxEventBytes:
            return Outcome(events, lastEventID, reconnectionTime, True, True)
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            type = value
        elif field == "data":
            data += value + "\n"
        elif field == "id" and "\0" not in value:
            idBuffer = value
        elif field == "retry" and re.fullmatch("[0-9]{1,4000}", value):
            reconnectionTime = retry = min(int(value), MAX_RECONNECTION_TIME)
    dead = not rest.startswith(":") and size + restSize > maxEventBytes
    return Outcome(events, lastEventID, reconnectionTime, bool(size or rest), dead)
