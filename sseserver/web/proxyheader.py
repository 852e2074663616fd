"""
The header of the PROXY protocol, versions 1 and 2, without I/O (HAProxy's proxy-protocol.txt, sections 2.1 and 2.2).

`sseserver.web.peers` reads it.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from twisted.internet.address import IPv4Address as IPv4
from twisted.internet.address import IPv6Address as IPv6

from sseserver.web.access.proxies import makeAddress

#: Bytes. Limit of a header of version 1, and of version 2 with its extensions.
_MAX_LINE = 107
MAX_HEADER = 4096

#: Begin a header of version 1 and of version 2.
_WORD = b"PROXY "
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

#: A header of version 1, without its line end.
_LINE = re.compile(rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?|(TCP[46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) ([0-9]+) ([0-9]+))")

#: Bytes before the addresses of version 2.
_START = len(_SIGNATURE) + 4

#: Values of version 2: version and command (the proxy's own connection, or that of a client); family and transport.
_LOCAL, _PROXIED = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21
_OTHER = {0x00, 0x31}

_MAX_PORT = 65535


class ProxyHeader(NamedTuple):
    """
    A header.

    Attributes:
        size: Bytes of it.
        client: Address of the client; `None` if the connection is the proxy's own, or the client has no IP address.
    """

    size: int
    client: IPv4 | IPv6 | None


def readProxyHeader(data: bytes) -> ProxyHeader | None:
    """
    Read the header at the beginning of a connection.

    Args:
        data: All bytes so far.

    Returns:
        The header; `None` if it is not complete.

    Raises:
        ValueError: There is no header.
    """
    if data.startswith(_SIGNATURE[: len(data)]):
        return _readBinary(data)
    if data.startswith(_WORD[: len(data)]):
        return _readLine(data)
    raise ValueError("the connection does not begin with the PROXY protocol")


def _readLine(data: bytes) -> ProxyHeader | None:
    line, end, _ = data[:_MAX_LINE].partition(b"\r\n")
    if not end:
        if len(data) >= _MAX_LINE:
            raise ValueError("the header of the PROXY protocol is too long")
        return None
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError("the header of the PROXY protocol is malformed")
    size = len(line) + len(end)
    if match[1] is None:
        return ProxyHeader(size, None)
    hosts = [ip_address(match[number].decode("ascii")) for number in (2, 3)]
    ports = [int(match[number]) for number in (4, 5) if len(match[number]) <= len(str(_MAX_PORT))]
    if any(isinstance(host, IPv6Address) != (match[1] == b"TCP6") for host in hosts):
        raise ValueError("the addresses of the PROXY protocol are of another family")
    if len(ports) != 2 or max(ports) > _MAX_PORT:
        raise ValueError("a port of the PROXY protocol is too large")
    return ProxyHeader(size, makeAddress(str(hosts[0]), ports[0]))


def _readBinary(data: bytes) -> ProxyHeader | None:
    if len(data) < _START:
        return None
    command, kind = data[_START - 4], data[_START - 3]
    size = _START + int.from_bytes(data[_START - 2 : _START], "big")
    if command not in {_LOCAL, _PROXIED}:
        raise ValueError("the PROXY protocol has another version or command")
    if size > MAX_HEADER:
        raise ValueError("the header of the PROXY protocol is too long")
    if len(data) < size:
        return None
    if command == _LOCAL or kind in _OTHER:
        return ProxyHeader(size, None)
    width = {_TCP4: 4, _TCP6: 16}.get(kind)
    if width is None or size < _START + 2 * width + 4:
        raise ValueError("the header of the PROXY protocol has no addresses of TCP")
    host = ip_address(data[_START : _START + width])
    ports = _START + 2 * width
    return ProxyHeader(size, makeAddress(str(host), int.from_bytes(data[ports : ports + 2], "big")))
