"""
A TCP proxy that cuts connections, stalls and delays them, slices what they carry into small pieces, and limits their
rate.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass

#: Bytes. Largest read of a pump.
_READ = 65_536

#: Bytes. So much of each read is sliced into small pieces; more would only take time.
_SLICED = 400

#: Seconds between two pieces of a connection with a limited rate.
_STEP = 0.05


@dataclass(slots=True)
class Weather:
    """
    The state of a connection.

    Attributes:
        stalled: Whether nothing passes.
        sliced: Whether small pieces pass one by one.
        delay: Seconds that each piece is delayed.
        limit: Bytes a second that pass; 0 for any number.
    """

    stalled: bool = False
    sliced: bool = False
    delay: float = 0.0
    limit: int = 0


class Connection:
    """
    One connection through the proxy.

    Args:
        writers: Towards the client and towards the server.
        random: Chooses the sizes of slices.
    """

    def __init__(self, writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter], luck: random.Random) -> None:
        self.weather = Weather()
        self._writers = writers
        self._luck = luck

    def cut(self) -> None:
        """Reset both sides."""
        for writer in self._writers:
            writer.transport.abort()

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what one side sends."""
        while data := await reader.read(_READ):
            for piece in self._divide(data):
                while self.weather.stalled:  # noqa: ASYNC110 (many connections look at one state)
                    await asyncio.sleep(_STEP)
                if self.weather.delay:
                    await asyncio.sleep(self.weather.delay)
                if self.weather.limit:
                    await asyncio.sleep(len(piece) / self.weather.limit)
                writer.write(piece)
                await writer.drain()
                if self.weather.sliced:
                    await asyncio.sleep(0)
        writer.write_eof()

    def _divide(self, data: bytes) -> list[bytes]:
        if self.weather.limit:
            step = max(1, int(self.weather.limit * _STEP))
            return [data[at : at + step] for at in range(0, len(data), step)]
        if not self.weather.sliced:
            return [data]
        pieces, at = [], 0
        while at < min(len(data), _SLICED):
            size = self._luck.randint(1, 7)
            pieces.append(data[at : at + size])
            at += size
        return [*pieces, data[at:]]


class FaultProxy:
    """
    A proxy in front of one port.

    Args:
        findPort: Returns the port on 127.0.0.1 to which the next connection leads.
        luck: Chooses the sizes of slices.

    Attributes:
        port: Its own port.
        refusing: Whether new connections are reset at once.
    """

    def __init__(self, findPort: Callable[[], int], luck: random.Random) -> None:
        self.port = 0
        self.refusing = False
        self._findPort = findPort
        self._luck = luck
        self._connections: list[Connection] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._weather = Weather()

    async def start(self) -> FaultProxy:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Cut everything, and stop to listen."""
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self, share: float = 1.0) -> None:
        """Cut all connections, or a share of them."""
        for connection in list(self._connections):
            if share == 1.0 or self._luck.random() < share:
                connection.cut()

    def change(self, weather: Weather, share: float = 1.0) -> None:
        """
        Change the weather of a share of the connections.

        Args:
            weather: The new weather. If all connections get it, so do those that begin later.
            share: Share of the connections.
        """
        if share == 1.0:
            self._weather = weather
        for connection in self._connections:
            if share == 1.0 or self._luck.random() < share:
                connection.weather = weather

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._pass(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._findPort())
        connection = Connection((writer, back), self._luck)
        connection.weather = self._weather
        self._connections.append(connection)
        pumps = [asyncio.ensure_future(connection.pump(*pair)) for pair in ((reader, back), (there, writer))]
        try:
            await asyncio.gather(*pumps)
        finally:
            for pump in pumps:
                pump.cancel()
            with contextlib.suppress(Exception):
                await asyncio.gather(*pumps, return_exceptions=True)
            self._connections.remove(connection)
            back.transport.abort()
