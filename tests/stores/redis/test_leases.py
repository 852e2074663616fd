"""
Leases of nodes, without a Redis.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.redisservers import findMissing

if findMissing() is None:
    from sseserver.stores.redis.layout import Layout
    from sseserver.stores.redis.leases import LEASE_TIME, RENEWAL, Node, NodeRuns


class FakeClient:
    """
    A Redis where another node has a run, and no lease any more.

    Attributes:
        generation: Generation of the server.
        isAway: Whether there is no connection.
        lapsed: Whether the next renewal finds the lease of this node over.
    """

    def __init__(self) -> None:
        self.generation = b"g"
        self.isAway = False
        self.lapsed = True

    def reaches(self, key: bytes) -> bool:
        """Tell whether there is a connection."""
        return not self.isAway

    def run(self, *_: Any) -> Deferred[Any]:
        """Renew the lease."""
        return succeed([int(self.lapsed), [b"other"], self.generation])

    def ask(self, command: str, key: bytes, *_: Any) -> Deferred[Any]:
        """List the runs of a shard, or forget the node."""
        return succeed([b"run", b"other"] if key == Layout().locate("run").runs else [])


class NodeTests(SynchronousTestCase):
    """The runs of others."""

    skip = findMissing()

    def setUp(self) -> None:
        self.ended: list[tuple[str, bytes]] = []

    def makeNode(self, clock: Clock, client: FakeClient) -> Node:
        """Make a node that notes the runs which it ends."""

        def end(name: str, owner: bytes) -> Deferred[Any]:
            """Note a run that is ended."""
            self.ended.append((name, owner))
            return succeed(None)

        return Node(clock, client, Layout(), NodeRuns(set, bool, end))  # type: ignore[arg-type]

    def test_shortOutage(self) -> None:
        """A node whose own lease has just outlasted an outage waits, too: others may have renewed theirs earlier."""
        clock, client = Clock(), FakeClient()
        node = self.makeNode(clock, client)
        node.start()
        client.lapsed = False
        steps = round(1 / RENEWAL)
        clock.pump([LEASE_TIME * RENEWAL] * steps)
        client.isAway = True
        clock.advance(LEASE_TIME * RENEWAL)
        client.isAway = False
        clock.pump([LEASE_TIME * RENEWAL] * (steps + 1))
        self.assertEqual(self.ended, [])
        clock.advance(LEASE_TIME * RENEWAL)
        self.assertEqual(self.ended, [("run", b"other")])
        node.stop()

    def test_outage(self) -> None:
        """After an outage a node waits for the others for the time of a lease, before it ends their runs."""
        clock, client, ended = Clock(), FakeClient(), self.ended
        node = self.makeNode(clock, client)
        for _ in range(2):
            # At the start, and when its own lease was over.
            client.lapsed = True
            node.start()
            client.lapsed = False
            clock.advance(0)
            steps = round(1 / RENEWAL)
            clock.pump([LEASE_TIME * RENEWAL] * steps)
            self.assertEqual(ended, [])
            clock.advance(LEASE_TIME * RENEWAL)
            self.assertEqual(ended, [("run", b"other")])
            ended.clear()
            node.stop()
        self.assertEqual(clock.getDelayedCalls(), [])
