"""
Tests of connections that are cut at every byte.

A viewer that returns with its last event ID has the same in the end as a viewer that was never cut.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from twisted.internet.defer import maybeDeferred

from sseserver import Settings
from sseserver.interfaces import IStreamStore
from sseserver.stores.memory import MemoryStore
from sseserver.stores.sqlite import SQLiteStore
from sseserver.wire import Event
from tests.readers import HOSTILE, Connection, oneLineEnd
from tests.served import ServedTestCase

Item = dict[str, str]

#: Tokens and events to publish, a list in each tick: all hostile tokens, some in one list and some at the border of
#: two, with events between them, one of which splits a CR LF. They make frames of about 3,000 bytes.
TICKS: list[list[Item]] = [
    [{"token": token} for token in HOSTILE[:6]],
    [{"token": "\n"}, {"event": "note", "data": "one\r\n two\u2028\r\n\r\n"}, {"token": "c\r"}],
    [{"event": "note", "data": ""}, {"token": "\nd\r"}],
    [{"token": token} for token in HOSTILE[6:14]],
    [{"event": "\u00e9v\u00e9nement", "data": "\n"}, *({"token": token} for token in HOSTILE[14:])],
    *([{"token": token}, {"token": " and"}, {"token": token}] for token in HOSTILE[:6]),
    [{"token": " end"}],
]

SETTINGS = Settings(heartbeat=1e6, reconnectionTime=3000)

#: Viewers that are cut on one stream. More would be slower: each step of a wire looks at all of them.
VIEWERS = 40


class CutMixin:
    """
    The tests, for one store and one format.

    Attributes:
        form: The format's name.
        step: Bytes between two cuts in a replay.
    """

    form = "events"
    step = 1

    def makeStore(self) -> IStreamStore:
        """Make the store."""
        raise NotImplementedError

    def setUp(self: Any) -> None:
        """Serve the store."""
        super().setUp()
        self.stop()
        self.serve(self.source, SETTINGS, self.makeStore())
        # Without jitter all responses have the same bytes, and the cuts hit each of them.
        self.patch(_producer(), "jitter", lambda time: time)

    def do(self: Any, method: str, path: str, items: list[Item] | None = None, close: bool = False) -> Any:
        """Send a request and return its answer."""
        headers = {"Content-Type": "application/json", "Stream-Closed": "true" if close else "false"}
        wire = self.connect(self.factory)
        wire.begin(path, method=method, body=json.dumps(items or []).encode("ascii"), headers=headers)
        # The SQLite store writes at the end of the reactor turn.
        self.reactor.advance(0)
        response = wire.response
        wire.close()
        self.assertIn(response.status, {200, 201}, response)
        return response.json

    def publish(self: Any, path: str) -> Iterator[None]:
        """Make a stream and publish everything, tick by tick."""
        self.do("PUT", path)
        yield
        for tick in TICKS:
            self.do("POST", path, tick, close=tick is TICKS[-1])
            self.reactor.advance(0.05)
            yield

    def come(self: Any, path: str, lastEventID: str = "", room: int | None = None) -> Connection:
        """Open a viewer's connection, which takes a limited number of bytes."""
        return Connection(self.view(f"{path}?format={self.form}", lastEventID or None, room=room), lastEventID)

    def whole(self: Any, path: str) -> tuple[list[Event], int]:
        """
        Follow a stream from before its first entry to its end; return the events, and the bytes of
        the response.
        """
        viewer = None
        for _ in self.publish(path):
            viewer = viewer or self.come(path)
        viewer.wire.close()
        return viewer.read(), len(viewer.wire.received)

    def rest(self: Any, path: str, lastEventID: str) -> list[Event]:
        """Return to the stream until the end has arrived."""
        events: list[Event] = []
        while not (events and events[-1].type == "done"):
            viewer = self.come(path, lastEventID)
            events += viewer.read()
            viewer.wire.close()
            if viewer.response.status == 204:
                break
            self.assertNotEqual(viewer.lastEventID, lastEventID, "it does not end")
            lastEventID = viewer.lastEventID
        return events

    def check(self: Any, events: list[Event], cut: int) -> None:
        """Check that a viewer has assembled the published text."""
        self.assertEqual(PUT_TOGETHER[self.form](events), EXPECTED[self.form], f"cut after {cut} bytes")

    def cutAll(self: Any, path: str, cuts: range) -> None:
        """
        Let one viewer for each number of bytes follow a stream from before its first entry; cut it
        after them, and let it return at once.
        """
        viewers: dict[int, Connection] = {}
        events: dict[int, list[Event]] = {cut: [] for cut in cuts}
        for _ in self.publish(path):
            viewers = viewers or {cut: self.come(path, room=cut) for cut in cuts}
            for cut, viewer in viewers.items():
                if viewer.wire.socket.room == 0:
                    events[cut] = viewer.read()
                    viewer.wire.close()
                    viewers[cut] = self.come(path, viewer.lastEventID)
        for cut, viewer in viewers.items():
            events[cut] += viewer.read()
            viewer.wire.close()
            if events[cut][-1].type != "done":
                events[cut] += self.rest(path, viewer.lastEventID)
            self.check(events[cut], cut)
        self.wires = [wire for wire in self.wires if not wire.closed]

    def test_live(self: Any) -> None:
        """
        A viewer that follows a growing stream, is cut after any number of bytes and returns at once
        has everything once.
        """
        events, size = self.whole("/streams/whole")
        self.check(events, size)
        self.assertGreater(size, 2500)
        for start in range(0, size + 1, VIEWERS):
            self.cutAll(f"/streams/{start}", range(start, min(start + VIEWERS, size + 1)))

    def test_replay(self: Any) -> None:
        """
        A viewer that reads a finished stream, whose tokens are joined, and is cut after any number
        of bytes has everything once.
        """
        for _ in self.publish("/streams/whole"):
            pass
        whole = self.come("/streams/whole")
        self.check(whole.read(), -1)
        for cut in range(0, len(whole.wire.received) + 1, self.step):
            viewer = self.come("/streams/whole", room=cut)
            events = viewer.read()
            viewer.wire.close()
            if not (events and events[-1].type == "done"):
                events += self.rest("/streams/whole", viewer.lastEventID)
            self.check(events, cut)
        self.assertEqual(self.come("/streams/whole", whole.lastEventID).response.status, 204)


class MemoryMixin(CutMixin):
    """Streams in memory."""

    def makeStore(self: Any) -> IStreamStore:
        return MemoryStore(self.reactor, SETTINGS.window)


class SQLiteMixin(CutMixin):
    """
    Streams in an SQLite file, written without a thread. Fewer cuts suffice for a replay, which is
    read from the file each time: its bytes do not differ.
    """

    step = 5

    def stop(self: Any) -> None:
        """Stop the service; the store stops in a later reactor turn."""
        stopped = self.beginStop()
        self.reactor.run(0.1)
        for done in stopped:
            self.successResultOf(done)

    def makeStore(self: Any) -> IStreamStore:
        return SQLiteStore(self.reactor, self.mktemp(), SETTINGS.window, maybeDeferred)


class MemoryEventsTests(MemoryMixin, ServedTestCase):
    """Cut at every byte: memory, format `events`."""


class MemoryTextTests(MemoryMixin, ServedTestCase):
    """Cut at every byte: memory, format `text`."""

    form = "text"


class SQLiteEventsTests(SQLiteMixin, ServedTestCase):
    """Cut at every byte: SQLite, format `events`."""


class SQLiteTextTests(SQLiteMixin, ServedTestCase):
    """Cut at every byte: SQLite, format `text`."""

    form = "text"


def _producer() -> Any:
    """Return the module whose jitter the tests remove."""
    import sseserver.service.viewers

    return sseserver.service.viewers


def _addText(parts: list[tuple[str, str]], text: str) -> None:
    """Add to the text at the end of these parts, or begin a text. An empty text is no part."""
    if parts and parts[-1][0] == "text":
        parts[-1] = ("text", parts[-1][1] + text)
    elif text:
        parts.append(("text", text))


def putTogether(events: list[Event]) -> list[tuple[str, str]]:
    """
    Assemble the events of the format `events`: tokens in a row are joined, other events stay
    single.
    """
    parts: list[tuple[str, str]] = []
    for event in events:
        if event.type == "message":
            _addText(parts, event.data)
        elif event.type != "stream":
            parts.append((event.type, event.data))
    return parts


def putTextTogether(events: list[Event]) -> list[tuple[str, str]]:
    """
    Assemble the events of the format `text`: the last text, which contains those before it, and the
    end.
    """
    texts = [event.data for event in events if event.type == "message"]
    assert all(after.startswith(before) for before, after in pairwise(texts)), texts
    return [("text", texts[-1])] + [(event.type, event.data) for event in events if event.type != "message"]


def _expected() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the published parts, for `events` and for `text`."""
    items = [item for tick in TICKS for item in tick]
    text = "".join(item.get("token", "") for item in items)
    tokens = sum("token" in item for item in items)
    done = ("done", json.dumps({"reason": "stop", "tokens": tokens}, separators=(",", ":")))
    parts: list[tuple[str, str]] = []
    raw = ""
    for item in items:
        if "token" in item:
            before = oneLineEnd(raw)
            raw += item["token"]
            _addText(parts, oneLineEnd(raw)[len(before) :])
        else:
            parts.append((item["event"], oneLineEnd(item["data"])))
    return [*parts, done], [("text", oneLineEnd(text)), done]


PUT_TOGETHER: dict[str, Callable[[list[Event]], list[tuple[str, str]]]] = {
    "events": putTogether,
    "text": putTextTogether,
}
EXPECTED = dict(zip(("events", "text"), _expected(), strict=True))
