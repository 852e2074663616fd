"""
The rules of the machine: what clients, sources, connections and the process do.
"""

from __future__ import annotations

import gc
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    precondition,
    rule,
)
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.logger import globalLogPublisher

from sseserver import SourceError
from sseserver.errors import StoreUnavailable
from sseserver.stores.sqlite import store as sqlite
from sseserver.wire import Event, encode
from tests.machine.answers import Answers
from tests.machine.world import NAMES, SLACK, Asked
from tests.model import TOKEN, Item, Stream, makeViewer
from tests.readers import HOSTILE, oneLineEnd

TEXTS = st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=3).map("".join)
TOKENS = st.builds(lambda text, times: Item(TOKEN, text * times), TEXTS, st.sampled_from((1, 1, 1, 40)))
EVENTS = st.builds(Item, st.sampled_from(("message", "note", "\u00e9t\u00e9")), TEXTS | st.just(""))
ITEMS = st.lists(TOKENS | TOKENS | EVENTS, min_size=1, max_size=5)
SOME = st.integers(0, 63)
#: For steps that would hide everything else if they came as often as others.
RARELY = st.sampled_from((False, False, False, True))
KEYS = st.sampled_from((None, None, "k1", "k2"))


class Machine(Answers):
    """The rules for every store."""

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

    @rule(some=SOME, items=ITEMS, close=st.sampled_from((False,) * 7 + (True,)), key=KEYS)
    def publish(self, some: int, items: list[Item], close: bool, key: str | None) -> None:
        """Somebody publishes a list, or one entry."""
        body: Any = [{"token": i.data} if i.type == TOKEN else {"event": i.type, "data": i.data} for i in items]
        body = json.dumps(body[0] if len(body) == 1 else body).encode("ascii")
        self.post(self.choose(some), body, "application/json", tuple(items), close, key)

    @rule(some=SOME, items=st.lists(EVENTS, min_size=1, max_size=3), key=KEYS)
    def publishEvents(self, some: int, items: list[Item], key: str | None) -> None:
        """Somebody publishes an event stream."""
        body = b"".join(encode(Event(item.data, item.type)) for item in items)
        read = tuple(replace(item, data=oneLineEnd(item.data)) for item in items)
        self.post(self.choose(some), body, "text/event-stream", read, False, key)

    @precondition(lambda self: self.published)
    @rule(some=SOME)
    def repeat(self, some: int) -> None:
        """Somebody who got no answer, or lost it, publishes the same again."""
        before = self.published[some % len(self.published)]
        body = json.dumps([{"token": item.data} for item in before.items]).encode("ascii")
        self.post(before.name, body, "application/json", before.items, before.close, before.key)

    @rule(some=SOME, token=TOKENS, key=st.sampled_from(("k3", "k4")))
    def publishWithKey(self, some: int, token: Item, key: str) -> None:
        """Somebody publishes a token so that it can be repeated."""
        body = json.dumps([{"token": token.data}]).encode("ascii")
        self.published.append(self.post(self.choose(some), body, "application/json", (token,), False, key))

    @rule(key=KEYS)
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
    @rule(some=SOME, tokens=st.lists(TOKENS, min_size=1, max_size=4))
    def write(self, some: int, tokens: list[Item]) -> None:
        """A run's source writes, perhaps without knowing that the run is over."""
        stream = self.chooseRun(some)
        for token in tokens:
            stream.script.write(token.data)
            if not stream.over and not stream.forgotten:
                stream.add(token)

    @precondition(lambda self: any(stream.script for stream in self.streams.values()))
    @rule(some=SOME, fails=st.booleans())
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

    @rule(some=SOME)
    def cancel(self, some: int) -> None:
        """Somebody stops a stream."""
        name = self.choose(some)
        stream = self.names.get(name)
        self.request("POST", name, "/cancel", what="cancel")
        if stream and stream.script:
            self.end(stream, "cancelled", reason="asked")
        elif stream:
            stream.mayEnd.add(("cancelled", "asked"))

    @rule(some=SOME)
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
        some=SOME,
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

    @rule(some=SOME)
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
    @rule(some=SOME, room=st.sampled_from((None, None, 0, 400)))
    def comeBack(self, some: int, room: int | None) -> None:
        """A viewer comes back with its last event ID, perhaps before the server knows that it was cut."""
        viewer = self.viewers[some % len(self.viewers)]
        if viewer.connection:
            self.vanish(viewer)
        self.come(viewer, viewer.lastEventID, False, room)

    @precondition(lambda self: any(viewer.connection for viewer in self.viewers))
    @rule(some=SOME, room=st.sampled_from((0, 0, 1, 20, 100, 500, None)))
    def take(self, some: int, room: int | None) -> None:
        """A viewer takes so many bytes more, or all from now on."""
        self.connected(some).wire.take(room)

    @precondition(lambda self: any(viewer.connection for viewer in self.viewers))
    @rule(some=SOME, how=st.sampled_from(("close", "reset", "vanish")))
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
            # Entries that the store took just now are announced at the end of their flush tick.
            self.advance(0.03)
            self.settle()
            self.checkProgress()

    @rule(really=RARELY)
    def restart(self, really: bool) -> None:
        """The server is stopped in good order, and started again."""
        if not really:
            return
        self.stop()
        self.serve()
        self.look()

    @rule(really=RARELY)
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
        """Check that each viewer got its end or was cut, and let it take all bytes that were sent."""
        self.written.clear()
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
        """Take up streams that come back because their deletion was not stored."""
        for name, stream in self.undead.items():
            status, state = self.state(name) if name not in self.names else (404, {})
            if status == 200:
                self.streams[stream.epoch] = self.names[name] = replace(
                    stream, forgotten=False, ended=state["ended"], seen=0
                )
        self.undead.clear()

    def look(self) -> None:
        """Read all streams after a start, compare them with the model, and learn how interrupted runs ended."""
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
        """Compare a stream after a start: entries that a viewer has seen must be there, others may be lost."""
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
            # An earlier failure is the one to report.
            if sys.exc_info()[0] is None:
                self.stop()
        finally:
            globalLogPublisher.removeObserver(self.observe)
            sqlite.readBootID = self.bootID
            shutil.rmtree(self.folder)
