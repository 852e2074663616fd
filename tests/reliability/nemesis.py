"""
The nemesis: breaks connections, processes and data, one way after the other and several at a time.
"""

from __future__ import annotations

import asyncio
import signal
from binascii import crc_hqx
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.reliability.machines import RedisPair, Server
from tests.reliability.proxy import FaultProxy, Weather
from tests.reliability.world import World

#: Number of shards in the layout of the store.
_SHARDS = 64


@dataclass(frozen=True, slots=True)
class Targets:
    """
    Everything that can be broken.

    Attributes:
        servers: The servers.
        redis: The Redis with its replica.
        fronts: The proxies between viewers and servers.
        backs: The proxies between servers and Redis, one for each server.
        between: The proxy between Redis and its replica.
    """

    servers: list[Server]
    redis: RedisPair
    fronts: list[FaultProxy]
    backs: list[FaultProxy]
    between: FaultProxy


class Nemesis:
    """
    Breaks things.

    Args:
        world: What all actors share.
        targets: Everything that can be broken.
        data: Whether it also destroys data.
    """

    def __init__(self, world: World, targets: Targets, data: bool = True) -> None:
        self._world = world
        self._targets = targets
        self._luck = world.makeLuck("nemesis")
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()
        # The parts that are broken now: no two faults at the same time for one of these.
        self._busy: set[str] = set()
        self._faults: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (6, self._cut),
            (6, self._weather),
            (4, self._cutStore),
            (5, self._storeWeather),
            (6, self._endServer),
            (3, self._stopServer),
            (4, self._killRedis),
            (3, self._pauseRedis),
            (2, self._stopRedis),
            (4, self._failOver),
            *([(2, self._trim), (2, self._delete), (1, self._flush)] if data else []),
        ]

    async def work(self, kills: tuple[str, int] | None = None) -> None:
        """
        Break something every 1 to 5 seconds until nothing new is begun, then let everything heal.

        Args:
            kills: A victim, `server` or `redis`, and a number of times that it is killed at random moments; `None` for
                faults of all kinds.
        """
        if kills is not None:
            await self._kill(*kills)
            return
        weights, faults = zip(*self._faults, strict=True)
        while not self._world.over.is_set():
            await self._world.rest(self._luck.uniform(1, 5))
            fault = self._luck.choices(faults, weights)[0]
            if not self._world.over.is_set():
                task = asyncio.ensure_future(fault())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def _kill(self, victim: str, rounds: int) -> None:
        redis = self._targets.redis
        for _ in range(rounds):
            await asyncio.sleep(self._luck.uniform(0.5, 2.5))
            if victim == "redis":
                fault = self._begin("kill redis", sync=redis.sync)
                await redis.kill(self._luck.uniform(0, 0.5))
            else:
                server = self._luck.choice(self._targets.servers)
                fault = self._begin("end server", server=server.number, signal="SIGKILL")
                await server.end(signal.SIGKILL)
                server.start()
            self._end(fault)

    def _begin(self, name: str, **fields: Any) -> int:
        self._count += 1
        self._world.journal.note("fault", name=name, number=self._count, **fields)
        return self._count

    def _end(self, number: int) -> None:
        self._world.journal.note("healed", number=number)

    def _take(self, *parts: str) -> bool:
        """Reserve parts for a fault, if none of them is broken already."""
        if self._busy & set(parts):
            return False
        self._busy |= set(parts)
        return True

    async def _cut(self) -> None:
        share = self._luck.choice((0.3, 1.0))
        self._begin("cut viewers", share=share)
        for proxy in self._targets.fronts:
            proxy.cut(share)

    def _chooseWeather(self) -> Weather:
        kind = self._luck.choice(("stall", "slice", "delay", "limit"))
        return {
            "stall": Weather(stalled=True),
            "slice": Weather(sliced=True),
            "delay": Weather(delay=self._luck.uniform(0.02, 0.4)),
            "limit": Weather(limit=self._luck.choice((2000, 20_000))),
        }[kind]

    async def _weather(self) -> None:
        number = self._luck.randrange(len(self._targets.fronts))
        if self._take(f"front {number}"):
            weather, share = self._chooseWeather(), self._luck.choice((0.5, 1.0))
            fault = self._begin("weather of viewers", front=number, weather=repr(weather))
            self._targets.fronts[number].change(weather, share)
            await self._world.rest(self._luck.uniform(1, 8))
            self._targets.fronts[number].change(Weather())
            self._busy.discard(f"front {number}")
            self._end(fault)

    async def _cutStore(self) -> None:
        number = self._luck.randrange(len(self._targets.backs))
        if self._take(f"back {number}"):
            back, long = self._targets.backs[number], self._luck.random() < 0.5
            fault = self._begin("cut store", server=number)
            back.refusing = long
            back.cut(self._luck.choice((0.5, 1.0)))
            if long:
                await self._world.rest(self._luck.uniform(0, 14))
                back.refusing = False
            self._busy.discard(f"back {number}")
            self._end(fault)

    async def _storeWeather(self) -> None:
        number = self._luck.randrange(len(self._targets.backs))
        if self._take(f"back {number}"):
            back, weather = self._targets.backs[number], self._chooseWeather()
            fault = self._begin("weather of store", server=number, weather=repr(weather))
            back.change(weather)
            await self._world.rest(self._luck.uniform(1, 12))
            back.change(Weather())
            self._busy.discard(f"back {number}")
            self._end(fault)

    async def _endServer(self) -> None:
        server = self._luck.choice(self._targets.servers)
        if self._take(f"server {server.number}"):
            kind = self._luck.choice((signal.SIGKILL, signal.SIGTERM))
            fault = self._begin("end server", server=server.number, signal=kind.name)
            await server.end(kind)
            await self._world.rest(self._luck.uniform(0, 3))
            server.start()
            self._busy.discard(f"server {server.number}")
            self._end(fault)

    async def _stopServer(self) -> None:
        server = self._luck.choice(self._targets.servers)
        if self._take(f"server {server.number}"):
            fault = self._begin("stop server", server=server.number)
            server.stop()
            await self._world.rest(self._luck.uniform(3, 20))
            server.proceed()
            self._busy.discard(f"server {server.number}")
            self._end(fault)

    async def _killRedis(self) -> None:
        if self._take("redis"):
            fault = self._begin("kill redis", sync=self._targets.redis.sync)
            await self._targets.redis.kill(self._luck.choice((0, 0.5, self._luck.uniform(1, 12))))
            self._busy.discard("redis")
            self._end(fault)

    async def _pauseRedis(self) -> None:
        if self._take("redis"):
            seconds, kind = self._luck.uniform(1, 12), self._luck.choice(("ALL", "WRITE"))
            fault = self._begin("pause redis", kind=kind)
            self._targets.redis.pause(seconds, kind)
            await asyncio.sleep(seconds)
            self._busy.discard("redis")
            self._end(fault)

    async def _stopRedis(self) -> None:
        if self._take("redis"):
            fault = self._begin("stop redis")
            self._targets.redis.master.signal(signal.SIGSTOP)
            await self._world.rest(self._luck.uniform(1, 12))
            self._targets.redis.master.signal(signal.SIGCONT)
            self._busy.discard("redis")
            self._end(fault)

    async def _failOver(self) -> None:
        """Make the replica the master, with everything or without the last writes."""
        if self._take("redis"):
            redis, loses = self._targets.redis, self._luck.random() < 0.6
            await redis.awaitReplica()
            fault = self._begin("fail-over", loses=loses)
            if loses:
                self._targets.between.refusing = True
                self._targets.between.cut()
                await asyncio.sleep(self._luck.uniform(0.1, 3))
            await redis.failOver(waits=not loses)
            self._targets.between.refusing = False
            for back in self._targets.backs:
                back.cut()
            self._busy.discard("redis")
            self._end(fault)

    async def _trim(self) -> None:
        """Drop the oldest entries of a stream, as a foreign hand."""
        await self._harm("trim", lambda base, name: ("XTRIM", f"{base}entries:{name}", "MAXLEN", "3"))

    async def _delete(self) -> None:
        """Delete one key of a stream, as a foreign hand."""
        part = self._luck.choice(("stream", "stream", "entries", "keys"))
        await self._harm(f"delete {part}", lambda base, name: ("DEL", f"{base}{part}:{name}"))

    async def _harm(self, how: str, makeCommand: Callable[[str, str], tuple[str, ...]]) -> None:
        if self._world.streams and self._take("redis"):
            name = self._luck.choice(self._world.streams)
            fault = self._begin("harm", stream=name, how=how)
            try:
                await asyncio.to_thread(self._targets.redis.command, *makeCommand(findBase(name), name))
            finally:
                self._busy.discard("redis")
                self._end(fault)

    async def _flush(self) -> None:
        if self._take("redis"):
            fault = self._begin("flush")
            await asyncio.to_thread(self._targets.redis.command, "FLUSHALL")
            self._busy.discard("redis")
            self._end(fault)


def findBase(name: str) -> str:
    """Return the begin of the keys of a stream, as docs/scaling.md describes it."""
    return f"sseserver:{{{crc_hqx(name.encode(), 0) % _SHARDS}}}:"
