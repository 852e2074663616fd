"""
One run: starts everything, lets the nemesis work, heals, waits for all viewers, and reads every stream once more.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from tests.reliability.auditors import Auditors, isPublished
from tests.reliability.checker import Checker, checkFile
from tests.reliability.journal import Journal
from tests.reliability.machines import RedisPair, Server, explainDeath
from tests.reliability.nemesis import Nemesis, Targets
from tests.reliability.node import NodeViewers
from tests.reliability.proxy import FaultProxy, Weather
from tests.reliability.publishers import Publisher, Starter
from tests.reliability.requests import ask
from tests.reliability.upstream import Upstream
from tests.reliability.viewers import HTTPXViewer, Viewer
from tests.reliability.world import World

#: Seconds. Longest time from the last fault until all viewers have the end of their streams.
CALM = 60.0

#: Seconds between two looks at the time, and the delay of one that is worth a note.
_BEAT, _LATE = 0.5, 1.5

#: Numbers of times that a run may be begun anew, of which the seed chooses one.
RETRIES = (0, 1, 1, 2)

#: Number of streams that auditors read at the same time, while faults last and in the end.
_AUDITORS, _LAST_AUDITORS = 24, 8


@dataclass(frozen=True, slots=True)
class Plan:
    """
    The size of a run.

    Attributes:
        seed: Decides what everybody does.
        seconds: Time in which the nemesis works.
        viewers: Number of viewers at a time.
        publishers: Number of publishers, each with a helper.
        starters: Number of those who start runs.
        node: Number of the viewers in Node.
        sync: When Redis writes its file, `always` or `everysec`; the seed decides if it is empty.
        kills: The victim of each of the kills that take the place of all other faults, `server` or `redis`, and their
            number; `None` for all faults.
    """

    seed: int
    seconds: float
    viewers: int = 200
    publishers: int = 8
    starters: int = 8
    node: int = 20
    sync: str = ""
    kills: tuple[str, int] | None = None


def play(plan: Plan, path: Path) -> Checker:
    """
    Play a run, and check it.

    Args:
        plan: Its size.
        path: File for the journal.
    """
    journal = Journal(path)
    try:
        asyncio.run(_play(plan, journal))
    finally:
        journal.close()
    return checkFile(path)


async def _play(plan: Plan, journal: Journal) -> None:
    world = World(plan.seed, journal)
    async with _run(world, plan.sync) as targets:
        nodes = NodeViewers(world, plan.node)
        if plan.node:
            await nodes.start()
        auditors = Auditors(world)
        actors = [asyncio.ensure_future(work) for work in _listActors(world, plan, auditors)]
        if plan.node:
            actors.append(asyncio.ensure_future(nodes.work()))
        nemesis = asyncio.ensure_future(Nemesis(world, targets).work(plan.kills))
        watch = asyncio.ensure_future(_watchTime(journal))
        if plan.kills:
            await nemesis
        await asyncio.wait([nemesis, *actors], timeout=plan.seconds, return_when=asyncio.FIRST_EXCEPTION)
        world.over.set()
        await nemesis
        await _heal(targets, journal)
        await _closeAll(world)
        _, late = await asyncio.wait(actors, timeout=CALM)
        for actor in late:
            actor.cancel()
        await nodes.stop()
        for actor in set(actors) - late:
            actor.result()
        await auditors.finish(_LAST_AUDITORS)
        watch.cancel()
        for server in targets.servers:
            journal.note("memory", server=server.number, size=server.measureMemory())
            explainDeath(server, journal)


async def _watchTime(journal: Journal) -> None:
    """Note when this machine had no time for us: the servers had none, either."""
    number = 0
    while True:
        before = time.monotonic()
        await asyncio.sleep(_BEAT)
        late = time.monotonic() - before - _BEAT
        if late > _LATE:
            number -= 1
            journal.note("slow", number=number, begin=before)


def _listActors(world: World, plan: Plan, auditors: Auditors) -> list:
    own = plan.viewers - plan.node
    viewers = [(HTTPXViewer if number % 5 == 0 else Viewer)(world, f"viewer{number}") for number in range(own)]
    publishers = [Publisher(world, f"pub{number}") for number in range(plan.publishers)]
    starters = [Starter(world, f"start{number}") for number in range(plan.starters)]
    return [actor.work() for actor in (*viewers, *publishers, *starters, *[auditors] * _AUDITORS)]


@contextlib.asynccontextmanager
async def _run(world: World, sync: str) -> AsyncIterator[Targets]:
    """Run all processes and proxies."""
    luck = world.makeLuck("machines")
    folder = Path(tempfile.mkdtemp(prefix="reliability"))
    redis: RedisPair
    servers: list[Server] = []
    between = await FaultProxy(lambda: redis.port, luck).start()
    redis = RedisPair(sync or luck.choice(("always", "everysec")), between)
    backs = [await FaultProxy(lambda: redis.port, luck).start() for _ in range(2)]
    upstream, retries = await Upstream().start(), world.makeLuck("retries").choice(RETRIES)
    source = (f"--upstream=http://127.0.0.1:{upstream.port}/v1", "--connect-timeout=60", "--max-runs=1000")
    options = (*source, f"--retry-interrupted={retries}", "--heartbeat=1", "--retry=500", "--linger=600")
    try:
        await redis.start()
        servers += [Server(number, back.port, folder, options) for number, back in enumerate(backs)]
        fronts = [await FaultProxy(lambda server=server: server.port, luck).start() for server in servers]
        balancer = await FaultProxy(lambda: luck.choice(servers).port, luck).start()
        world.fronts, world.balancer = [front.port for front in fronts], balancer.port
        for server in servers:
            server.start()
        await _awaitReady(servers)
        world.journal.note("plan", seed=world.seed, sync=redis.sync, retries=retries)
        yield Targets(servers, redis, [*fronts, balancer], backs, between)
    finally:
        for server in servers:
            await server.end(signal.SIGKILL)
        redis.remove()
        for proxy in (between, *backs, *fronts, balancer):
            await proxy.stop()
        await upstream.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def _awaitReady(servers: list[Server]) -> None:
    deadline = asyncio.get_running_loop().time() + CALM
    for server in servers:
        while (await ask(server.port, "GET", "/readyz", {})).status != 200:
            assert asyncio.get_running_loop().time() < deadline, server.readLog()
            await asyncio.sleep(0.05)


async def _heal(targets: Targets, journal: Journal) -> None:
    for proxy in (*targets.fronts, *targets.backs, targets.between):
        proxy.change(Weather())
        proxy.refusing = False
    await _awaitReady(targets.servers)
    journal.note("calm")


async def _closeAll(world: World) -> None:
    """Close all published streams: a fail-over may have lost the end that their publishers have written."""
    closer = Publisher(world, "closer")
    await asyncio.gather(*(closer.close(stream) for stream in world.known if isPublished(stream)))


def makeSeed() -> int:
    """Return a random seed."""
    return random.randrange(1 << 31)
