"""
The runs of processes that are gone: they are taken over, or end `failed`, `interrupted`.

`Session` has one; the lease of this process calls it.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from sseserver.errors import StoreDamaged, StreamNotFound
from sseserver.stores.redis.client import Client
from sseserver.stores.redis.indices import Index
from sseserver.stores.redis.layout import Layout
from sseserver.stores.redis.leases import Node
from sseserver.stores.redis.publisher import Publisher
from sseserver.stores.redis.takeover import Takeover
from sseserver.streams.terminal import INTERRUPTED


class Interruptions:
    """
    Settles runs whose process is gone.

    Args:
        node: The lease of this process.
        takeover: Takes them over.
        publisher: Ends them.
        client: The Redis.
        layout: Names of the keys.
    """

    def __init__(self, node: Node, takeover: Takeover, publisher: Publisher, client: Client, layout: Layout) -> None:
        self._node = node
        self._takeover = takeover
        self._publisher = publisher
        self._client = client
        self._layout = layout

    def settle(self, name: str, owner: bytes) -> Deferred[bool]:
        """
        Take over a run, or end it. Another process may have done it before.

        Args:
            name: Name of its stream.
            owner: Its owner, which is gone; or this process, which does not know the run any more.

        Returns:
            Fires with whether that is done. Otherwise it must be tried again later.
        """
        # A run that this process does not know any more had an end, which was lost.
        own = owner == self._node.id
        taken = succeed(None) if own else self._takeover.take(name, owner).addErrback(self._doubt)
        return taken.addCallback(self._endUnlessSettled, name, owner)

    def _doubt(self, failure: Failure) -> Any:
        """Look for a run that this process may have taken: the answer was lost. A damaged one must end."""
        if failure.check(StoreDamaged):
            return None
        self._node.doubt()
        return failure

    def _endUnlessSettled(self, settled: bool | None, name: str, owner: bytes) -> bool | Deferred[bool]:
        if settled is not None:
            return settled
        ended = self._publisher.end(name, INTERRUPTED, owner=owner)
        return ended.addErrback(self._noteUnended, name).addCallback(lambda _: True)

    def _noteUnended(self, failure: Failure, name: str) -> None:
        """Forget a run that is gone, or that nobody can end: it is damaged."""
        if failure.trap(StreamNotFound, StoreDamaged) is StoreDamaged:
            Index(self._client, self._layout, self._layout.locate(name).runs, "HDEL").remove(name)
