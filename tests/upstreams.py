"""
A scripted upstream, which is an OpenAI-compatible API that plays a script of `tests.upstreamscripts`.

Tests play its table in memory, over loopback to a viewer, and to a client of chat completions. To play one script to
every client, run `python -m tests.upstreams PORT [NAME]`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from sseserver.client.agent import ConnectionPool
from tests.upstreamscripts import CASES, Act, Drip, Step


@dataclass(frozen=True)
class Asked:
    """
    One request to an upstream.

    Attributes:
        connection: Number of its connection, from 0.
        line: The request line.
        headers: By lower-case name.
        body: The body in bytes.
    """

    connection: int
    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed as JSON."""
        return json.loads(self.body)


def readRequest(data: bytes, connection: int = 0) -> tuple[Asked, bytes] | None:
    """Split one request from the bytes that follow it; `None` while the request is incomplete."""
    top, mark, rest = data.partition(b"\r\n\r\n")
    line, *fields = top.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in fields)}
    length = int(headers.get("content-length", "0"))
    if not mark or len(rest) < length:
        return None
    return Asked(connection, line, headers, rest[:length]), rest[length:]


class ScriptedUpstream(Factory):
    """
    A server that plays a script for each request.

    Args:
        reactor: Schedules the steps.
        scripts: One for each request; the last one repeats.

    Attributes:
        scripts: Scripts not yet played.
        asked: The requests.
        connections: Number of connections so far.
        open: Number of open connections.
        sent: Bytes sent.
    """

    noisy = False
    # Seconds. Time from one step to the next; 0 is the next turn of the reactor.
    turn = 0.0

    def __init__(self, reactor: Any, *scripts: tuple[Step, ...]) -> None:
        self.reactor = reactor
        self.scripts = list(scripts)
        self.asked: list[Asked] = []
        self.connections = 0
        self.open = 0
        self.sent = 0

    def buildProtocol(self, address: object) -> _Connection:
        connection = _Connection(self, self.connections)
        self.connections += 1
        return connection

    def next(self) -> tuple[Step, ...]:
        """Return the script for the next request."""
        return self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]


class _Connection(Protocol):
    """One connection of an upstream: reads whole requests, and plays one step in each turn of the reactor."""

    def __init__(self, upstream: ScriptedUpstream, number: int) -> None:
        self._upstream = upstream
        self._number = number
        self._data = b""
        self._steps: list[Step] = []
        self._call: IDelayedCall | None = None

    def connectionMade(self) -> None:
        self._upstream.open += 1
        self.transport.setTcpNoDelay(True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._upstream.open -= 1
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        found = readRequest(self._data, self._number)
        if found is not None:
            asked, self._data = found
            self._upstream.asked.append(asked)
            self._steps = list(self._upstream.next())
            self._later(self._upstream.turn)

    def _later(self, seconds: float) -> None:
        self._call = self._upstream.reactor.callLater(seconds, self._play)

    def _play(self) -> None:
        self._call = None
        if not self._steps:
            return
        step = self._steps.pop(0)
        if isinstance(step, bytes):
            self._send(step)
            self._later(self._upstream.turn)
        elif isinstance(step, Drip):
            self._send(step.data[:1])
            if step.data[1:]:
                self._steps.insert(0, Drip(step.data[1:], step.interval))
            self._later(step.interval)
        elif step is Act.CLOSE:
            self.transport.loseConnection()
        elif step is Act.RESET:
            self.transport.abortConnection()

    def _send(self, data: bytes) -> None:
        self._upstream.sent += len(data)
        self.transport.write(data)


#: Seconds. Length of a turn on a fake clock; with 0 the clock would play a whole script in one step.
TURN = 1e-6


class _End:
    """One end of a pipe in memory, as a transport. Bytes arrive at the other end at once, unless that end is paused."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.protocol: Any = None
        self.peer: _End = self
        self.lost = False
        self._paused = False
        self.received = b""
        self.reason: Exception | None = None

    def write(self, data: bytes) -> None:
        """Send bytes to the other end."""
        if not self.lost and self.reason is None:
            self.peer.received += data
            self.peer.give()

    def writeSequence(self, data: list[bytes]) -> None:
        """Send some pieces as one."""
        self.write(b"".join(data))

    def pauseProducing(self) -> None:
        """Stop reading."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Read again, in a later turn as in a reactor."""
        self._paused = False
        self.clock.callLater(0, self.give)

    def stopProducing(self) -> None:
        """Stop reading for good."""
        self.loseConnection()

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Accept a producer; the pipe is never full."""

    def unregisterProducer(self) -> None:
        """Accept the end of a producer."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Do nothing; bytes never wait here."""

    def loseConnection(self) -> None:
        """Close the pipe in good order."""
        self._lose(ConnectionDone(), ConnectionDone())

    def abortConnection(self) -> None:
        """Close the pipe with a reset; bytes on their way are lost."""
        self.peer.received = b""
        self._lose(ConnectionAborted(), ConnectionLost())

    def _lose(self, ours: Exception, theirs: Exception) -> None:
        for end, why in ((self, ours), (self.peer, theirs)):
            if end.reason is None:
                end.reason = why
                end.clock.callLater(0, end.give)

    def give(self) -> None:
        """Pass arrived bytes to the protocol, then the end. An aborted pipe ends even while it is paused."""
        if self._paused and not isinstance(self.reason, ConnectionAborted):
            return
        if self.received and not self.lost:
            data, self.received = self.received, b""
            self.protocol.dataReceived(data)
        if self.reason is not None and not self.lost:
            self.lost = True
            self.protocol.connectionLost(Failure(self.reason))


@implementer(IAgentEndpointFactory, IStreamClientEndpoint)
class MemoryUpstream(ScriptedUpstream):
    """
    A scripted upstream at the other end of pipes in memory.

    Attributes:
        refusal: Exception that connecting fails with, if any.
        pool: Connections that the agent keeps.
        agent: An agent whose connections all lead to this upstream.
        ends: The client's ends of all pipes.
    """

    turn = TURN

    def __init__(self, clock: Clock, *scripts: tuple[Step, ...]) -> None:
        super().__init__(clock, *scripts)
        self.refusal: Exception | None = None
        self.ends: list[_End] = []
        self.pool = ConnectionPool(clock)
        self.agent = Agent.usingEndpointFactory(clock, self, self.pool)

    def endpointForURI(self, uri: URI) -> MemoryUpstream:
        """See `IAgentEndpointFactory.endpointForURI`; all addresses lead to this upstream."""
        return self

    def connect(self, factory: Any) -> Deferred[Any]:
        """See `IStreamClientEndpoint.connect`."""
        if self.refusal is not None:
            return fail(self.refusal)
        client, server = _End(self.reactor), _End(self.reactor)
        client.peer, server.peer = server, client
        client.protocol, server.protocol = factory.buildProtocol(None), self.buildProtocol(None)
        self.ends.append(client)
        server.protocol.makeConnection(server)
        client.protocol.makeConnection(client)
        return succeed(client.protocol)


def main(port: str, name: str = "plain") -> None:
    """Play one script of the table until SIGTERM."""
    from twisted.internet import reactor

    (steps,) = [case.steps for case in CASES if case.name == name]
    reactor.listenTCP(int(port), ScriptedUpstream(reactor, steps), interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
