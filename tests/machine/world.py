"""
The server under test, and the model beside it: requests, answers that are waited for, time, and checks.

Nothing waits by itself: an answer that needs a turn of the reactor, or the disk, comes when a rule lets it come. So
requests overlap as they do in life.
"""

from __future__ import annotations

import gc
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
)
from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher

from sseserver import Settings, StreamResource, StreamService, StreamSite
from sseserver.errors import StoreUnavailable
from sseserver.interfaces import IStreamStore
from sseserver.stores.sqlite import store as sqlite
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.cost import measureKeys
from tests.http import EVENTSOURCE
from tests.model import Item, Snapshot, Stream, Viewer
from tests.readers import Connection
from tests.served import ScriptedSource
from tests.wires import Wire, WireReactor, countUnsent

SETTINGS = Settings(heartbeat=5, linger=20, stall=10, keep=60, window=2048, drain=0)

#: Seconds by which the ends of lingers and ages may be off: two slots of the ticker, and the steps of our clock.
SLACK = 2.0

#: Bytes that a viewer's transport takes before it pauses the producer. Twisted's 64 KiB would never fill here.
TRANSPORT = 512

NAMES = ("a", "b")

#: A folder in memory, if there is one. The disk does not matter here, and waiting for it would double the time.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@dataclass
class Asked:
    """
    A request that is not answered yet.

    Attributes:
        losses: How often the store had been lost when it was made.
        alone: Whether no other request for the same stream was under way meanwhile.
    """

    wire: Wire
    what: str
    name: str
    losses: int
    when: float
    alone: bool
    items: tuple[Item, ...] = ()
    close: bool = False
    key: str | None = None
    stream: Stream | None = None


class World(RuleBasedStateMachine):
    """A server on fake wires, and the model of its streams and viewers."""

    def __init__(self) -> None:
        super().__init__()
        # The collector looks only at what this machine makes: that is as fast as it must be.
        gc.collect()
        gc.freeze()
        self.folder = tempfile.mkdtemp(prefix="sseserver-model-", dir=MEMORY)
        self.problems: list[str] = []
        globalLogPublisher.addObserver(self.observe)
        self.boots = 0
        self.bootID = sqlite.readBootID
        sqlite.readBootID = lambda: str(self.boots)
        self.reactor = WireReactor()
        self.streams: dict[str, Stream] = {}
        self.names: dict[str, Stream] = {}
        self.viewers: list[Viewer] = []
        # Connections whose viewer is gone without a word, with the stream that they followed.
        self.vanished: list[tuple[Wire, str]] = []
        self.asked: list[Asked] = []
        self.runKeys: dict[str, Stream] = {}
        # Deleted, but perhaps not in the file: when that fails, or the process ends before, they are there again.
        self.undead: dict[str, Stream] = {}
        # Streams that were made while their deletion was asked for; the deletion may have come first.
        self.raced: dict[str, Stream] = {}
        self.published: list[Asked] = []
        # Bytes written to the connections of paused viewers, with those that they have taken.
        self.written: dict[Wire, int] = {}
        self.lost = False
        self.losses = 0
        # Calls that the store's thread holds back, the time since when it does, and the earlier such times.
        self.held: list[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] | None = None
        self.heldSince = 0.0
        self.holds: list[tuple[float, float]] = []
        self.store = self.makeStore()
        self.serve()

    def makeStore(self) -> IStreamStore:
        """Make, or open, the store."""
        raise NotImplementedError

    def crash(self) -> None:
        """Let go of the store without closing it in good order."""
        raise NotImplementedError

    def serve(self) -> None:
        """Start a service on the store."""
        self.source = ScriptedSource()
        self.runs = 0
        self.service = StreamService(self.reactor, self.source, SETTINGS, self.store)
        self.service.startService()
        self.site = StreamSite(StreamResource(self.service), reactor=self.reactor)

    def connect(self) -> Wire:
        """Open a connection."""
        return Wire(self.site, self.reactor)

    def choose(self, some: int) -> str:
        """Choose a stream's name: of one that there is, rather."""
        there = list(self.names)
        return (there * 3 + list(NAMES))[some % (len(there) * 3 + len(NAMES))]

    def chooseRun(self, some: int) -> Stream:
        """Choose a stream whose source is at work."""
        runs = [stream for stream in self.streams.values() if stream.script]
        return runs[some % len(runs)]

    def connected(self, some: int) -> Connection:
        """Choose a viewer's connection."""
        connections = [viewer.connection for viewer in self.viewers if viewer.connection]
        return connections[some % len(connections)]

    def request(self, method: str, name: str, below: str = "", what: str = "") -> Asked:
        """Make a request for a stream that has no body."""
        asked = Asked(self.connect(), what or method, name, self.losses, self.reactor.seconds(), self.isAlone(name))
        return self.ask(asked, method, f"/streams/{name}{below}", {})

    def post(
        self, name: str, body: bytes, contentType: str, items: tuple[Item, ...], close: bool, key: str | None
    ) -> Asked:
        """Publish."""
        headers = {"Content-Type": contentType, "Stream-Closed": "true" if close else "false"}
        if key is not None:
            headers["Idempotency-Key"] = key
        asked = Asked(
            self.connect(), "publish", name, self.losses, self.reactor.seconds(), self.isAlone(name), items, close, key
        )
        return self.ask(asked, "POST", f"/streams/{name}", headers, body)

    def isAlone(self, name: str) -> bool:
        """Whether no other request for a stream is under way; those that are, are not alone from now on."""
        others = [asked for asked in self.asked if asked.name == name]
        for other in others:
            other.alone = False
        return not others

    def ask(self, asked: Asked, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Asked:
        """Make a request whose answer comes when it comes."""
        self.asked.append(asked)
        asked.wire.begin(path, method=method, body=body, headers=headers)
        return asked

    def state(self, name: str) -> tuple[int, dict[str, Any]]:
        """Read a stream's state as the server tells it: status, 0 when there is no answer now, and state."""
        wire = self.connect()
        wire.begin(f"/streams/{name}", method="GET", headers={"Accept": "application/json"})
        response = wire.responses[0] if wire.responses else None
        wire.close()
        if response is None:
            return 0, {}
        return response.status, response.json

    def snapshot(self, name: str) -> tuple[int, Snapshot | None]:
        """Read a stream's state, compare it with the model, and learn what was trimmed."""
        status, state = self.state(name)
        if status != 200:
            return status, None
        now = Snapshot(state["epoch"], state["first"], state["last"], state["state"] == "open")
        self.learn(name, now, state)
        return status, now

    def learn(self, name: str, now: Snapshot, state: dict[str, Any]) -> None:
        """Compare a stream's state with the model; and what the model cannot know, when entries are trimmed, learn."""
        stream = self.streams.get(now.epoch)
        if stream is None:
            return
        assert now.last >= stream.seen, f"{now}, but viewers have seen {stream.seen}"
        assert now.first >= stream.first, f"{now}, but {stream.first} was the first before"
        assert now.first > 1 or not stream.short, f"{now}, but viewers were told that entries are trimmed"
        if now.first > stream.first:
            # Entries go whole, with the keys of the last, and a sixteenth of the window more than they must.
            gone = len(stream.items[now.first - 2].data.encode("utf-8")) + 100
            gone += measureKeys(key for key, use in stream.keys.items() if use[2] == now.first - 1)
            assert state["bytes"] + gone > SETTINGS.window * 7 // 8, f"too much was trimmed: {state}"
        stream.first, stream.seen = now.first, now.last
        if not any(asked.name == name for asked in self.asked):
            assert state["bytes"] <= self.limit(stream) or now.first == now.last or not self.isQuiet(), state
            if stream.published:
                assert now.last == len(stream.items), f"{now}, but {len(stream.items)} entries were taken"
            assert now.last <= len(stream.items), f"{now}, but there are {len(stream.items)}"
            assert now.open == (not stream.over or now.last < len(stream.items)), (now, stream)

    def limit(self, stream: Stream) -> int:
        """Return the bytes that a stream may keep."""
        end = stream.items[-1] if stream.items else None
        if end is None or end.type != "failed" or json.loads(end.data)["reason"] != "interrupted":
            return SETTINGS.window
        # The end of an interrupted run is stored when the file is opened. No entry that viewers have seen goes for it.
        return SETTINGS.window + len(end.data.encode("utf-8")) + ENTRY_COST

    def isQuiet(self) -> bool:
        """Whether the store does what it is asked."""
        return not self.lost and self.held is None

    def forge(self, name: str, how: str) -> str:
        """Make an ID up."""
        stream = self.names.get(name)
        epoch = stream.epoch if stream else "A" * 22
        count = len(stream.items) if stream else 3
        numbers = {"0": 0, "last": count, "future": count + 5, "middle": count // 2}
        if how in numbers:
            return f"{epoch}-{numbers[how]}"
        return {"foreign": "B" * 22 + "-1", "huge": f"{epoch}-{'9' * 5000}"}.get(how, how)

    def come(self, viewer: Viewer, lastEventID: str, fromNow: bool, room: int | None) -> None:
        """Open a viewer's connection."""
        status, state = self.state(viewer.name)
        now = None
        if status == 200 and state["epoch"] in self.streams:
            now = Snapshot(state["epoch"], state["first"], state["last"], state["state"] == "open")
        wire = self.connect()
        wire.socket.room = room
        wire.transport.bufferSize = TRANSPORT
        # As twisted.web will read it: headers are bytes.
        sent = {"Accept": EVENTSOURCE}
        if lastEventID:
            sent["Last-Event-ID"] = lastEventID.encode("utf-8").decode("latin-1")
        path = f"/streams/{viewer.name}?format={viewer.form}{'&from=now' if fromNow else ''}"
        wire.begin(path, method="GET", headers=sent)
        viewer.connect(Connection(wire, lastEventID), now, fromNow)
        response = wire.responses[0] if wire.responses else None
        if response is None:
            return
        if now and (viewer.finished or response.status == 204):
            assert viewer.isFinished(response.status), (now, lastEventID, response)
        elif status == 404:
            assert response.status == 404, response
        elif now:
            assert response.status == 200, response
        if response.status != 200 or response.turnedAway:
            assert response.status in {204, 404} or not self.isQuiet(), response
            self.hangUp(viewer)

    def hangUp(self, viewer: Viewer) -> None:
        """A viewer closes a connection that has brought it nothing."""
        assert viewer.connection
        viewer.connection.wire.close()
        viewer.connection = None

    def vanish(self, viewer: Viewer) -> None:
        """A viewer is gone, and the server does not know."""
        assert viewer.connection
        viewer.connection.wire.stall()
        self.vanished.append((viewer.connection.wire, viewer.name))
        viewer.connection = None

    def advance(self, seconds: float) -> None:
        """Let time pass in one step."""
        watched = [stream for stream in self.streams.values() if stream.script and self.isWatched(stream)]
        for stream in watched:
            stream.quietSince = self.reactor.seconds()
        self.reactor.advance(seconds)
        for stream in watched:
            # Its last viewer may have been cut in this very step.
            stream.quietBy = self.reactor.seconds()
            if self.isWatched(stream):
                stream.quietSince = stream.quietBy
        self.collect()
        for stream in self.streams.values():
            self.checkLinger(stream)

    def isWatched(self, stream: Stream) -> bool:
        """Whether the server has a viewer of a stream."""
        wires = [(viewer.connection.wire, viewer.name) for viewer in self.viewers if viewer.connection]
        return any(name == stream.name and not wire.closed for wire, name in wires + self.vanished)

    def checkLinger(self, stream: Stream) -> None:
        """A run without viewers is cancelled when it has lingered, and not before."""
        if stream.script is None or stream.over or stream.forgotten:
            return
        now = self.reactor.seconds()
        if stream.script.cancelled:
            quiet = now - stream.quietSince
            assert quiet >= SETTINGS.linger - SLACK, f"{stream.name} was cancelled after {quiet} s"
            self.end(stream, "cancelled", reason="linger")
        elif not self.isWatched(stream):
            quiet = now - stream.quietBy
            assert quiet <= SETTINGS.linger + SLACK, f"{stream.name} lingers for {quiet} s"

    def end(self, stream: Stream, type: str, **data: object) -> None:
        """A run has ended."""
        if not stream.forgotten and not stream.over:
            stream.end(type, **data)
            stream.ended = self.reactor.seconds()

    def mayBeForgotten(self, stream: Stream) -> bool:
        """Whether a stream has been kept as long as it must be."""
        return stream.ended is not None and self.reactor.seconds() >= stream.ended + SETTINGS.keep - SLACK

    def revive(self, name: str) -> None:
        """A stream that could not be deleted is there as before."""
        stream = self.undead.pop(name, None)
        if stream and name not in self.names:
            self.names[name] = stream
            stream.forgotten = False

    def forget(self, name: str) -> None:
        """The server does not know a stream any more."""
        stream = self.names.pop(name, None)
        if stream:
            self.undead[name] = stream
            assert self.mayBeForgotten(stream), f"{name} is gone after {self.reactor.seconds()} s, ended {stream.ended}"
            stream.forgotten = True

    @invariant()
    def settle(self) -> None:
        """All answers and events that have come agree with the model."""
        self.collect()
        for viewer in self.viewers:
            viewer.read()
            response = viewer.connection.response if viewer.connection else None
            if response and (response.status != 200 or response.turnedAway):
                # It had to wait for its stream, and it is not there, or not now.
                assert response.status in {200, 204, 404, 503}, response
                self.hangUp(viewer)
            elif viewer.connection and viewer.connection.wire.closed:
                viewer.connection = None
        self.vanished = [(wire, name) for wire, name in self.vanished if not wire.closed]
        self.noteEnds()
        for stream in self.streams.values():
            if stream.script and self.isWatched(stream):
                # This viewer may be gone before any time passes: the run lingers anew all the same.
                stream.quietBy = self.reactor.seconds()
        self.checkBuffers()
        assert not self.problems, "\n".join(self.problems)

    def collect(self) -> None:
        """Take the answers that have come, in the order of the requests."""
        for asked in tuple(self.asked):
            response = asked.wire.responses[0] if asked.wire.responses else None
            if response is not None:
                assert response.complete, response
                self.hear(asked, response.status)
                getattr(self, "_" + asked.what)(asked, response.status, response)
                self.asked.remove(asked)
                asked.wire.close()
        self.noteEnds()

    def noteEnds(self) -> None:
        """Note when streams have ended: from then on they are kept for their time."""
        for stream in self.streams.values():
            if stream.over and stream.ended is None:
                stream.ended = self.reactor.seconds()

    def hear(self, asked: Asked, status: int) -> None:
        """An answer may tell that a stream could not be deleted, after all."""
        if asked.what == "DELETE":
            there = status == 503
        else:
            deleting = any(other.what == "DELETE" and other.name == asked.name for other in self.asked)
            there = status in {200, 409, 422} and not deleting
        if there:
            self.revive(asked.name)

    def refused(self, asked: Asked, status: int) -> bool:
        """Whether a request was refused because the store was away."""
        if status != 503:
            return False
        assert self.lost or self.losses > asked.losses or self.wasLost(asked), f"503 without reason: {asked}"
        return True

    def wasLost(self, asked: Asked) -> bool:
        """Whether the store was away when something was asked."""
        return asked.losses % 2 == 1

    def checkBuffers(self) -> None:
        """A paused viewer gets no more bytes before it has taken all that its transport has."""
        wires = [viewer.connection.wire for viewer in self.viewers if viewer.connection]
        before, self.written = self.written, {}
        for wire in wires + [wire for wire, _ in self.vanished]:
            transport = wire.transport
            if transport.producerPaused and wire.socket.room == 0:
                taken = len(wire.received)
                written = taken + countUnsent(transport)
                # A viewer that took everything was resumed, and paused again by what was written then: as much as
                # one read of the log gives, which may be more than was left in its transport before.
                limit = before.get(wire, written)
                assert written <= limit or taken >= limit, f"{written - limit} bytes more for a paused viewer"
                self.written[wire] = written

    def checkProgress(self) -> None:
        """A viewer that takes everything has every entry."""
        states: dict[str, tuple[int, Snapshot | None]] = {}
        for viewer in self.viewers:
            connection = viewer.connection
            if connection is None or connection.wire.socket.room is not None or not connection.wire.responses:
                continue
            if viewer.name not in states:
                states[viewer.name] = self.snapshot(viewer.name)
            status, now = states[viewer.name]
            if now:
                viewer.checkProgress(now)
            elif status == 404:
                # Its viewers are told when the file has forgotten it.
                waits = viewer.name in self.undead
                assert viewer.complete or waits, f"{viewer.name} is gone, but its viewer waits at {viewer.place}"
                if viewer.name in self.names:
                    self.forget(viewer.name)

    def observe(self, event: Any) -> None:
        """Note what is logged and should not be."""
        failure = event.get("log_failure")
        if failure is not None and not failure.check(StoreUnavailable):
            self.problems.append(f"{event.get('log_format')}: {failure.getTraceback()}")
