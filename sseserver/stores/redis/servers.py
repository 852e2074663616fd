"""
Servers: the server of a Redis, or all masters of a cluster and the slots that each of them has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from sseserver.errors import StoreUnavailable
from sseserver.stores.redis.address import Address, Credentials, Server, makeEndpoint
from sseserver.stores.redis.connection import Disconnected, Reply
from sseserver.stores.redis.damage import Complaints
from sseserver.stores.redis.handshake import ServerInfo, Unsuitable
from sseserver.stores.redis.layout import SLOTS, findSlot
from sseserver.stores.redis.link import UNCONNECTED, Terms
from sseserver.stores.redis.peer import Peer, PeerEvents
from sseserver.stores.redis.sentinel import SentinelEndpoint
from sseserver.stores.redis.slots import parseSlots

log = Logger(__name__)

#: Seconds between two looks at the map while a server is missing, and otherwise.
LOOK, RARE_LOOK = 0.5, 10.0

#: Seconds. A server without slots is kept for so long after it was wanted last.
HOLD = 60.0

_REPLICA = "The Redis is a replica; name its master, or use redis+sentinel://…"

_EVICTING = (
    "The Redis evicts streams: its maxmemory-policy is {}. Set maxmemory-policy to noeviction, in its configuration "
    "file and by CONFIG SET."
)


class Waiting(Protocol):
    """A command that will be sent again."""

    def go(self) -> None:
        """Send it."""

    def fail(self, error: StoreUnavailable) -> None:
        """
        Answer it with an error.

        Args:
            error: The error.
        """


class Postponed:
    """
    Commands that will be sent again in a moment.

    Args:
        clock: The reactor.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._waiting: dict[Waiting, IDelayedCall] = {}

    @property
    def count(self) -> int:
        """Number of commands."""
        return len(self._waiting)

    def add(self, command: Waiting, delay: float) -> None:
        """
        Add a command.

        Args:
            command: The command.
            delay: Seconds until it is sent.
        """
        self._waiting[command] = self._clock.callLater(delay, self._resume, command)

    def stop(self) -> None:
        """Let all of them fail."""
        waiting, self._waiting = self._waiting, {}
        for command, timer in waiting.items():
            timer.cancel()
            command.fail(Disconnected("The store is closed."))

    def _resume(self, command: Waiting) -> None:
        del self._waiting[command]
        command.go()


class ServersEvents(NamedTuple):
    """
    Calls about events of the servers.

    Attributes:
        onUp: Called with a server when commands can be sent to it, at first and after each loss.
        onMoved: Called with a test of slots when they have another server, or theirs can be followed again.
        onDeaf: Called with a test of slots when their channels cannot be followed any more.
        onPush: Called with each push of a channel, and the server that has sent it.
        onUnfit: Called if the first server that answers is configured so that it must not be used.
    """

    onUp: Callable[[Peer, ServerInfo], object]
    onMoved: Callable[[Callable[[int], bool]], object]
    onDeaf: Callable[[Callable[[int], bool]], object]
    onPush: Callable[[Peer, list[Any]], object]
    onUnfit: Callable[[Unsuitable], object]


class Servers:
    """
    The servers of one Redis.

    Args:
        reactor: Connects, and measures times.
        address: Where the Redis is.
        credentials: The proof of identity.
        events: See `ServersEvents`.

    Attributes:
        clustered: Whether the Redis is a cluster.
        commands: Number of commands sent since the start.
        complaints: Names foreign values in the log.
        postponed: The commands that will be sent again.
        reactor: See above.
    """

    def __init__(self, reactor: Any, address: Address, credentials: Credentials, events: ServersEvents) -> None:
        self.clustered = False
        self.commands = 0
        self.complaints = Complaints(reactor.seconds)
        self.postponed = Postponed(reactor)
        self.reactor = reactor
        self._address = address
        self._credentials = credentials
        # The servers to begin with. A service of Sentinels counts as one.
        self._seeds = (Server(address.service, 0),) if address.service else address.servers
        self._events = events
        self._peers: dict[Server, Peer] = {}
        # The server of each slot, and each of them once. A slot may have none.
        self._owners: list[Peer | None] = []
        self._masters: frozenset[Peer | None] = frozenset()
        self._looking: IDelayedCall | None = None
        self._lookedAt = 0.0
        self._known = False

    @property
    def problem(self) -> str | None:
        """The reason why the Redis cannot be used now, as a sentence; `None` if it can."""
        for peer in self._masters or self._peers.values():
            if peer is None:
                return "No server of the Redis cluster has some of the slots."
            if peer.problem is not None:
                return peer.problem
        if self.clustered and not self._owners:
            return "The map of the Redis cluster is not known yet."
        return None if self._peers else UNCONNECTED

    @property
    def up(self) -> bool:
        """Whether commands can be sent to any of the servers."""
        return any(peer.orders is not None for peer in self._peers.values())

    @property
    def awaiting(self) -> int:
        """Number of commands without a reply."""
        return self.postponed.count + sum(peer.awaiting for peer in self._peers.values())

    def start(self) -> None:
        """Connect, and keep the connections until `stop`."""
        for server in self._seeds:
            self.reach(server)

    def stop(self) -> None:
        """End the connections."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        peers, self._peers = self._peers, {}
        self._owners, self._masters, self.clustered, self._known = [], frozenset(), False, False
        for peer in peers.values():
            peer.stop()
        # A command that has failed may be one of them.
        self.postponed.stop()

    def find(self, key: bytes) -> Peer | None:
        """Return the server that has a key, or a channel; `None` if no server has its slot."""
        if self.clustered:
            return self._owners[findSlot(key)] if self._owners else None
        for peer in self._peers.values():
            return peer
        return None

    def reach(self, server: Server) -> Peer:
        """Return the connections to a server, which are made if there are none."""
        peer = self._peers.get(server)
        if peer is None:
            terms = Terms(self._makeEndpoint(server), self._credentials, self._address.database, self._check)
            events = PeerEvents(self._noteUp, self._noteDown, self._noteFollowing, self._events.onPush)
            peer = self._peers[server] = Peer(self.reactor, server, terms, events)
            peer.start()
        peer.wantedAt = self.reactor.seconds()
        return peer

    def move(self, slot: int, server: Server) -> None:
        """
        Note that a server of the cluster has named the one that has a slot.

        Args:
            slot: The slot.
            server: The server that has it.
        """
        peer = self.reach(server)
        if self._owners and self._owners[slot] is not peer:
            owners = self._owners.copy()
            owners[slot] = peer
            self._change(owners)
        self.look()

    def distrust(self, peer: Peer | None) -> None:
        """End the connections to a server that has become a replica: what it is now must be asked again."""
        if peer is not None and not self.clustered:
            peer.reconnect()

    def look(self) -> None:
        """Ask for the map of the cluster soon: it may have changed."""
        if self.clustered:
            self._schedule(max(0.0, self._lookedAt + LOOK / 5 - self.reactor.seconds()))

    def _makeEndpoint(self, server: Server) -> IStreamClientEndpoint:
        if self._address.service:
            return SentinelEndpoint(self.reactor, self._address, self._credentials)
        return makeEndpoint(self.reactor, server, self._address.tls)

    def _check(self, info: ServerInfo) -> ServerInfo:
        if info.evicts:
            unfit = Unsuitable(_EVICTING.format(info.policy))
            if not self._known:
                self._known = True
                self._events.onUnfit(unfit)
            raise unfit
        if not info.clustered and len(self._seeds) > 1:
            raise Unsuitable("Several servers are named, but they are no cluster. With Sentinel: redis+sentinel://…")
        if not info.clustered and not info.isMaster:
            wrong = "The server that Sentinel names is no master." if self._address.service else _REPLICA
            raise Unsuitable(wrong)
        return info

    def _noteUp(self, peer: Peer, info: ServerInfo) -> None:
        self._known = True
        if info.clustered and not self.clustered:
            self.clustered = True
        self.look()
        self._events.onUp(peer, info)

    def _noteDown(self, peer: Peer) -> None:
        if peer.problem is not None:
            log.error("The store is not available: {problem}", problem=peer.problem)
        self.look()

    def _noteFollowing(self, peer: Peer, follows: bool) -> None:
        note = self._events.onMoved if follows else self._events.onDeaf
        note(lambda slot: not self.clustered or (bool(self._owners) and self._owners[slot] is peer))

    def _schedule(self, delay: float) -> None:
        if self._looking is None:
            self._looking = self.reactor.callLater(delay, self._look)
        elif self._looking.getTime() > self.reactor.seconds() + delay:
            self._looking.reset(delay)

    def _look(self) -> None:
        """Ask for the map the server that was not asked for longest."""
        self._looking = None
        self._lookedAt = now = self.reactor.seconds()
        self._schedule(RARE_LOOK if self.problem is None else LOOK)
        reachable = [peer for peer in self._peers.values() if peer.orders is not None]
        if not reachable:
            # All may have new addresses.
            for server in self._seeds:
                self.reach(server)
            return
        peer = min(reachable, key=lambda peer: peer.askedAt)
        peer.askedAt = now
        assert peer.orders is not None
        self.commands += 1
        peer.orders.ask("CLUSTER", "SLOTS").addCallback(self._apply, peer).addErrback(_noteUnread)

    def _apply(self, reply: Reply, origin: Peer) -> None:
        if self._peers.get(origin.server) is not origin:
            return
        owners: list[Peer | None] = [None] * SLOTS
        for first, last, server in parseSlots(reply, origin.server):
            owners[first : last + 1] = [self.reach(server)] * (last + 1 - first)
        now = self.reactor.seconds()
        for peer in [peer for peer in self._peers.values() if now - peer.wantedAt > HOLD]:
            del self._peers[peer.server]
            peer.stop()
        if owners != self._owners:
            self._change(owners)

    def _change(self, owners: list[Peer | None]) -> None:
        """Take another map."""
        before, self._owners = self._owners, owners
        self._masters = frozenset(owners)
        moved = {slot for slot, peer in enumerate(owners) if not before or before[slot] is not peer}
        self._events.onMoved(lambda slot: slot in moved)


def _noteUnread(failure: Failure) -> None:
    """Log why the map of the cluster could not be read, unless a connection was lost: it is asked for again."""
    if not failure.check(StoreUnavailable):
        log.failure("The map of the cluster cannot be read", failure)
