"""
The fake Redis answers as a real one does. Tests of `keyspace`, `scripting`, and of the commands of `server`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.redisservers import RedisServer
from tests.redisservers import findMissing as findMissingRedis
from tests.simulation.network import Network, Weather
from tests.simulation.redis.scripting import findMissing
from tests.simulation.world import World

if (findMissing() or findMissingRedis()) is None:
    from sseserver.stores.redis import restartscripts, scripts
    from sseserver.stores.redis.layout import Layout, Place
    from sseserver.stores.redis.publisher import DONE
    from sseserver.stores.redis.streams import listAllKeys, listKeys
    from sseserver.streams.terminal import packRestart
    from tests.simulation.redis.keyspace import Entries, SortedSet, Wrong, writeID
    from tests.simulation.redis.server import FakeRedis

    #: Key of the leases.
    LEASES = Layout("p").nodes

#: Number of sequences, and of commands of each.
_SEQUENCES, _COMMANDS = 25, 60

#: Bytes. Window of the streams: a few entries.
_WINDOW = 900

#: Milliseconds. No key expires in the tests.
_KEEP = 600_000

Command = tuple[Any, ...]

#: IDs of nodes, and digests of publishes, as long as they are.
_NODES, _DIGESTS = (b"1" * 22, b"2" * 22), ("a" * 66, "b" * 66)


def _epoch(name: str) -> str:
    """Return the epoch of a stream."""
    return name * 22


class Commands:
    """
    Makes commands of all kinds that the store sends.

    Args:
        chance: Chooses them.
    """

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._layout = Layout("p")
        # Number of the last entry of each stream.
        self._last: dict[str, int] = {}
        self._makers = [self._create, self._append, self._append, self._publish, self._publish, self._end]
        self._makers += [self._delete, self._renew, self._lease, self._claim, self._read, self._read, self._touch]
        self._makers += [self._keepOrder, self._take, self._takeNew]
        # Commands that come next.
        self._next: list[Command] = []

    def make(self) -> Command:
        """Make a command."""
        return self._next.pop(0) if self._next else self._chance.choice(self._makers)()

    def note(self, name: str, last: int) -> None:
        """Note the number of the last entry of a stream."""
        self._last[name] = last

    @property
    def _name(self) -> str:
        return self._chance.choice(("a", "b", "c"))

    @property
    def _node(self) -> bytes:
        return self._chance.choice((_NODES[0], *_NODES))

    @property
    def _data(self) -> bytes:
        return self._chance.choice((b"", b"x", b"line\r", b"\xc3\xa9\x00\n", b"y" * 200))

    def _run(self, script: Any, keys: Sequence[bytes], *arguments: Any) -> Command:
        return ("EVAL", script.text, len(keys), *keys, *arguments)

    def _locate(self, name: str) -> Place:
        return self._layout.locate(name)

    def _create(self) -> Command:
        return self._createStream(self._name, self._chance.choice((0, 1)))

    def _createStream(self, name: str, published: int) -> Command:
        keys = listAllKeys(self._locate(name))
        return self._run(scripts.CREATE, keys, name, _epoch(name), published, "17.25", "why?", self._node, "30.5")

    def _append(self) -> Command:
        keys: list[bytes] = []
        arguments: list[Any] = []
        for name in self._chance.sample(("a", "b", "c"), self._chance.choice((1, 1, 2))):
            kinds = bytes(self._chance.choices((0, 1, 2), k=self._chance.choice((0, 1, 2))))
            kinds += self._chance.choice((b"", b"", b"", b"\x09"))
            keys += listKeys(self._locate(name))
            first = self._last.get(name, 0) + self._chance.choice((1, 1, 1, 1, 2))
            arguments += [_epoch(name), first, kinds, *[self._data for _ in kinds]]
        return self._run(scripts.APPEND, keys, self._node, "18.5", _WINDOW, _KEEP, *arguments)

    def _publish(self) -> Command:
        name, chance = self._name, self._chance
        kinds = bytes(chance.choices((0, 1, 2), k=chance.choice((1, 2))))
        close, room = int(chance.random() < 0.15), int(chance.random() < 0.9)
        key = chance.choice(("", "", "k1", "k2", "k3"))
        head = ("19.125", _WINDOW, _KEEP, key, chance.choice((_DIGESTS[0], *_DIGESTS)))
        expected = chance.choice((0, 0, 0, self._last.get(name, 0) + 1))
        tail = (expected, close, room, "31.5", DONE, kinds, *[self._data for _ in kinds])
        return self._run(scripts.PUBLISH, listAllKeys(self._locate(name)), *head, *tail)

    def _end(self) -> Command:
        name, chance = self._name, self._chance
        owner, epoch = chance.choice((b"", b"", _NODES[0])), chance.choice(("", _epoch(name)))
        unused = chance.choice(("", "", "30.75"))
        rest = (owner, epoch, unused, b"\x0a", b"end", str(chance.random())[2:8].rjust(22, "o"))
        return self._run(
            scripts.END, listAllKeys(self._locate(name)), "20.5", _WINDOW, _KEEP, self._layout.nameControl(b""), *rest
        )

    def _keepOrder(self) -> Command:
        return self._keepOrderOf(self._name)

    def _keepOrderOf(self, name: str) -> Command:
        return self._run(restartscripts.KEEP, [self._locate(name).stream], _epoch(name), self._node, "order")

    def _take(self) -> Command:
        return self._takeRun(self._name)

    def _takeNew(self) -> Command:
        """Make a run, and let it be taken over, maybe twice."""
        name = self._name
        keys, control = listAllKeys(self._locate(name)), self._layout.nameControl(b"")
        self._next = [self._run(scripts.DELETE, keys, "", control), self._createStream(name, 0)]
        self._next += [self._keepOrderOf(name), self._takeRun(name), self._takeRun(name)]
        return self._renew()

    def _takeRun(self, name: str) -> Command:
        chance = self._chance
        limits = (chance.choice((1, 2, 9)), int(chance.random() < 0.9))
        # The epoch stays the same, so that the following commands mean the same stream.
        rest = (self._node, self._node, *limits, packRestart("%d").data, _epoch(name))
        return self._run(restartscripts.TAKE, listAllKeys(self._locate(name)), "21.5", _WINDOW, _KEEP, *rest)

    def _delete(self) -> Command:
        name = self._name
        epoch = self._chance.choice(("", "unknown", _epoch(name)))
        return self._run(scripts.DELETE, listAllKeys(self._locate(name)), epoch, self._layout.nameControl(b""))

    def _renew(self) -> Command:
        base = self._layout.findBase(self._locate(self._name).shard)
        keys = [base + b"generation", base + b"streams", base + b"runs", base + b"stream:"]
        return self._run(scripts.RENEW, keys, base, "r" * 40)

    def _lease(self) -> Command:
        node, seconds, nodes = self._node, self._chance.choice((1000, -1000)), [self._layout.nodes]
        script = self._chance.choice((scripts.LEASE, scripts.LEASE, scripts.ADOPT, scripts.FORGET))
        arguments = {scripts.LEASE: (node, seconds), scripts.ADOPT: (seconds, node, b"node3"), scripts.FORGET: (node,)}
        return self._run(script, nodes, *arguments[script])

    def _claim(self) -> Command:
        key = [self._layout.nameKey("starts", self._name)]
        digest, epoch = self._chance.choice(("aa", "bb")), self._chance.choice(("", "e"))
        return self._chance.choice(
            (
                self._run(scripts.CLAIM, key, digest, self._node, _KEEP),
                self._run(scripts.BIND, key, "name", "e", self._node, _KEEP, self._chance.choice((0, 1)), digest),
                self._run(scripts.RELEASE, key, epoch, self._node),
            )
        )

    def _touch(self) -> Command:
        place, name, chance = self._locate(self._name), self._name, self._chance
        return chance.choice(
            (
                ("ZADD", place.idle, "XX", "GT", chance.choice(("10.5", "32.25")), name),
                ("ZADD", self._layout.nodes, 0, self._node),
                ("ZREM", place.streams, name),
                ("PEXPIRE", place.stream, _KEEP),
                self._run(scripts.FOLLOWERS, [place.tail]),
                self._run(scripts.COMPARE, listAllKeys(place)),
                self._run(scripts.MEND, [place.runs], "HGETALL"),
            )
        )

    def _read(self) -> Command:
        place, first = self._locate(self._name), self._chance.randint(0, 8)
        return self._chance.choice(
            (
                ("HMGET", place.stream, "epoch", "last", "nothing"),
                ("HGETALL", place.runs),
                ("HEXISTS", place.keys, "k1"),
                ("HLEN", place.keys),
                ("XLEN", place.entries),
                ("PTTL", place.generation),
                ("HSCAN", place.runs, 0, "COUNT", 100),
                ("XRANGE", place.entries, f"{first}-0", f"{first + 4}-0", "COUNT", 3),
                ("XRANGE", place.entries, "-", "+", "COUNT", 1),
                ("ZRANGE", place.streams, 0, 1),
                ("ZRANGEBYSCORE", place.idle, "-inf", "30.75", "LIMIT", 0, 5),
                ("ZREVRANGEBYSCORE", place.streams, "+inf", "-inf", "WITHSCORES", "LIMIT", 0, 2),
                ("EXISTS", place.stream),
                ("NOSUCH", place.stream),
            )
        )


class KeyspaceTests(SynchronousTestCase):
    """The same commands, sent to a real Redis and to the fake one."""

    skip = findMissing() or findMissingRedis()

    def test_likeRedis(self) -> None:
        """All commands and scripts have the same replies, and leave the same data."""
        server = RedisServer("enable-debug-command yes")
        self.addCleanup(server.remove)
        server.start()
        for seed in range(_SEQUENCES):
            server.call("FLUSHALL")
            chance, world = Random(seed), World(Random(seed))
            world.now = time.time()
            fake = FakeRedis(Network(world, chance, Weather()), chance, (), lambda _: None)
            commands = Commands(chance)
            for _ in range(_COMMANDS):
                if chance.random() < 0.05:
                    fake.change()
                    server.call("DEBUG", "CHANGE-REPL-ID")
                command = commands.make()
                found, expected = simplify(ask(fake, command)), simplify(server.call(*command))
                if LEASES in command and expected:
                    # The leases of one moment have no order.
                    found, expected = sortAll(found), sortAll(expected)
                self.assertEqual(found, expected, (seed, command))
                for name in ("a", "b", "c"):
                    last = server.call("HGET", Layout("p").locate(name).stream, "last")
                    commands.note(name, int(last or 0))
            self.assertEqual(dumpFake(fake), dump(server), seed)


def sortAll(reply: Any) -> Any:
    """Return a reply whose lists are sorted."""
    return sorted(map(sortAll, reply), key=repr) if isinstance(reply, list) else reply


def ask(fake: FakeRedis, command: Command) -> Any:
    """Send a command to the fake Redis."""
    try:
        return fake.carryOut([each if isinstance(each, bytes) else str(each).encode() for each in command])
    except Wrong as wrong:
        return wrong


def simplify(reply: Any) -> Any:
    """Return a reply without what differs: the generation of the server, the words of errors, the order in hashes."""
    if isinstance(reply, Exception):
        return str(reply).partition(" ")[0]
    if isinstance(reply, list):
        return [each for each in map(simplify, reply) if not (isinstance(each, bytes) and len(each) == 40)]
    return reply


def simplifyScores(members: dict[bytes, float]) -> dict[bytes, float | bool]:
    """Return the scores of a sorted set; of leases, which have the time of the test, whether they are over."""
    return {member: score if score < 1e6 else score < time.time() for member, score in members.items()}


def dumpFake(fake: FakeRedis) -> dict[bytes, Any]:
    """Return all data of the fake Redis."""
    found: dict[bytes, Any] = {}
    for key, value in fake.keys.values.items():
        if isinstance(value, Entries):
            found[key] = [[writeID(place), fields] for place, fields in value.items()]
        elif not key.endswith(b":generation"):
            found[key] = simplifyScores(value) if isinstance(value, SortedSet) else value
    return {key: value for key, value in found.items() if value}


def dump(server: RedisServer) -> dict[bytes, Any]:
    """Return all data of a real Redis."""
    found: dict[bytes, Any] = {}
    for key in server.call("KEYS", "*"):
        kind = server.call("TYPE", key)
        if kind == b"hash":
            pairs = server.call("HGETALL", key)
            found[key] = dict(zip(pairs[::2], pairs[1::2], strict=True))
        elif kind == b"zset":
            pairs = server.call("ZRANGE", key, 0, -1, "WITHSCORES")
            found[key] = simplifyScores(dict(zip(pairs[::2], map(float, pairs[1::2]), strict=True)))
        elif kind == b"stream":
            found[key] = server.call("XRANGE", key, "-", "+")
    return {key: value for key, value in found.items() if value}
