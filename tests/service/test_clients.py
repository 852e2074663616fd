"""
Tests of `sseserver.service.clients`: who a request comes from, and the limits of each client.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from sseserver.errors import RateLimited
from sseserver.service.clients import (
    PUBLIC_RUNS,
    PUBLIC_STARTS,
    PUBLIC_VIEWERS,
    Client,
    ClientLimits,
    ForwardedIPv4,
    findAddress,
    findPrincipal,
    identifyClient,
)
from sseserver.settings import Settings


def address(host: str, kind: type = IPv4Address) -> Any:
    """Make an address."""
    return (IPv6Address if ":" in host else kind)("TCP", host, 80)


def find(host: str) -> Client | None:
    """Find the client at an address."""
    return findAddress(address(host))


def identify(principalName: str, host: str) -> Client | None:
    """Identify the client that has sent a request."""
    request = DummyRequest([])
    request.principalName = principalName
    request.getClientAddress = lambda: address(host)
    return identifyClient(request)


class ClientTests(SynchronousTestCase):
    """The clients."""

    def test_public(self) -> None:
        """An address of the public internet is a client with limits."""
        self.assertEqual(find("8.8.8.8"), Client("address 8.8.8.8", True))
        self.assertNotEqual(find("8.8.8.8"), find("8.8.8.9"))

    def test_private(self) -> None:
        """A private address is a client, with the limits that the operator has set only."""
        for host in ("10.0.0.1", "192.168.1.1", "fd00::1", "fe80::1%eth0"):
            client = find(host)
            assert client is not None
            self.assertFalse(client.isPublic, host)

    def test_IPv6(self) -> None:
        """The addresses of an IPv6 network of 64 bits are one client; an IPv4 address in one of IPv6 is itself."""
        self.assertEqual(find("2606:4700::1"), find("2606:4700:0:0:ffff::2"))
        self.assertNotEqual(find("2606:4700::1"), find("2606:4700:0:1::1"))
        self.assertEqual(find("::ffff:8.8.8.8"), find("8.8.8.8"))

    def test_local(self) -> None:
        """A program on this machine is no client, unless a proxy has named its address."""
        for host in ("127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"):
            self.assertIsNone(find(host), host)
        self.assertIsNone(findAddress(UNIXAddress("/run/a")))
        self.assertIsNone(findAddress(None))
        self.assertEqual(findAddress(address("127.0.0.2", ForwardedIPv4)), Client("address 127.0.0.2", False))

    def test_principal(self) -> None:
        """A principal is a client wherever it is; one without a name is its address."""
        client = identify("8.8.8.8", "127.0.0.1")
        self.assertEqual(client, identify("8.8.8.8", "8.8.4.4"))
        self.assertEqual(client, findPrincipal("8.8.8.8"))
        self.assertNotEqual(client, find("8.8.8.8"))
        self.assertEqual(identify("", "8.8.8.8"), find("8.8.8.8"))
        self.assertIsNone(identify("", "127.0.0.1"))


PUBLIC = Client("address 8.8.8.8", True)
PRIVATE = Client("address 10.0.0.1", False)


class LimitTests(SynchronousTestCase):
    """The limits of each client."""

    def setUp(self) -> None:
        self.clock = Clock()

    def limits(self, **settings: int) -> ClientLimits:
        """Make the limits."""
        return ClientLimits(Settings(**settings), self.clock.seconds)

    def countRuns(self, limits: ClientLimits, client: Client | None) -> int:
        """Start runs until one is refused; return their number."""
        for count in range(2000):
            try:
                limits.startRun(client)
            except RateLimited:
                return count
        return 2000

    def test_defaults(self) -> None:
        """Without options only addresses of the public internet have limits."""
        limits = self.limits()
        self.assertEqual(self.countRuns(limits, PUBLIC), PUBLIC_RUNS)
        self.assertEqual(self.countRuns(limits, PRIVATE), 2000)
        self.assertEqual(self.countRuns(limits, None), 2000)
        for client in (PUBLIC, PRIVATE):
            for _ in range(PUBLIC_VIEWERS):
                limits.viewers.add(client)
        self.assertRaises(RateLimited, limits.checkViewer, PUBLIC)
        limits.checkViewer(PRIVATE)

    def test_given(self) -> None:
        """A limit that is set holds for every client; `None` has none."""
        limits = self.limits(maxRunsPerClient=3)
        self.assertEqual([self.countRuns(limits, client) for client in (PUBLIC, PRIVATE, None)], [3, 3, 2000])

    def test_runs(self) -> None:
        """The end of a run makes room for another one, within the limit of a minute."""
        limits = self.limits()
        for _ in range(PUBLIC_STARTS):
            limits.startRun(PUBLIC)
            limits.runs.remove(PUBLIC)
        error = self.assertRaises(RateLimited, limits.startRun, PUBLIC)
        self.assertEqual((error.status, error.retryAfter), (429, 1))
        self.assertEqual((limits.runs.refused, limits.starts.buckets.refused), (0, 1))
        self.clock.advance(1)
        limits.startRun(PUBLIC)
        self.assertEqual((limits.runs.counts.get(PUBLIC.name), limits.runs.counts.count), (1, 1))

    def test_refusedTakesNothing(self) -> None:
        """A run that is refused for their number at a time does not count among those of the minute."""
        limits = self.limits(maxRunsPerClient=1, runsPerMinute=2)
        limits.startRun(PUBLIC)
        for _ in range(5):
            self.assertRaises(RateLimited, limits.startRun, PUBLIC)
        self.assertEqual(limits.runs.refused, 5)
        limits.runs.remove(PUBLIC)
        limits.startRun(PUBLIC)

    def test_publishes(self) -> None:
        """Publishes have a limit for each second."""
        limits = self.limits(publishesPerSecond=2)
        for _ in range(2):
            limits.checkPublish(PUBLIC)
        error = self.assertRaises(RateLimited, limits.checkPublish, PUBLIC)
        self.assertEqual(error.retryAfter, 1)
        self.clock.advance(0.5)
        limits.checkPublish(PUBLIC)

    def test_empty(self) -> None:
        """Nothing is kept of clients that have nothing and have done nothing for two periods."""
        limits = self.limits()
        self.countRuns(limits, PUBLIC)
        limits.viewers.add(PUBLIC)
        self.assertEqual(limits.count, 3)
        limits.viewers.remove(PUBLIC)
        for _ in range(PUBLIC_RUNS):
            limits.runs.remove(PUBLIC)
        for _ in range(2):
            self.clock.advance(60)
            limits.startRun(PRIVATE)
            limits.startRun(Client("address 8.8.4.4", True))
        self.assertEqual((limits.runs.counts.get(PUBLIC.name), limits.runs.counts.count), (0, 2))
        self.assertEqual(limits.starts.buckets.count, 1)
