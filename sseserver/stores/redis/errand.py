"""
Errand: one command on its way to the server that has its key, which may be another one than was thought.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from sseserver.errors import StoreUnavailable
from sseserver.stores.redis.connection import Disconnected, Refused, Reply, pack, settle
from sseserver.stores.redis.peer import Peer
from sseserver.stores.redis.servers import Servers
from sseserver.stores.redis.slots import parseRedirect

#: Seconds. A command is sent again for so long while its slot moves, or a server takes over from another one.
PATIENCE = 5.0

#: Seconds until a command is sent again that no server could carry out.
PAUSE = 0.05

#: Errors of a cluster whose servers do not agree yet. The command was not carried out.
_UNSETTLED = frozenset({"TRYAGAIN", "CLUSTERDOWN"})

_ASKING = pack(("ASKING",))


class Errand:
    """
    A command that is sent until a server carries it out. None carries it out twice.

    Args:
        servers: The servers.
        key: Key of the command, which decides where it goes.
        command: The command, from `pack`.
        unknown: Returns another command with the same effect, for a server that does not know the script.

    Attributes:
        answered: Fires with the reply.
    """

    __slots__ = ("_command", "_key", "_peer", "_sent", "_servers", "_unknown", "_until", "answered")

    def __init__(
        self, servers: Servers, key: bytes, command: bytes, unknown: Callable[[], bytes] | None = None
    ) -> None:
        self.answered: Deferred[Reply] = Deferred()
        self._servers = servers
        self._key = key
        self._command = command
        self._unknown = unknown
        self._peer: Peer | None = None
        # The end of its time, once it had to be sent again.
        self._until: float | None = None

    def go(self) -> None:
        """Send the command."""
        peer = self._servers.find(self._key)
        if peer is not None and peer.orders is not None:
            self._send(peer)
        elif self._until is None:
            self.fail(Disconnected((peer and peer.problem) or self._servers.problem or ""))
        else:
            # A new server: the connection to it is being made.
            self._wait(Disconnected("The store is not connected."))

    def fail(self, error: StoreUnavailable) -> None:
        """
        Answer with an error.

        Args:
            error: The error.
        """
        settle(self.answered, error)

    def _send(self, peer: Peer, begin: bytes = b"") -> None:
        connection: Any = peer.orders
        self._peer = peer
        self._servers.commands += 1
        if begin:
            connection.send(begin, bool)
        connection.send(self._command, self._note)

    def _note(self, reply: Reply) -> None:
        if not isinstance(reply, Refused):
            settle(self.answered, reply)
        elif reply.word in _UNSETTLED:
            self._wait(reply)
        elif reply.word in {"MOVED", "ASK"}:
            self._redirect(reply)
        elif reply.word == "NOSCRIPT" and self._unknown is not None:
            # Somebody has flushed the scripts.
            self._command, self._unknown = self._unknown(), None
            self.go()
        else:
            if reply.word == "READONLY":
                self._servers.distrust(self._peer)
            settle(self.answered, self._servers.complaints.judge(reply, self._key))

    def _redirect(self, refused: Refused) -> None:
        assert self._peer is not None
        try:
            slot, server = parseRedirect(refused, self._peer.server)
        except StoreUnavailable as error:
            self.fail(error)
            return
        if refused.word == "MOVED":
            self._servers.move(slot, server)
            self._wait(refused)
            return
        peer = self._servers.reach(server)
        if peer.orders is None:
            self._wait(refused)
        else:
            self._send(peer, _ASKING)

    def _wait(self, error: StoreUnavailable) -> None:
        now = self._servers.reactor.seconds()
        if self._until is None:
            self._until = now + PATIENCE
        if now >= self._until:
            self.fail(error)
        else:
            self._servers.postponed.add(self, PAUSE)
