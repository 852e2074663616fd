"""
The promise of DESIGN.md 6 against a model: Hypothesis makes up what clients,
sources, connections, the disk and the process do, and looks for a sequence in
which a viewer gets what the model does not have.

Nothing waits by itself: an answer that needs a turn of the reactor, or the
disk, comes when a rule lets it come. So requests overlap as they do in life.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from sseserver import Settings, SourceError, StreamResource, StreamService, StreamSite
from sseserver.errors import StoreUnavailable
from sseserver.interfaces import IStreamStore
from sseserver.stores.memory import MemoryStore
from sseserver.stores.sqlite import SQLiteStore
from sseserver.stores.sqlite import store as sqlite
from sseserver.wire import Event, encode
from tests.http import EVENTSOURCE
from tests.model import TOKEN, Item, Snapshot, Stream, Viewer, makeViewer
from tests.readers import HOSTILE, Connection, oneLineEnd
from tests.served import ScriptedSource
from tests.wires import Wire, WireReactor, countUnsent

LONG = os.environ.get("SSESERVER_LONG") == "1"

#: CI lets both runners run this, and there nothing is left to chance: without seeds of their own they would do the same
#: sequences twice. So each takes a part of them; pytest the smaller, since it measures coverage, which makes it slow.
PYTEST = "PYTEST_VERSION" in os.environ
PART = (100 if PYTEST else 200) if os.environ.get("CI") else 300

EXAMPLES = settings(
    max_examples=3000 if LONG else PART,
    stateful_step_count=100 if LONG else 50,
    deadline=None,
    # Not to explain: that traces each line, and takes longer than finding the shortest sequence does.
    phases=(Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)

SETTINGS = Settings(heartbeat=5, linger=20, stall=10, keep=60, window=2048, drain=2)

#: Seconds by which the ends of lingers and ages may be off: two slots of the ticker, and the steps of our clock.
SLACK = 2.0

#: Bytes that a viewer's transport takes before it pauses the producer. Twisted's 64 KiB would never fill here.
TRANSPORT = 512

NAMES = ("a", "b")

#: Where files are in memory, if there is such a place: what survives is no matter of the disk here, and waiting for it
#: would take twice as long as all else.
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

_TEXTS = st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=3).map("".join)
_TOKENS = st.builds(lambda text, times: Item(TOKEN, text * times), _TEXTS, st.sampled_from((1, 1, 1, 40)))
_EVENTS = st.builds(Item, st.sampled_from(("message", "note", "\u00e9t\u00e9")), _TEXTS | st.just(""))
_ITEMS = st.lists(_TOKENS | _TOKENS | _EVENTS, min_size=1, max_size=5)
_SOME = st.integers(0, 63)
#: For what would hide everything else if it came as often.
_RARELY = st.sampled_from((False, False, False, True))
_KEYS = st.sampled_from((None, None, "k1", "k2"))


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


class Machine(RuleBasedStateMachine):
    """The rules, whatever the store."""

    def __init__(self) -> None:
        super().__init__()
        # The collector looks only at what this machine makes: that is as fast as it must be.
        gc.collect()
        gc.freeze()
        self.folder = tempfile.mkdtemp(prefix="sseserver-model-", dir=_MEMORY)
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
        self.published: list[Asked] = []
        self.buffered: dict[Wire, int] = {}
        self.lost = False
        self.losses = 0
        # What the store's thread was asked and has not done; when it began to take its time; from when to when it did.
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

    # What happens

    @initialize()
    def begin(self) -> None:
        """There is a stream of each kind, which somebody watches."""
        self.put(NAMES[0])
        self.startRun(None)
        self.soon()
        for name in tuple(self.names):
            self.viewers.append(makeViewer("events", name, self.streams))
            self.come(self.viewers[-1], "", False, None)

    @rule()
    def soon(self) -> None:
        """A flush tick passes."""
        self.tick(0.03)

    @rule(name=st.sampled_from(NAMES))
    def put(self, name: str) -> None:
        """Somebody opens a stream to publish into."""
        self.request("PUT", name)

    @rule(some=_SOME, items=_ITEMS, close=st.sampled_from((False,) * 7 + (True,)), key=_KEYS)
    def publish(self, some: int, items: list[Item], close: bool, key: str | None) -> None:
        """Somebody publishes a list, or one entry."""
        body: Any = [{"token": i.data} if i.type == TOKEN else {"event": i.type, "data": i.data} for i in items]
        body = json.dumps(body[0] if len(body) == 1 else body).encode("ascii")
        self.post(self.choose(some), body, "application/json", tuple(items), close, key)

    @rule(some=_SOME, items=st.lists(_EVENTS, min_size=1, max_size=3), key=_KEYS)
    def publishEvents(self, some: int, items: list[Item], key: str | None) -> None:
        """Somebody publishes an event stream."""
        body = b"".join(encode(Event(item.data, item.type)) for item in items)
        read = tuple(replace(item, data=oneLineEnd(item.data)) for item in items)
        self.post(self.choose(some), body, "text/event-stream", read, False, key)

    @precondition(lambda self: self.published)
    @rule(some=_SOME)
    def repeat(self, some: int) -> None:
        """Somebody who got no answer, or lost it, publishes the same again."""
        before = self.published[some % len(self.published)]
        body = json.dumps([{"token": item.data} for item in before.items]).encode("ascii")
        self.post(before.name, body, "application/json", before.items, before.close, before.key)

    @rule(some=_SOME, token=_TOKENS, key=st.sampled_from(("k3", "k4")))
    def publishWithKey(self, some: int, token: Item, key: str) -> None:
        """Somebody publishes a token so that it can be repeated."""
        body = json.dumps([{"token": token.data}]).encode("ascii")
        self.published.append(self.post(self.choose(some), body, "application/json", (token,), False, key))

    @rule(key=_KEYS)
    def startRun(self, key: str | None) -> None:
        """Somebody starts a run."""
        headers = {} if key is None else {"Idempotency-Key": key}
        self.ask(
            Asked(self.connect(), "run", "", self.losses, self.reactor.seconds(), True, key=key),
            "POST",
            "/streams",
            headers,
        )

    @precondition(lambda self: any(stream.script for stream in self.streams.values()))
    @rule(some=_SOME, tokens=st.lists(_TOKENS, min_size=1, max_size=4))
    def write(self, some: int, tokens: list[Item]) -> None:
        """A run's source writes, perhaps without knowing that the run is over."""
        stream = self.chooseRun(some)
        for token in tokens:
            stream.script.write(token.data)
            if not stream.over and not stream.forgotten:
                stream.add(token)

    @precondition(lambda self: any(stream.script for stream in self.streams.values()))
    @rule(some=_SOME, fails=st.booleans())
    def endRun(self, some: int, fails: bool) -> None:
        """A run's source has written all, or cannot go on."""
        stream = self.chooseRun(some)
        script, stream.script = stream.script, None
        if script.cancelled:
            return
        if fails:
            script.fail(SourceError("Nothing is left.", "quota"))
            self.end(stream, "failed", reason="quota", message="Nothing is left.")
        else:
            script.end()
            self.end(stream, "done", reason="stop", tokens=stream.tokens())

    @rule(some=_SOME)
    def cancel(self, some: int) -> None:
        """Somebody stops a stream."""
        name = self.choose(some)
        stream = self.names.get(name)
        self.request("POST", name, "/cancel", what="cancel")
        if stream and stream.script:
            self.end(stream, "cancelled", reason="asked")
        elif stream:
            stream.mayEnd.add(("cancelled", "asked"))

    @rule(some=_SOME)
    def delete(self, some: int) -> None:
        """Somebody deletes a stream."""
        name = self.choose(some)
        asked = self.request("DELETE", name)
        asked.stream = self.names.pop(name, None)
        if asked.stream:
            self.undead[name] = asked.stream
            asked.stream.forgotten = True
            asked.stream.mayEnd.add(("cancelled", "deleted"))

    @rule(
        some=_SOME,
        form=st.sampled_from(("events", "events", "text")),
        asked=st.sampled_from(("", "", "", "", "0", "last", "future", "middle", "foreign", "x", "huge", "\u00e9")),
        fromNow=st.sampled_from((False, False, False, True)),
        room=st.sampled_from((None, None, None, 0, 300, 700)),
    )
    def open(self, some: int, form: str, asked: str, fromNow: bool, room: int | None) -> None:
        """A viewer comes, perhaps with an ID that it made up."""
        if len([viewer for viewer in self.viewers if viewer.connection]) >= 5:
            return
        viewer = makeViewer(form, self.choose(some), self.streams)
        self.viewers.append(viewer)
        self.come(viewer, self.forge(viewer.name, asked), fromNow, room)

    @rule(some=_SOME)
    def readText(self, some: int) -> None:
        """Somebody reads the text so far: of what is kept and stored, nothing else."""
        name = self.choose(some)
        _, now = self.snapshot(name)
        if now is None or now.epoch not in self.streams:
            return
        wire = self.connect()
        wire.begin(f"/streams/{name}", method="GET", headers={"Accept": "text/plain"})
        wire.close()
        if wire.responses:
            (response,) = wire.responses
            kept = self.streams[now.epoch].items[now.first - 1 : now.last]
            text = "".join(item.data for item in kept if item.type == TOKEN)
            assert response.body.decode("utf-8") == text, (response, text)
            assert response.headers.get("stream-gap") == (str(now.first - 1) if now.first > 1 else None), response

    @precondition(lambda self: self.viewers)
    @rule(some=_SOME, room=st.sampled_from((None, None, 0, 400)))
    def comeBack(self, some: int, room: int | None) -> None:
        """A viewer comes back with its last event ID, perhaps before the server knows that it was cut."""
        viewer = self.viewers[some % len(self.viewers)]
        if viewer.connection:
            self.vanish(viewer)
        self.come(viewer, viewer.lastEventID, False, room)

    @precondition(lambda self: any(viewer.connection for viewer in self.viewers))
    @rule(some=_SOME, room=st.sampled_from((0, 0, 1, 20, 100, 500, None)))
    def take(self, some: int, room: int | None) -> None:
        """A viewer takes so many bytes more, or all from now on."""
        self.connected(some).wire.take(room)

    @precondition(lambda self: any(viewer.connection for viewer in self.viewers))
    @rule(some=_SOME, how=st.sampled_from(("close", "reset", "vanish")))
    def cut(self, some: int, how: str) -> None:
        """A viewer loses its connection: in good order, hard, or so that the server does not notice."""
        connection = self.connected(some)
        viewer = next(viewer for viewer in self.viewers if viewer.connection is connection)
        if how == "vanish":
            self.vanish(viewer)
            return
        viewer.connection = None
        if how == "reset":
            connection.wire.breakDown()
        connection.wire.close()
        self.vanished.append((connection.wire, viewer.name))

    @rule(seconds=st.sampled_from((0.0, 0.03, 0.03, 1.0, 1.0, 6.0, 25.0, 65.0)))
    def tick(self, seconds: float) -> None:
        """Time passes; after a flush tick everybody has what there is."""
        steps = 4 if seconds >= 1 else 1
        for _ in range(steps):
            self.advance(seconds / steps)
        if seconds >= 1:
            # Here, and nowhere else: a log that nobody holds is gone from memory now, if not at once.
            gc.collect()
        if seconds:
            # What the store took just now waits for the end of its flush tick.
            self.advance(0.03)
            self.settle()
            self.checkProgress()

    # What is done for the rules

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
            # Entries go whole, and a sixteenth of the window more than they must.
            gone = len(stream.items[now.first - 2].data.encode("utf-8")) + 100
            assert state["bytes"] + gone > SETTINGS.window * 7 // 8, f"too much was trimmed: {state}"
        stream.first, stream.seen = now.first, now.last
        if not any(asked.name == name for asked in self.asked):
            assert state["bytes"] <= SETTINGS.window or now.first == now.last or not self.isQuiet(), state
            if stream.published:
                assert now.last == len(stream.items), f"{now}, but {len(stream.items)} entries were taken"
            assert now.last <= len(stream.items), f"{now}, but there are {len(stream.items)}"
            assert now.open == (not stream.over or now.last < len(stream.items)), (now, stream)

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
        if response.status != 200:
            assert response.status in {204, 404} or (response.status == 503 and not self.isQuiet()), response
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

    # What is looked at after each rule

    @invariant()
    def settle(self) -> None:
        """All answers and events that have come agree with the model."""
        self.collect()
        for viewer in self.viewers:
            viewer.read()
            response = viewer.connection.response if viewer.connection else None
            if response and response.status != 200:
                # It had to wait for its stream, and it is not there, or not now.
                assert response.status in {204, 404, 503}, response
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

    def _PUT(self, asked: Asked, status: int, response: Any) -> None:
        name, stream = asked.name, self.names.get(asked.name)
        if self.refused(asked, status):
            return
        if status == 409:
            assert (stream and (stream.over or stream.epoch == name)) or not asked.alone, asked
            return
        if status == 404:
            # Deleted before it was made.
            assert not asked.alone, asked
            return
        epoch = response.json["epoch"]
        if status == 200:
            assert (stream and stream.epoch == epoch) or not asked.alone, asked
            return
        assert status == 201, response
        if stream:
            self.forget(name)
        new = self.streams[epoch] = Stream(name, epoch)
        self.undead.pop(name, None)
        later = {other.what for other in self.asked[self.asked.index(asked) :] if other.name == name}
        if "cancel" in later:
            new.mayEnd.add(("cancelled", "asked"))
        if "DELETE" in later:
            new.forgotten = True
            new.mayEnd.add(("cancelled", "deleted"))
        else:
            self.names[name] = new

    def _publish(self, asked: Asked, status: int, response: Any) -> None:
        stream = self.names.get(asked.name)
        if self.refused(asked, status):
            return
        if status == 404:
            if asked.alone:
                self.forget(asked.name)
        elif status == 409:
            assert (stream and (stream.over or not stream.published)) or not asked.alone, (asked, stream)
        elif status == 422:
            assert asked.key, asked
            assert (stream and asked.key in stream.keys) or not asked.alone, (asked, stream)
        else:
            assert status == 200, response
            self.putIn(asked, response.json["ids"])

    def putIn(self, asked: Asked, ids: list[str]) -> None:
        """Put what was published into the model, unless it is there."""
        epoch, first = ids[0].split("-")
        stream, start = self.streams[epoch], int(first)
        count = len(asked.items) + asked.close
        assert ids == [stream.id(number) for number in range(start, start + count)], ids
        body = repr((asked.items, asked.close))
        if start <= len(stream.items):
            assert asked.key is not None, f"{ids} were given before"
            assert stream.keys[asked.key] == (body, start, start + count - 1), (asked, stream.keys)
            return
        if asked.key in stream.keys:
            _, _, last = stream.keys[asked.key]
            assert last < self.firstOf(stream), f"{asked} was published again"
        assert start == len(stream.items) + 1, f"{ids}, but the last was {len(stream.items)}"
        stream.add(*asked.items)
        if asked.close:
            stream.end("done", reason="stop", tokens=stream.tokens())
        if asked.key is not None:
            stream.keys[asked.key] = (body, start, start + count - 1)

    def firstOf(self, stream: Stream) -> int:
        """Read which entry is the first that is kept."""
        _, now = self.snapshot(stream.name)
        return now.first if now and now.epoch == stream.epoch else len(stream.items) + 1

    def _run(self, asked: Asked, status: int, response: Any) -> None:
        if self.refused(asked, status):
            return
        assert status == 201, response
        name = response.json["name"]
        known = self.runKeys.get(asked.key or "")
        if known and not known.forgotten and not (known.name != name and self.mayBeForgotten(known)):
            assert known.name == name, f"{asked.key} gave {known.name} first and now {name}"
            return
        if known and known.name == name and self.undead.get(name) is known:
            # As long as it is not deleted, it may be joined.
            return
        assert name not in self.streams, f"{name} is another run's"
        script = self.source.runs[self.runs]
        self.runs += 1
        stream = self.streams[name] = self.names[name] = Stream(name, name, script, published=False)
        # It began between the request and the answer.
        stream.quietSince, stream.quietBy = asked.when, self.reactor.seconds()
        if asked.key:
            self.runKeys[asked.key] = stream

    def _cancel(self, asked: Asked, status: int, response: Any) -> None:
        stream = self.names.get(asked.name)
        if self.refused(asked, status):
            return
        if status == 404:
            if asked.alone:
                self.forget(asked.name)
            return
        assert status == 200, response
        state = response.json
        stream = self.streams[state["epoch"]]
        assert state["state"] != "open", response
        if stream.published and not stream.over and state["state"] == "cancelled":
            reasons = ["asked", "deleted"] if stream.forgotten else ["asked"]
            if reasons == ["asked"]:
                stream.end("cancelled", reason="asked")
                assert state["last"] == len(stream.items), (state, stream)

    def _DELETE(self, asked: Asked, status: int, response: Any) -> None:
        if self.refused(asked, status):
            # It is there as before; but for a run, which was stopped.
            if asked.stream and not asked.stream.published:
                self.end(asked.stream, "cancelled", reason="asked")
            return
        if status == 404:
            # Its time may be over, and the store at work on that: it can still fail.
            assert asked.stream is None or self.mayBeForgotten(asked.stream) or not asked.alone, asked
            return
        assert status == 204, response
        if self.undead.get(asked.name) is asked.stream:
            self.undead.pop(asked.name, None)

    def checkBuffers(self) -> None:
        """A viewer that takes nothing costs what its transport held when it became full, and no more."""
        wires = [viewer.connection.wire for viewer in self.viewers if viewer.connection]
        before, self.buffered = self.buffered, {}
        for wire in wires + [wire for wire, _ in self.vanished]:
            transport = wire.transport
            if transport.producerPaused and wire.socket.room == 0:
                size = countUnsent(transport)
                assert size <= before.get(wire, size), f"{size - before[wire]} bytes more for a viewer that is paused"
                self.buffered[wire] = size

    def checkProgress(self) -> None:
        """Who takes everything has everything."""
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

    # How it ends, and begins again

    @rule(really=_RARELY)
    def restart(self, really: bool) -> None:
        """The server is stopped in good order, and started again."""
        if not really:
            return
        self.stop()
        self.serve()
        self.look()

    @rule(really=_RARELY)
    def die(self, really: bool) -> None:
        """The server dies, and is started again."""
        if not really:
            return
        self.settle()
        self.crash()
        self.serve()
        self.raiseUndead()
        self.look()

    def stop(self) -> None:
        """Stop in good order; everybody who watches is told, or cut."""
        self.giveBack()
        for asked in self.asked:
            assert asked.wire.responses, f"never answered: {asked}"
        self.settle()
        for stream in self.streams.values():
            if stream.script and not stream.over:
                stream.mayEnd.add(("failed", "shutdown"))
                stream.ended = self.reactor.seconds()
            stream.script = None
        stopped = self.service.stopService()
        for _ in range(8):
            self.reactor.advance(0.5)
        assert stopped.called, "it does not stop"
        self.checkAllLeft()
        self.runKeys.clear()
        self.reactor.advance(0)
        left = [str(call) for call in self.reactor.getDelayedCalls()]
        assert not left, left
        assert not self.reactor.getReaders(), self.reactor.getReaders()
        assert not self.reactor.getWriters(), self.reactor.getWriters()

    def checkAllLeft(self) -> None:
        """Whoever watched has been told, or cut; and takes now what there is for them."""
        self.buffered.clear()
        for viewer in self.viewers:
            if viewer.connection:
                wire = viewer.connection.wire
                wire.take()
                viewer.read()
                response = viewer.connection.response
                assert wire.closed or (response and response.complete), f"a viewer of {viewer.name} is still there"
                wire.close()
                viewer.connection = None
        for wire, _ in self.vanished:
            wire.take()
            wire.close()
        self.settle()

    def giveBack(self) -> None:
        """Give the store back, and let it do what it was asked."""
        self.lost = False
        self.losses += self.losses % 2
        self.release()
        for _ in range(4):
            self.advance(0.5)

    def release(self) -> None:
        """Let the store's thread do what it was asked."""
        if self.held is not None:
            self.holds.append((self.heldSince, self.reactor.seconds()))
        held, self.held = self.held or [], None
        for done, function, arguments in held:
            self.inThread(function, *arguments).chainDeferred(done)
        self.reactor.turn()

    def inThread(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """Do what is for the store's thread: at once, later, or not."""
        if self.held is not None:
            done: Deferred[Any] = Deferred()
            self.held.append((done, function, arguments))
            return done
        if self.lost:
            return fail(StoreUnavailable("The disk is full."))
        return maybeDeferred(function, *arguments)

    def raiseUndead(self) -> None:
        """Take up what comes back because its deletion was not stored."""
        for name, stream in self.undead.items():
            status, state = self.state(name) if name not in self.names else (404, {})
            if status == 200:
                self.streams[stream.epoch] = self.names[name] = replace(
                    stream, forgotten=False, ended=state["ended"], seen=0
                )
        self.undead.clear()

    def look(self) -> None:
        """After a start: what is there is what was there. Read it all, and learn how what was interrupted ended."""
        for name, stream in tuple(self.names.items()):
            status, state = self.state(name)
            if status == 404:
                self.forget(name)
                continue
            assert status == 200, (name, status, state)
            self.compareAfterStart(stream, state)
            viewer = makeViewer("events", name, self.streams)
            self.come(viewer, "", False, None)
            viewer.read()
            if viewer.connection:
                viewer.connection.wire.close()
            _, now = self.snapshot(name)
            assert now, name
            assert viewer.complete != now.open, (name, now)

    def compareAfterStart(self, stream: Stream, state: dict[str, Any]) -> None:
        """What anybody has seen is there; what was not stored before the end is not in the model any more either."""
        if state["epoch"] != stream.epoch:
            stream = replace(stream, epoch=state["epoch"], seen=0, items=list(stream.items))
            self.names[stream.name] = self.streams[stream.epoch] = stream
        last = state["last"]
        if not stream.published and stream.over and stream.seen < len(stream.items):
            # Nobody has seen its end yet: perhaps it got another.
            end = stream.items.pop()
            stream.mayEnd |= {("failed", "interrupted"), (end.type, json.loads(end.data)["reason"])}
        if not stream.published and not (stream.over and last == len(stream.items)):
            # Its last entry is the end that it got now.
            last -= 1
            del stream.items[last:]
        assert last >= stream.seen, f"{state}, but {stream.seen} had been seen"
        stream.first = state["first"]
        if stream.ended is not None and state["ended"] is not None:
            # The file says when the end was handed to the store's thread, which may have taken its time.
            before = [begin for begin, end in self.holds if begin <= stream.ended <= end + SLACK]
            assert state["ended"] >= min([stream.ended, *before]) - SLACK, (state, stream.ended)
            stream.ended = state["ended"]

    def teardown(self) -> None:
        """In the end everything can be stopped, and nothing is left behind."""
        try:
            # What failed before is the news.
            if sys.exc_info()[0] is None:
                self.stop()
        finally:
            globalLogPublisher.removeObserver(self.observe)
            sqlite.readBootID = self.bootID
            shutil.rmtree(self.folder)


class MemoryMachine(Machine):
    """Streams in memory: with the process they are gone."""

    def makeStore(self) -> IStreamStore:
        """Make an empty store."""
        return MemoryStore(self.reactor, SETTINGS.window)

    def crash(self) -> None:
        """Forget everything."""
        for stream in self.names.values():
            stream.forgotten = True
            stream.script = None
        for viewer in self.viewers:
            viewer.connection = None
        self.asked.clear()
        self.vanished.clear()
        self.names.clear()
        self.runKeys.clear()
        now = self.reactor.seconds()
        self.reactor = WireReactor()
        self.reactor.rightNow = now
        self.store = self.makeStore()


class SQLiteMachine(Machine):
    """Streams in an SQLite file, whose thread is the machine's."""

    def makeStore(self) -> IStreamStore:
        """Open the file."""
        return SQLiteStore(self.reactor, str(Path(self.folder) / "file"), SETTINGS.window, self.inThread)

    @precondition(lambda self: not self.lost)
    @rule()
    def lose(self) -> None:
        """The disk is full, or the file locked."""
        self.lost = True
        self.losses += 1

    @precondition(lambda self: self.lost)
    @rule()
    def recover(self) -> None:
        """It is as it was."""
        self.lost = False
        self.losses += 1

    @precondition(lambda self: self.held is None)
    @rule()
    def hold(self) -> None:
        """The store's thread takes its time."""
        self.held = []
        self.heldSince = self.reactor.seconds()

    @precondition(lambda self: self.held is not None)
    @rule()
    def goOn(self) -> None:
        """It has done what it was asked."""
        self.release()

    @rule(really=_RARELY)
    def reboot(self, really: bool) -> None:
        """The machine goes down: another boot."""
        self.boots += really
        self.die(really)

    def crash(self) -> None:
        """Close the file as the end of a process does."""
        for stream in self.streams.values():
            stream.script = None
            if not stream.published:
                stream.mayEnd.add(("failed", "interrupted"))
        for viewer in self.viewers:
            viewer.connection = None
        self.asked.clear()
        self.vanished.clear()
        self.runKeys.clear()
        self.lost, self.held = False, None
        self.losses += self.losses % 2
        self.store.persistence.database.abandon()
        now = self.reactor.seconds()
        self.reactor = WireReactor()
        self.reactor.rightNow = now
        self.store = self.makeStore()


class ModelTests(SynchronousTestCase):
    """The machines, as tests that both runners know."""

    def check(self, machine: type[Machine]) -> None:
        """Look for a sequence that breaks the promise."""
        # The collector comes when the machine says so: which logs an SQLite store has in memory, and so what happens
        # next, would else depend on what the process did before.
        gc.disable()
        try:
            run_state_machine_as_test(seed(PYTEST)(machine) if os.environ.get("CI") else machine, settings=EXAMPLES)
        finally:
            gc.unfreeze()
            gc.enable()
            # What may be logged the machine knows.
            self.flushLoggedErrors()

    def test_memory(self) -> None:
        """
        Whatever clients, sources and connections do, viewers of streams in
        memory get what the promise says.
        """
        self.check(MemoryMachine)

    def test_sqlite(self) -> None:
        """
        So do viewers of streams in an SQLite file, whatever the disk does, and
        however often the process ends.
        """
        self.check(SQLiteMachine)
