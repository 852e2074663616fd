"""
Nemesis: the bad luck of the servers and of their Redis. Each fault is one act of a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from tests.simulation.redis.actors import Stage
from tests.simulation.redis.keyspace import Keyspace
from tests.simulation.redis.losses import Losses
from tests.simulation.redis.server import FakeRedis, NextCut

#: Scripts whose answers are lost; the first is any.
_SCRIPTS = ("", "", "CREATE", "CREATE", "APPEND", "PUBLISH", "END", "DELETE", "RENEW", "LEASE", "CLAIM", "RELEASE")
_SCRIPTS += ("KEEP", "TAKE")


class Nemesis:
    """
    Breaks things.

    Args:
        stage: Has the servers.
        redis: The Redis.
        lost: Is told what the Redis loses.

    Attributes:
        faults: The faults, each with its weight.
        working: Number of faults that are not over.
    """

    def __init__(self, stage: Stage, redis: FakeRedis, lost: Losses) -> None:
        self.working = 0
        self._stage = stage
        self._journal = stage.journal
        self._redis = redis
        self._lost = lost
        # The parts that are broken now: no two faults at the same time for one of these.
        self._busy: set[str] = set()
        self.faults: dict[Callable[[Random], Coroutine[Any, Any, None]], int] = {
            self._cutWay: 3,
            self._cutNext: 6,
            self._stallWay: 3,
            self._slowWay: 3,
            self._kill: 3,
            self._stop: 2,
            self._freeze: 4,
            self._restart: 5,
            self._failOver: 4,
            self._pause: 2,
            self._fill: 2,
            self._jump: 1,
            self._forgetScripts: 1,
        }

    def strike(self, luck: Random) -> None:
        """Break something, unless nothing new is begun."""
        self._begin(luck.choices([*self.faults], [*self.faults.values()])[0], luck)

    def strikeServer(self, luck: Random) -> None:
        """Kill a server, or let it stand still, unless nothing new is begun."""
        self._begin(luck.choice((self._kill, self._freeze)), luck)

    def _begin(self, fault: Callable[[Random], Coroutine[Any, Any, None]], luck: Random) -> None:
        if not self._stage.isOver:
            self.working += 1
            Deferred.fromCoroutine(fault(luck)).addCallbacks(self._noteOver, self._fail)

    def _noteOver(self, _: None) -> None:
        self.working -= 1

    def _fail(self, failure: Any) -> None:
        raise AssertionError(failure.getTraceback())

    async def _hold(self, part: str, seconds: float, begin: Callable[[], object], **fields: Any) -> bool:
        """Let a part be broken for some time; returns whether it was not broken already."""
        if part in self._busy:
            return False
        self._busy.add(part)
        number = self._journal.begin(**fields)
        begin()
        await self._stage.rest(seconds)
        self._busy.discard(part)
        self._journal.end(number)
        return True

    async def _cutWay(self, luck: Random) -> None:
        """Cut a server off for some time, or only end its connections."""
        way, seconds = luck.choice(self._redis.ways), luck.choice((0.0, luck.uniform(0, 14)))

        def begin() -> None:
            way.refusing = True
            self._redis.cut(way)

        if await self._hold(f"way {way.number}", seconds, begin, name="cut store", server=way.number):
            way.refusing = False

    async def _cutNext(self, luck: Random) -> None:
        """End the connections of a server before or after its next script takes effect."""
        way = luck.choice(self._redis.ways)
        way.nextCut = cut = NextCut(luck.choice(_SCRIPTS), luck.random() < 0.7)
        self._journal.begin("cut of one command", script=cut.script, takesEffect=cut.takesEffect, way=way.number)

    async def _stallWay(self, luck: Random) -> None:
        """Let nothing through, in both directions. Nobody notices at first."""
        way = luck.choice(self._redis.ways)

        def begin() -> None:
            way.stalled = True

        if await self._hold(f"way {way.number}", luck.uniform(0.5, 14), begin, name="stalled store", server=way.number):
            way.stalled = False
            for connection in tuple(way.connections):
                connection.schedule()

    async def _slowWay(self, luck: Random) -> None:
        """Delay everything."""
        way, delay = luck.choice(self._redis.ways), luck.choice((0.05, 0.5, 2.0))

        def begin() -> None:
            way.delay = delay

        seconds = luck.uniform(1, 12)
        if await self._hold(f"delay {way.number}", seconds, begin, name="slow store", server=way.number, delay=delay):
            way.delay = 0.0

    async def _kill(self, luck: Random) -> None:
        """Kill a server, and start it again."""
        process = luck.choice(self._stage.processes)
        terms = {"name": "end server", "server": process.number, "signal": "SIGKILL"}
        if await self._hold(f"server {process.number}", luck.uniform(0.1, 4), process.kill, **terms):
            process.start()

    async def _stop(self, luck: Random) -> None:
        """Stop a server in good order, and start it again."""
        process = luck.choice(self._stage.processes)
        if f"server {process.number}" in self._busy:
            return
        self._busy.add(f"server {process.number}")
        number = self._journal.begin("end server", server=process.number, signal="SIGTERM")
        await process.stop()
        await self._stage.rest(luck.uniform(0.1, 2))
        process.start()
        self._busy.discard(f"server {process.number}")
        self._journal.end(number)

    async def _freeze(self, luck: Random) -> None:
        """Let a server stand still, often for longer than its lease."""
        process, seconds = luck.choice(self._stage.processes), luck.choice((luck.uniform(0.5, 6), luck.uniform(10, 20)))
        if await self._hold(
            f"server {process.number}", seconds, process.freeze, name="stop server", server=process.number
        ):
            process.thaw()

    async def _restart(self, luck: Random) -> None:
        """Restart the Redis, with its data, without the last writes, or without any."""
        if "redis" in self._busy:
            return
        how = luck.choice(("everything", "everything", "older", "older", "nothing"))
        self._busy.add("redis")
        number = self._journal.begin("kill redis", sync="always", left=how)
        older, since = await self._outdate(luck, how)
        self._redis.crash()
        self._replace(older, since)
        await self._stage.rest(luck.choice((0.0, 0.3, luck.uniform(1, 10), luck.uniform(7, 10))))
        self._redis.isAway, self._redis.isLoading = False, luck.random() < 0.5
        await self._stage.rest(luck.uniform(0, 1))
        self._redis.proceed()
        self._busy.discard("redis")
        self._journal.end(number)

    async def _failOver(self, luck: Random) -> None:
        """
        Let a replica take over, with everything or without the last writes.

        The servers may notice only that writes are refused for a while, or not even that.
        """
        if "redis" in self._busy:
            return
        how = luck.choice(("everything", "older", "older"))
        self._busy.add("redis")
        number = self._journal.begin("fail-over", loses=False, left=how)
        older, since = await self._outdate(luck, how)
        self._redis.isReplica = True
        await self._stage.rest(luck.choice((0.0, 0.2, luck.uniform(0, 3))))
        if luck.random() < 0.6:
            self._redis.crash()
        self._replace(older, since)
        self._redis.proceed()
        self._busy.discard("redis")
        self._journal.end(number)

    async def _outdate(self, luck: Random, how: str) -> tuple[Keyspace, float]:
        """Return the data that a Redis will be left with, and since when nothing is added to them."""
        now = self._journal.now
        if how == "everything":
            return self._redis.keys, now
        if how == "nothing":
            return Keyspace(self._redis.seconds), -1.0
        older = self._redis.keys.copy()
        await self._stage.rest(luck.uniform(0.1, 3))
        return older, now

    def _replace(self, keys: Keyspace, since: float) -> None:
        self._lost.compare(self._redis.keys, keys, since, self._journal.now)
        self._redis.keys = keys
        self._redis.change()

    async def _pause(self, luck: Random) -> None:
        """Let the Redis stand still."""

        def begin() -> None:
            self._redis.isPaused = True

        if await self._hold("redis", luck.uniform(1, 14), begin, name="stop redis"):
            self._redis.proceed()

    async def _fill(self, luck: Random) -> None:
        """Let the Redis have no memory left."""

        def begin() -> None:
            self._redis.isFull = True

        if await self._hold("redis", luck.uniform(0.5, 8), begin, name="full memory"):
            self._redis.proceed()

    async def _jump(self, luck: Random) -> None:
        """Set the clock of the Redis."""
        seconds = luck.choice((-20.0, 15.0, 40.0))
        self._redis.ahead += seconds
        self._journal.begin("clock", seconds=seconds)

    async def _forgetScripts(self, luck: Random) -> None:
        self._redis.forgetScripts()
        self._journal.begin("scripts forgotten")
