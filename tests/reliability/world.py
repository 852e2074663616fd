"""
World: what all actors of a run share.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from dataclasses import dataclass, field

from tests.reliability.journal import Journal

#: Words of the text that each run writes.
WORDS = 120

#: The text that each run writes: each word says its number.
TEXT = " ".join(f"w{number}" for number in range(1, WORDS + 1))

#: Seconds between two words.
PACE = 0.08


@dataclass
class World:
    """
    Everything that all actors share.

    Attributes:
        seed: Number that decides what everybody does. The machine decides the rest.
        journal: Where everybody writes what happens.
        fronts: Ports of the proxies before the servers, one for each.
        balancer: Port of the proxy before both.
        streams: Names of the streams that are not known to have ended; viewers choose among them.
        known: Names of all streams.
        left: Names of the streams that their writers have left, each with the time.
        over: Whether nothing new is begun.
    """

    seed: int
    journal: Journal
    fronts: list[int] = field(default_factory=list)
    balancer: int = 0
    streams: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    left: deque[tuple[str, float]] = field(default_factory=deque)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def makeLuck(self, *names: object) -> random.Random:
        """Make the randomness of one actor."""
        return random.Random(f"{self.seed} {names}")

    def add(self, name: str) -> None:
        """Let viewers find a stream."""
        if name not in self.known:
            self.known.add(name)
            self.streams.append(name)

    def drop(self, name: str) -> None:
        """Let viewers find a stream no longer."""
        if name in self.streams:
            self.streams.remove(name)
            self.left.append((name, time.monotonic()))

    async def rest(self, seconds: float) -> None:
        """Wait, but not longer than until nothing new is begun."""
        try:
            async with asyncio.timeout(seconds):
                await self.over.wait()
        except TimeoutError:
            pass
