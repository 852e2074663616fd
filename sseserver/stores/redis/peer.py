"""
Peer: the connections to one server of a Redis, one for commands and one for the messages of channels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sseserver.stores.redis.address import Server
from sseserver.stores.redis.connection import RedisConnection
from sseserver.stores.redis.handshake import ServerInfo
from sseserver.stores.redis.link import Link, Terms


class PeerEvents(NamedTuple):
    """
    Calls about events of a server.

    Attributes:
        onUp: Called with the peer and its description when commands can be sent, at first and after each loss.
        onDown: Called with the peer when its connection for commands is lost.
        onFollowing: Called with the peer and whether channels can be followed: at first, after each loss, and when
            their connection is lost.
        onPush: Called with the peer and each push of a channel; see `RedisConnection`.
    """

    onUp: Callable[[Peer, ServerInfo], object]
    onDown: Callable[[Peer], object]
    onFollowing: Callable[[Peer, bool], object]
    onPush: Callable[[Peer, list[Any]], object]


class Peer:
    """
    One server.

    Args:
        reactor: The clock of pauses and limits.
        server: The server.
        terms: The terms of its connections.
        events: See `PeerEvents`.

    Attributes:
        askedAt: When it was asked last for the map of its cluster.
        generation: Its generation; empty before the first connection.
        server: See above.
        wantedAt: When it was wanted last.
    """

    def __init__(self, reactor: Any, server: Server, terms: Terms, events: PeerEvents) -> None:
        self.askedAt = 0.0
        self.generation = b""
        self.server = server
        self.wantedAt: float = reactor.seconds()
        self._orders = Link(reactor, terms, lambda _, info: events.onUp(self, info), lambda: events.onDown(self))
        self._tails = Link(
            reactor,
            terms,
            lambda *_: events.onFollowing(self, True),
            lambda: events.onFollowing(self, False),
            lambda push: events.onPush(self, push),
        )

    @property
    def orders(self) -> RedisConnection | None:
        """The connection for commands, while it is up."""
        return self._orders.connection

    @property
    def tails(self) -> RedisConnection | None:
        """The connection for messages, while it is up."""
        return self._tails.connection

    @property
    def problem(self) -> str | None:
        """The reason why the server cannot be used now, as a sentence; `None` if it can."""
        return self._orders.problem or self._tails.problem

    @property
    def awaiting(self) -> int:
        """Number of commands without a reply."""
        return sum(each.awaiting for each in (self.orders, self.tails) if each is not None)

    def start(self) -> None:
        """Connect, and keep the connections until `stop`."""
        self._orders.start()
        self._tails.start()

    def reconnect(self) -> None:
        """End the connections that are up; others are made."""
        for connection in (self.orders, self.tails):
            if connection is not None:
                connection.abort()

    def stop(self) -> None:
        """End the connections."""
        self._orders.stop()
        self._tails.stop()
