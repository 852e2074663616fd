"""
Auditors: read every stream from its begin, once at each server, after its writers have left it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

from tests.reliability.publishers import Publisher
from tests.reliability.viewers import Viewer
from tests.reliability.world import World

#: Seconds. A stream that its writers have left is read so much later: a run has ended by then.
DELAY = 15.0

#: Seconds. Time to read a stream at one server when all faults are over: its run may be begun anew before.
PATIENCE = 40.0

#: Events after which an auditor may go away and come back: it never does.
_MANY = 1_000_000


class Auditors:
    """
    Read the streams.

    Args:
        world: What all actors share.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._audited: set[str] = set()

    async def work(self) -> None:
        """Read one stream after the other until nothing new is begun."""
        world = self._world
        while not world.over.is_set():
            if not world.left or time.monotonic() - world.left[0][1] < DELAY:
                await world.rest(0.5)
                continue
            stream, _ = world.left.popleft()
            self._audited.add(stream)
            if isPublished(stream):
                # A fail-over may have lost the end that its publisher has written.
                await Publisher(world, f"closer.{stream}").close(stream)
            for front in range(len(world.fronts)):
                await self._read(stream, front)

    async def finish(self, count: int) -> None:
        """
        Read the streams that are left: all faults are over.

        Args:
            count: Number of streams that are read at the same time.
        """
        streams = self._world.known - self._audited
        waiting = [(stream, front) for stream in sorted(streams) for front in range(len(self._world.fronts))]

        async def read() -> None:
            while waiting:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PATIENCE):
                        await self._read(*waiting.pop())

        await asyncio.gather(*(read() for _ in range(count)))

    async def _read(self, stream: str, front: int) -> None:
        auditor = Viewer(self._world, f"audit.{front}.{stream}")
        auditor.fronts, auditor.patience = [self._world.fronts[front]], (_MANY,)
        await auditor.follow(stream, auditor.name)


def isPublished(stream: str) -> bool:
    """Return whether a stream is published into."""
    return stream.startswith("pub")
