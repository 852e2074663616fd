"""
The options of access: their checks, the values that are secret, and the authenticator that they describe.

`sseserver.tap` uses it. A secret is read again where the authenticator is made, so that it is never among the options.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import ip_address
from time import time
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from twisted.python import usage

from sseserver.client.agent import makeAgent
from sseserver.command.listening import findHost
from sseserver.command.textfiles import MAX_KEYS
from sseserver.options.variables import LINK_KEY_VARIABLE, TOKEN_KEY_VARIABLE
from sseserver.sources.upstream import checkURL
from sseserver.web.access.apikeys import ApiKeys, readKeyFile
from sseserver.web.access.credentials import Credentials, Secrets, Verifier
from sseserver.web.access.signing import MIN_KEY, readSigningKeys

T = TypeVar("T")

#: Seconds that a connection to the server of a key set may take.
_CONNECT_TIMEOUT = 5.0

#: Hosts that only this machine reaches.
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def isGuarded(options: Mapping[str, Any]) -> bool:
    """Tell whether every request needs a credential."""
    return bool(
        options["api-keys"] or options["jwt-algorithm"] or options["link-key-file"] or os.environ.get(LINK_KEY_VARIABLE)
    )


def checkAccess(reactor: Any, options: Mapping[str, Any]) -> None:
    """
    Check the options of access.

    Args:
        reactor: Listens later.
        options: The options, with valid endpoints.

    Raises:
        usage.UsageError: An option is missing, a secret cannot be read, or a server that everybody reaches would ask
            for no credentials.
    """
    if options["jwks-url"] is not None:
        _checkKeySetURL(options["jwks-url"])
    readSecrets(options)
    if options["metrics"]:
        for description in options["known"]:
            if not isLocal(reactor, description):
                raise usage.UsageError(
                    f"--metrics: everybody who reaches --listen {description} could read them; use --admin-listen"
                )
    if not isGuarded(options) and not options["public"]:
        for description in options["known"]:
            if not isLocal(reactor, description):
                raise usage.UsageError(
                    f"--listen {description}: everybody who reaches this address could read and publish; ask for "
                    "credentials (--api-keys, --jwt-algorithm), or confirm with --public"
                )


def showsStreams(reactor: Any, options: Mapping[str, Any]) -> bool:
    """
    Tell whether the endpoint of `--admin-listen` has the streams, and the page that shows them.

    Otherwise everybody who reaches it could read them, where clients cannot: it has only health checks and metrics.

    Args:
        reactor: Listens later.
        options: The options, with a valid endpoint.
    """
    return isGuarded(options) or options["public"] or isLocal(reactor, options["admin-listen"])


def isLocal(reactor: Any, description: str) -> bool:
    """
    Tell whether only this machine reaches an endpoint.

    Args:
        reactor: Listens later.
        description: A valid endpoint in Twisted's notation. One that does not show its address counts as reachable.
    """
    if re.match(r"(haproxy:)?(unix:|systemd:(.*:)?domain=UNIX\b)", description):
        return True
    host = findHost(reactor, description)
    try:
        return host is not None and ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host in _LOCAL_NAMES


def makeCredentials(reactor: Any, options: Mapping[str, Any], sessionKey: bytes | None = None) -> Credentials | None:
    """
    Return the authenticator that the options describe; `None` if they ask for no credentials.

    Args:
        reactor: Fetches the keys of a URL.
        options: The options.
        sessionKey: Signs the cookies of sessions if there is no other key; `None` for a random one.

    Raises:
        usage.UsageError: See `readSecrets`.
    """
    if not isGuarded(options):
        return None
    made = Credentials(readSecrets(options), sessionKey or secrets.token_bytes(MIN_KEY))
    if options["jwks-url"] is not None:
        made.replace(readSecrets(options, _makeRemoteVerifier(reactor, options, made)))
    return made


def reloadCredentials(credentials: Credentials, options: Mapping[str, Any]) -> None:
    """
    Read the files and variables with keys again.

    Args:
        credentials: What `makeCredentials` has made of the options.
        options: The options.

    Raises:
        usage.UsageError: See `readSecrets`. Nothing is changed.
    """
    # A key set at a URL has a life of its own.
    credentials.replace(readSecrets(options, credentials.tokens))


def readSecrets(options: Mapping[str, Any], remote: Verifier | None = None) -> Secrets:
    """
    Read the files and variables with keys.

    Args:
        options: The options.
        remote: Verifies tokens with the keys of a URL, if the options have one.

    Raises:
        usage.UsageError: One of them cannot be read, or has no valid keys. The message contains none of them.
    """
    path, algorithm = options["api-keys"], options["jwt-algorithm"]
    lines = () if path is None else _convert(f"--api-keys {path}", readKeyFile, _readFile(options, path, "--api-keys"))
    signing = _findSecret(options, "link-key-file", LINK_KEY_VARIABLE)
    signingKeys = () if signing is None else _convert(signing.place, readSigningKeys, signing.text)
    tokens = _makeVerifier(options) if algorithm is not None and options["jwks-url"] is None else remote
    return Secrets(ApiKeys(lines), tokens, signingKeys)


def _makeVerifier(options: Mapping[str, Any]) -> Verifier:
    """
    Return what verifies tokens with a fixed key.

    Raises:
        usage.UsageError: There is no key, or it cannot be used.
    """
    jwts = _importTokens()
    found = _findSecret(options, "jwt-key-file", TOKEN_KEY_VARIABLE)
    if found is None:
        raise usage.UsageError(f"--jwt-algorithm needs a key: --jwt-key-file, ${TOKEN_KEY_VARIABLE}, or --jwks-url")
    key = _convert(found.place, partial(jwts.FixedKey, options["jwt-algorithm"]), found.text)
    verifier: Verifier = jwts.TokenVerifier(_makeRules(options), key, time)
    return verifier


def _makeRemoteVerifier(reactor: Any, options: Mapping[str, Any], credentials: Credentials) -> Verifier:
    """Return what verifies tokens with the keys of a URL."""
    jwts = _importTokens()
    from sseserver.web.access.jwks import RemoteKeys  # noqa: PLC0415  (needs the extra `auth`)

    keys = RemoteKeys(
        reactor,
        makeAgent(reactor, _CONNECT_TIMEOUT),
        options["jwks-url"],
        options["jwt-algorithm"],
        credentials.noteChange,
    )
    verifier: Verifier = jwts.TokenVerifier(_makeRules(options), keys, time)
    return verifier


def _makeRules(options: Mapping[str, Any]) -> Any:
    return _importTokens().TokenRules(options["jwt-algorithm"], options["jwt-issuer"], options["jwt-audience"])


def _importTokens() -> Any:
    """
    Return the module that verifies tokens.

    Raises:
        usage.UsageError: The extra `auth` is not installed.
    """
    try:
        from sseserver.web.access import jwts  # noqa: PLC0415  (optional)
    except ImportError:
        raise usage.UsageError("--jwt-algorithm needs PyJWT: pip install 'sseserver[auth]'") from None
    return jwts


def _checkKeySetURL(url: str) -> None:
    """
    Check the URL of a key set.

    Raises:
        usage.UsageError: Keys that come from there could be anybody's.
    """
    try:
        checkURL(url)
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in _LOCAL_NAMES:
            raise ValueError("keys must come over https")
    except ValueError as error:
        raise usage.UsageError(f"--jwks-url: {error}") from None


class _Secret(NamedTuple):
    """
    A secret as it was found.

    Attributes:
        place: The option or variable, for messages.
        text: The secret.
    """

    place: str
    text: str


def _findSecret(options: Mapping[str, Any], name: str, variable: str) -> _Secret | None:
    """Find a secret in the file of an option, or in the environment."""
    path = options[name]
    if path is not None:
        return _Secret(f"--{name} {path}", _readFile(options, path, f"--{name}"))
    value = os.environ.get(variable)
    return _Secret(f"${variable}", value) if value else None


def _readFile(options: Mapping[str, Any], path: str, option: str) -> str:
    """
    Return the text of a file, without the line end at its end.

    Raises:
        usage.UsageError: It cannot be read.
    """
    text: str = options["files"].read(path, option, MAX_KEYS)
    return text.removesuffix("\n").removesuffix("\r")


def _convert(place: str, convert: Callable[[str], T], text: str) -> T:
    """
    Convert the text of a secret.

    Raises:
        usage.UsageError: The conversion has raised `ValueError`.
    """
    try:
        return convert(text)
    except ValueError as error:
        raise usage.UsageError(f"{place}: {error}") from None
