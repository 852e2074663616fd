"""
Keyspace: the data of a Redis, and the commands on it that the store uses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

#: A reply: bytes, an integer, `None`, or a list of replies.
Reply = Any

#: ID of an entry of a stream.
EntryID = tuple[float, float]


class Wrong(Exception):
    """An error that is the reply to a command."""


class SortedSet(dict[bytes, float]):
    """Members with their scores."""

    def copy(self) -> SortedSet:
        """Return a copy."""
        return SortedSet(self)

    def list(self, least: bytes, most: bytes) -> list[bytes]:
        """List the members whose scores are between two bounds, in order."""
        low, isOpen = readScore(least), least.startswith(b"(")
        high, isBelow = readScore(most), most.startswith(b"(")
        found = [
            (score, member)
            for member, score in self.items()
            if low <= score <= high and not (isOpen and score == low) and not (isBelow and score == high)
        ]
        return [member for _, member in sorted(found)]


class Entries(dict[EntryID, list[bytes]]):
    """
    A stream of Redis.

    Attributes:
        last: ID of the last entry that was ever added.
    """

    last: EntryID = (0, 0)

    def copy(self) -> Entries:
        """Return a copy."""
        copied = Entries(self)
        copied.last = self.last
        return copied


class Keyspace:
    """
    The keys of one Redis.

    Args:
        seconds: Returns the time of its machine, in seconds since 1970.

    Attributes:
        values: The value of each key: bytes, a hash, a sorted set or a stream.
        ends: The times when keys expire.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.values: dict[bytes, Any] = {}
        self.ends: dict[bytes, float] = {}
        self._seconds = seconds

    def copy(self) -> Keyspace:
        """Return a copy, which later commands do not change."""
        copied = Keyspace(self._seconds)
        copied.values = {key: value.copy() if isinstance(value, dict) else value for key, value in self.values.items()}
        copied.ends = self.ends.copy()
        return copied

    def call(self, name: bytes, arguments: Sequence[bytes]) -> Reply:
        """
        Carry out a command.

        Raises:
            Wrong: Redis would answer with an error.
        """
        command = COMMANDS.get(name)
        if command is None:
            raise Wrong(f"ERR unknown command '{name.decode()}'")
        return command(self, *arguments)

    def find(self, key: bytes, make: Callable[[], Any] = dict) -> Any:
        """Return the value of a key; an empty one that is not stored if there is none."""
        if key in self.ends and self._seconds() >= self.ends[key]:
            self.delete(key)
        value = self.values.get(key)
        return make() if value is None else value

    def delete(self, *keys: bytes) -> int:
        """See `DEL`."""
        found = [key for key in keys if self.values.pop(key, None) is not None]
        for key in keys:
            self.ends.pop(key, None)
        return len(found)

    def exists(self, key: bytes) -> int:
        """See `EXISTS`."""
        self.find(key)
        return int(key in self.values)

    def expire(self, key: bytes, milliseconds: bytes) -> int:
        """See `PEXPIRE`."""
        if self.exists(key):
            self.ends[key] = self._seconds() + int(milliseconds) / 1000
        return int(key in self.ends)

    def findRest(self, key: bytes) -> int:
        """See `PTTL`."""
        if not self.exists(key):
            return -2
        return round(1000 * (self.ends[key] - self._seconds())) if key in self.ends else -1

    def get(self, key: bytes) -> bytes | None:
        """See `GET`."""
        return self.find(key, bytes) or None

    def set(self, key: bytes, value: bytes) -> bytes:
        """See `SET`."""
        self.delete(key)
        self.values[key] = value
        return b"OK"

    def time(self) -> list[bytes]:
        """See `TIME`."""
        seconds, micro = divmod(round(self._seconds() * 1e6), 1_000_000)
        return [b"%d" % seconds, b"%d" % micro]

    # Hashes

    def getField(self, key: bytes, field: bytes) -> bytes | None:
        """See `HGET`."""
        found: bytes | None = self.find(key).get(field)
        return found

    def getFields(self, key: bytes, *fields: bytes) -> list[bytes | None]:
        """See `HMGET`."""
        return [*map(self.find(key).get, fields)]

    def getAll(self, key: bytes) -> list[bytes]:
        """See `HGETALL`."""
        return [each for pair in self.find(key).items() for each in pair]

    def scan(self, key: bytes, *_: bytes) -> list[Any]:
        """See `HSCAN`; it returns everything at once."""
        return [b"0", self.getAll(key)]

    def count(self, key: bytes) -> int:
        """See `HLEN` and `XLEN`."""
        return len(self.find(key))

    def hasField(self, key: bytes, field: bytes) -> int:
        """See `HEXISTS`."""
        return int(field in self.find(key))

    def setFields(self, key: bytes, *pairs: bytes) -> int:
        """See `HSET`."""
        fields = self.values[key] = self.find(key)
        before = len(fields)
        fields.update(zip(pairs[::2], pairs[1::2], strict=True))
        return len(fields) - before

    def removeMembers(self, key: bytes, *members: bytes) -> int:
        """See `HDEL` and `ZREM`. An empty value is no key."""
        value = self.find(key)
        removed = sum(value.pop(member, None) is not None for member in members)
        if not value:
            self.delete(key)
        return removed

    # Sorted sets

    def addMember(self, key: bytes, *arguments: bytes) -> int:
        """See `ZADD`, with one member."""
        *flags, score, member = arguments
        members = self.find(key, SortedSet)
        known, new = members.get(member), float(score)
        if (b"NX" in flags and known is not None) or (b"XX" in flags and known is None):
            return 0
        if not (b"GT" in flags and known is not None and known >= new):
            members[member] = new
            self.values[key] = members
        return int(known is None)

    def getScore(self, key: bytes, member: bytes) -> bytes | None:
        """See `ZSCORE`."""
        score = self.find(key, SortedSet).get(member)
        return None if score is None else b"%.17g" % score

    def listPlaces(self, key: bytes, first: bytes, last: bytes) -> list[bytes]:
        """See `ZRANGE` of places."""
        found = self.find(key, SortedSet).list(b"-inf", b"+inf")
        end = int(last)
        return found[int(first) : len(found) if end == -1 else end + 1]

    def listScores(self, key: bytes, least: bytes, most: bytes, *options: bytes) -> list[bytes]:
        """See `ZRANGEBYSCORE`."""
        return self._cut(self.find(key, SortedSet), self.find(key, SortedSet).list(least, most), options)

    def listScoresDown(self, key: bytes, most: bytes, least: bytes, *options: bytes) -> list[bytes]:
        """See `ZREVRANGEBYSCORE`."""
        return self._cut(self.find(key, SortedSet), self.find(key, SortedSet).list(least, most)[::-1], options)

    def _cut(self, members: SortedSet, found: list[bytes], options: Sequence[bytes]) -> list[bytes]:
        if b"LIMIT" in options:
            at = options.index(b"LIMIT")
            found = found[int(options[at + 1]) :][: int(options[at + 2])]
        if b"WITHSCORES" in options:
            return [each for member in found for each in (member, b"%.17g" % members[member])]
        return found

    # Streams

    def addEntry(self, key: bytes, place: bytes, *pairs: bytes) -> bytes:
        """See `XADD`."""
        entries = self.find(key, Entries)
        number = max((int(self._seconds() * 1000), 0), after(entries.last)) if place == b"*" else readID(place)
        if number <= entries.last:
            raise Wrong("ERR The ID specified in XADD is equal or smaller than the target stream top item")
        entries[number], entries.last = list(pairs), number
        self.values[key] = entries
        return writeID(number)

    def listEntries(self, key: bytes, least: bytes, most: bytes, *options: bytes) -> list[Any]:
        """See `XRANGE`."""
        low, high = readID(least), readID(most)
        rows = [[writeID(place), fields] for place, fields in self.find(key, Entries).items() if low <= place <= high]
        return rows[: int(options[1])] if options else rows

    def describeEntries(self, _: bytes, key: bytes) -> list[Any]:
        """See `XINFO STREAM`: the part that the store needs."""
        return [b"last-generated-id", writeID(self.find(key, Entries).last)]

    def trimEntries(self, key: bytes, how: bytes, least: bytes) -> int:
        """See `XTRIM` with `MINID`."""
        entries, low = self.find(key, Entries), readID(least)
        dropped = [place for place in entries if place < low]
        for place in dropped:
            del entries[place]
        return len(dropped)

    def listHashes(self) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
        """List all hashes that have not expired."""
        for key in [*self.values]:
            value = self.find(key)
            if type(value) is dict and value:
                yield key, value


def readScore(text: bytes) -> float:
    """Read a bound of a range of scores."""
    return float(text.removeprefix(b"("))


def readID(text: bytes) -> EntryID:
    """Read the ID of an entry, or `-` and `+`: the least and the greatest."""
    if text in (b"-", b"+"):
        return (0, 0) if text == b"-" else (math.inf, 0)
    first, _, second = text.partition(b"-")
    return int(first), int(second or 0)


def writeID(place: EntryID) -> bytes:
    """Write the ID of an entry."""
    return b"%d-%d" % place


def after(place: EntryID) -> EntryID:
    """Return the least ID after another one."""
    return place[0], place[1] + 1


COMMANDS: dict[bytes, Callable[..., Reply]] = {
    b"DEL": Keyspace.delete,
    b"EXISTS": Keyspace.exists,
    b"GET": Keyspace.get,
    b"HDEL": Keyspace.removeMembers,
    b"HEXISTS": Keyspace.hasField,
    b"HGET": Keyspace.getField,
    b"HGETALL": Keyspace.getAll,
    b"HLEN": Keyspace.count,
    b"HMGET": Keyspace.getFields,
    b"HSCAN": Keyspace.scan,
    b"HSET": Keyspace.setFields,
    b"PEXPIRE": Keyspace.expire,
    b"PTTL": Keyspace.findRest,
    b"SET": Keyspace.set,
    b"TIME": Keyspace.time,
    b"XADD": Keyspace.addEntry,
    b"XINFO": Keyspace.describeEntries,
    b"XLEN": Keyspace.count,
    b"XRANGE": Keyspace.listEntries,
    b"XTRIM": Keyspace.trimEntries,
    b"ZADD": Keyspace.addMember,
    b"ZRANGE": Keyspace.listPlaces,
    b"ZRANGEBYSCORE": Keyspace.listScores,
    b"ZREM": Keyspace.removeMembers,
    b"ZREVRANGEBYSCORE": Keyspace.listScoresDown,
    b"ZSCORE": Keyspace.getScore,
}

#: Commands that change something; a replica refuses them.
WRITES = frozenset({b"DEL", b"HDEL", b"HSET", b"PEXPIRE", b"SET", b"XADD", b"XTRIM", b"ZADD", b"ZREM"})

#: Commands that a Redis without memory refuses.
GROWING = frozenset({b"HSET", b"SET", b"XADD", b"ZADD"})
