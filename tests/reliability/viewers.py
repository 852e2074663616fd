"""
Viewers in this process: with a parser of the tests, and with `httpx-sse`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import httpx
import httpx_sse

from tests.reliability.requests import LOST, send
from tests.reliability.world import World
from tests.simulation.wire import EventParser, Frame, Malformed

#: Types of events after which a viewer has everything.
TERMINAL = {"done", "failed", "cancelled"}

#: Seconds. A viewer that hears nothing for so long, heartbeats included, connects again.
SILENCE = 6.0

#: Seconds. Longest pause between two connections of a viewer.
PAUSE = 1.0


class Refused(Exception):
    """An answer that is no event stream."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Viewer:
    """
    Follows streams, one after the other, through any number of losses.

    Args:
        world: What all actors share.
        name: Its name in the journal.

    Attributes:
        fronts: Ports that it connects to.
        patience: Numbers of events after which it may go away, and come back.
        name: See above; so is `world`.
        luck: Its randomness.
        place: Its last event ID.
    """

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self.world = world
        self.luck = world.makeLuck(name)
        self.place = ""
        self.fronts = world.fronts
        self.patience = (5, 20, 1000)

    async def work(self) -> None:
        """Follow one stream after the other until nothing new is begun."""
        await asyncio.sleep(self.luck.uniform(0, 2))
        count = 0
        while not self.world.over.is_set():
            if self.world.streams:
                count += 1
                await self.follow(self.luck.choice(self.world.streams[-40:]), f"{self.name}.{count}")
            await self.world.rest(self.luck.uniform(0.1, 1))

    async def follow(self, stream: str, name: str) -> None:
        """
        Follow a stream to its end.

        Args:
            stream: Its name.
            name: Name of this view in the journal.
        """
        self.place = ""
        self.world.journal.note("view", viewer=name, stream=stream)
        while True:
            how = await self._connect(stream, name)
            if how:
                self.world.journal.note("left", viewer=name, how=how)
                return
            await asyncio.sleep(self.luck.uniform(0, PAUSE))

    async def _connect(self, stream: str, name: str) -> str:
        """Read one response; return how the view has ended, or nothing."""
        note = self.world.journal.note
        port = self.luck.choice(self.fronts)
        note("open", viewer=name, after=self.place, front=self.world.fronts.index(port))
        # Some viewers come back although they have everything, or go away in the middle.
        patience = self.luck.choice(self.patience)
        try:
            async with aclosing(self.read(port, f"/streams/{stream}")) as frames:
                async for frame in frames:
                    self.place = frame.id or self.place
                    note("event", viewer=name, type=frame.type, id=frame.id, data=frame.data)
                    patience -= 1
                    if frame.type in TERMINAL:
                        return "end"
                    if patience == 0:
                        break
        except Refused as refused:
            note("refused", viewer=name, status=refused.status)
            return {404: "missing", 204: "complete"}.get(refused.status, "")
        except (*LOST, Malformed, httpx.HTTPError) as error:
            note("lost", viewer=name, error=repr(error)[:200])
            return "malformed" if isinstance(error, Malformed) else ""
        note("close", viewer=name)
        return ""

    @property
    def fields(self) -> dict[str, str]:
        """Header fields of its requests."""
        return {"Accept": "text/event-stream", **({"Last-Event-ID": self.place} if self.place else {})}

    async def read(self, port: int, path: str) -> AsyncGenerator[Frame, None]:
        """
        Read one response.

        Args:
            port: Port on 127.0.0.1.
            path: Target of the request.

        Raises:
            Refused: It is no event stream.
        """
        events = EventParser()
        async with aclosing(send(port, ("GET", path, self.fields), b"", bool, SILENCE)) as parsers:
            async for parser in parsers:
                if parser.reply.status not in {0, 200}:
                    raise Refused(parser.reply.status)
                data, parser.reply.body = parser.reply.body, b""
                for frame in events.feed(data):
                    yield frame


class HTTPXViewer(Viewer):
    """A viewer with `httpx-sse`."""

    async def read(self, port: int, path: str) -> AsyncGenerator[Frame, None]:
        """See `Viewer.read`."""
        async with httpx.AsyncClient(timeout=SILENCE) as client:
            url = f"http://127.0.0.1:{port}{path}"
            async with httpx_sse.aconnect_sse(client, "GET", url, headers=self.fields) as source:
                if source.response.status_code != 200:
                    raise Refused(source.response.status_code)
                async for event in source.aiter_sse():
                    # It gives an event for a `retry` field alone.
                    if event.data:
                        yield Frame(event.event, event.data, event.id, event.retry)
