"""
The first commands on each connection: authentication, the checks of the server, and the scripts.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks

from sseserver.errors import StoreUnavailable
from sseserver.stores.redis.address import Credentials
from sseserver.stores.redis.connection import RedisConnection, Refused
from sseserver.stores.redis.scripts import SCRIPTS

#: Number. The oldest major version of Redis or Valkey that has all that is needed.
OLDEST = 7


class Unsuitable(StoreUnavailable):
    """The server cannot be used as a store, now or as it is configured."""


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """
    Description of a server.

    Attributes:
        generation: Changes whenever the server may have lost writes: with each of its starts, and when another
            server takes over.
        version: Its version.
        durable: Whether it keeps an append-only file.
        policy: Its `maxmemory-policy`.
        clustered: Whether it belongs to a cluster.
        isMaster: Whether it is no replica.
    """

    generation: bytes
    version: str
    durable: bool
    policy: str
    clustered: bool
    isMaster: bool

    @property
    def evicts(self) -> bool:
        """Whether it deletes streams that are in use when its memory is full."""
        return self.policy.startswith("allkeys-")


@inlineCallbacks
def introduce(
    connection: RedisConnection, credentials: Credentials, database: int
) -> Generator[Deferred[Any], Any, ServerInfo]:
    """
    Make a new connection ready for use.

    Args:
        connection: The connection.
        credentials: Sent to the server.
        database: Number of the database.

    Returns:
        Fires with the description of the server.

    Raises:
        Unsuitable: (errback) The server is too old, or loading its data.
        StoreUnavailable: (errback) The server refuses the credentials or the database, or the connection ended.
    """
    try:
        if credentials.password:
            user = (credentials.user,) if credentials.user else ()
            yield connection.ask("AUTH", *user, credentials.password)
        if database:
            yield connection.ask("SELECT", database)
        answer = yield connection.ask("INFO")
        info = checkServer(_parse(answer))
        yield gatherResults([connection.ask("SCRIPT", "LOAD", script.text) for script in SCRIPTS], consumeErrors=True)
    except Refused as refused:
        raise Unsuitable(_explain(refused)) from None
    return info


def _parse(answer: bytes) -> dict[str, str]:
    """Return the fields of the answer to `INFO`."""
    pairs = (line.partition(":") for line in answer.decode("utf-8", "replace").splitlines())
    return {name: value for name, _, value in pairs}


def checkServer(fields: dict[str, str]) -> ServerInfo:
    """
    Check that a server can keep streams.

    Args:
        fields: The fields of its answer to `INFO`.

    Raises:
        Unsuitable: It cannot.
    """
    version = fields.get("valkey_version") or fields.get("redis_version", "0")
    major = version.partition(".")[0]
    policy = fields.get("maxmemory_policy", "noeviction")
    if not major.isdigit() or int(major) < OLDEST:
        raise Unsuitable(f"Redis {version} is too old; version {OLDEST} or later is needed.")
    if fields.get("loading", "0") != "0":
        raise Unsuitable("The Redis is loading its data.")
    # RDB files are written only where the configuration has rules; `aof_enabled` says more.
    durable = fields.get("aof_enabled") == "1"
    generation = f"{fields.get('run_id', '')}:{fields.get('master_replid', '')}"
    clustered, isMaster = fields.get("cluster_enabled") == "1", fields.get("role") == "master"
    return ServerInfo(generation.encode("utf-8"), version, durable, policy, clustered, isMaster)


def _explain(refused: Refused) -> str:
    """Return a sentence for the operator. Errors of the server hold no credentials, but may quote ours."""
    if refused.word in {"WRONGPASS", "NOAUTH"} or "AUTH" in refused.text:
        return "The Redis refuses the credentials."
    if refused.word == "NOPERM":
        return "The Redis does not permit this user to call the commands that the store needs."
    return f"The Redis refuses to serve: {refused.text}"
