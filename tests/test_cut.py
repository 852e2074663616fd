"""
Cut at every byte: wherever a connection is lost, the viewer that comes back
with its last event ID has in the end what a viewer has that was never cut.
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

#: What is published, a list in each tick: all of the hostile tokens, some in one list and some at the border of two;
#: events between them, of which one cuts a CR LF in two. As frames that is about 3,000 bytes.
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

#: So many viewers are cut on one stream. More would be slower: each step of a wire looks at all of them.
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
        # Otherwise responses differ in length: the cuts shall hit each byte of the same one.
        self.patch(_producer(), "jittered", lambda time: time)

    def do(self: Any, method: str, path: str, items: list[Item] | None = None, close: bool = False) -> Any:
        """Make a request and give its answer."""
        headers = {"Content-Type": "application/json", "Stream-Closed": "true" if close else "false"}
        wire = self.connect(self.factory)
        wire.begin(path, method=method, body=json.dumps(items or []).encode("ascii"), headers=headers)
        # The SQLite store writes when this turn of the reactor is over.
        self.reactor.advance(0)
        response = wire.response
        wire.close()
        self.assertIn(response.status, {200, 201}, response)
        return response.json

    def publish(self: Any, path: str) -> Iterator[None]:
        """Make a stream and publish all there is, tick by tick."""
        self.do("PUT", path)
        yield
        for tick in TICKS:
            self.do("POST", path, tick, close=tick is TICKS[-1])
            self.reactor.advance(0.05)
            yield

    def come(self: Any, path: str, lastEventID: str = "", room: int | None = None) -> Connection:
        """Open a viewer's connection, which takes only so many bytes."""
        return Connection(self.view(f"{path}?format={self.form}", lastEventID or None, room=room), lastEventID)

    def whole(self: Any, path: str) -> tuple[list[Event], int]:
        """Follow a stream from before its first entry to its end: the events, and the bytes of the response."""
        viewer = None
        for _ in self.publish(path):
            viewer = viewer or self.come(path)
        viewer.wire.close()
        return viewer.read(), len(viewer.wire.received)

    def rest(self: Any, path: str, lastEventID: str) -> list[Event]:
        """Come back until the end is there."""
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
        """What a viewer put together is what was published."""
        self.assertEqual(PUT_TOGETHER[self.form](events), EXPECTED[self.form], f"cut after {cut} bytes")

    def cutAll(self: Any, path: str, cuts: range) -> None:
        """
        Let one viewer for each of these numbers of bytes follow a stream from
        before its first entry; cut it after them, and let it come back at once.
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
        A viewer that follows a growing stream, is cut after any number of
        bytes and comes back at once, has everything once.
        """
        events, size = self.whole("/streams/whole")
        self.check(events, size)
        self.assertGreater(size, 2500)
        for start in range(0, size + 1, VIEWERS):
            self.cutAll(f"/streams/{start}", range(start, min(start + VIEWERS, size + 1)))

    def test_replay(self: Any) -> None:
        """
        So does a viewer that reads a finished stream, whose tokens come
        joined, and is cut after any number of bytes.
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
    Streams in an SQLite file, written without a thread. A replay is read from
    the file each time; what is sent of it does not differ, so fewer cuts do.
    """

    step = 5

    def stop(self: Any) -> None:
        """The store stops in a later turn of the reactor."""
        stopped = [service.stopService() for service in self.services]
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
    """Give the module whose jitter the tests take out, as the service sees it."""
    import sseserver.service.viewers

    return sseserver.service.viewers


def _addText(parts: list[tuple[str, str]], text: str) -> None:
    """Add to the text that ends these parts, or begin one. No text is no part."""
    if parts and parts[-1][0] == "text":
        parts[-1] = ("text", parts[-1][1] + text)
    elif text:
        parts.append(("text", text))


def putTogether(events: list[Event]) -> list[tuple[str, str]]:
    """Put together what came in the format `events`: tokens that follow one another, and the others one by one."""
    parts: list[tuple[str, str]] = []
    for event in events:
        if event.type == "message":
            _addText(parts, event.data)
        elif event.type != "stream":
            parts.append((event.type, event.data))
    return parts


def putTextTogether(events: list[Event]) -> list[tuple[str, str]]:
    """Put together what came in the format `text`: the last text, which went on from those before it, and the end."""
    texts = [event.data for event in events if event.type == "message"]
    assert all(after.startswith(before) for before, after in pairwise(texts)), texts
    return [("text", texts[-1])] + [(event.type, event.data) for event in events if event.type != "message"]


def _expected() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Say what was published: for `events` and for `text`."""
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
