"""
A real Redis with a replica, and a Sentinel that watches them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.integration.servers import freePort
from tests.redisservers import PATIENCE, RedisServer

#: Name of the service.
SERVICE = "main"


class Sentinel(RedisServer):
    """A Sentinel. It writes its configuration file, so it starts once."""

    arguments = ("--sentinel",)


class WatchedRedis:
    """
    A master, its replica and a Sentinel.

    Args:
        tls: Lines of the configuration with the certificate of `localhost`, if everything is reached over TLS only.

    Attributes:
        master: The master at the start.
        replica: Its replica at the start.
        sentinel: The Sentinel.
        url: The address, as `--store` takes it.
    """

    def __init__(self, *tls: str) -> None:
        port, replicaPort, sentinelPort = freePort(), freePort(), freePort()
        kind, host = ("tls-port", "localhost") if tls else ("port", "127.0.0.1")
        encrypted = (*tls, "tls-replication yes") if tls else ()
        common = ("bind 127.0.0.1", f"replica-announce-ip {host}", *encrypted)
        self.master = RedisServer(f"{kind} {port}", *common)
        self.replica = RedisServer(f"{kind} {replicaPort}", f"replicaof {host} {port}", *common)
        names = ("sentinel resolve-hostnames yes", "sentinel announce-hostnames yes") if tls else ()
        self.sentinel = Sentinel(
            *(f"{kind} {sentinelPort}", "bind 127.0.0.1", *encrypted, *names),
            f"sentinel monitor {SERVICE} {host} {port} 1",
            *(f"sentinel down-after-milliseconds {SERVICE} 3000", f"sentinel failover-timeout {SERVICE} 3000"),
        )
        # The first one is not there: clients ask the next.
        scheme = "rediss+sentinel" if tls else "redis+sentinel"
        self.url = f"{scheme}://{host}:{freePort()},{host}:{sentinelPort}/{SERVICE}"

    def start(self) -> WatchedRedis:
        """Start all of them, and wait until the Sentinel knows the replica."""
        self.master.start()
        self.replica.start()
        self._await(lambda: b"master_link_status:up" in self.replica.call("INFO", "replication"))
        self.sentinel.start()
        # On a busy machine it would take itself for ill, and do nothing for a while.
        self.sentinel.call("SENTINEL", "DEBUG", "TILT-TRIGGER", 60_000)
        self._await(lambda: len(self.sentinel.call("SENTINEL", "REPLICAS", SERVICE)) == 1)
        return self

    def cut(self) -> None:
        """Cut the replica off: it does not get what is written from now on."""
        # The master has no password, and refuses any.
        self.replica.call("CONFIG", "SET", "masterauth", "wrong")
        self.master.call("CLIENT", "KILL", "TYPE", "replica")
        self._await(lambda: b"master_link_status:down" in self.replica.call("INFO", "replication"))

    def remove(self) -> None:
        """End all of them, and delete their folders."""
        for server in (self.sentinel, self.replica, self.master):
            server.remove()

    def _await(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "The servers do not come up."
            time.sleep(0.02)
