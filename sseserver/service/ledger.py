"""
Ledger: the memory of everything that outlives its request, by account.

Each account has a limit, and a way to get below it: `Retention` forgets ended streams, `IdleStreams` ends open streams
that nobody uses, and what has no room after that is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sseserver.delivery.rests import Rests
from sseserver.errors import Overloaded
from sseserver.interfaces import IStreamStore
from sseserver.service.buckets import MAX_BUCKETS
from sseserver.service.clients import CLIENT_COST, ClientLimits
from sseserver.settings import Settings
from sseserver.streams.account import Account

#: Bytes. Memory of a run, beside its stream and its prompt, until its source has released everything. That of an
#: upstream, with its connection, takes most.
RUN_COST = 10 * 1024

#: Bytes. Memory of a viewer, beside its connection.
VIEWER_COST = 2048

#: Bytes. Memory of a connection over TCP, with speedups.
CONNECTION_COST = 4096

#: Share of `Settings.maxBytes` that large readings may take which viewers have in part.
REST_SHARE = 8

#: Share of `Settings.maxBytes` that the prompts of waiting and working runs may take.
PROMPT_SHARE = 4


class Connections(Protocol):
    """
    The connections of a site.

    Attributes:
        count: Number of open connections.
        limit: Number of connections at a time.
    """

    count: int
    limit: int


class Bodies(Protocol):
    """
    The large bodies of requests to a site that are not complete.

    Attributes:
        used: Their bytes.
        count: Their number.
        limit: Bytes of all together.
    """

    used: int
    count: int
    limit: int


@dataclass(frozen=True, slots=True)
class Figures:
    """
    State of one account.

    Attributes:
        used: Bytes.
        count: Number of things that take them.
        limit: Bytes that may be used before new work is refused.
    """

    used: int
    count: int
    limit: int


class Ledger:
    """
    The accounts of one service.

    Those of streams are kept by the store, with `streams.cost`: entries, names, keys of publishes, a fixed cost.

    Args:
        settings: Limits: `maxBytes`, `maxStreams`, `maxViewers`.
        store: Keeps the streams.
        seconds: Returns the time.

    Attributes:
        keys: The keys by which runs are found again: idempotency keys, chats, visitors.
        work: The runs whose sources hold something.
        prompts: The prompts of runs that wait, or whose sources have not begun to produce. If the store keeps a prompt
            until the run ends, it is counted until then.
        viewers: The viewers.
        connections: The connections of the site, if it is known: `StreamSite.connections`.
        rests: The large readings that viewers have in part.
        clients: The shares of the clients.
        publishedEntries: Number of entries that were published since the start, those that ended a stream included.
        bodies: The bodies that arrive, if the site is known: `StreamSite.bodies`.
    """

    def __init__(self, settings: Settings, store: IStreamStore, seconds: Callable[[], float]) -> None:
        self._settings = settings
        self._store = store
        self.keys = Account()
        self.work = Account()
        self.prompts = Account()
        self.viewers = Account()
        self.rests = Rests(settings.maxBytes // REST_SHARE)
        self.clients = ClientLimits(settings, seconds, store)
        self.publishedEntries = 0
        self.connections: Connections | None = None
        self.bodies: Bodies | None = None

    def hasRoom(self, streams: int = 0, published: bool = False) -> bool:
        """
        Tell whether streams are within their limits, which hold for those of runs and for published ones separately.

        Args:
            streams: Number of streams to be created.
            published: Whether the limits of published streams count; otherwise those of runs, with their keys.
        """
        store, settings = self._store, self._settings
        if published:
            streamsKept = store.published
            used = streamsKept.used
        else:
            streamsKept = store.runs
            used = streamsKept.used + self.keys.used + self.work.used
        return used <= settings.maxBytes and streamsKept.count + streams <= settings.maxStreams

    @property
    def hasPromptRoom(self) -> bool:
        """Whether one more prompt can be kept."""
        return self.prompts.used < self._settings.maxBytes // PROMPT_SHARE

    def checkPrompts(self) -> None:
        """
        Check that one more prompt can be kept.

        Raises:
            Overloaded: There is no room.
        """
        if not self.hasPromptRoom:
            raise Overloaded("The prompts of runs that wait take too much memory; retry later.")

    def report(self) -> dict[str, Figures]:
        """Return the state of each account, by its name."""
        settings, store = self._settings, self._store
        maxBytes = settings.maxBytes
        accounts = {"runs": store.runs, "published": store.published, "keys": self.keys, "work": self.work}
        figures = {name: Figures(account.used, account.count, maxBytes) for name, account in accounts.items()}
        prompts, viewers = self.prompts, self.viewers.count
        figures["prompts"] = Figures(prompts.used, prompts.count, maxBytes // PROMPT_SHARE)
        figures["viewers"] = Figures(viewers * VIEWER_COST, viewers, settings.maxViewers * VIEWER_COST)
        figures["rests"] = Figures(self.rests.used, self.rests.count, self.rests.limit)
        figures["clients"] = self._countClients()
        if self.connections is not None:
            count, limit = self.connections.count, self.connections.limit
            figures["connections"] = Figures(count * CONNECTION_COST, count, limit * CONNECTION_COST)
        if self.bodies is not None:
            figures["bodies"] = Figures(self.bodies.used, self.bodies.count, self.bodies.limit)
        return figures

    def _countClients(self) -> Figures:
        """Return the figures of the limits of clients: two tables of buckets, and counts of viewers and runs."""
        settings, count = self._settings, self.clients.count
        limit = 2 * MAX_BUCKETS + settings.maxViewers + settings.maxRuns + settings.maxWaiting
        return Figures(count * CLIENT_COST, count, limit * CLIENT_COST)
