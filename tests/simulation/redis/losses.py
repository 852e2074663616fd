"""
Losses: what exactly a Redis has lost, entry by entry.
"""

from __future__ import annotations

import math
from collections.abc import Set
from dataclasses import dataclass, field

from tests.reliability.facts import Facts, Loss, collectFacts
from tests.simulation.redis.journal import Journal
from tests.simulation.redis.keyspace import Keyspace


@dataclass
class Losses:
    """
    Attributes:
        last: For each epoch that has lost entries, the number of the last one that is left.
        missing: Streams that were lost as a whole.
        times: The times whose writes into a stream are lost.
    """

    last: dict[str, int] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    times: list[Loss] = field(default_factory=list)

    def compare(self, before: Keyspace, now: Keyspace, begin: float, end: float) -> None:
        """
        Note what was lost.

        Args:
            before: The data that the Redis had.
            now: What it has now.
            begin: Time of the first write that may be lost.
            end: Time of the loss.
        """
        had, left = listStreams(before), listStreams(now)
        for name in {**had, **left}:
            kept, epochs = left.get(name), had.get(name, {})
            if kept == epochs:
                continue
            # It may also have lost the deletion of the stream.
            self.times.append(Loss(begin, end, name))
            if kept is None:
                self.missing.add(name)
            for epoch in {**epochs, **(kept or {})}:
                # A stream whose deletion is lost had entries that were lost with it.
                number = -1 if kept is None else kept.get(epoch, -1)
                if number < epochs.get(epoch, math.inf):
                    self.last[epoch] = min(self.last.get(epoch, number), number)


def listStreams(keys: Keyspace) -> dict[str, dict[str, int]]:
    """Return for each stream its epochs, and the number of the last entry that each of them has."""
    streams = {}
    for key, fields in keys.listHashes():
        if b":stream:" in key and b"epoch" in fields:
            last = int(fields[b"last"])
            epochs = {fields[b"epoch"].decode(): last}
            for pair in reversed(fields[b"epochs"].decode().split()):
                epoch, _, number = pair.partition("-")
                last = min(last, int(number))
                epochs[epoch] = last
            streams[fields[b"name"].decode()] = epochs
    return streams


@dataclass
class ExactFacts(Facts):
    """
    Facts of a run whose losses are known exactly.

    Attributes:
        lost: What the Redis has lost.
        ordered: Streams of runs whose prompts the Redis has got.
    """

    lost: Losses = field(default_factory=Losses)
    ordered: Set[str] = frozenset()

    def mayBeLost(self, stream: str, place: tuple[str, int], now: float) -> bool:
        """See `Facts.mayBeLost`."""
        return stream in self.lost.missing or place[1] > self.lost.last.get(place[0], math.inf)

    def mayBeMissing(self, stream: str, now: float) -> bool:
        """See `Facts.mayBeMissing`."""
        return stream in self.lost.missing or "delete" in self.asked.get(stream, ())

    def mayBeInterrupted(self, stream: str, now: float, again: bool = False) -> bool:
        """See `Facts.mayBeInterrupted`. A run whose end was lost is ended so by its server, which has forgotten it."""
        return any(loss.stream == stream for loss in self.lost.times) or super().mayBeInterrupted(stream, now, again)

    def mayEndAtOnce(self, stream: str) -> bool:
        """See `Facts.mayEndAtOnce`."""
        return stream not in self.ordered or any(loss.stream == stream for loss in self.lost.times)


def collectExactFacts(journal: Journal, lost: Losses, ordered: Set[str]) -> ExactFacts:
    """
    Collect the facts of a journal.

    Args:
        journal: The journal.
        lost: See `ExactFacts`; so is `ordered`.
    """
    facts = ExactFacts(**vars(collectFacts(journal.records)), lost=lost, ordered=ordered)
    facts.servers = {0, 1, 2}
    facts.losses = lost.times
    return facts
