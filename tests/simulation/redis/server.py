"""
FakeRedis: a Redis on the network of the simulation, with everything that may go wrong with one.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from sseserver.stores.redis import restartscripts, scripts
from tests.simulation.network import Network, SimSocket
from tests.simulation.redis.keyspace import GROWING, WRITES, Keyspace, Reply, Wrong
from tests.simulation.redis.scripting import Program, compileScript, sharedLua

#: Port of the first server's way to the Redis; each server has its own.
PORT = 6379

#: The names of the scripts, by their hashes.
_NAMES = {
    one.name.encode(): word
    for word, one in (*vars(scripts).items(), *vars(restartscripts).items())
    if isinstance(one, scripts.Script)
}

#: Commands that a Redis answers while it loads its data.
_ALWAYS = frozenset({b"INFO", b"PING"})


@dataclass(frozen=True, slots=True)
class NextCut:
    """
    A script that ends the connections of a server.

    Attributes:
        script: Name of the script; empty for any.
        takesEffect: Whether it takes effect before.
    """

    script: str
    takesEffect: bool

    def concerns(self, command: Sequence[bytes]) -> bool:
        """Return whether a command runs the script."""
        return command[0] == b"EVALSHA" and self.script in ("", _NAMES.get(command[1]))


class Way:
    """
    The way from one server to the Redis.

    Attributes:
        number: Number of the server.
        delay: Seconds that commands and replies need at most, each.
        stalled: Whether nothing gets through, in both directions.
        refusing: Whether nobody can connect.
        nextCut: The next script that ends the connections; `None` for none.
        connections: The connections.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.delay = 0.0
        self.stalled = self.refusing = False
        self.nextCut: NextCut | None = None
        self.connections: dict[Connection, None] = {}


class FakeRedis:
    """
    A Redis.

    Args:
        network: Where it listens.
        chance: Decides about delays.
        ways: The ways of the servers to it.
        note: Called with a line about everything that it does.

    Attributes:
        keys: Its data.
        ways: See above.
        isAway: Whether it does not run.
        isPaused: Whether it stands still.
        isLoading: Whether it loads its data.
        isReplica: Whether it has another master.
        isFull: Whether it has no memory left.
        ahead: Seconds by which its clock is ahead.
        generation: Its replication ID.
        ordered: Streams of runs whose prompts it has got.
    """

    def __init__(self, network: Network, chance: Random, ways: Sequence[Way], note: Callable[[str], object]) -> None:
        self.network = network
        self.chance = chance
        self.ways = ways
        self.isAway = self.isPaused = self.isLoading = self.isReplica = self.isFull = False
        self.ahead = 0.0
        self.keys = Keyspace(self.seconds)
        self.generation = ""
        self.ordered: set[str] = set()
        self._note = note
        self._scripts: dict[bytes, Program] = {}
        self._followers: dict[bytes, dict[Connection, None]] = {}
        self.change()
        for way in ways:
            network.listen(PORT + way.number, lambda sock, _, way=way: self._accept(way, sock))  # type: ignore[misc]

    def seconds(self) -> float:
        """Return the time of its clock."""
        return self.network.world.now + self.ahead

    def change(self) -> None:
        """Become another generation."""
        self.generation = f"{self.chance.getrandbits(160):040x}"

    def crash(self) -> None:
        """End all connections, and accept none. Commands that wait are lost."""
        self.isAway = True
        for way in self.ways:
            self.cut(way)
        self._scripts.clear()

    def cut(self, way: Way) -> None:
        """End the connections of a server. Commands that wait are lost."""
        for connection in tuple(way.connections):
            connection.cut()

    def proceed(self) -> None:
        """Work again, after anything that has kept it from that."""
        self.isAway = self.isPaused = self.isLoading = self.isReplica = self.isFull = False
        for way in self.ways:
            for connection in tuple(way.connections):
                connection.schedule()

    def forgetScripts(self) -> None:
        """Forget all scripts, as `SCRIPT FLUSH` does."""
        self._scripts.clear()

    def follow(self, connection: Connection, channel: bytes, follows: bool) -> None:
        """Let a connection follow a channel, or not any more."""
        followers = self._followers.setdefault(channel, {})
        if follows:
            followers[connection] = None
        else:
            followers.pop(connection, None)

    def drop(self, connection: Connection) -> None:
        """Forget a connection."""
        for followers in self._followers.values():
            followers.pop(connection, None)

    def carryOut(self, command: Sequence[bytes]) -> Reply:
        """
        Carry out a command that is about data.

        Raises:
            Wrong: The reply is an error.
        """
        name, *arguments = command
        if self.isLoading and name not in _ALWAYS:
            raise Wrong("LOADING Redis is loading the dataset in memory")
        if name == b"EVALSHA":
            return self._run(arguments[0], self._scripts.get(arguments[0]), arguments[1:])
        if name == b"EVAL":
            program, key = compileScript(arguments[0]), hashlib.sha1(arguments[0]).hexdigest().encode()
            self._scripts[key] = program
            return self._run(key, program, arguments[1:])
        if name == b"SCRIPT":
            key = hashlib.sha1(arguments[1]).hexdigest().encode()
            self._scripts[key] = compileScript(arguments[1])
            return key
        if self.isReplica and name in WRITES:
            raise Wrong("READONLY You can't write against a read only replica.")
        if self.isFull and name in GROWING:
            raise Wrong("OOM command not allowed when used memory > 'maxmemory'.")
        return self._call(name, arguments)

    def _run(self, key: bytes, program: Program | None, arguments: Sequence[bytes]) -> Reply:
        if program is None:
            raise Wrong("NOSCRIPT No matching script. Please use EVAL.")
        if self.isReplica:
            raise Wrong("READONLY You can't write against a read only replica.")
        if self.isFull and "allow-oom" not in program.flags:
            raise Wrong("OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'")
        count = int(arguments[0])
        keys, rest = arguments[1 : count + 1], arguments[count + 1 :]
        reply = sharedLua().run(program, keys, rest, self._call)
        name = _NAMES.get(key, "a script")
        if name == "KEEP" and reply:
            self.ordered.add(keys[0].partition(b"stream:")[2].decode())
        if name not in ("LEASE", "FOLLOWERS"):
            self._note(f"{name} {keys[1 if len(keys) > 1 else 0].decode()}: {reply}"[:160])
        return reply

    def _call(self, name: bytes, arguments: Sequence[bytes]) -> Reply:
        if name in (b"PUBLISH", b"SPUBLISH"):
            return self._publish(name, *arguments)
        if name == b"PUBSUB":
            return [arguments[1], len(self._followers.get(arguments[1], ()))]
        if name == b"INFO":
            return self._describe()
        if name == b"PING":
            return b"PONG"
        return self.keys.call(name, arguments)

    def _publish(self, name: bytes, channel: bytes, message: bytes) -> int:
        followers = self._followers.get(channel, {})
        kind = b"message" if name == b"PUBLISH" else b"smessage"
        for connection in followers:
            connection.tell([kind, channel, message])
        return len(followers)

    def _describe(self) -> bytes:
        fields = {
            "redis_version": "7.0.15",
            "run_id": "0" * 40,
            "loading": int(self.isLoading),
            "aof_enabled": 1,
            "maxmemory_policy": "noeviction",
            "cluster_enabled": 0,
            "role": "slave" if self.isReplica else "master",
            "master_replid": self.generation,
        }
        return "".join(f"{name}:{value}\r\n" for name, value in fields.items()).encode()

    def _accept(self, way: Way, sock: SimSocket) -> None:
        if self.isAway or way.refusing:
            sock.reset()
        else:
            Connection(self, way, sock)


class Connection:
    """
    One connection to the Redis. Commands wait here until they are carried out, and replies until they leave.

    Args:
        redis: The Redis.
        way: The way that it takes.
        sock: Its socket.
    """

    def __init__(self, redis: FakeRedis, way: Way, sock: SimSocket) -> None:
        import hiredis

        self._redis = redis
        self._way = way
        self._socket = sock
        # Commands have the form of replies.
        self._reader = hiredis.Reader()
        self._commands: deque[list[bytes]] = deque()
        self._out = bytearray()
        self._isWorking = self._isSending = self._isLost = False
        self._channels: dict[bytes, None] = {}
        way.connections[self] = None
        sock.watch = self._look

    def cut(self) -> None:
        """Lose the connection, with everything that waits."""
        self._commands.clear()
        self._lose()
        self._socket.cut()

    def schedule(self) -> None:
        """Carry out the next commands soon, and send what waits, if nothing stands in the way."""
        if self._commands and not self._isWorking and not self._isHeld:
            self._isWorking = True
            self._redis.network.world.after(self._delay(), self._work)
        if self._out and not self._isSending and not self._isHeld:
            self._isSending = True
            self._redis.network.world.after(self._delay(), self._send)

    def tell(self, reply: Reply) -> None:
        """Send a reply, or a message."""
        if not self._isLost:
            writeReply(self._out, reply)
            self.schedule()

    @property
    def _isHeld(self) -> bool:
        return self._way.stalled or self._redis.isPaused

    def _delay(self) -> float:
        most = self._way.delay
        return round(self._redis.chance.random() * most, 6) if most else 0.0

    def _look(self) -> None:
        """Read what has come. Commands that were read take effect, even if the client is gone by then."""
        sock = self._socket
        while sock.readable and not self._isLost:
            try:
                data = sock.recv(65536)
            except OSError:
                data = b""
            if not data:
                self._lose()
                return
            self._reader.feed(data)
            while (command := self._reader.gets()) is not False:
                self._commands.append(command)
        self.schedule()

    def _work(self) -> None:
        self._isWorking = False
        if self._isHeld or self._redis.isAway:
            return
        while self._commands:
            command = self._commands.popleft()
            cut = self._way.nextCut
            if cut is not None and not cut.concerns(command):
                cut = None
            reply = self._answer(command) if cut is None or cut.takesEffect else None
            if cut is not None and not (reply and isOutdated(reply[0])):
                self._way.nextCut = None
                self._redis.cut(self._way)
            elif reply is not None:
                self.tell(reply[0])

    def _answer(self, command: list[bytes]) -> list[Any] | None:
        """Return a list with the reply; `None` if confirmations take its place."""
        name, *arguments = command
        if not name.endswith(b"SUBSCRIBE"):
            if self._channels and name == b"PING":
                return [[b"pong", b""]]
            try:
                return [self._redis.carryOut(command)]
            except Wrong as wrong:
                return [wrong]
        for channel in arguments:
            self._follow(name.lower(), channel)
        return None

    def _follow(self, kind: bytes, channel: bytes) -> None:
        follows = kind in (b"subscribe", b"ssubscribe")
        if follows and not self._isLost:
            self._channels[channel] = None
        else:
            self._channels.pop(channel, None)
        self._redis.follow(self, channel, channel in self._channels)
        self.tell([kind, channel, len(self._channels)])

    def _send(self) -> None:
        self._isSending = False
        if self._isHeld or self._isLost:
            return
        try:
            while self._out and self._socket.writable:
                del self._out[: self._socket.send(bytes(self._out))]
        except OSError:
            self._lose()

    def _lose(self) -> None:
        self._isLost = True
        self._out.clear()
        self._way.connections.pop(self, None)
        self._redis.drop(self)


def isOutdated(reply: Reply) -> bool:
    """Return whether a script has refused to work, since its shard must be renewed first."""
    return b"generation" in (reply, reply[0] if reply and isinstance(reply, list) else None)


def writeReply(out: bytearray, reply: Reply) -> None:
    """
    Write a reply as the protocol has it.

    Args:
        out: Takes its bytes.
        reply: The reply; an exception is an error.
    """
    if isinstance(reply, bytes):
        out += b"$%d\r\n%b\r\n" % (len(reply), reply)
    elif isinstance(reply, list):
        out += b"*%d\r\n" % len(reply)
        for each in reply:
            writeReply(out, each)
    elif reply is None:
        out += b"$-1\r\n"
    elif isinstance(reply, Exception):
        out += b"-%b\r\n" % str(reply).encode()
    else:
        out += b":%d\r\n" % reply
