"""
Client: commands for a Redis, and the messages of the channels that a store follows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from sseserver.errors import StoreUnavailable
from sseserver.stores.redis.address import Address, Credentials
from sseserver.stores.redis.connection import Argument, Refused, Reply, pack
from sseserver.stores.redis.errand import Errand
from sseserver.stores.redis.handshake import ServerInfo, Unsuitable
from sseserver.stores.redis.layout import findSlot
from sseserver.stores.redis.peer import Peer
from sseserver.stores.redis.script import Script
from sseserver.stores.redis.servers import Servers, ServersEvents, Waiting
from sseserver.stores.redis.slots import parseRedirect

log = Logger(__name__)

#: Number. Most channels of one command.
MANY = 500

_MESSAGES = frozenset((b"smessage", b"message"))
_CONFIRMATIONS = frozenset((b"ssubscribe", b"subscribe"))


class Client:
    """
    The connections to one Redis.

    Args:
        reactor: Connects, and measures times.
        address: Where the Redis is.
        credentials: The proof of identity; `None` if the server wants none.

    Attributes:
        address: See above; so is `reactor`.
        complaints: The lines in the log about foreign values and messages.
        onUp: Called when commands can be sent, at first and after each loss, with whether writes may be lost.
        onFollowing: Called when channels can be followed, at first and after each loss, with a test of channels:
            those must be followed again.
        onDeaf: Called with a test of channels: their messages do not come now, since a connection was lost.
        onMessage: Called with the channel and the data of each message.
        onConfirmed: Called with each channel whose messages come from now on.
        onDropped: Called with each channel whose messages come no longer, also if that was wanted.
        onUnfit: Called if the first server that answers is configured so that it must not be used: its operator must
            change that. A server that is configured so later is only not used.
    """

    def __init__(self, reactor: Any, address: Address, credentials: Credentials | None = None) -> None:
        self.address = address
        self.reactor = reactor
        self.onUp: Callable[[bool], object] = bool
        self.onFollowing: Callable[[Callable[[bytes], bool]], object] = bool
        self.onDeaf: Callable[[Callable[[bytes], bool]], object] = bool
        self.onMessage: Callable[[bytes, bytes], object] = max
        self.onConfirmed: Callable[[bytes], object] = bool
        self.onDropped: Callable[[bytes], object] = bool
        self.onUnfit: Callable[[Unsuitable], object] = bool
        # `onUnfit` is set later.
        noteUnfit: Callable[[Unsuitable], object] = lambda unfit: self.onUnfit(unfit)  # noqa: E731, PLW0108
        events = ServersEvents(self._noteUp, self._noteMoved, self._noteDeaf, self._receive, noteUnfit)
        self._servers = Servers(reactor, address, credentials or Credentials(), events)
        self.complaints = self._servers.complaints
        self._listening: dict[bytes, Peer] = {}
        self._warned = False

    @property
    def problem(self) -> str | None:
        """The reason why the Redis cannot be used now, as a sentence; `None` if it can."""
        return self._servers.problem

    @property
    def up(self) -> bool:
        """Whether commands can be sent."""
        return self._servers.up

    @property
    def clustered(self) -> bool:
        """Whether all keys of a command must be in one shard."""
        return self._servers.clustered

    @property
    def awaiting(self) -> int:
        """Number of commands without a reply."""
        return self._servers.awaiting

    def start(self) -> None:
        """Connect, and keep the connections until `stop`."""
        self._servers.start()

    def stop(self) -> None:
        """End the connections."""
        self._listening.clear()
        self._servers.stop()

    def reaches(self, key: bytes) -> bool:
        """Return whether commands can be sent to the server that has a key."""
        peer = self._servers.find(key)
        return peer is not None and peer.orders is not None

    def ask(self, command: str, key: bytes, *arguments: Argument) -> Deferred[Reply]:
        """
        Send a command, and return its reply.

        Args:
            command: Its name.
            key: Its key, or its channel.
            arguments: Its other arguments.

        Raises:
            Refused: (errback) The reply is an error.
            Disconnected: (errback) There is no connection, or it ended before the reply came.
        """
        errand = Errand(self._servers, key, pack((command, key, *arguments)))
        errand.go()
        return errand.answered

    def postpone(self, command: Waiting, delay: float) -> None:
        """
        Call a command after a while, unless the connections are ended before.

        Args:
            command: The command.
            delay: Seconds until then.
        """
        self._servers.postponed.add(command, delay)

    def run(self, script: Script, keys: Sequence[bytes], arguments: Sequence[Argument]) -> Deferred[Reply]:
        """
        Run a script.

        Args:
            script: The script.
            keys: Its keys, at least one; in a cluster all of one shard.
            arguments: Its arguments.

        Raises:
            Refused: (errback) See `ask`; so is `Disconnected`.
        """
        rest = (len(keys), *keys, *arguments)
        command = pack(("EVALSHA", script.name, *rest))
        errand = Errand(self._servers, keys[0], command, lambda: pack(("EVAL", script.text, *rest)))
        errand.go()
        return errand.answered

    def follow(self, *channels: bytes) -> None:
        """Follow sharded channels. Harmless without a connection: see `onFollowing`."""
        self._subscribe("SSUBSCRIBE", channels)

    def leave(self, *channels: bytes) -> None:
        """Follow sharded channels no longer."""
        self._subscribe("SUNSUBSCRIBE", channels)

    def listen(self, channel: bytes) -> None:
        """Follow a channel of the whole Redis."""
        peer, before = self._servers.find(channel), self._listening.get(channel)
        if peer is None or peer.tails is None:
            return
        if before is not None and before is not peer and before.tails is not None:
            before.tails.subscribe(pack(("UNSUBSCRIBE", channel)))
        self._listening[channel] = peer
        peer.tails.subscribe(pack(("SUBSCRIBE", channel)))

    def _subscribe(self, command: str, channels: Sequence[bytes]) -> None:
        groups: defaultdict[int, list[bytes]] = defaultdict(list)
        for channel in channels:
            groups[findSlot(channel) if self.clustered else 0].append(channel)
        for group in groups.values():
            peer = self._servers.find(group[0])
            if peer is not None and peer.tails is not None:
                for start in range(0, len(group), MANY):
                    peer.tails.subscribe(pack((command, *group[start : start + MANY])))

    def _receive(self, peer: Peer, push: list[Any]) -> None:
        kind, channel, data = push
        if kind in _MESSAGES:
            self.onMessage(channel, data)
        elif kind in _CONFIRMATIONS:
            self.onConfirmed(channel)
        elif kind == b"sunsubscribe" and channel is not None:
            self.onDropped(channel)
        elif kind == b"error":
            self._noteRefused(peer, data)

    def _noteRefused(self, peer: Peer, refused: Refused) -> None:
        """A subscription was refused. One that has not been confirmed is made again later."""
        if refused.word == "MOVED":
            try:
                self._servers.move(*parseRedirect(refused, peer.server))
            except StoreUnavailable as error:
                log.warn("A subscription was refused: {error}", error=error)  # noqa: G010 (a logger of Twisted)
        elif not self.clustered and peer.tails is not None:
            peer.tails.abort()

    def _noteUp(self, peer: Peer, info: ServerInfo) -> None:
        if not info.durable and not self._warned:
            self._warned = True
            log.warn("The Redis keeps no append-only file: a restart of it loses streams. Set its appendonly to yes.")  # noqa: G010 (a logger of Twisted)
        log.info("Connected to Redis {version} at {server}", version=info.version, server=peer.server)
        lost, peer.generation = peer.generation != info.generation, info.generation
        self.onUp(lost)

    def _noteDeaf(self, test: Callable[[int], bool]) -> None:
        self.onDeaf(lambda channel: test(findSlot(channel)))

    def _noteMoved(self, test: Callable[[int], bool]) -> None:
        self.onFollowing(lambda channel: test(findSlot(channel)))
        if self.clustered:
            # The server that has the slots now may lack the last writes of the one before.
            self.onUp(True)
