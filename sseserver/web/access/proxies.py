"""
Proxies in front of a server, and the addresses of the clients behind them: `X-Forwarded-For`, `X-Forwarded-Proto`.

Everybody can send these headers. They are believed as far as trusted proxies have written them.

`sseserver.web.peers` has the `TrustedProxies` of a site.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from twisted.internet.address import IPv4Address as IPv4
from twisted.internet.address import IPv6Address as IPv6
from twisted.internet.address import UNIXAddress

from sseserver.options.types import UNIX
from sseserver.service.clients import ForwardedIPv4, ForwardedIPv6

#: Number of proxies in a row whose entries are read.
_MAX_PROXIES = 16

#: Addresses that are remembered.
_REMEMBERED = 1024

#: An address, as proxies write it: some add the port of the client.
_ENTRY = re.compile(rb"\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?|([0-9.]{7,15})(?::[0-9]{1,5})?|([0-9A-Fa-f:.]{2,45})")


class TrustedProxies:
    """
    The proxies whose headers are believed.

    Args:
        networks: Addresses or networks of the proxies, and `unix` for every Unix socket.

    Raises:
        ValueError: One of them is neither.
    """

    def __init__(self, networks: Iterable[str] = ()) -> None:
        listed = list(networks)
        self._unix = UNIX in listed
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(each) for each in listed if each != UNIX]
        self._trustsHost = lru_cache(_REMEMBERED)(self._findHost)

    def __bool__(self) -> bool:
        return self._unix or bool(self._networks)

    def trusts(self, address: Any) -> bool:
        """
        Return whether an address is that of a trusted proxy.

        Args:
            address: See `ITransport.getPeer`.
        """
        if isinstance(address, (IPv4, IPv6)):
            return self._trustsHost(address.host)
        return self._unix and isinstance(address, UNIXAddress)

    def findClient(self, peer: Any, values: Sequence[bytes]) -> Any:
        """
        Find the address of the client of a request.

        Each proxy has added the address of its own client at the end. So the last one that is not that of a trusted
        proxy is the client's; those before it are as the client has sent them.

        Args:
            peer: The address from which the request has come.
            values: The header fields `X-Forwarded-For`.

        Returns:
            The address; that of the last trusted proxy, if what it has written is no address.
        """
        found, entries = peer, b",".join(values).rsplit(b",", _MAX_PROXIES)
        for entry in reversed(entries[-_MAX_PROXIES:]):
            if not self.trusts(found):
                break
            address = _readAddress(entry.strip(b" \t"))
            if address is None:
                break
            found = address
        return found

    def _findHost(self, host: str) -> bool:
        address = ip_address(host.partition("%")[0])
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or address
        return any(address in network for network in self._networks)


def makeAddress(host: str, port: int = 0) -> ForwardedIPv4 | ForwardedIPv6:
    """
    Make an address that a proxy has named.

    Args:
        host: The address as text.
        port: Number of the port; 0 if the proxy names none.

    Raises:
        ValueError: The host is no address.
    """
    address = ip_address(host)
    kind = ForwardedIPv6 if isinstance(address, IPv6Address) else ForwardedIPv4
    return kind("TCP", str(address), port)


def readScheme(values: Sequence[bytes]) -> bool | None:
    """
    Return whether a trusted proxy was asked over TLS.

    Args:
        values: The header fields `X-Forwarded-Proto`.

    Returns:
        `None` if they do not tell.
    """
    # The last one is that of the nearest proxy.
    last = b",".join(values).rpartition(b",")[2].strip(b" \t").lower()
    return {b"https": True, b"http": False}.get(last)


def _readAddress(entry: bytes) -> ForwardedIPv4 | ForwardedIPv6 | None:
    """Read one address of `X-Forwarded-For`; return `None` if it is none, such as `unknown`."""
    match = _ENTRY.fullmatch(entry)
    if match is None:
        return None
    try:
        return makeAddress((match[1] or match[2] or match[3]).decode("ascii"))
    except ValueError:
        return None
