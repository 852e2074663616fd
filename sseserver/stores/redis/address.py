"""
Address of a Redis, as `--store` gives it, and the credentials for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from twisted.internet.abstract import isIPAddress
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS

#: Port of a Redis server, by default.
PORT = 6379

#: Port of a Sentinel, by default.
SENTINEL_PORT = 26379

#: Seconds. Longest time to make a connection.
CONNECT = 5.0

_FORM = (
    "redis://HOST[:PORT][/DATABASE], redis://HOST[:PORT],HOST[:PORT],… for a cluster, rediss://… for TLS, "
    "redis+sentinel://HOST[:PORT],HOST[:PORT],…/SERVICE[/DATABASE], or redis+unix:///PATH"
)

_HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")

_SERVICE = re.compile("[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Server:
    """
    One server.

    Attributes:
        host: Its host name or address; its path, if it listens on a Unix socket.
        port: Its port; 0 for a Unix socket.
    """

    host: str
    port: int

    def __str__(self) -> str:
        """Return the server as log lines name it."""
        return f"{self.host}:{self.port}" if self.port else self.host


@dataclass(frozen=True, slots=True)
class Address:
    """
    Address of a Redis.

    Attributes:
        servers: The server, or some servers of a cluster, or the Sentinels.
        tls: Whether connections are encrypted, and certificates verified.
        database: Number of the database.
        service: Name under which the Sentinels know the Redis; empty without Sentinels.
    """

    servers: tuple[Server, ...]
    tls: bool = False
    database: int = 0
    service: str = ""


@dataclass(frozen=True, slots=True)
class Credentials:
    """
    The proof of a client's identity.

    Attributes:
        password: The password; empty for none.
        user: The user name; empty for the default user.
    """

    password: str = ""
    user: str = ""


def readAddress(text: str) -> Address:
    """
    Read the address of a Redis.

    Args:
        text: A URL.

    Raises:
        ValueError: It cannot be used. The message has no part that may be secret.
    """
    try:
        parts = urlsplit(text)
    except ValueError:
        # The text of the error may have a password.
        raise ValueError(f"the address of the store has no valid host and port; use {_FORM}") from None
    if "@" in parts.netloc:
        raise ValueError("the address of the store must not hold a user or a password: others could see it")
    if parts.query or parts.fragment:
        raise ValueError(f"the address of the store must not have a query or a fragment; use {_FORM}")
    if parts.scheme == "redis+unix":
        if parts.netloc or len(parts.path) < 2:
            raise ValueError(f"the address of the store has no path; use {_FORM}")
        return Address((Server(unquote(parts.path), 0),))
    encryption, _, kind = parts.scheme.partition("+")
    if encryption not in {"redis", "rediss"} or kind not in {"", "sentinel"}:
        raise ValueError(f"this is not the address of a Redis; use {_FORM}")
    service, database = _readService(parts.path) if kind else ("", parts.path)
    port = SENTINEL_PORT if kind else PORT
    servers = tuple(_readServer(each, port) for each in parts.netloc.split(","))
    return Address(servers, encryption == "rediss", _readDatabase(database), service)


def _readServer(text: str, usual: int) -> Server:
    match = _HOST.fullmatch(text)
    port = int((match and match["port"]) or usual)
    if match is None or not 0 < port < 1 << 16:
        raise ValueError(f"the address of the store has no valid host and port; use {_FORM}")
    return Server(match["name"].strip("[]"), port)


def _readService(path: str) -> tuple[str, str]:
    """Return the name of a service and the path of the database after it."""
    name, slash, database = path.removeprefix("/").partition("/")
    if not _SERVICE.fullmatch(name):
        raise ValueError(f"the address of the store names no service of the Sentinels; use {_FORM}")
    return name, slash + database


def _readDatabase(path: str) -> int:
    number = path.removeprefix("/") or "0"
    if not (number.isascii() and number.isdigit() and len(number) < 6):
        raise ValueError(f"the database in the address of the store is not a number; use {_FORM}")
    return int(number)


def readCredentials(text: str) -> Credentials:
    """
    Read the content of a file with credentials.

    Args:
        text: One line with the password, or two lines with the user and the password.

    Raises:
        ValueError: There are more lines, or none.
    """
    lines = text.splitlines()
    if len(lines) not in {1, 2} or not all(lines):
        raise ValueError("one line with a password, or two with a user and a password, are expected")
    return Credentials(lines[-1], lines[0] if len(lines) == 2 else "")


def makeEndpoint(reactor: Any, server: Server, tls: bool) -> IStreamClientEndpoint:
    """
    Make the endpoint of a server.

    Args:
        reactor: Connects.
        server: The server.
        tls: Whether to encrypt. The certificate must be valid for the host name.
    """
    endpoint: IStreamClientEndpoint
    if not server.port:
        return UNIXClientEndpoint(reactor, server.host, CONNECT)
    if isIPAddress(server.host):
        # Servers of a cluster are named so. Nothing must be looked up.
        endpoint = TCP4ClientEndpoint(reactor, server.host, server.port, CONNECT)
    else:
        endpoint = HostnameEndpoint(reactor, server.host, server.port, CONNECT)
    return wrapClientTLS(optionsForClientTLS(server.host), endpoint) if tls else endpoint
