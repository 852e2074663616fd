"""
Layout of what a `RedisStore` keeps in Redis: the names of keys and channels.

`docs/scaling.md` describes the content of each key, for programs that read it.
"""

from __future__ import annotations

from binascii import crc_hqx
from dataclasses import dataclass

#: Number of shards. It is part of the layout: another number would look for streams in other places.
SHARDS = 64

#: Number of slots of a Redis cluster.
SLOTS = 16384

#: End of a key that never exists: streams have names.
NEVER = b"stream:"

#: Begin of all keys and channels, by default.
PREFIX = "sseserver:"


@dataclass(frozen=True, slots=True)
class Place:
    """
    The keys and channels of one stream. All of them are in the same slot of a cluster.

    Attributes:
        shard: Number of its shard.
        generation: Generation of the server that had the shard last.
        stream: Hash: state of the stream.
        entries: Redis Stream: the entries.
        keys: Hash: the idempotency keys.
        streams: Sorted set: all streams of the shard, by their creation.
        runs: Hash: the open runs of the shard, each with its owner.
        idle: Sorted set: the open published streams of the shard, by the times when they end if nobody uses them.
        tail: Sharded channel: new entries.
    """

    shard: int
    generation: bytes
    stream: bytes
    entries: bytes
    keys: bytes
    streams: bytes
    runs: bytes
    idle: bytes
    tail: bytes


class Layout:
    """
    Names of keys and channels below one prefix.

    Args:
        prefix: Begin of all of them. It has no brace.
    """

    def __init__(self, prefix: str = PREFIX) -> None:
        self._prefix = prefix.encode("utf-8")
        #: Sorted set: the nodes, by the ends of their leases.
        self.nodes = self._prefix + b"{nodes}:nodes"
        #: Channel: the reports of what clients do.
        self.limits = self._prefix + b"limits"

    def locate(self, name: str) -> Place:
        """Return the keys and channels of a stream."""
        written = name.encode("utf-8")
        shard = findShard(written)
        base = self.findBase(shard)
        return Place(
            shard,
            base + b"generation",
            base + b"stream:" + written,
            base + b"entries:" + written,
            base + b"keys:" + written,
            base + b"streams",
            base + b"runs",
            base + b"idle",
            base + b"tail:" + written,
        )

    def findBase(self, shard: int) -> bytes:
        """Return the begin of the keys of a shard."""
        return self._prefix + b"{%d}:" % shard

    def nameKey(self, purpose: str, key: str) -> bytes:
        """
        Return the key of a hash with a key of a directory.

        Args:
            purpose: Purpose of the directory.
            key: Key in the directory.
        """
        written = key.encode("utf-8", "surrogateescape")
        return self.findBase(findShard(written)) + b"key:%b:%b" % (purpose.encode("ascii"), written)

    def nameControl(self, node: bytes) -> bytes:
        """Return the channel on which a node is told of streams that others have ended or deleted."""
        return self._prefix + b"node:" + node


def findShard(name: bytes) -> int:
    """Return the shard of a name."""
    return crc_hqx(name, 0) % SHARDS


def findSlot(key: bytes) -> int:
    """Return the slot of a key in a cluster: that of its hash tag, which all keys of a layout have."""
    tag = key.partition(b"{")[2].partition(b"}")[0]
    return crc_hqx(tag or key, 0) % SLOTS
