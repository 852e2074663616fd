"""
Actors: viewers that move between servers, publishers, and those who start runs, cancel and delete.
"""

from __future__ import annotations

import json
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from tests.simulation.network import Network
from tests.simulation.redis.journal import Journal
from tests.simulation.redis.process import Process
from tests.simulation.wire import EventParser, Exchange, Frame, Malformed, Query, Reply

#: Types of events after which a viewer has everything.
_TERMINAL = ("done", "failed", "cancelled")

#: Statuses of answers after which a request may be tried again; 0 is none.
_AGAIN = (0, 429, 503)

#: Seconds. A client that hears nothing for so long, heartbeats included, gives up its connection.
_SILENCE = 6.0

#: Bytes. The message of an entry of this size only tells that it is there.
_LARGE = 65_537

#: Seconds. Longest pauses before a request is repeated, and between two publishes.
_RETRY, _PAUSE = 1.0, 1.2


@dataclass
class Stage:
    """
    The common ground of all actors.

    Attributes:
        network: Connects them.
        journal: Takes what they see.
        processes: The servers.
        streams: All streams.
        isOver: Whether nothing new is begun.
    """

    network: Network
    journal: Journal
    processes: Sequence[Process]
    streams: list[str] = field(default_factory=list)
    isOver: bool = False

    def rest(self, seconds: float) -> Deferred[None]:
        """Wait."""
        rested: Deferred[None] = Deferred()
        self.network.world.after(round(seconds, 3), lambda: rested.callback(None))
        return rested

    def ask(self, server: int, query: Query) -> Deferred[Reply]:
        """Send a request to a server, and return the response, which may be incomplete."""
        answered: Deferred[Reply] = Deferred()
        Exchange(self.network, query, answered.callback, timeout=_SILENCE)
        return answered

    def makeQuery(
        self, server: int, method: str, path: str, fields: dict[str, str], body: bytes | None = None
    ) -> Query:
        """Make a request to a server."""
        return Query(method, path, fields, body, close=True, port=self.processes[server].port)


class Actor:
    """
    Somebody who does one thing after the other.

    Args:
        stage: See `Stage`.
        name: Its name in the journal.
        seed: Decides what it does.

    Attributes:
        isDone: Whether it has done everything.
        name: See above.
    """

    def __init__(self, stage: Stage, name: str, seed: int) -> None:
        self.isDone = False
        self.name = name
        self._stage = stage
        self._note = stage.journal.note
        self._luck = Random(f"{seed} {name}")

    def start(self) -> None:
        """Begin."""
        Deferred.fromCoroutine(self.work()).addCallback(self._finish).addErrback(self._fail)

    def work(self) -> Coroutine[Any, Any, None]:
        """Do everything."""
        raise NotImplementedError

    def _finish(self, _: None) -> None:
        self.isDone = True

    def _fail(self, failure: Any) -> None:
        raise AssertionError(f"{self.name} broke: {failure.getTraceback()}")

    def _chooseServer(self) -> int:
        return self._luck.randrange(len(self._stage.processes))

    async def _request(
        self, method: str, path: str, fields: dict[str, str], body: bytes | None = None, server: int | None = None
    ) -> Reply:
        """Send one request; the status of its response is 0 if that was lost."""
        server = self._chooseServer() if server is None else server
        reply = await self._stage.ask(server, self._stage.makeQuery(server, method, path, fields, body))
        if not reply.complete:
            reply.status = 0
        self._stage.journal.tell(self.name, f"{method} {path} at {server}: {reply.status}")
        return reply

    async def _insist(self, method: str, path: str, fields: dict[str, str]) -> Reply:
        """Send a request until it is answered."""
        while True:
            reply = await self._request(method, path, fields)
            if reply.status not in _AGAIN:
                return reply
            await self._stage.rest(self._luck.uniform(0, _RETRY))

    async def _end(self, stream: str, how: str) -> None:
        """Cancel a stream, or delete it, at any server."""
        self._note("end", stream=stream, how=how)
        await self._insist(
            *(("DELETE", f"/streams/{stream}") if how == "delete" else ("POST", f"/streams/{stream}/cancel")), {}
        )


class Waiter(Actor):
    """
    Waits until a server is ready: without its Redis it shows what it has, even an end that the Redis has lost.

    Args:
        stage: See `Actor`; so is `seed`.
        server: The server.
    """

    def __init__(self, stage: Stage, seed: int, server: int) -> None:
        super().__init__(stage, f"waiter{server}", seed)
        self._server = server

    async def work(self) -> None:
        """See `Actor.work`."""
        while (await self._request("GET", "/readyz", {}, None, self._server)).status != 200:
            await self._stage.rest(self._luck.uniform(0, _RETRY))


class Viewer(Actor):
    """
    Follows a stream to its end, through any number of losses.

    Args:
        stage: See `Actor`; so are `name` and `seed`.
        stream: The stream.
        server: The only server that it asks; `None` for any.
    """

    def __init__(self, stage: Stage, name: str, seed: int, stream: str, server: int | None = None) -> None:
        super().__init__(stage, name, seed)
        self._stream = stream
        self._server = server
        self._place = ""
        self._exchange: Exchange
        self._parser = EventParser()
        self._ended = False
        self._patience = 0

    async def work(self) -> None:
        """See `Actor.work`."""
        self._note("view", viewer=self.name, stream=self._stream)
        while True:
            how = await self._connect()
            if how:
                self._note("left", viewer=self.name, how=how)
                return
            await self._stage.rest(self._luck.uniform(0, _RETRY))

    async def _connect(self) -> str:
        """Read one response; return how the view has ended, or nothing."""
        server = self._chooseServer() if self._server is None else self._server
        fields = {"Accept": "text/event-stream", **({"Last-Event-ID": self._place} if self._place else {})}
        self._note("open", viewer=self.name, after=self._place, front=server)
        # Some viewers go away in the middle.
        self._patience = self._luck.choice((2, 5, 1000)) if self._server is None else 1000
        self._parser, heard = EventParser(), -1
        over: Deferred[Reply] = Deferred()
        query = self._stage.makeQuery(server, "GET", f"/streams/{self._stream}", fields)
        exchange = self._exchange = Exchange(self._stage.network, query, over.callback, self._take, timeout=None)
        while not exchange.over:
            # A silent connection is given up.
            if heard == exchange.heardAt:
                exchange.drop()
                break
            heard = exchange.heardAt
            await self._awaitEither(over, _SILENCE)
        reply = exchange.reply
        if self._ended:
            return "end"
        if reply.status not in (0, 200):
            self._note("refused", viewer=self.name, status=reply.status)
        return {404: "missing", 204: "complete"}.get(reply.status, "")

    def _awaitEither(self, over: Deferred[Reply], seconds: float) -> Deferred[None]:
        """Wait for the end of a response, or for some time."""
        either: Deferred[None] = Deferred()
        timer = self._stage.network.world.after(seconds, lambda: either.callback(None))

        def end(reply: Reply) -> Reply:
            if timer.active:
                timer.cancel()
                either.callback(None)
            return reply

        over.addCallback(end)
        return either

    def _take(self, data: bytes) -> None:
        if self._exchange.reply.status != 200:
            return
        try:
            frames = self._parser.feed(data)
        except (Malformed, UnicodeDecodeError) as error:
            self._note("log", server=-1, line=f"{self.name} cannot read: {error}")
            return
        for frame in frames:
            if not self._ended and self._patience:
                self._see(frame)

    def _see(self, frame: Frame) -> None:
        self._place = frame.id or self._place
        self._note("event", viewer=self.name, type=frame.type, id=frame.id, data=frame.data)
        self._patience -= 1
        self._ended = frame.type in _TERMINAL
        if self._ended or not self._patience:
            self._stage.network.world.after(0, self._exchange.drop)


class Publisher(Actor):
    """
    Publishes into a stream.

    Args:
        stage: See `Actor`; so are `name` and `seed`.
        stream: The stream.
        makes: Whether it makes the stream, and closes it in the end.
        entries: Number of its publishes.
    """

    def __init__(self, stage: Stage, name: str, seed: int, stream: str, makes: bool, entries: int) -> None:
        super().__init__(stage, name, seed)
        self._stream = stream
        self._makes = makes
        self._entries = entries
        self._attempts = 0

    async def work(self) -> None:
        """See `Actor.work`."""
        if self._makes and not await self._make():
            return
        while self._stream not in self._stage.streams:
            if self._stage.isOver:
                return
            await self._stage.rest(0.5)
        for number in range(self._entries):
            await self._stage.rest(self._luck.uniform(0, _PAUSE))
            if self._stage.isOver or not await self._publish(number, False):
                break
        if self._makes and self._luck.random() < 0.15:
            await self._end(self._stream, "delete")
        elif self._makes:
            await self.close()

    async def close(self) -> None:
        """Close the stream, unless it has ended."""
        await self._publish(self._entries, True)

    async def _make(self) -> bool:
        reply = await self._insist("PUT", f"/streams/{self._stream}", {})
        if reply.status in (200, 201):
            self._note("made", stream=self._stream, epoch=reply.json["epoch"])
            self._stage.streams.append(self._stream)
        return reply.status in (200, 201)

    async def _publish(self, number: int, close: bool) -> bool:
        """Publish once, as often as it takes. Returns whether the stream goes on."""
        key = f"{self.name}.{number}" if close or self._luck.random() < 0.6 else None
        entries, repeat = self._makeEntries(f"{self.name}.{number}"), 0
        while (status := await self._attempt(entries, key, close)) in _AGAIN:
            repeat += 1
            if key is None:
                # Nobody knows whether the last attempt was stored: this is another publish.
                entries = self._makeEntries(f"{self.name}.{number}.{repeat}")
            await self._stage.rest(self._luck.uniform(0, _RETRY))
        return status == 200 and not close

    async def _attempt(self, entries: list[dict[str, str]], key: str | None, close: bool) -> int:
        self._attempts += 1
        attempt = f"{self.name}/{self._attempts}"
        self._note("send", attempt=attempt, stream=self._stream, entries=entries, key=key, close=close)
        fields = {"Content-Type": "application/json", "Stream-Closed": str(close).lower()}
        if key is not None:
            fields["Idempotency-Key"] = key
        reply = await self._request("POST", f"/streams/{self._stream}", fields, json.dumps(entries).encode())
        self._note("sent", attempt=attempt, status=reply.status, ids=reply.json["ids"] if reply.status == 200 else None)
        return reply.status

    def _makeEntries(self, mark: str) -> list[dict[str, str]]:
        """Make entries with marks that exist only once."""
        filling = "x" * _LARGE if self._luck.random() < 0.02 else ""
        return [
            {"token": f"⟦{mark}.{index}{filling}⟧"}
            if self._luck.random() < 0.7
            else {"event": "note", "data": f"{mark}.{index}{filling}"}
            for index in range(self._luck.choice((1, 1, 2, 3)))
        ]


class Closer(Publisher):
    """Closes a stream. A loss may have opened it again."""

    async def work(self) -> None:
        """See `Actor.work`."""
        await self.close()


class Starter(Actor):
    """Starts a run, maybe once more with the same idempotency key, and may cancel or delete it."""

    async def work(self) -> None:
        """See `Actor.work`."""
        stream = await self._start()
        if stream is None:
            return
        if self._luck.random() < 0.4:
            await self._stage.rest(self._luck.uniform(0, 12))
            await self._start()
        if self._luck.random() < 0.3:
            await self._stage.rest(self._luck.uniform(0, 8))
            await self._end(stream, self._luck.choice(("cancel", "cancel", "delete")))

    async def _start(self) -> str | None:
        while True:
            server = self._chooseServer()
            self._note("start", key=self.name, front=server)
            fields = {"Idempotency-Key": self.name, "Content-Type": "application/json"}
            reply = await self._request("POST", "/streams", fields, b'{"prompt": "w"}', server)
            name = (reply.json or {}).get("name")
            self._note("started", key=self.name, front=server, status=reply.status, stream=name)
            if reply.status not in _AGAIN:
                break
            await self._stage.rest(self._luck.uniform(0, _RETRY))
        if name is not None and name not in self._stage.streams:
            self._stage.streams.append(name)
        return name
