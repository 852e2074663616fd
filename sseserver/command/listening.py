"""
The endpoints of `--listen`: their check and their failures, in plain words, and the URL under which each is reached.

`command.parsing` checks them, `command.starting` and `sseserver.tap` listen.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Any, NoReturn

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from sseserver.command.systemd import explainMissing, parseEndpoint
from sseserver.web.access.hosts import parseAuthority

#: Highest TCP port.
_MAX_PORT = 65535

#: Text that newcomers write in place of an endpoint: a port, or host and port, perhaps as a URL.
_ADDRESS = re.compile(r"(?:http://)?(?:(?P<host>[A-Za-z0-9.-]+)?:)?(?P<port>[0-9]{1,5})/?", re.ASCII)

#: Hosts that stand for all interfaces, and the one under which this machine reaches itself then.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (nothing listens here)

#: Octal. Mode of UNIX sockets, for which `--listen` names none.
SOCKET_MODE = "660"

#: The end of a field of an endpoint.
_FIELD = re.compile(r"(?<!\\):")

#: An endpoint that is a socket of systemd.
_SYSTEMD = re.compile(r"(haproxy:)?systemd:(?=.*\bdomain=(INET6?|UNIX)\b)(?=.*\b(index=\d+|name=[^:]+)).*")

_COLON = r"a colon in a value is written as \:, such as interface=\:\:1"


class BadEndpoint(ValueError):
    """A string does not describe a server endpoint, or the endpoint cannot be used. The message says why."""


def checkEndpoint(reactor: Any, description: str) -> None:
    """
    Check that a string describes a server endpoint.

    Args:
        reactor: Listens later.
        description: In Twisted's notation, such as `tcp:8000`.

    Raises:
        BadEndpoint: It does not.
    """
    checkCertificates(description)
    try:
        endpoint = parseEndpoint(reactor, description)
    except Exception as error:
        # Endpoint plugins raise any type: `ValueError`, `TypeError`, `OSError` for a certificate file.
        raise BadEndpoint(explainError(description, error)) from None
    # Twisted checks the port when it binds: with an `OverflowError` that leaves the socket open.
    if not 0 <= getattr(endpoint, "_port", 0) <= _MAX_PORT:
        raise BadEndpoint(f"the port must be between 0 and {_MAX_PORT}")


def checkCertificates(description: str) -> None:
    """
    Check that the files of a TLS port, which Twisted reads when it parses the endpoint, are no pipes: it would wait.

    Args:
        description: In Twisted's notation.

    Raises:
        BadEndpoint: One is.
    """
    kind, *fields = _FIELD.split(description)
    for name in (field.partition("=")[2].replace(r"\:", ":") for field in fields if kind == "ssl"):
        if Path(name).is_fifo():
            raise BadEndpoint(f"{name}: this is a pipe, which is empty when it is read again; use a file")


def isAwaited(reactor: Any, description: str) -> bool:
    """
    Return whether an endpoint is a socket of systemd that this process does not have.

    Args:
        reactor: Listens later.
        description: In Twisted's notation.
    """
    if _SYSTEMD.fullmatch(description) is None:
        return False
    try:
        parseEndpoint(reactor, description)
    except (LookupError, AttributeError):
        return True
    return False


def checkInterface(description: str) -> None:
    """
    Check that an endpoint does not listen on all interfaces because nobody has named one.

    Args:
        description: A valid endpoint, in Twisted's notation.

    Raises:
        BadEndpoint: It is of TCP or TLS, and names no interface.
    """
    kind, *parameters = description.split(":")
    if kind in {"tcp", "tcp6", "ssl"} and not any(each.startswith("interface=") for each in parameters):
        raise BadEndpoint(f"name the interface, such as {description}:interface=127.0.0.1")


@implementer(IStreamServerEndpoint)
class ExplainedEndpoint:
    """
    An endpoint that says in plain words why it cannot listen, and which option named it.

    Args:
        description: The endpoint, in Twisted's notation.
        endpoint: Listens.
        option: Name of the option.
    """

    def __init__(self, description: str, endpoint: IStreamServerEndpoint, option: str = "listen") -> None:
        self._option = option
        self._description = description
        self._endpoint = endpoint

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """See `IStreamServerEndpoint.listen`. Fails with `BadEndpoint` if the address cannot be used."""
        return self._endpoint.listen(factory).addErrback(self._explain)

    def _explain(self, failure: Failure) -> NoReturn:
        failure.trap(CannotListenError, OSError)
        error: Any = failure.value
        cause = error.socketError if isinstance(error, CannotListenError) else error
        if self._description.startswith("unix:") and isinstance(cause, (FileNotFoundError, NotADirectoryError)):
            reason = "the folder of the socket does not exist"
        else:
            reason = getattr(cause, "strerror", None) or str(cause)
        raise BadEndpoint(f"--{self._option} {self._description}: {reason}") from None


def findHost(reactor: Any, description: str) -> str | None:
    """
    Find the host under which an endpoint is reached, if there is one only: the address that it is bound to.

    Args:
        reactor: Listens later.
        description: A valid endpoint, in Twisted's notation.

    Returns:
        The host, as URLs have it; `None` for all interfaces, for a UNIX socket, and for unknown kinds of endpoints.
    """
    endpoint: Any = parseEndpoint(reactor, description)
    # A wrapper, such as `haproxy:`.
    endpoint = getattr(endpoint, "_wrappedEndpoint", endpoint)
    if isinstance(endpoint, AdoptedStreamServerEndpoint):
        address = _findAddress(endpoint.fileno)
    else:
        address = getattr(endpoint, "_interface", "")
    host = f"[{address}]" if ":" in address else address
    try:
        return None if not address or address in _EVERYWHERE else parseAuthority(host).name
    except ValueError:
        return None


def _findAddress(descriptor: int) -> str:
    """Return the address of a listening socket; an empty text for a UNIX socket."""
    with socket.socket(fileno=os.dup(descriptor)) as listening:
        return "" if listening.family == socket.AF_UNIX else str(listening.getsockname()[0])


def restrictEndpoint(description: str) -> str:
    """
    Return an endpoint whose UNIX socket, if it is one, is for its owner and its group only, unless it has a mode.

    Args:
        description: In Twisted's notation. Twisted's own default lets every user of the machine connect.
    """
    kind, *fields = _FIELD.split(description)
    # The mode is also the second field without a name.
    hasMode = any(field.startswith("mode=") for field in fields) or any("=" not in field for field in fields[1:2])
    return description if kind != "unix" or hasMode else f"{description}:mode={SOCKET_MODE}"


def suggestEndpoint(text: str) -> str | None:
    """Return the endpoint that a port, a host with a port or a URL probably means, or `None`."""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return None
    host = "127.0.0.1" if found["host"] == "localhost" else found["host"]
    return f"tcp:{found['port']}" + (f":interface={host}" if host else "")


def makeURL(description: str, address: Any) -> str | None:
    """
    Return the URL of a listening endpoint, for a browser on this machine.

    Args:
        description: In Twisted's notation.
        address: Where it listens.

    Returns:
        The URL; `None` for an address that browsers do not have, such as a UNIX socket.
    """
    if not isinstance(address, (IPv4Address, IPv6Address)):
        return None
    host = _EVERYWHERE.get(address.host, address.host)
    host = f"[{host}]" if ":" in host else host
    scheme, usual = ("https", 443) if description.startswith("ssl:") else ("http", 80)
    return f"{scheme}://{host}/" if address.port == usual else f"{scheme}://{host}:{address.port}/"


def explainError(description: str, error: Exception) -> str:
    """
    Return in plain words why Twisted does not take an endpoint.

    Args:
        description: In Twisted's notation.
        error: Raised when it was parsed.
    """
    kind = description.partition(":")[0]
    text = str(error)
    if text.startswith("Unknown endpoint type"):
        suggestion = suggestEndpoint(description)
        return f"there is no endpoint type {kind!r}; " + (
            f"did you mean {suggestion}?" if suggestion else "an endpoint is written as tcp:8000 or unix:PATH"
        )
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
    if kind == "systemd" and isinstance(error, (LookupError, AttributeError)):
        return explainMissing()
    if isinstance(error, TypeError):
        return _explainParameters(kind, text)
    if type(error).__module__.startswith("OpenSSL"):
        return "key and certificate must be PEM files that belong together"
    number = re.fullmatch(r"invalid literal for int\(\) with base (\d+): (.*)", text)
    if number:
        return f"{number[2]} is not a{'n octal' if number[1] == '8' else ''} number"
    return text or type(error).__name__


def _explainParameters(kind: str, text: str) -> str:
    """Return in plain words why a parser of endpoints could not be called."""
    name = re.search(r"'(\w+)'", text)
    if name and "unexpected keyword" in text:
        return f"an endpoint of type {kind} has no parameter {name[1]}"
    if name and "missing" in text:
        return f"the parameter {name[1]} is missing"
    return _COLON
