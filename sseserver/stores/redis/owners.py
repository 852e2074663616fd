"""
RunOwners: finds open runs whose owners have no lease, so that somebody ends them.

A node whose lease is over is forgotten when its runs have ended. If it was only cut off, it may have made another run
before it could renew its lease, and then die. Nobody would look for this run. So each process looks at the owners of
all open runs, a few shards at a time.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from sseserver.errors import StoreUnavailable
from sseserver.stores.redis.client import Client
from sseserver.stores.redis.indices import Index, askIndex
from sseserver.stores.redis.layout import SHARDS, Layout
from sseserver.stores.redis.leases import Node

log = Logger(__name__)

#: Number of shards of one look, and of runs of one shard.
LOOK, MOST = 4, 100


class RunOwners:
    """
    The owners of the open runs.

    Args:
        client: The Redis.
        layout: Names of the keys.
        node: This process, which gives leases to the owners that have none.
    """

    def __init__(self, client: Client, layout: Layout, node: Node) -> None:
        self._client = client
        self._layout = layout
        self._node = node
        self._shard = 0
        # The cursor of the next look at each shard.
        self._cursors: dict[int, bytes] = {}

    def look(self) -> None:
        """Look at the next shards."""
        for _ in range(LOOK):
            self._shard = (self._shard + 1) % SHARDS
            runs, cursor = self._layout.findBase(self._shard) + b"runs", self._cursors.get(self._shard, b"0")
            listed = askIndex(self._client, "HSCAN", runs, cursor, "COUNT", MOST)
            listed.addCallback(self._note, self._shard, Index(self._client, self._layout, runs, "HDEL"))
            listed.addErrback(_trap)

    def _note(self, reply: list[Any], shard: int, index: Index) -> None:
        self._cursors[shard], pairs = reply
        for name, owner in zip(pairs[::2], pairs[1::2], strict=True):
            if index.readName(name) is not None and not owner:
                index.remove(name)
        # A living node renews its own lease.
        owners = sorted(set(pairs[1::2]) - {self._node.id, b""})
        if owners:
            self._node.adopt(owners)


def _trap(failure: Failure) -> None:
    """Ignore the loss of the connection: the next look tries again."""
    if not failure.check(StoreUnavailable):
        log.failure("The look for owners of runs broke", failure)
