"""
The model of a stream, a list that is never trimmed, and of a viewer that compares events with it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from sseserver.wire import Event
from tests.readers import Connection, oneLineEnd

TOKEN = "token"
TERMINALS = ("done", "failed", "cancelled")

_ID = re.compile(r"([A-Za-z0-9]{22})-(0|[1-9][0-9]*)")


@dataclass(frozen=True)
class Item:
    """An entry: `TOKEN`, or the type of an event, and the data."""

    type: str
    data: str


@dataclass
class Stream:
    """
    One stream.

    Attributes:
        script: Its run; `None` for one that is published into.
        items: All entries that ever were in the log, in order; entry 1 is the first.
        mayEnd: Terminal entries (type and reason) of which one may come next by itself.
        forgotten: It was deleted, or kept long enough.
        seen: The highest number that any viewer was given.
        first: The first entry that was kept when the server was asked last.
        short: A viewer was told that entries are trimmed.
        ended: When it was seen to have ended.
        quietSince: When the last viewer left, or the run began: at the earliest.
        quietBy: The same, at the latest.
    """

    name: str
    epoch: str
    script: Any = None
    published: bool = True
    items: list[Item] = field(default_factory=list)
    keys: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    mayEnd: set[tuple[str, str]] = field(default_factory=set)
    forgotten: bool = False
    seen: int = 0
    first: int = 1
    short: bool = False
    ended: float | None = None
    quietSince: float = 0.0
    quietBy: float = 0.0

    @property
    def over(self) -> bool:
        """Whether it has its terminal entry."""
        return bool(self.items) and self.items[-1].type in TERMINALS

    def add(self, *items: Item) -> None:
        """Append entries."""
        assert not self.over, f"{self.name} has ended with {self.items[-1]}; then came {items}"
        self.items += items

    def end(self, type: str, **data: object) -> None:
        """Append a terminal entry, unless there is one."""
        if not self.over:
            self.add(Item(type, json.dumps(data, separators=(",", ":"))))

    def learnEnd(self, number: int, event: Event) -> None:
        """Take a terminal event for true that had to be expected: which one, only the server knows."""
        if number == len(self.items) + 1 and not self.over and event.type in TERMINALS:
            reason = json.loads(event.data)["reason"]
            assert (event.type, reason) in self.mayEnd, f"{event} is not among {self.mayEnd}"
            self.add(Item(event.type, event.data))

    def text(self, number: int) -> str:
        """Give the text up to an entry, with its line ends as they are carried."""
        return oneLineEnd("".join(item.data for item in self.items[:number] if item.type == TOKEN))

    def tokens(self) -> int:
        """Count the tokens."""
        return sum(item.type == TOKEN for item in self.items)

    def id(self, number: int) -> str:
        """Write the ID of an entry."""
        return f"{self.epoch}-{number}"


@dataclass(frozen=True)
class Snapshot:
    """A stream's state just before a viewer is opened, as the server tells it."""

    epoch: str
    first: int
    last: int
    open: bool


@dataclass(frozen=True)
class Gap:
    """A gap that the model expects: the cursor after it, the number of missing entries, and the reason."""

    cursor: int
    missed: int | None
    reason: str


def findGap(asked: str, now: Snapshot) -> Gap | None:
    """Return the gap that a viewer with this ID must be told of (DESIGN.md 6.2), or `None`."""
    match = _ID.fullmatch(asked)
    if match is None or len(match[2]) > 19:
        return Gap(now.first - 1, None, "unknown") if asked else None
    number = int(match[2])
    if match[1] != now.epoch or number > now.last:
        return Gap(now.first - 1, None, "lost")
    if number < now.first - 1:
        return Gap(now.first - 1, now.first - 1 - number, "trimmed")
    return None


class Viewer:
    """
    One viewer of the stream of one name, over all its connections.

    Attributes:
        form: The name of its format.
        place: Number of the last entry it has; `None` before it knows.
        hole: Whether it lacks what is just before its place. Then the
            beginning of what follows may depend on what it does not know: half
            a CR LF.
        complete: Whether it has the terminal event.
    """

    form = ""

    def __init__(self, name: str, streams: dict[str, Stream]) -> None:
        self.name = name
        self.streams = streams
        self.connection: Connection | None = None
        self.lastEventID = ""
        self.place: int | None = None
        self.hole = False
        self.complete = False
        self._gap: Gap | None = None
        self._now: Snapshot | None = None
        self._fromNow = False
        # How many events this connection has brought.
        self._count = 0

    def connect(self, connection: Connection, now: Snapshot | None, fromNow: bool) -> None:
        """
        Begin a connection.

        Args:
            now: The stream's state; `None` when it is not known.
        """
        asked = connection.asked
        self.connection, self._now, self._fromNow = connection, now, fromNow and not asked
        self.complete = False
        self._count = 0
        self._gap = findGap(asked, now) if now else None
        match = _ID.fullmatch(asked)
        self.place = None
        if now and self._gap is None:
            self.place = int(match[2]) if match else now.last if self._fromNow else self.start(now)
        if not asked or asked != self.lastEventID:
            self.forget()
            self.hole = bool(asked) or self._fromNow or now is None or now.first > 1

    def start(self, now: Snapshot) -> int:
        """Say where a new viewer begins: before the first entry kept."""
        return now.first - 1

    @property
    def finished(self) -> bool:
        """Whether a viewer that comes so must be answered 204."""
        now, connection = self._now, self.connection
        if now is None or connection is None or now.open or self._gap is not None:
            return False
        return self.place == now.last and (self._fromNow or bool(connection.asked))

    def isFinished(self, status: int) -> bool:
        """Whether this answer fits."""
        return self.finished == (status == 204)

    def checkProgress(self, now: Snapshot) -> None:
        """A viewer that takes everything is at the end."""
        if self.complete:
            assert self.connection and self.connection.response
            assert self.connection.response.complete, "the end is there, but the response goes on"
        else:
            assert now.open, f"it ended, but a viewer waits at {self.place}: {now}"
            assert self.place == now.last, f"a viewer waits at {self.place}: {now}"

    def read(self) -> None:
        """Take what has come, and compare it."""
        if self.connection is None:
            return
        for event in self.connection.read():
            match = _ID.fullmatch(event.id or "")
            assert match, f"an event without an ID of ours: {event}"
            assert not self.complete, f"after the end came {event}"
            stream, number = self.streams[match[1]], int(match[2])
            if self._now and not self._count:
                self.checkFirst(event)
            self.take(event, number, stream)
            self._count += 1
            self.lastEventID = event.id or ""
            stream.seen = max(stream.seen, self.place or 0)

    def checkFirst(self, event: Event) -> None:
        """A connection begins with the gap, if there is one."""
        expected = "a gap" if self._gap else "no gap"
        assert (event.type == "gap") == (self._gap is not None), f"expected {expected} of {self._now}: {event}"

    def take(self, event: Event, number: int, stream: Stream) -> None:
        """Compare an event, and put it to what there is."""
        raise NotImplementedError

    def forget(self) -> None:
        """Begin anew."""

    def takeGap(self, event: Event, number: int, stream: Stream) -> None:
        """Compare the numbers of a gap."""
        data = json.loads(event.data)
        assert set(data) == {"after", "from", "missed", "reason"}, event
        assert data["from"] == stream.id(number + 1), event
        gap = self._gap
        if self._count == 0 and (gap or self._now is None):
            assert self.connection
            assert data["after"] == self.connection.asked, event
            if gap:
                assert (number, data["missed"], data["reason"]) == (gap.cursor, gap.missed, gap.reason), (event, gap)
        else:
            self.checkLaterGap(data, number, stream)
        if data["reason"] != "trimmed":
            self.forget()
        self.place = number
        self.hole = True

    def checkLaterGap(self, data: dict[str, Any], number: int, stream: Stream) -> None:
        """Compare a gap that a viewer meets because it is slow: entries that it had not read were trimmed."""
        assert self.place is not None, data
        assert data["reason"] == "trimmed", data
        assert data["after"] == stream.id(self.place), data
        assert data["missed"] == number - self.place > 0, (data, self.place)

    def takeEnd(self, event: Event, number: int, stream: Stream) -> None:
        """Compare a terminal event."""
        assert number <= len(stream.items), f"{event} is not in the log of {len(stream.items)}"
        assert Item(event.type, event.data) == stream.items[number - 1], (event, stream.items[number - 1])
        assert self.place is None or number > self.place, f"again: {event}"
        self.complete = True
        self.place = number


class EventsViewer(Viewer):
    """A viewer in the format `events`."""

    form = "events"

    def take(self, event: Event, number: int, stream: Stream) -> None:
        """Compare an event with the entries between two IDs."""
        if event.type == "stream":
            data = json.loads(event.data)
            assert set(data) == {"url", "epoch", "state"}, event
            assert data["epoch"] == stream.epoch, event
            assert self.place in {None, number}, (event, self.place)
            self.place = number
        elif event.type == "gap":
            self.takeGap(event, number, stream)
        elif event.type in TERMINALS:
            stream.learnEnd(number, event)
            assert self.place == number - 1, f"{event} at {self.place}"
            self.takeEnd(event, number, stream)
        else:
            assert self.place is not None, event
            assert self.place < number <= len(stream.items), f"{event} at {self.place}, of {len(stream.items)}"
            self.compare(event, number, stream, stream.items[self.place : number])
            self.hole = False
            self.place = number

    def compare(self, event: Event, number: int, stream: Stream, items: list[Item]) -> None:
        """Compare an event with these entries: one published event, or one token or more."""
        if any(item.type != TOKEN for item in items):
            assert len(items) == 1, f"{event} is for {items}"
            assert (event.type, event.data) == (items[0].type, oneLineEnd(items[0].data)), (event, items)
            return
        assert event.type == "message", (event, items)
        assert self.place is not None
        expected = {stream.text(number)[len(stream.text(self.place)) :]}
        if self.hole:
            expected.add(oneLineEnd("".join(item.data for item in items)))
        assert event.data in expected, (event, expected)


class TextViewer(Viewer):
    """
    A viewer in the format `text`.

    Attributes:
        text: What it shows.
        told: Whether this connection told it that the text is not whole.
        refused: The epoch of the stream whose connection ended because of that.
    """

    form = "text"
    text = ""
    told = False
    refused = ""

    def connect(self, connection: Connection, now: Snapshot | None, fromNow: bool) -> None:
        """See `Viewer.connect`."""
        super().connect(connection, now, fromNow)
        self.told = False

    def start(self, now: Snapshot) -> int:
        """A text is whole, or refused."""
        return 0

    def forget(self) -> None:
        """Begin anew."""
        self.text = ""

    def take(self, event: Event, number: int, stream: Stream) -> None:
        """Compare an event with the whole text so far."""
        if event.type == "gap":
            self.takeGap(event, number, stream)
            self.told = True
        elif event.type == "failed" and json.loads(event.data).get("reason") == "too_long":
            stream.short = True
            assert self.told, f"{event} without a gap"
            self.complete = True
            self.refused = stream.epoch
        elif event.type in TERMINALS:
            stream.learnEnd(number, event)
            self.takeEnd(event, number, stream)
            assert self.hole or self.text == stream.text(number), (self.text, stream.text(number))
        else:
            assert event.type == "message", event
            assert number <= len(stream.items), f"{event}, of {len(stream.items)}"
            head = number == 0 and self._count <= self.told
            assert head or self.place is None or number > self.place, f"again: {event} at {self.place}"
            assert event.data == stream.text(number), (event, stream.text(number))
            self.text = event.data
            self.hole = False
            self.place = number

    def checkFirst(self, event: Event) -> None:
        """A caught-up viewer gets no event, so its first one may be a later gap."""
        assert event.type == "gap" or self._gap is None, f"expected a gap of {self._now}: {event}"

    def checkLaterGap(self, data: dict[str, Any], number: int, stream: Stream) -> None:
        """Check the gap of a text that is no longer whole: entries were trimmed before they were read."""
        assert data["reason"] == "trimmed", data
        after = _ID.fullmatch(data["after"])
        assert after and after[1] == stream.epoch, data
        assert (self.place or 0) <= int(after[2]) <= number, (data, self.place)

    def isFinished(self, status: int) -> bool:
        """A viewer that was told that the text cannot be shown is finished, too, if it returns to the same stream."""
        assert self.connection
        refused = self._now is not None and self.refused == self.connection.asked.split("-")[0] == self._now.epoch
        return (self.finished or refused) == (status == 204)

    def checkProgress(self, now: Snapshot) -> None:
        """A viewer that takes everything shows everything."""
        if self.complete:
            super().checkProgress(now)
        else:
            assert now.open, f"it ended, but a viewer waits at {self.place}: {now}"
            stream = self.streams[now.epoch]
            whole = stream.text(now.last)
            assert self.hole or self.text == whole, (self.text, whole)


def makeViewer(form: str, name: str, streams: dict[str, Stream]) -> Viewer:
    """Make a viewer in one of the formats."""
    return {"events": EventsViewer, "text": TextViewer}[form](name, streams)
