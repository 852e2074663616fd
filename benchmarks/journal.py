"""
What came to the viewers of the load client, and what it says: which events, whether all of them came, how late.

Only `Journal.reads` grows while a server is measured; all else here is worked out afterwards.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

#: Time of a read in seconds of the monotonic clock; the viewer's descriptor; the bytes of the body, or none at its end.
Read = tuple[float, int, bytes]

_PERCENTS = {"p50": 50.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}


class Arrival(NamedTuple):
    """
    One event as a viewer got it.

    Args:
        time: When the read returned that completed the event, in seconds of the monotonic clock.
        number: The number in its ID, -1 without one, or when the ID does not end with a hyphen and a number.
        type: Its event type, `b""` for the default.
        data: Its data.
    """

    time: float
    number: int
    type: bytes
    data: bytes


@dataclass(slots=True)
class Journal:
    """
    What came, and how the load client itself fared in the window.

    Args:
        reads: All reads of bodies, in order, but for those with the end of a head.
        first: What of its body each viewer got with the head, and when.
        chunked: The viewers (their descriptors) whose body is chunked.
        secured: What deciphers a viewer's reads, which it must get in order and once; the others' are plain.
        ended: The viewers whose connection ended by itself.
        asked: When each viewer asked for its event stream, monotonic.
        begin: Begin of the window, monotonic.
        end: End of the window, monotonic.
        cpuShare: CPU time of the client in the window / its length.
        waitedShare: Time in which the client was ready but had no core / length of the window.
        batches: Seconds between two looks at the sockets, each.
    """

    reads: list[Read] = field(default_factory=list)
    first: dict[int, tuple[float, bytes]] = field(default_factory=dict)
    chunked: set[int] = field(default_factory=set)
    secured: dict[int, Callable[[bytes], bytes]] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    asked: dict[int, float] = field(default_factory=dict)
    begin: float = 0.0
    end: float = 0.0
    cpuShare: float = 0.0
    waitedShare: float = 0.0
    batches: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Check:
    """
    Whether every token came, over all viewers and from the first event on.

    Args:
        missing: Tokens that the IDs promise and the data does not have; numbers that are missing among the stamps.
        duplicates: Events whose number was not above the one before.
        wrongTexts: Viewers whose text is not the beginning of the text that was sent.
        ended: Viewers whose stream ended, or was lost, before the load client closed it.
        gaps: Events of type `gap`.
    """

    missing: int = 0
    duplicates: int = 0
    wrongTexts: int = 0
    ended: int = 0
    gaps: int = 0

    def faults(self) -> int:
        """
        The sum of all that should be 0.
        """
        return self.missing + self.duplicates + self.wrongTexts + self.ended + self.gaps


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What the viewers got.

    Args:
        events: Token events that came in the window.
        pace: `events` / those that the rate asks for (1.0: the server kept the pace).
        lag: Lag of these events in milliseconds: p50, p99, p99.9, max.
        check: Whether every token came.
        clientShare: CPU time of the load client / length of the window.
        clientWaited: Time in which the load client was ready but had no core / length of the window.
        clientBatch: Milliseconds between two looks at the sockets: no event waited longer than that in the client.
    """

    events: int
    pace: float
    lag: dict[str, float]
    check: Check
    clientShare: float
    clientWaited: float
    clientBatch: dict[str, float]


class Dechunker:
    """
    Takes the chunked coding off a response body (RFC 9112, 7.1). A chunk is given on when its last byte is there.

    Attributes:
        chunks: Chunks so far, without the empty one at the end. A server that is written to makes one of each write.
    """

    def __init__(self) -> None:
        self._rest = b""
        self.chunks = 0

    def feed(self, data: bytes) -> bytes:
        """
        The bytes of the body that `data` completes.

        Raises:
            ValueError: What comes is not a chunk.
        """
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


def parseEvent(time: float, block: bytes) -> Arrival | None:
    """
    One event from its lines; `None` for a block without data and ID.
    """
    number, kind, data = -1, b"", []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b": ")
        if name == b"data":
            data.append(value)
        elif name == b"id":
            digits = value.rpartition(b"-")[2]
            number = int(digits) if digits.isdigit() else -1
        elif name == b"event":
            kind = value
    return Arrival(time, number, kind, b"\n".join(data)) if data or number >= 0 else None


def readEvents(reads: Iterable[tuple[float, bytes]], chunked: bool) -> list[Arrival]:
    """
    The events of one viewer.
    """
    feed: Callable[[bytes], bytes] = Dechunker().feed if chunked else bytes
    events: list[Arrival] = []
    rest = b""
    for time, data in reads:
        *blocks, rest = (rest + feed(data)).split(b"\n\n")
        events += [event for block in blocks if (event := parseEvent(time, block))]
    return events


def readsByViewer(journal: Journal) -> dict[int, list[tuple[float, bytes]]]:
    """
    The reads of each viewer, deciphered: so this can be asked once.
    """
    reads: dict[int, list[tuple[float, bytes]]] = defaultdict(list)
    for viewer, first in journal.first.items():
        reads[viewer].append(first)
    for time, viewer, data in journal.reads:
        decipher = journal.secured.get(viewer)
        reads[viewer].append((time, decipher(data) if decipher else data))
    return reads


def byViewer(journal: Journal) -> list[list[Arrival]]:
    """
    The events of all viewers, viewer by viewer.
    """
    reads = readsByViewer(journal)
    return [readEvents(reads.pop(viewer), viewer in journal.chunked) for viewer in list(reads)]


def checkViewer(events: Sequence[Arrival], text: bytes | None, check: Check) -> None:
    """
    Add what is wrong with one viewer's events to `check`.

    An event numbered n after one numbered m stands for n - m tokens (several when they were joined); a token has one
    word. An event of type `stream` says where the viewer starts. All other types are one entry each.

    Args:
        events: All events of the viewer.
        text: The text that it was sent from its first token on; `None`: do not compare.
        check: What is added to.
    """
    last, got = 0, []
    for event in events:
        if event.type == b"stream":
            last = event.number
            continue
        tokens = 1 if event.type else len(event.data.split())
        check.missing += max(0, event.number - last - tokens)
        check.duplicates += event.number <= last
        check.gaps += event.type == b"gap"
        last = max(last, event.number)
        got += [] if event.type else [event.data]
    check.wrongTexts += text is not None and not text.startswith(b"".join(got))


def checkStamps(events: Iterable[Arrival], check: Check) -> None:
    """
    Add what is wrong with one viewer's stamped events to `check`: their numbers follow one another, whatever the first.
    """
    last = None
    for event in events:
        check.gaps += event.type == b"gap"
        if event.type:
            continue
        number = int(event.data.split()[1])
        if last is not None:
            check.missing += max(0, number - last - 1)
            check.duplicates += number <= last
        last = number if last is None else max(last, number)


def tokenEvents(events: Iterable[Arrival], begin: float, end: float) -> list[Arrival]:
    """
    The events of the default type that came within a time.
    """
    return [event for event in events if begin <= event.time < end and not event.type]


def paceLags(events: Sequence[Arrival], interval: float) -> list[float]:
    """
    How late each event of a paced stream came, in seconds.

    The schedule is not known from outside, so the viewer's most punctual event is its base line: event n was due n
    intervals after the base, and its lag is what it came later than that. A server that skips a tick is late by one
    interval more from then on.
    """
    offsets = [event.time - event.number * interval for event in events]
    base = min(offsets, default=0.0)
    return [offset - base for offset in offsets]


def stampLags(events: Iterable[Arrival]) -> list[float]:
    """
    How long each event was under way, in seconds.

    Its data begins with the nanoseconds at which it was published (see `publisher.py`), by the monotonic clock
    (`time.monotonic_ns`), which is one for all processes of a machine.
    """
    return [event.time - int(event.data.split(maxsplit=1)[0]) / 1e9 for event in events]


def percentile(ordered: Sequence[float], percent: float) -> float:
    """
    The value of an ordered sequence below or at which `percent` of all are (nearest rank); NaN of nothing.
    """
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def spread(values: Iterable[float]) -> dict[str, float]:
    """
    p50, p99, p99.9 and maximum of times in seconds, given in milliseconds.
    """
    ordered = sorted(values)
    return {name: round(percentile(ordered, percent) * 1000, 3) for name, percent in _PERCENTS.items()}


def judge(journal: Journal, viewers: int, rate: float, text: bytes | None = None) -> Outcome:
    """
    What the journal of paced streams says, of which each viewer has one.

    Args:
        journal: What came.
        viewers: Number of viewers.
        rate: Tokens each second of each viewer's stream.
        text: The text that each viewer was sent from its first token on; `None`: do not compare.
    """
    events, lags, check = 0, list[float](), Check(ended=len(journal.ended))
    for viewer in byViewer(journal):
        checkViewer(viewer, text, check)
        inWindow = tokenEvents(viewer, journal.begin, journal.end)
        events += len(inWindow)
        lags += paceLags(inWindow, 1 / rate)
    return outcomeOf(journal, events, viewers * rate, lags, check)


def judgeStamped(journal: Journal, viewers: int, rate: float) -> Outcome:
    """
    What the journal of one stream of stamped events says, which all viewers watch.

    Args:
        journal: What came.
        viewers: Number of viewers.
        rate: Events published each second.
    """
    events, lags, check = 0, list[float](), Check(ended=len(journal.ended))
    for viewer in byViewer(journal):
        checkStamps(viewer, check)
        inWindow = tokenEvents(viewer, journal.begin, journal.end)
        events += len(inWindow)
        lags += stampLags(inWindow)
    return outcomeOf(journal, events, viewers * rate, lags, check)


def outcomeOf(journal: Journal, events: int, due: float, lags: list[float], check: Check) -> Outcome:
    """
    All figures of the events that came in a window.

    Args:
        journal: Of the window.
        events: How many came.
        due: How many there should be each second, of all viewers.
        lags: Of these, in seconds.
        check: Whether all came.
    """
    return Outcome(
        events=events,
        pace=round(events / (due * (journal.end - journal.begin)), 4),
        lag=spread(lags),
        check=check,
        clientShare=round(journal.cpuShare, 3),
        clientWaited=round(journal.waitedShare, 3),
        clientBatch=spread(journal.batches),
    )
