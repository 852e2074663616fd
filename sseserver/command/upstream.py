"""
The options of `--upstream`: their checks, the values that are secret, and the token source that they describe.

`sseserver.tap` uses it. A secret is read again where the source is made, so that it is never among the options.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from twisted.python import usage

from sseserver.client.agent import Connections, makeConnections
from sseserver.options import KEY_VARIABLE
from sseserver.options.types import AUTO, UPSTREAM_APIS
from sseserver.options.variables import nameKeyVariable
from sseserver.sources.upstream import UpstreamLimits, UpstreamSource, checkHeader, checkKey, checkURL
from sseserver.sources.upstreamproxy import Proxy, findProxy, makeProxyConnections, readProxy
from sseserver.sources.upstreams import NamedUpstream, UpstreamGroup
from sseserver.timing.turnend import TurnEnd

#: Bytes. Largest file that is accepted as a key.
_MAX_KEY_BYTES = 16 * 1024

#: Name before a URL, and anything that may be meant as one.
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_PREFIX = re.compile(r"([A-Za-z0-9_.-]*)=")

#: A name whose variable would be that of `--upstream-key-file`.
_TAKEN = "file"


class UpstreamAPI(NamedTuple):
    """
    One API of `--upstream`.

    Attributes:
        name: Its name; empty for the only one.
        url: Base URL.
    """

    name: str
    url: str


class Credentials(NamedTuple):
    """
    Secrets for requests to an API.

    Attributes:
        key: The key; `None` if there is none.
        headers: Other headers by name.
    """

    key: str | None
    headers: Mapping[str, str]


def checkNamedURL(text: str) -> str:
    """
    Check a value of `--upstream`: the base URL of an API, with or without a name.

    Returns:
        The value; the path of its URL has no slash at its end.

    Raises:
        ValueError: It is unusable. The message does not repeat the URL, because it may hold a secret.
    """
    found = _PREFIX.match(text)
    if found is None:
        return checkURL(text)
    name = found[1]
    if not _NAME.fullmatch(name):
        raise ValueError(f"the name {name[:50]!r} must be up to 40 of a-z, 0-9 and -, and begin with a letter")
    if name == _TAKEN:
        raise ValueError(f"the name {_TAKEN!r} is taken; choose another one")
    return f"{name}={checkURL(text[found.end() :])}"


def listAPIs(options: Mapping[str, Any]) -> list[UpstreamAPI]:
    """
    List the APIs of `--upstream`, the most preferred one first.

    Raises:
        usage.UsageError: One of several has no name, or two have the same.
    """
    found = [(_PREFIX.match(text), text) for text in options["upstream"]]
    apis = [
        UpstreamAPI("", text) if match is None else UpstreamAPI(match[1], text[match.end() :]) for match, text in found
    ]
    names = [api.name for api in apis]
    if len(apis) > 1 and not all(names):
        raise usage.UsageError("--upstream: with more than one API each needs a name: --upstream NAME=URL")
    for name in names:
        if names.count(name) > 1:
            raise usage.UsageError(f"--upstream: two APIs have the name {name}")
    return apis


def checkUpstream(options: Mapping[str, Any]) -> None:
    """
    Check the options of upstream APIs.

    Raises:
        usage.UsageError: A name is wrong, a secret cannot be read, or a proxy cannot be used.
    """
    for api in listAPIs(options):
        readCredentials(options, api)
        chooseProxy(options, api)
        chooseProtocol(options, api)


def makeUpstream(
    reactor: Any, options: Mapping[str, Any], turnEnd: TurnEnd | None = None
) -> UpstreamSource | UpstreamGroup:
    """
    Return the token source that the options describe.

    Args:
        reactor: Connects and measures time.
        options: The options, checked.
        turnEnd: The one of the service; `None` makes another.
    """
    apis, model, isPinned = listAPIs(options), options["model"], bool(options["pin-model"])

    def make(api: UpstreamAPI) -> UpstreamSource:
        connections = _connect(reactor, options, api, turnEnd)
        times = options["connect-timeout"], options["first-token-timeout"], options["token-timeout"]
        protocol = chooseProtocol(options, api)
        if api.name:
            limits = UpstreamLimits(*times, options["max-chunk"], api=protocol)
            return UpstreamSource(reactor, api.url, limits=limits, connections=connections)
        limits = UpstreamLimits(*times, options["max-chunk"], isPinned, protocol)
        return UpstreamSource(reactor, api.url, model=model, limits=limits, connections=connections)

    named = [NamedUpstream(api.name, make(api)) for api in apis]
    source = UpstreamGroup(reactor, named, model, isPinned) if apis[0].name else named[0].source
    reloadUpstream(source, options)
    return source


def reloadUpstream(source: UpstreamSource | UpstreamGroup, options: Mapping[str, Any]) -> None:
    """
    Read keys and headers of a source again.

    Args:
        source: From `makeUpstream`.
        options: The same options.

    Raises:
        usage.UsageError: One cannot be read. Nothing is changed.
    """
    sources = [each.source for each in source.upstreams] if isinstance(source, UpstreamGroup) else [source]
    read = [readCredentials(options, api) for api in listAPIs(options)]
    for each, credentials in zip(sources, read, strict=True):
        each.authenticate(credentials.key, credentials.headers)


def readCredentials(options: Mapping[str, Any], api: UpstreamAPI) -> Credentials:
    """
    Return the secrets for requests to an API.

    Args:
        options: The options: they may name a file with the key in one line. Otherwise it is in an environment variable.
            Each header is `HEADER: VALUE`; a value that begins with `@` is the path of a file with the value in one
            line, and one that begins with `$` an environment variable.
        api: The API.

    Raises:
        usage.UsageError: A file or a variable is missing, or its content is unusable. The message does not contain it.
    """
    return Credentials(_readKey(options, api), dict(_readHeaders(options, api)))


def _readKey(options: Mapping[str, Any], api: UpstreamAPI) -> str | None:
    files = _listValues(options, "upstream-key-file", api)
    if files:
        where = f"--upstream-key-file {files[-1]}"
        key = _readLine(options, files[-1], "--upstream-key-file")
    else:
        variable = _findVariable(options, api)
        where, key = f"${variable}", os.environ.get(variable, "")
        if not key:
            return None
    try:
        if len(key) > _MAX_KEY_BYTES:
            raise ValueError(f"a key has at most {_MAX_KEY_BYTES} characters")
        return checkKey(key)
    except ValueError as error:
        raise usage.UsageError(f"{where}: {error}") from None


def _findVariable(options: Mapping[str, Any], api: UpstreamAPI) -> str:
    """
    Return the name of the environment variable with the key of an API.

    Raises:
        usage.UsageError: A key is set that could be that of any of several APIs.
    """
    own = nameKeyVariable(api.name)
    if not api.name or os.environ.get(own):
        return own
    if len(options["upstream"]) == 1:
        return KEY_VARIABLE
    if os.environ.get(KEY_VARIABLE):
        raise usage.UsageError(f"${KEY_VARIABLE}: with more than one API a key needs the name of one: ${own}")
    return own


def _readHeaders(options: Mapping[str, Any], api: UpstreamAPI) -> Iterator[tuple[str, str]]:
    for header in _listValues(options, "upstream-header", api):
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
            yield checkHeader(name.strip(), value)
        except ValueError as error:
            raise usage.UsageError(f"--upstream-header: {error}") from None


def chooseProxy(options: Mapping[str, Any], api: UpstreamAPI) -> Proxy | None:
    """
    Choose the proxy for an API.

    Args:
        options: The options: the URL of a proxy, or `none`. Without one the environment decides.
        api: The API.

    Raises:
        usage.UsageError: The URL of the proxy is unusable. The message does not contain it.
    """
    given = _listValues(options, "upstream-proxy", api, isShared=True)
    where = "--upstream-proxy" if given else "the environment"
    try:
        found = given[-1] if given else findProxy(api.url)
        return None if found is None or found == "none" else readProxy(found)
    except ValueError as error:
        raise usage.UsageError(f"{where}: {error}") from None


def chooseProtocol(options: Mapping[str, Any], api: UpstreamAPI) -> str:
    """
    Choose the protocol in which an API is asked.

    Args:
        options: The options.
        api: The API.

    Raises:
        usage.UsageError: There is no such protocol.
    """
    given = _listValues(options, "upstream-api", api, isShared=True)
    for value in given:
        if value not in UPSTREAM_APIS:
            raise usage.UsageError(f"--upstream-api: {value[:50]!r} is unknown; use auto, chat or responses")
    return given[-1] if given else AUTO


def _listValues(options: Mapping[str, Any], option: str, api: UpstreamAPI, isShared: bool = False) -> Sequence[str]:
    """
    List the values that an option has for an API.

    Args:
        options: The options.
        option: Name of the option, whose values may begin with `NAME=`.
        api: The API.
        isShared: Whether a value without a name is for each API that has none of its own.

    Raises:
        usage.UsageError: A value needs a name and has none, or another one.
    """
    names = [each.name for each in listAPIs(options) if each.name]
    own, shared = [], []
    for text in options[option]:
        name, equals, value = text.partition("=")
        if equals and name in names:
            own += [value] if name == api.name else []
        elif len(options["upstream"]) > 1 and not isShared:
            raise usage.UsageError(
                f"--{option}: with more than one API it needs the name of one before it, as in {names[0]}=…; "
                f"the names are {', '.join(names)}"
            )
        else:
            shared.append(text)
    return own or shared if isShared else [*shared, *own]


def _connect(reactor: Any, options: Mapping[str, Any], api: UpstreamAPI, turnEnd: TurnEnd | None) -> Connections:
    """Make the connections to an API."""
    timeout, plain = options["connect-timeout"], options["plain"] or None
    proxy = chooseProxy(options, api)
    if proxy is None:
        return makeConnections(reactor, timeout, turnEnd, plain)
    return makeProxyConnections(reactor, proxy, api.url.startswith("https:"), timeout, turnEnd, plain)


def _readLine(options: Mapping[str, Any], name: str, where: str) -> str:
    """
    Return the content of a key file without its line end.

    Raises:
        usage.UsageError: It cannot be read.
    """
    text: str = options["files"].read(name, where, _MAX_KEY_BYTES + len("\r\n"))
    return text.removesuffix("\n").removesuffix("\r")
