"""
Client: the connections of a store to its Redis, one for commands and one for the channels that it follows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger

from sseserver.stores.redis.address import Address, Credentials, makeEndpoint
from sseserver.stores.redis.connection import Argument, Disconnected, RedisConnection, Refused, Reply, pack, settle
from sseserver.stores.redis.handshake import ServerInfo, Unsuitable
from sseserver.stores.redis.link import Link, Terms
from sseserver.stores.redis.scripts import Script

log = Logger(__name__)

_MESSAGES = frozenset((b"smessage", b"message"))
_CONFIRMATIONS = frozenset((b"ssubscribe", b"subscribe"))

_EVICTING = (
    "The Redis evicts streams: its maxmemory-policy is {}. Set maxmemory-policy to noeviction, in its configuration "
    "file and by CONFIG SET."
)


class Client:
    """
    The connections to one Redis.

    Args:
        reactor: Connects, and measures times.
        address: Where the Redis is.
        credentials: The proof of identity; `None` if the server wants none.

    Attributes:
        address: See above; so is `reactor`.
        generation: Generation of the server; empty before the first connection.
        commands: Number of commands sent since the start.
        onUp: Called when commands can be sent, at first and after each loss.
        onFollowing: Called when channels can be followed, at first and after each loss: those that were followed
            before must be followed again.
        onMessage: Called with the channel and the data of each message.
        onConfirmed: Called with each channel whose messages come from now on.
        onUnfit: Called if the first server that answers is configured so that it must not be used: its operator must
            change that. A server that is configured so later is only not used.
    """

    def __init__(self, reactor: Any, address: Address, credentials: Credentials | None = None) -> None:
        self.address = address
        self.reactor = reactor
        self.generation = b""
        self.commands = 0
        self.onUp: Callable[[], object] = bool
        self.onFollowing: Callable[[], object] = bool
        self.onMessage: Callable[[bytes, bytes], object] = max
        self.onConfirmed: Callable[[bytes], object] = bool
        self.onUnfit: Callable[[Unsuitable], object] = bool
        endpoint = makeEndpoint(reactor, address.server, address.tls)
        terms = Terms(endpoint, credentials or Credentials(), address.database, self._check)
        self._orders = Link(reactor, terms, self._noteUp, self._noteDown)
        self._tails = Link(reactor, terms, self._noteFollowing, bool, self._receive)
        self._warned = False

    @property
    def problem(self) -> str | None:
        """The reason why the Redis cannot be used now, as a sentence; `None` if it can."""
        return self._orders.problem or self._tails.problem

    @property
    def up(self) -> bool:
        """Whether commands can be sent."""
        return self._orders.connection is not None

    @property
    def awaiting(self) -> int:
        """Number of commands without a reply."""
        connections = (self._orders.connection, self._tails.connection)
        return sum(each.awaiting for each in connections if each is not None)

    def start(self) -> None:
        """Connect, and keep the connections until `stop`."""
        self._orders.start()
        self._tails.start()

    def stop(self) -> None:
        """End the connections."""
        self._orders.stop()
        self._tails.stop()

    def ask(self, *arguments: Argument) -> Deferred[Reply]:
        """
        Send a command, and return its reply.

        Args:
            arguments: The command and its arguments.

        Raises:
            Refused: (errback) The reply is an error.
            Disconnected: (errback) There is no connection, or it ended before the reply came.
        """
        connection = self._orders.connection
        if connection is None:
            return fail(Disconnected(self._orders.problem or ""))
        self.commands += 1
        return connection.ask(*arguments)

    def run(self, script: Script, keys: Sequence[bytes], arguments: Sequence[Argument]) -> Deferred[Reply]:
        """
        Run a script.

        Args:
            script: The script.
            keys: Its keys.
            arguments: Its arguments.

        Raises:
            Refused: (errback) See `ask`; so is `Disconnected`.
        """
        connection = self._orders.connection
        if connection is None:
            return fail(Disconnected(self._orders.problem or ""))
        self.commands += 1
        answered: Deferred[Reply] = Deferred()

        def note(reply: Reply) -> None:
            if isinstance(reply, Refused) and reply.code == "NOSCRIPT":
                # Somebody has flushed the scripts.
                again = pack(("EVAL", script.text, len(keys), *keys, *arguments))
                connection.send(again, lambda reply: settle(answered, reply))
            else:
                settle(answered, reply)

        connection.send(pack(("EVALSHA", script.name, len(keys), *keys, *arguments)), note)
        return answered

    def follow(self, *channels: bytes) -> None:
        """Follow sharded channels. Harmless without a connection: see `onFollowing`."""
        self._subscribe("SSUBSCRIBE", channels)

    def leave(self, *channels: bytes) -> None:
        """Follow sharded channels no longer."""
        self._subscribe("SUNSUBSCRIBE", channels)

    def listen(self, channel: bytes) -> None:
        """Follow a channel of the whole Redis."""
        self._subscribe("SUBSCRIBE", (channel,))

    def _subscribe(self, command: str, channels: Sequence[bytes]) -> None:
        connection = self._tails.connection
        if connection is not None:
            for start in range(0, len(channels), 500):
                connection.subscribe(pack((command, *channels[start : start + 500])))

    def _receive(self, push: list[Any]) -> None:
        kind, channel, data = push
        if kind in _MESSAGES:
            self.onMessage(channel, data)
        elif kind in _CONFIRMATIONS:
            self.onConfirmed(channel)

    def _check(self, info: ServerInfo) -> ServerInfo:
        if info.evicts:
            unfit = Unsuitable(_EVICTING.format(info.policy))
            if not self.generation and not self._warned:
                self._warned = True
                self.onUnfit(unfit)
            raise unfit
        return info

    def _noteUp(self, connection: RedisConnection, info: ServerInfo) -> None:
        self.generation = info.generation
        if not info.durable and not self._warned:
            self._warned = True
            log.warn("The Redis keeps no append-only file: a restart of it loses streams. Set its appendonly to yes.")  # noqa: G010 (a logger of Twisted)
        log.info("Connected to Redis {version} at {server}", version=info.version, server=self.address.server)
        self.onUp()

    def _noteDown(self) -> None:
        log.error("The store is not available: {problem}", problem=self.problem)

    def _noteFollowing(self, connection: RedisConnection, info: ServerInfo) -> None:
        self.onFollowing()
