"""
The addresses of endpoints: two endpoints of a server must not have the same one.

`sseserver.command.parsing` checks it, so that `--check` finds out before a start does.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.internet.protocol import Factory

from sseserver.command.listening import BadEndpoint
from sseserver.command.systemd import parseEndpoint

#: Hosts that stand for all interfaces of IPv4, and for all of both versions.
_ALL, _ALL_IPV4 = "::", frozenset({"", "0.0.0.0"})  # noqa: S104  (nothing listens here)


@dataclass(frozen=True, slots=True)
class Place:
    """
    The address that an endpoint will have.

    Attributes:
        kind: `tcp`, `unix`, `descriptor` or `unknown`.
        host: Host of TCP, path of a Unix socket, number of a descriptor, or the whole description.
        port: Port of TCP; otherwise 0.
    """

    kind: str
    host: str
    port: int = 0

    def overlaps(self, other: Place) -> bool:
        """Return whether not both can listen: they are the same address, or one stands for several with the other."""
        if (self.kind, self.port) != (other.kind, other.port):
            return False
        if self.kind != "tcp":
            return self.host == other.host
        # Port 0 is any free one.
        return self.port != 0 and (_includes(self.host, other.host) or _includes(other.host, self.host))


def _includes(host: str, other: str) -> bool:
    return host in {other, _ALL} or (host == "" and ":" not in other)


class _Noting:
    """Stands for a reactor. Notes each address that it should listen on."""

    def __init__(self) -> None:
        self.places: list[Place] = []

    def listenTCP(self, port: int, factory: Factory, backlog: int = 50, interface: str = "") -> None:
        """See `IReactorTCP.listenTCP`."""
        self.places.append(Place("tcp", _shorten(interface), port))

    def listenSSL(
        self, port: int, factory: Factory, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> None:
        """See `IReactorSSL.listenSSL`."""
        self.listenTCP(port, factory, backlog, interface)

    def listenUNIX(
        self, address: str, factory: Factory, backlog: int = 50, mode: int = 0o666, wantPID: int = 0
    ) -> None:
        """See `IReactorUNIX.listenUNIX`."""
        self.places.append(Place("unix", os.path.realpath(address)))


def _shorten(interface: str) -> str:
    """Return the one form of a host: an empty one for all interfaces of IPv4, and IPv4 for IPv6 that stands for it."""
    host = {"localhost": "127.0.0.1"}.get(interface.lower(), interface.lower())
    if host in _ALL_IPV4:
        return ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return str(getattr(address, "ipv4_mapped", None) or address)


def findPlace(description: str) -> Place:
    """
    Find the address that an endpoint will have.

    Args:
        description: A valid endpoint, in Twisted's notation, or one that only a start by systemd has.
    """
    reactor = _Noting()
    try:
        endpoint: Any = parseEndpoint(reactor, description)
    except (LookupError, AttributeError):
        return Place("unknown", description)
    inner = getattr(endpoint, "_wrappedEndpoint", endpoint)
    if isinstance(inner, AdoptedStreamServerEndpoint):
        # It would close its descriptor.
        return Place("descriptor", str(inner.fileno))
    # A plugin may want another method of a reactor.
    endpoint.listen(Factory()).addErrback(lambda _: None)
    return reactor.places[0] if reactor.places else Place("unknown", description)


def checkDistinct(endpoints: Sequence[tuple[str, str]]) -> None:
    """
    Check that all endpoints can listen at the same time.

    Args:
        endpoints: Names of options, and their endpoints; see `findPlace`.

    Raises:
        BadEndpoint: Two have the same address. The message names both.
    """
    found: list[tuple[Place, str]] = []
    for option, description in endpoints:
        place, text = findPlace(description), f"--{option} {description}"
        for other, otherText in found:
            if place.overlaps(other):
                raise BadEndpoint(f"{text}: this is the address of {otherText}")
        found.append((place, text))
