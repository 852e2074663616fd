"""
Limits of clients over all processes: each process tells the others what its clients do.

Every second a process with news publishes them on one channel; every few seconds it repeats its counts. So a limit is
exact for a client of one process, and is reached a moment later by a client of several. Nothing is stored.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from sseserver.errors import StoreUnavailable
from sseserver.interfaces import ICounts, IRate, ISharedLimits
from sseserver.stores.redis.client import Client
from sseserver.stores.redis.layout import Layout

#: Seconds between two reports of news, and between two reports of all counts.
NEWS, EVERYTHING = 1.0, 5.0

#: Seconds. The counts of a process that has not been heard for so long are forgotten.
SILENCE = 15.0

#: Number of buckets. Full ones are forgotten when there are more.
MANY = 10_000

#: Number. The reports of further processes are ignored: so many are not real.
MOST_NODES = 10_000

#: A part of the period of a bucket, and a count. No real one has so many.
_Part = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=10**9)]


class Report(msgspec.Struct):
    """
    The report of one process.

    Attributes:
        node: Its ID.
        rates: For each purpose the part of a period that each client has used up.
        counts: For each purpose the count of each client.
    """

    node: str
    rates: dict[str, dict[str, _Part]]
    counts: dict[str, dict[str, _Count]]


_decode = msgspec.json.Decoder(Report).decode


def readReport(message: bytes) -> Report:
    """
    Read a message on the channel of reports.

    Args:
        message: The message.

    Raises:
        ValueError: It is no report.
    """
    try:
        return _decode(message)
    except RecursionError:
        raise ValueError("It is nested too deep.") from None


@implementer(IRate)
class SharedRate:
    """
    Token buckets that all processes empty together.

    Args:
        seconds: Returns the time.
        period: Seconds after which an empty bucket is full.

    Attributes:
        refused: See `IRate`.
        uses: The part of a period that clients have used up in this process, and that the others do not know.
    """

    def __init__(self, seconds: Callable[[], float], period: float) -> None:
        self.refused = 0
        self.uses: dict[str, float] = {}
        self._seconds = seconds
        self._period = period
        # For each client the time at which its bucket is full again.
        self._fullAt: dict[str, float] = {}

    @property
    def count(self) -> int:
        """See `IRate.count`."""
        return len(self._fullAt)

    def take(self, client: str, size: float) -> float:
        """See `IRate.take`."""
        now = self._seconds()
        share = self._period / size
        fullAt = max(now, self._fullAt.get(client, now))
        # A bucket that needs the whole period to be full is empty.
        wait = fullAt + share - now - self._period
        if wait > 1e-9:
            self.refused += 1
            return wait
        self._fullAt[client] = fullAt + share
        self.uses[client] = self.uses.get(client, 0.0) + 1 / size
        if len(self._fullAt) > MANY:
            self._fullAt = {each: at for each, at in self._fullAt.items() if at > now}
        return 0.0

    def giveBack(self, client: str, size: float) -> None:
        """See `IRate.giveBack`."""
        # A bucket that is forgotten meanwhile is full.
        if client in self._fullAt:
            self._fullAt[client] -= self._period / size
            self.uses[client] = self.uses.get(client, 0.0) - 1 / size

    def takeNews(self) -> dict[str, float]:
        """Return the uses that the others do not know, and count them as known."""
        uses, self.uses = self.uses, {}
        return uses

    def learn(self, uses: dict[str, float]) -> None:
        """
        Count the uses of another process.

        Args:
            uses: The part of a period that each client has used up.
        """
        now = self._seconds()
        for client, part in uses.items():
            fullAt = max(now, self._fullAt.get(client, now))
            self._fullAt[client] = min(fullAt + part * self._period, now + self._period)


@implementer(ICounts)
class SharedCounts:
    """
    Counts of what clients have in all processes.

    Attributes:
        own: The counts of this process.
        news: Whether the others do not know them all.
    """

    def __init__(self) -> None:
        self.own: dict[str, int] = {}
        self.news = False
        self._others: dict[str, dict[str, int]] = {}

    @property
    def count(self) -> int:
        """See `ICounts.count`."""
        return len(self.own)

    def get(self, client: str) -> int:
        """See `ICounts.get`."""
        return self.own.get(client, 0) + sum(counts.get(client, 0) for counts in self._others.values())

    def add(self, client: str) -> None:
        """See `ICounts.add`."""
        self.own[client] = self.own.get(client, 0) + 1
        self.news = True

    def remove(self, client: str) -> None:
        """See `ICounts.remove`."""
        left = self.own.get(client, 0) - 1
        if left > 0:
            self.own[client] = left
        else:
            self.own.pop(client, None)
        self.news = True

    def learn(self, node: str, counts: dict[str, int] | None) -> None:
        """
        Note the counts of another process.

        Args:
            node: Its ID.
            counts: Its counts; `None` if it is gone.
        """
        if counts:
            self._others[node] = counts
        else:
            self._others.pop(node, None)


@implementer(ISharedLimits)
class SharedLimits:
    """
    All rates and counts of a store.

    Args:
        clock: The reactor.
        client: The Redis.
        layout: Names of the channels.
        findNode: Returns the ID of this process.

    Attributes:
        channel: Channel of the reports.
    """

    def __init__(self, clock: Any, client: Client, layout: Layout, findNode: Callable[[], bytes]) -> None:
        self.channel = layout.limits
        self._clock = clock
        self._client = client
        self._findNode = findNode
        self._rates: dict[str, SharedRate] = {}
        self._counts: dict[str, SharedCounts] = {}
        self._heard: dict[str, float] = {}
        self._timer: IDelayedCall | None = None
        self._reported = 0.0

    def makeRate(self, purpose: str, period: float) -> SharedRate:
        """See `ISharedLimits.makeRate`."""
        return self._rates.setdefault(purpose, SharedRate(self._clock.seconds, period))

    def makeCounts(self, purpose: str) -> SharedCounts:
        """See `ISharedLimits.makeCounts`."""
        return self._counts.setdefault(purpose, SharedCounts())

    def start(self) -> None:
        """Begin to report."""
        self._timer = self._clock.callLater(NEWS, self._report)

    def stop(self) -> None:
        """Stop to report, and forget the others."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for node in list(self._heard):
            self._forget(node)

    def receive(self, report: Report) -> None:
        """
        Learn from the report of another process.

        Args:
            report: The report.
        """
        node = report.node
        if node == self._findNode().decode("ascii") or (node not in self._heard and len(self._heard) >= MOST_NODES):
            return
        self._heard[node] = self._clock.seconds()
        for purpose, uses in report.rates.items():
            if purpose in self._rates:
                self._rates[purpose].learn(uses)
        for purpose, counts in report.counts.items():
            if purpose in self._counts:
                self._counts[purpose].learn(node, counts)

    def _report(self) -> None:
        now = self._clock.seconds()
        self._timer = self._clock.callLater(NEWS, self._report)
        for node in [node for node, heard in self._heard.items() if not 0 <= now - heard < SILENCE]:
            self._forget(node)
        everything = not 0 <= now - self._reported < EVERYTHING
        rates = {purpose: rate.takeNews() for purpose, rate in self._rates.items() if rate.uses}
        counts = {purpose: each.own for purpose, each in self._counts.items() if everything or each.news}
        if everything:
            self._reported = now
        for each in self._counts.values():
            each.news = False
        if rates or any(counts.values()) or (counts and not everything):
            report = {"node": self._findNode().decode("ascii"), "rates": rates, "counts": counts}
            published = self._client.ask("PUBLISH", self.channel, json.dumps(report, ensure_ascii=False))
            published.addErrback(lambda failure: failure.trap(StoreUnavailable))

    def _forget(self, node: str) -> None:
        del self._heard[node]
        for counts in self._counts.values():
            counts.learn(node, None)
