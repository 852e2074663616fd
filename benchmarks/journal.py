"""
The record of the load client, and its evaluation: which events came, whether all of them did, how late.

Only `Journal.reads` grows while a server is measured; everything else here runs afterwards.
"""

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

#: Figures of one server in one round, by name.
Figures = dict[str, float]

#: A stamped token of the upstream: time and number.
_STAMP = re.compile(rb"\d{9,} \d+ ")

_PERCENTS = {"p50": 50.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}


class Arrival(NamedTuple):
    """One event as a viewer got it: time of the read that completed it, number in its ID (-1: none), type, data."""

    time: float
    number: int
    type: bytes
    data: bytes


@dataclass(slots=True)
class Journal:
    """All bytes that came. A viewer is its number, from 0; times are monotonic seconds."""

    reads: list[tuple[float, int, bytes]] = field(default_factory=list)  # time, viewer and bytes; none at the end
    chunked: set[int] = field(default_factory=set)  # viewers whose body is chunked
    ended: set[int] = field(default_factory=set)  # viewers whose connection ended by itself
    asked: dict[int, float] = field(default_factory=dict)  # time of each viewer's request
    begin: float = 0.0  # of the window
    end: float = 0.0
    batches: list[float] = field(default_factory=list)  # seconds between two polls: the longest wait in the client

    def readsByViewer(self) -> dict[int, list[tuple[float, bytes]]]:
        """Return the reads of each viewer."""
        reads: dict[int, list[tuple[float, bytes]]] = defaultdict(list)
        for time, viewer, data in self.reads:
            reads[viewer].append((time, data))
        return reads

    def eventsByViewer(self) -> list[list[Arrival]]:
        """Return the events of each viewer."""
        return [readEvents(reads, viewer in self.chunked) for viewer, reads in self.readsByViewer().items()]

    def inWindow(self, events: Iterable[Arrival]) -> list[Arrival]:
        """Return the events of the default type that came in the window."""
        return [event for event in events if self.begin <= event.time < self.end and not event.type]


class Dechunker:
    """Decoder of the chunked coding (RFC 9112, section 7.1), which counts the chunks except for the empty last one."""

    def __init__(self) -> None:
        self._rest = b""
        self.chunks = 0

    def feed(self, data: bytes) -> bytes:
        """Return the bytes of the chunks that `data` completes."""
        rest = self._rest + data
        parts = []
        while (lineEnd := rest.find(b"\r\n")) >= 0:
            size = int(rest[:lineEnd], 16)
            end = lineEnd + 2 + size
            if len(rest) < end + 2:
                break
            self.chunks += size > 0
            parts.append(rest[lineEnd + 2 : end])
            rest = rest[end + 2 :]
        self._rest = rest
        return b"".join(parts)


def splitHead(received: bytes) -> tuple[int, dict[str, str], bytes] | None:
    """Return status, headers (names in lower case) and the start of the body; `None` if the head is incomplete."""
    head, separator, rest = received.partition(b"\r\n\r\n")
    if not separator:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]), headers, rest


def bodyOf(received: bytes) -> bytes:
    """Return the decoded body of a response; nothing unless its status is 200."""
    head = splitHead(received)
    if head is None or head[0] != 200:
        return b""
    return Dechunker().feed(head[2]) if head[1].get("transfer-encoding", "").lower() == "chunked" else head[2]


def parseEvent(time: float, block: bytes) -> Arrival | None:
    """Return the event of some lines; `None` if they have neither data nor an ID."""
    number, kind, data = -1, b"", []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"id":
            digits = value.rpartition(b"-")[2]
            number = int(digits) if digits.isdigit() else -1
        elif name == b"event":
            kind = value
    # Events of the Durable Streams protocol have this type.
    kind = b"" if kind == b"data" else kind
    return Arrival(time, number, kind, b"\n".join(data)) if data or number >= 0 else None


def readEvents(reads: Iterable[tuple[float, bytes]], chunked: bool) -> list[Arrival]:
    """Return the events of one viewer's reads."""
    feed: Callable[[bytes], bytes] = Dechunker().feed if chunked else bytes
    events: list[Arrival] = []
    rest = b""
    for time, data in reads:
        *blocks, rest = (rest + feed(data)).split(b"\n\n")
        events += [event for block in blocks if (event := parseEvent(time, block))]
    return events


def dataOf(body: bytes) -> list[bytes]:
    """Return the data of the events of the default type in a body."""
    return [event.data for event in readEvents([(0.0, body)], chunked=False) if not event.type]


def checkViewer(events: Sequence[Arrival], text: bytes, faults: Counter[str]) -> None:
    """
    Count the faults in one viewer's events, whose text must be the beginning of `text`.

    An event numbered n after one numbered m stands for n - m tokens of one word each (several if they were
    joined), or for one entry of another type. An event of type `stream` says where the viewer starts.
    """
    last, got = 0, []
    for event in events:
        if event.type == b"stream":
            last = event.number
            continue
        tokens = 1 if event.type else len(event.data.split())
        faults["missing"] += max(0, event.number - last - tokens)
        faults["repeated"] += event.number <= last
        faults["gaps"] += event.type == b"gap"
        last = max(last, event.number)
        got += [] if event.type else [event.data]
    faults["wrong texts"] += not text.startswith(b"".join(got))


def checkStamps(events: Sequence[Arrival], faults: Counter[str]) -> None:
    """Count the faults in one viewer's stamped events: their numbers must follow one another, whatever the first."""
    faults["gaps"] += sum(event.type == b"gap" for event in events)
    numbers = [int(event.data.split()[1]) for event in events if not event.type]
    for last, number in pairwise(numbers):
        faults["missing"] += max(0, number - last - 1)
        faults["repeated"] += number <= last


def paceLags(events: Sequence[Arrival], interval: float) -> list[float]:
    """Return how much later than the viewer's most punctual event each came, in seconds, by the interval's schedule."""
    offsets = [event.time - event.number * interval for event in events]
    base = min(offsets, default=0.0)
    return [offset - base for offset in offsets]


def tokensOfChunks(events: Iterable[Arrival]) -> list[Arrival]:
    """Return the stamped tokens one by one: the text of each OpenAI chunk, and each part of a joined event."""
    tokens = []
    for event in events:
        if event.type:
            tokens.append(event)
            continue
        data = event.data
        if data.startswith(b"{"):
            choices = json.loads(data)["choices"]
            data = (choices[0]["delta"].get("content") or "").encode() if choices else b""
        words = data.split()
        tokens += [event._replace(data=b" ".join(words[place : place + 2])) for place in range(0, len(words), 2)]
    return tokens


def stampsOf(events: Iterable[Arrival]) -> list[Arrival]:
    """Return the stamped tokens in events of any format."""
    return [event._replace(type=b"", data=stamp) for event in events for stamp in _STAMP.findall(event.data)]


def spread(name: str, values: Iterable[float]) -> Figures:
    """Return p50, p99, p99.9 and maximum (nearest rank) of times in seconds, in milliseconds; NaN of nothing."""
    ordered = sorted(values) or [math.nan]
    rank = {part: max(0, math.ceil(len(ordered) * percent / 100) - 1) for part, percent in _PERCENTS.items()}
    return {f"{name} {part}": round(ordered[place] * 1000, 3) for part, place in rank.items()}


def judgePaced(journal: Journal, viewers: int, rate: float, text: str) -> Figures:
    """Evaluate paced streams, one for each viewer, with `rate` tokens per second of a text."""
    lags, faults = list[float](), Counter[str]()
    for events in journal.eventsByViewer():
        checkViewer(events, text.encode(), faults)
        lags += paceLags(journal.inWindow(events), 1 / rate)
    return _figures(journal, viewers * rate, lags, faults)


def judgeStamped(
    journal: Journal,
    viewers: int,
    rate: float,
    read: Callable[[Iterable[Arrival]], list[Arrival]] = tokensOfChunks,
) -> Figures:
    """
    Evaluate one stream of stamped events that all viewers watch, or stamped answers of an upstream.

    Their data begins with `time.monotonic_ns()` of the moment at which they were sent, and their number.
    """
    lags, faults = list[float](), Counter[str]()
    for viewer in journal.eventsByViewer():
        events = read(viewer)
        checkStamps(events, faults)
        lags += [event.time - int(event.data.split()[0]) / 1e9 for event in journal.inWindow(events)]
    return _figures(journal, viewers * rate, lags, faults)


def _figures(journal: Journal, due: float, lags: list[float], faults: Counter[str]) -> Figures:
    """Return number of events in the window, pace (events / due events), lags, faults, and the client's batches."""
    faults["ended"] = len(journal.ended)
    pace = len(lags) / (due * (journal.end - journal.begin))
    sums = {"events": len(lags), "pace": round(pace, 4), "faults": faults.total()}
    return {**sums, **faults, **spread("lag", lags), **spread("batch", journal.batches)}
