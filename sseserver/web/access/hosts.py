"""
Host names: the authority that a request is meant for, and the list of those that a server answers to.

A page whose host name an attacker points to another address, such as 127.0.0.1, has the same origin as the server there
(DNS rebinding). Only the header `Host` tells such a request from others.

`gate`, `origins` and the options of hosts use it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

#: Host and port of a header `Host` (RFC 9110 section 7.2), as far as URLs in use have them: a name, an IPv4 address, or
#: an IPv6 address in brackets.
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_-][A-Za-z0-9._-]{0,252})(?::([0-9]{0,5}))?")

#: A name whose last label is a number is an IPv4 address, or nothing.
_NUMERIC = re.compile(r"(?:.*\.)?[0-9]+")

#: Any host.
ANY = "*"

#: Addresses that stand for all addresses of a machine. No URL has them.
_EVERYWHERE = {"0.0.0.0", "[::]"}  # noqa: S104  (nothing listens here)

_MAX_PORT = 65535

#: Ports that a URL need not name.
DEFAULT_PORTS = {"http": 80, "https": 443}

#: Values of `Host` that are remembered.
_REMEMBERED = 256


class Authority(NamedTuple):
    """
    Host and port.

    Attributes:
        name: In lower case, without a dot at its end. An IPv6 address is in brackets, in its shortest form.
        port: `None` for the default port of the scheme.
    """

    name: str
    port: int | None


def parseAuthority(text: str) -> Authority:
    """
    Parse a host, with or without a port.

    Args:
        text: Such as `example.com`, `example.com:8000`, `127.0.0.1` or `[::1]:8000`.

    Raises:
        ValueError: The text is anything else.
    """
    match = _AUTHORITY.fullmatch(text)
    if match is None or (match[2] and int(match[2]) > _MAX_PORT):
        raise ValueError(f"{text!r} is not a host name, with or without a port")
    return Authority(_shorten(match[1].lower()), int(match[2]) if match[2] else None)


def _shorten(name: str) -> str:
    """Return the one form of a host name."""
    if name.startswith("["):
        return f"[{IPv6Address(name[1:-1])}]"
    name = name.removesuffix(".")
    return str(IPv4Address(name)) if _NUMERIC.fullmatch(name) else name


def isLoopback(name: str) -> bool:
    """Return whether the name of an authority always means the machine itself (RFC 6761 section 6.3)."""
    if name.startswith("["):
        address = IPv6Address(name[1:-1])
        return address.is_loopback or (address.ipv4_mapped is not None and address.ipv4_mapped.is_loopback)
    if _NUMERIC.fullmatch(name):
        return IPv4Address(name).is_loopback
    return name == "localhost" or name.endswith(".localhost")


def isAddress(name: str) -> bool:
    """Return whether the name of an authority is an IP address."""
    return name.startswith("[") or _NUMERIC.fullmatch(name) is not None


def checkHost(text: str) -> str:
    """
    Check a host that is to be listed, or `*`, and return it.

    Raises:
        ValueError: It is no host, or one that stands for all addresses.
    """
    if text != ANY and parseAuthority(text).name in _EVERYWHERE:
        raise ValueError(f"{text!r} is no host name in a URL; to listen on all interfaces, use --listen tcp:8000")
    return text


class HostList:
    """
    The hosts that a server answers to. Loopback names are always among them.

    Args:
        names: Hosts, with or without a port. One without a port stands for every port; `*` stands for every host.
        addresses: Whether every IP address is among them. No other address can stand behind one, as it can behind a
            name.

    Raises:
        ValueError: One of them is no host.
    """

    def __init__(self, names: Iterable[str] = (), addresses: bool = False) -> None:
        listed = list(names)
        self._addresses = addresses
        self._any = ANY in listed
        self._hosts = frozenset(parseAuthority(checkHost(name)) for name in listed if name != ANY)
        self.find = lru_cache(_REMEMBERED)(self._find)

    def _find(self, value: bytes) -> Authority | None:
        """
        Parse the value of a header `Host`.

        Returns:
            The authority; `None` if it is not on the list.

        Raises:
            ValueError: The value is malformed.
        """
        authority = parseAuthority(value.decode("latin-1"))
        return authority if self.has(authority) else None

    def has(self, authority: Authority) -> bool:
        """Return whether an authority is on the list."""
        name, port = authority
        if self._any or isLoopback(name) or not self._hosts.isdisjoint({authority, Authority(name, None)}):
            return True
        if self._addresses and isAddress(name):
            return True
        return port is None and any(Authority(name, default) in self._hosts for default in DEFAULT_PORTS.values())
