"""
Real Redis clusters for the tests: three masters on loopback, with or without replicas.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from sseserver.stores.redis.layout import SLOTS, findSlot
from tests.integration.servers import freePort
from tests.redisservers import PATIENCE, RedisServer

#: Number of masters. Each has a third of the slots.
MASTERS = 3

#: The servers name themselves by the name that is in their certificate.
_TLS = (
    *("tls-cluster yes", "tls-replication yes"),
    *("cluster-announce-hostname localhost", "cluster-preferred-endpoint-type hostname"),
)


def awaitTrue(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "The cluster does not come up."
        time.sleep(0.02)


class RedisCluster:
    """
    A cluster.

    Args:
        replicas: Number of replicas of each master.
        options: Lines of the configuration of each server.
        tls: Whether the servers and their bus are reached over TLS only; the options have the certificate.

    Attributes:
        nodes: The servers; the masters come first.
        url: Its address, as `--store` takes it.
    """

    def __init__(self, replicas: int, *options: str, tls: bool = False) -> None:
        self._ports = [freePort() for _ in range(MASTERS * (1 + replicas))]
        self._buses = [freePort() for _ in self._ports]
        self.nodes = [
            RedisServer(
                *(f"{'tls-' * tls}port {port}", "bind 127.0.0.1", "cluster-enabled yes", f"cluster-port {bus}"),
                *("cluster-node-timeout 2000", "cluster-replica-validity-factor 0", "repl-diskless-sync-delay 0"),
                *(_TLS if tls else ()),
                *options,
            )
            for port, bus in zip(self._ports, self._buses, strict=True)
        ]
        host = "localhost" if tls else "127.0.0.1"
        self.url = f"redis{'s' * tls}://" + ",".join(f"{host}:{port}" for port in self._ports)

    def start(self) -> RedisCluster:
        """Start all servers, and wait until they are one cluster."""
        for epoch, node in enumerate(self.nodes):
            node.start()
            node.call("CLUSTER", "SET-CONFIG-EPOCH", epoch + 1)
        for node in self.nodes:
            for port, bus in zip(self._ports, self._buses, strict=True):
                node.call("CLUSTER", "MEET", "127.0.0.1", port, bus)
        bounds = [SLOTS * part // MASTERS for part in range(MASTERS + 1)]
        for node, first, end in zip(self.nodes, bounds, bounds[1:], strict=False):
            node.call("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
        awaitTrue(lambda: all(self.isComplete(node) for node in self.nodes))
        for number, node in enumerate(self.nodes[MASTERS:]):
            master = self.nodes[number % MASTERS].call("CLUSTER", "MYID")
            awaitTrue(lambda node=node, master=master: node.call("CLUSTER", "REPLICATE", master) == b"OK")
            awaitTrue(lambda node=node: b"master_link_status:up" in node.call("INFO", "replication"))
        awaitTrue(lambda: all(self.isComplete(node) for node in self.nodes))
        return self

    def isComplete(self, node: RedisServer) -> bool:
        """Return whether a server knows all others and their slots."""
        info = node.call("CLUSTER", "INFO")
        known = b"cluster_known_nodes:%d\r\n" % len(self.nodes)
        slots = sum(row[1] - row[0] + 1 for row in node.call("CLUSTER", "SLOTS"))
        return b"cluster_state:ok" in info and known in info and slots == SLOTS

    def call(self, command: str, key: bytes, *words: str | bytes | int) -> Any:
        """Send a command to the server that has its key, and return its reply."""
        return self.findOwner(findSlot(key)).call(command, key, *words)

    def empty(self) -> None:
        """Delete everything."""
        for node in self.nodes:
            node.call("FLUSHALL")

    def findOwner(self, slot: int) -> RedisServer:
        """Return the master that has a slot, as the living servers say."""
        for node in self.nodes:
            if node.isRunning and (port := self._findMaster(node, slot)):
                return self.nodes[self._ports.index(port)]
        raise AssertionError("No server has the slot.")

    def beginMove(self, slot: int, target: RedisServer) -> None:
        """Begin to move a slot: its keys are still where they were."""
        source = self.findOwner(slot)
        target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", source.call("CLUSTER", "MYID"))
        source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", target.call("CLUSTER", "MYID"))

    def moveKeys(self, slot: int, target: RedisServer) -> Iterator[bytes]:
        """Move the keys of a slot, one with each step."""
        source, port = self.findOwner(slot), self._ports[self.nodes.index(target)]
        while keys := source.call("CLUSTER", "GETKEYSINSLOT", slot, 100):
            for key in keys:
                source.call("MIGRATE", "127.0.0.1", port, key, 0, 5000)
                yield key

    def endMove(self, slot: int, target: RedisServer) -> None:
        """Give a slot, whose keys are moved, to its new server."""
        name = target.call("CLUSTER", "MYID")
        for node in (target, *(each for each in self.nodes[:MASTERS] if each is not target)):
            node.call("CLUSTER", "SETSLOT", slot, "NODE", name)

    def move(self, slot: int, target: RedisServer) -> None:
        """Move a slot with its keys."""
        self.beginMove(slot, target)
        for _ in self.moveKeys(slot, target):
            pass
        self.endMove(slot, target)

    def findPort(self, node: RedisServer) -> int:
        """Return the port of a server."""
        return self._ports[self.nodes.index(node)]

    def remove(self) -> None:
        """End all servers, and delete their folders."""
        for node in self.nodes:
            node.remove()

    def _findMaster(self, node: RedisServer, slot: int) -> Any:
        for first, last, master, *_ in node.call("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return master[1]
        return None
