"""
Reading streams from Redis: their state, and their entries in pages.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Generator, Sequence
from itertools import accumulate
from math import isfinite
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, inlineCallbacks

from sseserver.errors import StreamNotFound
from sseserver.stores.redis.client import Client
from sseserver.stores.redis.entries import checkEnds, readEntry
from sseserver.stores.redis.layout import Place
from sseserver.stores.redis.script import MOST_ENTRIES, NODE_SIZE
from sseserver.streams.segments import Segment, joinSegments
from sseserver.values import TERMINAL, State

#: Bytes. Aim for the data of a page.
PAGE = 256 * 1024

#: Entries. Most of a page: decoding them takes about 2 ms.
PAGE_ENTRIES = 500

#: Times that a stream is read because its oldest entries were dropped meanwhile.
ATTEMPTS = 5

#: The kinds of terminal entries by the states of their streams.
KINDS = {state: kind for kind, state in TERMINAL.items()}

#: An epoch, as `makeEpoch` makes it.
_EPOCH = re.compile(rb"[A-Za-z0-9]{22}")

_FIELDS = (
    "epoch",
    "published",
    "created",
    "ended",
    "first",
    "last",
    "size",
    "tokens",
    "trimmedCR",
    "keyBytes",
    "owner",
    "state",
    "epochs",
    "question",
    "terminal",
)


class SharedState(NamedTuple):
    """
    The state of a stream as Redis has it.

    Attributes:
        epoch: Its epoch.
        state: Whether it is open, or how it has ended.
        published: Whether entries are published into it.
        created: When it was made, in seconds since 1970.
        ended: When it ended; `None` while it is open.
        first: Number of the oldest entry kept.
        last: Number of the newest entry.
        size: Bytes of the data of the entries kept.
        tokens: Number of tokens that it ever had.
        trimmedCR: Whether the text before `first` ends with CR.
        keyBytes: Bytes that its idempotency keys take, by `measureKeys`.
        owner: Node that writes it; empty for a published stream.
        epochs: Its earlier epochs, each with the number of the last entry that is the same in both.
        question: Question that it answers.
        terminal: Data of its last entry; empty while it is open.
    """

    epoch: str
    state: State
    published: bool
    created: float
    ended: float | None
    first: int
    last: int
    size: int
    tokens: int
    trimmedCR: bool
    keyBytes: int
    owner: bytes
    epochs: dict[str, int]
    question: str
    terminal: bytes


class ReadStream(NamedTuple):
    """
    A stream with its entries.

    Attributes:
        state: Its state.
        entries: The entries that were asked for, up to `state.last`.
    """

    state: SharedState
    entries: Segment


def parseState(name: str, fields: Sequence[bytes | None]) -> SharedState:
    """
    Read the fields of a stream.

    Args:
        name: Name of the stream.
        fields: The values of the fields in the order of `askState`.

    Raises:
        StreamNotFound: There is no such stream.
        ValueError: The fields are not those of a stream.
    """
    if not any(value is not None for value in fields):
        raise StreamNotFound(name)
    epoch, published, created, ended, *numbers = [b"" if value is None else value for value in fields]
    first, last, size, tokens, trimmedCR, keyBytes = map(int, numbers[:6])
    owner, state, epochs, question, terminal = numbers[6:]
    _check(_EPOCH.fullmatch(epoch) is not None and len(owner) == (0 if published == b"1" else NODE_SIZE))
    _check(1 <= first <= last + 1 <= MOST_ENTRIES and min(size, tokens, keyBytes) >= 0)
    return SharedState(
        epoch.decode("ascii"),
        State(state.decode("ascii")),
        published == b"1",
        _readTime(created),
        None if state == b"open" else _readTime(ended),
        first,
        last,
        size,
        tokens,
        trimmedCR == 1,
        keyBytes,
        owner,
        parseEpochs(epochs.decode("ascii")),
        question.decode("utf-8"),
        terminal,
    )


def _check(isRight: bool) -> None:
    if not isRight:
        raise ValueError("The fields of a stream contradict each other.")


def _readTime(written: bytes) -> float:
    time = float(written)
    _check(isfinite(time) and time >= 0)
    return time


def parseEpochs(text: str) -> dict[str, int]:
    """
    Read the earlier epochs of a stream.

    Args:
        text: `epoch-number` and a space for each epoch, the oldest first.

    Raises:
        ValueError: The text is something else.
    """
    epochs: dict[str, int] = {}
    least: int | None = None
    for pair in reversed(text.split()):
        epoch, _, number = pair.partition("-")
        # Entries that a later epoch has lost are lost for the earlier ones, too.
        least = int(number) if least is None else min(least, int(number))
        epochs[epoch] = least
    return epochs


def askState(client: Client, name: str, place: Place) -> Deferred[SharedState]:
    """
    Ask for the state of a stream.

    Args:
        client: The Redis.
        name: Name of the stream.
        place: Its keys.

    Raises:
        StreamNotFound: (errback) There is no such stream.
        StoreDamaged: (errback) A foreign hand has changed it.
        StoreUnavailable: (errback) It cannot be read now.
    """

    def parse(fields: Sequence[bytes | None]) -> SharedState:
        try:
            return parseState(name, fields)
        except ValueError:
            raise client.complaints.report(place.stream) from None

    return client.ask("HMGET", place.stream, *_FIELDS).addCallback(parse)


@inlineCallbacks
def readStream(client: Client, name: str, place: Place, after: int = 0) -> Generator[Deferred[Any], Any, ReadStream]:
    """
    Read a stream.

    Args:
        client: The Redis.
        name: Name of the stream.
        place: Its keys.
        after: Number of the last entry that is known; 0 for none.

    Returns:
        Fires with the stream. Its entries begin after `after`, or with the oldest that is kept, or after the last hole:
        a foreign hand may have deleted entries. A stream that has ended has its end.

    Raises:
        StreamNotFound: (errback) There is no such stream.
        StoreDamaged: (errback) A foreign hand has changed it.
        StoreUnavailable: (errback) It cannot be read now.
    """
    before = 0
    for _ in range(ATTEMPTS):
        state: SharedState = yield askState(client, name, place)
        begin = max(after + 1, state.first)
        try:
            entries: Segment = yield _readEntries(client, place, state, begin)
            checkEnds(entries, KINDS.get(state.state), isWanted=after < state.last)
        except ValueError:
            raise client.complaints.report(place.entries) from None
        if entries.first == begin or state.first == before:
            break
        # The oldest entries were dropped meanwhile, or by a foreign hand if this time it is the same.
        before = state.first
    return ReadStream(state, entries)


@inlineCallbacks
def _readEntries(
    client: Client, place: Place, state: SharedState, first: int
) -> Generator[Deferred[Any], Any, Segment]:
    """Read the entries from `first`, or from the end of the last hole, to the last of the state."""
    average = state.size // max(1, state.last + 1 - state.first)
    count = max(1, min(PAGE_ENTRIES, PAGE // (average + 1)))
    pages: list[Segment] = []
    at = first
    while at <= state.last:
        rows = yield client.ask("XRANGE", place.entries, b"%d-0" % at, b"%d-0" % state.last, "COUNT", count)
        page = _makeSegment(rows) if rows else _makeEnd(state)
        if page.first != at:
            pages = []
        pages.append(page)
        at = page.last + 1
    return joinSegments(_rebase(pages), pages[0].first if pages else first)


def _makeSegment(rows: Sequence[Any]) -> Segment:
    """Make a segment of the rows of a page, without those before a hole."""
    # Others are those of a foreign hand.
    rows = [row for row in rows if row[0].endswith(b"-0")]
    numbers = [int(row[0][:-2]) for row in rows]
    if not numbers:
        raise ValueError("There are foreign entries only.")
    if numbers[-1] - numbers[0] + 1 != len(numbers):
        start = max(at for at in range(1, len(numbers)) if numbers[at] != numbers[at - 1] + 1)
        numbers, rows = numbers[start:], rows[start:]
    entries = [readEntry(row[1]) for row in rows]
    data = [entry.data for entry in entries]
    kinds = bytes([entry.kind for entry in entries])
    return Segment(numbers[0], kinds, array("Q", accumulate(map(len, data))), b"".join(data))


def _makeEnd(state: SharedState) -> Segment:
    """Make a segment of the terminal entry that the state knows, or an empty one after the last entry."""
    kind = KINDS.get(state.state)
    if kind is None or not state.terminal:
        return Segment(state.last + 1, b"", array("Q"), b"")
    end = readEntry([b"kind", b"%d" % kind, b"data", state.terminal])
    return Segment(state.last, bytes((end.kind,)), array("Q", (len(end.data),)), end.data)


def _rebase(pages: list[Segment]) -> list[Segment]:
    """Count the ends of all pages from one origin."""
    origin = 0
    for page in pages:
        if origin:
            page.ends = array("Q", [end + origin for end in page.ends])
        origin += len(page.data)
    return pages
