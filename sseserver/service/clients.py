"""
Clients: who a request comes from, and how much of the server each may use.

A client is a principal, or else an address. The limits for all clients together are in `Settings`, too.

The APIs and `RunStarter` ask `ClientLimits`, which `StreamService` has in its ledger.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address as IPv4
from ipaddress import IPv6Address as IPv6
from ipaddress import IPv6Network, ip_address
from typing import Any, NamedTuple

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.web.http import Request

from sseserver.errors import RateLimited
from sseserver.interfaces import ICounts, IRate, ISharedStore, IStreamStore
from sseserver.service.buckets import Buckets
from sseserver.service.localcounts import LocalCounts
from sseserver.settings import Settings

#: Number. Limits of an address of the public internet, where `Settings` have none: connections, viewers and runs at a
#: time, runs a minute, publishes a second.
PUBLIC_CONNECTIONS = 256
PUBLIC_VIEWERS = 200
PUBLIC_RUNS = 20
PUBLIC_STARTS = 60
PUBLIC_PUBLISHES = 1000

#: Bytes. Memory of a bucket, or of the count of a client: its name, and its places in the tables.
CLIENT_COST = 256

#: Names of clients that are remembered.
_REMEMBERED = 4096

#: Bits of an IPv6 address that belong to one customer of a provider (RFC 6177).
_SITE_BITS = 64


class Client(NamedTuple):
    """
    Someone whose share of the server is limited.

    Attributes:
        name: The kind of client and its name. A principal and an address never have the same.
        isPublic: Whether it is an address of the public internet.
    """

    name: str
    isPublic: bool


class ForwardedIPv4(IPv4Address):
    """An address that a trusted proxy has named."""


class ForwardedIPv6(IPv6Address):
    """An address that a trusted proxy has named."""


def _readHost(host: str) -> IPv4 | IPv6:
    """Read an address; one of IPv4 that is written as one of IPv6 is itself."""
    address = ip_address(host.partition("%")[0])
    return address.ipv4_mapped or address if isinstance(address, IPv6) else address


@lru_cache(_REMEMBERED)
def _findForwarded(host: str) -> Client:
    address = _readHost(host)
    network = IPv6Network((int(address), _SITE_BITS), strict=False) if isinstance(address, IPv6) else address
    return Client(f"address {network}", address.is_global)


@lru_cache(_REMEMBERED)
def _findHost(host: str) -> Client | None:
    address = _readHost(host)
    return None if address.is_loopback else _findForwarded(host)


@lru_cache(_REMEMBERED)
def findPrincipal(name: str) -> Client | None:
    """
    Return the client that is a principal.

    Args:
        name: Its name. The empty one, of clients without authentication, is no client.
    """
    return Client(f"principal {name}", False) if name else None


def findAddress(address: Any) -> Client | None:
    """
    Return the client at an address.

    Args:
        address: See `ITransport.getPeer`.

    Returns:
        The client. All addresses of an IPv6 network of 64 bits are one. `None` for a program on this machine, which has
        no limits.
    """
    if isinstance(address, (IPv4Address, IPv6Address)):
        find = _findForwarded if isinstance(address, (ForwardedIPv4, ForwardedIPv6)) else _findHost
        return find(address.host)
    return None


def identifyClient(request: Request) -> Client | None:
    """
    Return the client that has sent a request.

    Args:
        request: If it has a principal, `Access` has found it.
    """
    principal = findPrincipal(getattr(request, "principalName", ""))
    if principal is not None:
        return principal
    # Requests of an embedder may be of a class that has no such method.
    find: Callable[[], Any] = getattr(request, "getClientAddress", lambda: None)
    return findAddress(find())


class Shares:
    """
    Counts things that each client has at a time.

    Args:
        limit: Number of them for each client; `None` for those of the public internet only.
        publicLimit: Their number then.
        counts: Keeps the numbers; `None` keeps them in this process.

    Attributes:
        counts: See above.
        refused: Number of times that a client had too many.
    """

    def __init__(self, limit: int | None, publicLimit: int, counts: ICounts | None = None) -> None:
        self.counts: ICounts = LocalCounts() if counts is None else counts
        self.refused = 0
        self._limit = limit
        self._publicLimit = publicLimit

    def findLimit(self, client: Client | None) -> int | None:
        """Return the limit of a client, if it has one."""
        if client is None:
            return None
        return self._publicLimit if self._limit is None and client.isPublic else self._limit

    def hasRoom(self, client: Client | None) -> bool:
        """Return whether a client may have one more."""
        if client is None:
            return True
        limit = self._publicLimit if self._limit is None and client.isPublic else self._limit
        return limit is None or self.counts.get(client.name) < limit

    def add(self, client: Client | None) -> None:
        """Count one more."""
        if client is not None:
            self.counts.add(client.name)

    def remove(self, client: Client | None) -> None:
        """Count one less."""
        if client is not None:
            self.counts.remove(client.name)


class Rate:
    """
    Counts things that each client does, over a time.

    Args:
        buckets: The buckets of the clients.
        limit: Number of them for each client in a period; `None` for those of the public internet only.
        publicLimit: Their number then.

    Attributes:
        buckets: See above.
    """

    def __init__(self, buckets: IRate, limit: int | None, publicLimit: int) -> None:
        self.buckets = buckets
        self._limit = limit
        self._publicLimit = publicLimit

    def take(self, client: Client | None) -> float:
        """Count one more, and return 0; or the seconds until a client may do this again."""
        if client is None:
            return 0.0
        limit = self._publicLimit if self._limit is None and client.isPublic else self._limit
        return 0.0 if limit is None else self.buckets.take(client.name, limit)

    def giveBack(self, client: Client | None) -> None:
        """
        Count one less: what was counted has failed, and is tried in another way.

        Args:
            client: The client for whom it was counted; `None` if it was for nobody.
        """
        if client is not None:
            limit = self._publicLimit if self._limit is None and client.isPublic else self._limit
            if limit is not None:
                self.buckets.giveBack(client.name, limit)


class ClientLimits:
    """
    The shares of clients in a service.

    Args:
        settings: The limits.
        seconds: Returns the time.
        store: If several processes share it, it counts for all of them.

    Attributes:
        viewers: Viewers at a time, but those whose response is finished.
        runs: Runs at a time, waiting ones among them.
        starts: Runs a minute.
        publishes: Publishes a second.
    """

    def __init__(self, settings: Settings, seconds: Callable[[], float], store: IStreamStore | None = None) -> None:
        viewers = runs = starts = publishes = None
        if ISharedStore.providedBy(store):
            limits = store.limits
            viewers, runs = limits.makeCounts("viewers"), limits.makeCounts("runs")
            starts, publishes = limits.makeRate("starts", 60.0), limits.makeRate("publishes", 1.0)
        self.viewers = Shares(settings.maxViewersPerClient, PUBLIC_VIEWERS, viewers)
        self.runs = Shares(settings.maxRunsPerClient, PUBLIC_RUNS, runs)
        self.starts = Rate(starts or Buckets(60.0, seconds), settings.runsPerMinute, PUBLIC_STARTS)
        self.publishes = Rate(publishes or Buckets(1.0, seconds), settings.publishesPerSecond, PUBLIC_PUBLISHES)

    @property
    def count(self) -> int:
        """Number of counts and buckets that are kept."""
        shares = self.viewers.counts.count + self.runs.counts.count
        return shares + self.starts.buckets.count + self.publishes.buckets.count

    def checkViewer(self, client: Client | None) -> None:
        """
        Check that a client may have one more viewer.

        Raises:
            RateLimited: It has too many.
        """
        # Most clients have no limits where there is a proxy, or no other machine.
        if client is not None and not self.viewers.hasRoom(client):
            self.viewers.refused += 1
            limit = self.viewers.findLimit(client)
            raise RateLimited(f"You have {limit} viewers, which is the limit for one client; retry later.")

    def startRun(self, client: Client | None) -> None:
        """
        Count a run that is about to start.

        Raises:
            RateLimited: The client has too many, or has started too many.
        """
        if client is None:
            return
        if not self.runs.hasRoom(client):
            self.runs.refused += 1
            limit = self.runs.findLimit(client)
            raise RateLimited(f"You have {limit} runs, which is the limit for one client; retry later.")
        wait = self.starts.take(client)
        if wait:
            raise _refuse("You have started too many runs within a minute; retry later.", wait)
        self.runs.add(client)

    def checkPublish(self, client: Client | None) -> None:
        """
        Count a publish.

        Raises:
            RateLimited: The client publishes too often.
        """
        wait = self.publishes.take(client)
        if wait:
            raise _refuse("You publish too often; retry later, or put more into each publish.", wait)


def _refuse(message: str, wait: float) -> RateLimited:
    """Make the error for a client that may try again after some seconds."""
    error = RateLimited(message)
    error.retryAfter = math.ceil(wait)
    return error
