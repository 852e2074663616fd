"""
The store of `--store redis://…`, with its credentials. The extra `redis` is imported only if the option is given.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from twisted.python import usage

from sseserver.errors import StoreUnavailable
from sseserver.interfaces import IStreamStore
from sseserver.options.types import REDIS
from sseserver.options.variables import REDIS_VARIABLE
from sseserver.timing.turnend import TurnEnd

#: Bytes. Largest file of credentials.
_MAX_FILE = 4096


def isRedis(store: str | None) -> bool:
    """Return whether a value of `--store` is the URL of a Redis."""
    return store is not None and store.startswith(REDIS)


def makeRedisStore(
    reactor: Any,
    options: Mapping[str, Any],
    window: int,
    turnEnd: TurnEnd | None,
    onUnfit: Callable[[StoreUnavailable], object],
) -> IStreamStore:
    """
    Return the store in a Redis that the options describe.

    Args:
        reactor: Passed to the store.
        options: The options.
        window: Bytes of entries that each stream keeps.
        turnEnd: The one of the service.
        onUnfit: Called with the reason if the Redis is configured so that it must not be used.

    Raises:
        usage.UsageError: See `checkStore`.
    """
    place, credentials = _readRedis(options)
    from sseserver.stores.redis import client, store  # noqa: PLC0415  (they need the extra)

    connections = client.Client(reactor, place, credentials)
    connections.onUnfit = onUnfit
    terms = store.StoreTerms(window, options["keep"], options["idle"], options["redis-prefix"])
    return store.RedisStore(reactor, connections, terms, turnEnd)


def checkStore(options: Mapping[str, Any]) -> None:
    """
    Check the options of a store in a Redis, without a connection to it.

    Args:
        options: The options.

    Raises:
        usage.UsageError: The address, the prefix or the credentials cannot be used, or the extra is not installed.
    """
    if isRedis(options["store"]):
        _readRedis(options)


def _readRedis(options: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the address of the Redis and the credentials, `None` for none."""
    try:
        import hiredis  # noqa: F401, PLC0415  (optional)
    except ImportError:
        raise usage.UsageError("--store redis: needs hiredis: pip install 'sseserver[redis]'") from None
    from sseserver.stores.redis import address  # noqa: PLC0415  (it needs the extra)

    prefix = options["redis-prefix"]
    if "{" in prefix or not prefix.isprintable() or " " in prefix:
        raise usage.UsageError("--redis-prefix must not have braces, spaces or control characters")
    try:
        place = address.readAddress(options["store"])
    except ValueError as error:
        raise usage.UsageError(f"--store: {error}") from None
    text, origin = _findCredentials(options)
    try:
        return place, address.readCredentials(text) if text else None
    except ValueError as error:
        raise usage.UsageError(f"{origin}: {error}") from None


def _findCredentials(options: Mapping[str, Any]) -> tuple[str, str]:
    """Return the text with the credentials, empty if there are none, and where it comes from."""
    path = options["redis-credentials-file"]
    if path is None:
        return os.environ.get(REDIS_VARIABLE, ""), f"${REDIS_VARIABLE}"
    place = "--redis-credentials-file"
    return options["files"].read(path, place, _MAX_FILE), f"{place} {path}"
