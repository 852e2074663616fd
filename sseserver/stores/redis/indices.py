"""
Indices: the lists of streams, runs and leases of each shard, which a foreign hand may have changed.

An index of another type is deleted, and is then empty. A name in it that is none, or belongs to another shard, is taken
from it.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from sseserver.errors import StoreDamaged, StoreUnavailable
from sseserver.stores.redis.client import Client
from sseserver.stores.redis.connection import Argument, Reply
from sseserver.stores.redis.layout import Layout, findShard
from sseserver.stores.redis.scripts import MEND


def askIndex(client: Client, command: str, key: bytes, *arguments: Argument) -> Deferred[Reply]:
    """
    Read an index.

    Args:
        client: The Redis.
        command: A command that reads it.
        key: Its key.
        arguments: The other arguments of the command.

    Returns:
        Fires with the reply; with that about an empty index if it has another type.

    Raises:
        StoreUnavailable: (errback) It cannot be read now.
    """

    def mend(failure: Failure) -> Deferred[Reply]:
        failure.trap(StoreDamaged)
        mended = client.run(MEND, [key], (command, *arguments))
        return mended.addCallback(lambda _: client.ask(command, key, *arguments))

    return client.ask(command, key, *arguments).addErrback(mend)


class Index:
    """
    One index.

    Args:
        client: The Redis.
        layout: Names of the keys.
        key: Its key.
        removal: Command that removes a name from it.

    Attributes:
        key: See above.
    """

    def __init__(self, client: Client, layout: Layout, key: bytes, removal: str) -> None:
        self._client = client
        self._layout = layout
        self._removal = removal
        self.key = key

    def readName(self, written: bytes) -> str | None:
        """Return a name of this shard; remove anything else, and return `None`."""
        if written and self.key.startswith(self._layout.findBase(findShard(written))):
            try:
                return written.decode("utf-8")
            except ValueError:
                pass
        self.remove(written)
        return None

    def remove(self, name: str | bytes) -> None:
        """Remove a name, now or, if Redis cannot be reached, when it is found again."""
        self._client.ask(self._removal, self.key, name).addErrback(_trap)


def _trap(failure: Failure) -> Any:
    """Ignore the loss of the connection."""
    failure.trap(StoreUnavailable)
