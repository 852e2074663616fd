"""
The options of `--upstream`: their checks, the values that are secret, and the token source that they describe.

`sseserver.tap` uses it. A secret is read again where the source is made, so that it is never among the options.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from twisted.python import usage

from sseserver.client.agent import makeConnections
from sseserver.options import KEY_VARIABLE
from sseserver.sources.upstream import UpstreamLimits, UpstreamSource, checkHeader, checkKey
from sseserver.sources.upstreamproxy import Proxy, findProxy, makeProxyConnections, readProxy
from sseserver.timing.turnend import TurnEnd

#: Bytes. Largest file that is accepted as a key.
_MAX_KEY_BYTES = 16 * 1024


def checkUpstream(options: Mapping[str, Any]) -> None:
    """
    Check the options of an upstream API.

    Raises:
        usage.UsageError: A secret cannot be read, or the proxy cannot be used.
    """
    if options["upstream"] is None:
        return
    readKey(options)
    readHeaders(options)
    chooseProxy(options["upstream-proxy"], options["upstream"])


def makeUpstream(reactor: Any, options: Mapping[str, Any], turnEnd: TurnEnd | None = None) -> UpstreamSource:
    """
    Return the token source that the options describe.

    Args:
        reactor: Connects and measures time.
        options: The options, checked.
        turnEnd: The one of the service; `None` makes another.
    """
    url, connectTimeout, plain = options["upstream"], options["connect-timeout"], options["plain"] or None
    proxy = chooseProxy(options["upstream-proxy"], url)
    if proxy is None:
        connections = makeConnections(reactor, connectTimeout, turnEnd, plain)
    else:
        connections = makeProxyConnections(reactor, proxy, url.startswith("https:"), connectTimeout, turnEnd, plain)
    source = UpstreamSource(
        reactor,
        url,
        model=options["model"],
        limits=UpstreamLimits(
            connectTimeout,
            options["first-token-timeout"],
            options["token-timeout"],
            options["max-chunk"],
            bool(options["pin-model"]),
        ),
        connections=connections,
    )
    source.authenticate(readKey(options), readHeaders(options))
    return source


def readKey(options: Mapping[str, Any]) -> str | None:
    """
    Return the key of the upstream API.

    Args:
        options: The options: they may name a file with the key in one line. Otherwise it is in an environment variable.

    Returns:
        The key; `None` if neither has one.

    Raises:
        usage.UsageError: The file cannot be read, or its content is not a key. The message does
            not contain it.
    """
    name = options["upstream-key-file"]
    if name is None:
        where = f"${KEY_VARIABLE}"
        key = os.environ.get(KEY_VARIABLE)
        if not key:
            return None
    else:
        where = f"--upstream-key-file {name}"
        key = _readLine(options, name, "--upstream-key-file")
    try:
        if len(key) > _MAX_KEY_BYTES:
            raise ValueError(f"a key has at most {_MAX_KEY_BYTES} characters")
        return checkKey(key)
    except ValueError as error:
        raise usage.UsageError(f"{where}: {error}") from None


def readHeaders(options: Mapping[str, Any]) -> dict[str, str]:
    """
    Return the headers for requests to the upstream API, by name.

    Args:
        options: The options. Each header is `NAME: VALUE`; a value that begins with `@` is the path of a file with the
            value in one line, and one that begins with `$` an environment variable.

    Raises:
        usage.UsageError: A header is malformed, or its file or variable is missing. The message does not contain the
            value.
    """
    found: dict[str, str] = {}
    for header in options["upstream-header"]:
        name, colon, value = header.partition(":")
        where, value = f"--upstream-header {name.strip()[:50]}", value.strip()
        if not colon:
            raise usage.UsageError("--upstream-header: there must be a colon after the name")
        if value.startswith("@"):
            value = _readLine(options, value[1:], where)
        elif value.startswith("$"):
            variable, value = value[1:], os.environ.get(value[1:], "")
            if not value:
                raise usage.UsageError(f"{where}: the environment variable {variable} is not set")
        try:
            found.update([checkHeader(name.strip(), value)])
        except ValueError as error:
            raise usage.UsageError(f"--upstream-header: {error}") from None
    return found


def chooseProxy(given: str | None, url: str) -> Proxy | None:
    """
    Choose the proxy for the upstream API.

    Args:
        given: Value of the option: the URL of a proxy, or `none`; `None` leaves it to the environment.
        url: Base URL of the API.

    Raises:
        usage.UsageError: The URL of the proxy is unusable. The message does not contain it.
    """
    where = "the environment" if given is None else "--upstream-proxy"
    try:
        found = findProxy(url) if given is None else given
        return None if found is None or found == "none" else readProxy(found)
    except ValueError as error:
        raise usage.UsageError(f"{where}: {error}") from None


def _readLine(options: Mapping[str, Any], name: str, where: str) -> str:
    """
    Return the content of a key file without its line end.

    Raises:
        usage.UsageError: It cannot be read.
    """
    text: str = options["files"].read(name, where, _MAX_KEY_BYTES + len("\r\n"))
    return text.removesuffix("\n").removesuffix("\r")
