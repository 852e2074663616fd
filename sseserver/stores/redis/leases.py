"""
Leases of processes: `Node` holds the one of this process, and ends or takes over runs whose process has lost its own.

A node is one process. Its lease covers all its runs. Redis's clock decides when a lease is over, never a node's. Only a
node that has held its own lease for the time of one ends the runs of others: so an outage of Redis ends none.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.logger import Logger
from twisted.python.failure import Failure

from sseserver.errors import StoreUnavailable
from sseserver.stores.redis.client import Client
from sseserver.stores.redis.connection import unwrap
from sseserver.stores.redis.indices import Index, askIndex
from sseserver.stores.redis.layout import SHARDS, Layout
from sseserver.stores.redis.nodescripts import ADOPT, FORGET, LEASE
from sseserver.stores.redis.script import NODE_SIZE

log = Logger(__name__)

#: Seconds. Length of a lease.
LEASE_TIME = 10.0

#: Number. Part of a lease after which it is renewed, and other nodes are looked at.
RENEWAL = 0.3

#: Number. Part of a lease. After a longer time between two renewals Redis may have been away for all nodes.
LONGEST_RENEWAL = 0.45


class NodeRuns(NamedTuple):
    """
    The runs of a node, and the ends of others.

    Attributes:
        listKnown: Returns the names of the runs of this process.
        onLapsed: Called when the lease had run out before it was renewed: others may have ended the runs.
        end: Called with the name of a run and its dead owner; ends it, or takes it over. Fires with whether that is
            done; otherwise it must be called again later.
    """

    listKnown: Callable[[], set[str]]
    onLapsed: Callable[[], object]
    end: Callable[[str, bytes], Deferred[bool]]


class Node:
    """
    This process, as the others see it.

    Args:
        clock: The reactor: leases pass in real time.
        client: The Redis.
        layout: Names of the keys.
        runs: The runs of this process, and the end of others.

    Attributes:
        id: ID of this node. A process has a new one at each start, so an ID never gets a run back that it has lost.
        lease: Seconds. Length of a lease.
    """

    def __init__(
        self,
        clock: Any,
        client: Client,
        layout: Layout,
        runs: NodeRuns,
    ) -> None:
        self.id = b""
        self.lease = LEASE_TIME
        self._clock = clock
        self._client = client
        self._layout = layout
        self._runs = runs
        # How many of the next renewals look for forgotten runs.
        self._looks = 0
        # Generation of the server that has the leases. A connection may survive a change of it.
        self._generation = b""
        # Since when the lease has been renewed in time, and when it was renewed last.
        self._heldSince = self._renewedAt = 0.0
        self._timer: Any = None
        self._joined = False
        self._burying: set[bytes] = set()
        # The nodes whose lost runs stand in the log.
        self._reported: set[bytes] = set()

    def start(self) -> None:
        """Take an ID, and keep a lease until `stop`."""
        self.id = secrets.token_hex(NODE_SIZE // 2).encode("ascii")
        self._joined = False
        self._renew()

    def hurry(self) -> None:
        """Renew the lease now: the connection is there."""
        if self._timer is not None and self._timer.active():
            self._timer.reset(0)

    def stop(self) -> Deferred[None]:
        """Give the lease back. Others end the runs that are still open."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        # At once over, but known: its runs must be found.
        left = self._client.ask("ZADD", self._layout.nodes, 0, self.id)
        return left.addCallback(lambda _: None).addErrback(_trap)

    def adopt(self, owners: list[bytes]) -> None:
        """
        Give a lease to owners of runs that have none: Redis has lost it. One that is dead will not renew it.

        Args:
            owners: IDs of nodes.
        """
        self._client.run(ADOPT, [self._layout.nodes], (self.lease, *owners)).addErrback(_trap)

    def endForgotten(self) -> None:
        """End the open runs of this node that it does not know any more: it had ended them, and the ends were lost."""
        ended = self._endRuns(self.id, self._runs.listKnown)
        ended.addErrback(self._noteFailed)

    def doubt(self) -> None:
        """
        Look for a run that this node may have made without an answer, or whose end Redis may have lost.

        It is looked for twice, since a command of a lost connection may take effect after those of the next one.
        """
        self._looks = 2

    def _renew(self) -> None:
        self._timer = self._clock.callLater(self.lease * RENEWAL, self._renew)
        if self._client.reaches(self._layout.nodes):
            renewed = self._client.run(LEASE, [self._layout.nodes], (self.id, self.lease))
            renewed.addCallback(self._note).addErrback(_trap)

    def _note(self, reply: list[Any]) -> None:
        lapsed, over, generation = reply
        now = self._clock.seconds()
        changed = self._generation not in {b"", generation}
        self._generation = generation
        if lapsed or now - self._renewedAt > LONGEST_RENEWAL * self.lease:
            self._heldSince = now
        self._renewedAt = now
        if self._joined and (lapsed or changed):
            self._runs.onLapsed()
        if changed:
            # The server was a replica for a while: it may have lost the ends of runs.
            self._looks = max(self._looks, 1)
        self._joined = True
        if self._looks:
            self._looks -= 1
            self.endForgotten()
        if now - self._heldSince < self.lease:
            # Redis may have been away. Then nobody could renew a lease, and the others are about to.
            return
        for node in over:
            if node not in self._burying and node != self.id:
                self._burying.add(node)
                self._bury(node).addErrback(_trap).addCallback(self._noteBuried, node)

    def _noteFailed(self, failure: Failure) -> None:
        # It is tried again with the next renewal.
        self._looks = max(self._looks, 1)
        _trap(failure)

    def _noteBuried(self, _: None, node: bytes) -> None:
        self._burying.discard(node)

    def _bury(self, node: bytes) -> Deferred[None]:
        """End the open runs of a node whose lease is over, then forget the node. If some are left, it must be found."""

        def forget(done: bool) -> Deferred[Any] | None:
            return self._client.run(FORGET, [self._layout.nodes], (node,)) if done else None

        return self._endRuns(node, set).addCallback(forget)

    @inlineCallbacks
    def _endRuns(self, node: bytes, listKnown: Callable[[], set[str]]) -> Generator[Deferred[Any], Any, bool]:
        indices = [
            Index(self._client, self._layout, self._layout.findBase(shard) + b"runs", "HDEL") for shard in range(SHARDS)
        ]
        shards = yield gatherResults(
            [askIndex(self._client, "HGETALL", each.key) for each in indices], consumeErrors=True
        )
        found = {
            name
            for index, pairs in zip(indices, shards, strict=True)
            for written, owner in zip(pairs[::2], pairs[1::2], strict=True)
            if owner == node and node and (name := index.readName(written)) is not None
        }
        names = sorted(found - listKnown())
        if names and node not in self._reported:
            self._reported.add(node)
            log.warn("{count} runs have lost their process", count=len(names))  # noqa: G010 (a logger of Twisted)
        done = yield gatherResults([self._runs.end(name, node) for name in names], consumeErrors=True)
        if all(done):
            self._reported.discard(node)
        return all(done)


def _trap(failure: Failure) -> None:
    """Ignore the loss of the connection: the next renewal tries again."""
    first = unwrap(failure)
    if not first.check(StoreUnavailable):
        log.failure("The node of a store broke", first)
