"""
The open connections of a site: their number is bounded, from `accept` on.

Each connection takes a file descriptor. A server that gives all of them to its clients can start no run and write no
entry ("Too many open files"), so the rest of the process needs some of its own.

`StreamSite` asks it about each connection.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from sseserver.delivery.connection import findConnection
from sseserver.service.clients import PUBLIC_CONNECTIONS, Client, Shares
from sseserver.speedups.writequeue import countQueued

log = Logger(__name__)

#: Number of connections that are looked at to make room for a new one.
_LOOKS = 8

#: Seconds between two lines about refused connections.
_LOG_INTERVAL = 10.0


class OpenConnections:
    """
    Counts connections, and makes room for new ones.

    At the limit the connection that has waited longest for a request makes room for a new one: it is idle, or sends its
    request slowly. If none waits, the new connection is closed at once.

    Args:
        limit: Number of connections at a time.
        clock: Tells the time for the log.
        limitEach: Number of connections of one client; `None` limits only addresses of the public internet.

    Attributes:
        limit: See above.
        clients: The numbers of connections of each client.
        count: Number of open connections.
        refused: Number of connections that were refused so far.
        waiting: The channels without a request, the one that has waited longest first.
    """

    def __init__(self, limit: int, clock: Any, limitEach: int | None = None) -> None:
        self.limit = limit
        self.clients = Shares(limitEach, PUBLIC_CONNECTIONS)
        self.count = self.refused = 0
        self.waiting: dict[Any, None] = {}
        self._clock = clock
        # When the log was told of a refused connection.
        self._loggedAt: float | None = None

    def admit(self, client: Client | None = None) -> bool:
        """
        Make room for a new connection and count it.

        Args:
            client: Whose connection it is; `None` for no limit.

        Returns:
            Whether there is room.
        """
        if not self._hasShare(client):
            return False
        if self.count >= self.limit:
            self._makeRoom()
        if self.count >= self.limit:
            self._logRefusal(None)
            return False
        self.count += 1
        self.clients.add(client)
        return True

    def share(self, client: Client | None) -> bool:
        """Count a connection, which is open, for a client. Return whether there is room."""
        if not self._hasShare(client):
            return False
        self.clients.add(client)
        return True

    def _hasShare(self, client: Client | None) -> bool:
        """Return whether a client may have one more connection, and count the refusal."""
        if self.clients.hasRoom(client):
            return True
        self.clients.refused += 1
        self._logRefusal(client)
        return False

    def remove(self, channel: Any) -> None:
        """Note that a connection is closed."""
        self.count -= 1
        self.clients.remove(channel.client)
        self.waiting.pop(channel, None)

    def _makeRoom(self) -> None:
        """Close the connection that has waited longest, unless its client has not taken its last response."""
        for channel in islice(self.waiting, _LOOKS):
            connection = findConnection(channel.transport)
            if connection is None or not countQueued(connection):
                closeNow(channel.transport)
                return

    def _logRefusal(self, client: Client | None) -> None:
        """
        Log refused connections, now and then: how many there were since the start, so that none is left out for ever.

        Args:
            client: The client that has too many; `None` if there are too many of all.
        """
        self.refused += 1
        now = self._clock.seconds()
        if self._loggedAt is not None and 0 <= now - self._loggedAt < _LOG_INTERVAL:
            return
        self._loggedAt = now
        if client is None:
            log.info(
                "A connection was refused, {refused} since the start: {limit} are open and busy (--max-connections)",
                refused=self.refused - self.clients.refused,
                limit=self.limit,
            )
        else:
            log.info(
                "A connection was refused, {refused} of all clients since the start: {client} has {limit} "
                "(--max-connections-per-address; if it is a proxy, --trusted-proxy)",
                refused=self.clients.refused,
                client=client.name,
                limit=self.clients.findLimit(client),
            )


class RefusedConnection(Protocol):
    """A connection for which there is no room. It is closed at once, under TLS before the handshake."""

    def connectionMade(self) -> None:
        """See `Protocol.connectionMade`."""
        closeNow(self.transport)


def closeNow(transport: Any) -> None:
    """
    Close a connection, and its file descriptor, before this returns.

    Args:
        transport: The transport of a channel. Nothing that was written to it is still to be sent.
    """
    connection = findConnection(transport)
    if connection is not transport:
        # TLS: it must not go on with its handshake.
        transport.abortConnection()
    if connection is not None:
        connection.connectionLost(Failure(ConnectionDone()))
