"""
The client's `Agent`, and a pool of persistent connections, also for requests with a body.

`EventSource` makes an agent by default, and the upstream source makes `Connections`. `chooseConnecting` chooses
between plain connecting and `sseserver.speedups.connecting`, which does not wait for the reactor's next turn.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionDone, ConnectionLost, TimeoutError
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    BrowserLikePolicyForHTTPS,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseNeverReceived,
)
from twisted.web.error import SchemeNotSupported
from twisted.web.iweb import IAgent, IAgentEndpointFactory
from zope.interface import implementer

from sseserver.client.response import ReadPath, chooseReadPath
from sseserver.options import defaultOf
from sseserver.speedups.connecting import FastConnecting
from sseserver.timing.patience import addPatientTimeout
from sseserver.timing.turnend import TurnEnd

log = Logger(__name__)

#: Bytes. Longest head of a response.
LONGEST_HEAD = 256 * 1024

T = typing.TypeVar("T")


class Connecting(typing.Protocol):
    """Way to make connections and to send requests over them."""

    def wrapEndpoint(
        self, reactor: Any, host: str, port: int, endpoint: IStreamClientEndpoint
    ) -> IStreamClientEndpoint:
        """
        Wrap the endpoint of an IP address.

        Args:
            reactor: Takes the connection.
            host: The IP address.
            port: The port.
            endpoint: The endpoint of the reactor.

        Returns:
            The endpoint to use.
        """

    def sendRequest(self, connection: Any, request: Any) -> Deferred[Any]:
        """
        Send a request.

        Args:
            connection: A connection of `twisted.web.client`.
            request: The request, for its method of this name.

        Returns:
            Fires with the response.
        """


class PlainConnecting:
    """The plain way: the reactor connects and writes."""

    def wrapEndpoint(
        self, reactor: Any, host: str, port: int, endpoint: IStreamClientEndpoint
    ) -> IStreamClientEndpoint:
        """See `Connecting.wrapEndpoint`."""
        return endpoint

    def sendRequest(self, connection: Any, request: Any) -> Deferred[Any]:
        """See `Connecting.sendRequest`."""
        responding: Deferred[Any] = connection.request(request)
        return responding


def chooseConnecting(plain: bool | None = None) -> Connecting:
    """
    Choose how connections are made and requests are sent.

    Args:
        plain: Whether to use no speedup; by default as the environment says (`SSESERVER_PLAIN=1`).
    """
    if plain is None:
        plain = defaultOf("plain")
    return PlainConnecting() if plain else FastConnecting()


def makeAgent(
    reactor: Any, connectTimeout: float, pool: HTTPConnectionPool | None = None, plain: bool | None = None
) -> Agent:
    """
    Make an agent for `http` and `https` that verifies certificates.

    Args:
        reactor: Makes the connections.
        connectTimeout: Seconds that a connection may take.
        pool: Keeps connections for further requests. `None` uses each connection once.
        plain: See `chooseConnecting`.
    """
    endpoints = _Endpoints(reactor, connectTimeout, chooseConnecting(plain))
    agent: Agent = Agent.usingEndpointFactory(reactor, endpoints, pool)
    return agent


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """
    Endpoints for `Agent` that do not resolve IP addresses.

    Twisted's own resolve an IP address like a name, in a thread, and under load the result comes late.
    """

    def __init__(self, reactor: Any, timeout: float, connecting: Connecting) -> None:
        self._reactor = reactor
        self._timeout = timeout
        self._connecting = connecting
        self._policy = BrowserLikePolicyForHTTPS()

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """See `IAgentEndpointFactory.endpointForURI`."""
        if uri.scheme not in (b"http", b"https"):
            raise SchemeNotSupported(f"Unsupported scheme: {uri.scheme!r}")
        endpoint = self._makeEndpoint(uri.host.decode("ascii"), uri.port)
        if uri.scheme == b"https":
            return wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), endpoint)
        return endpoint

    def _makeEndpoint(self, host: str, port: int) -> IStreamClientEndpoint:
        """Make the endpoint of a host name or an IP address."""
        kind: Any = HostnameEndpoint
        with suppress(ValueError):
            kind = TCP4ClientEndpoint if ip_address(host).version == 4 else TCP6ClientEndpoint
        # Without a limit of its own, which would count the pauses of the process.
        endpoint = TimedEndpoint(self._reactor, kind(self._reactor, host, port, timeout=None), self._timeout)
        if kind is HostnameEndpoint:
            return endpoint
        return self._connecting.wrapEndpoint(self._reactor, host, port, endpoint)


@implementer(IStreamClientEndpoint)
class TimedEndpoint:
    """
    Endpoint with a limit of time that does not count the pauses of the process.

    Args:
        reactor: Measures the time.
        endpoint: Connects, without a limit of its own.
        seconds: Time for a connection.
    """

    def __init__(self, reactor: Any, endpoint: IStreamClientEndpoint, seconds: float) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._seconds = seconds

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """See `IStreamClientEndpoint.connect`."""
        return addPatientTimeout(self._endpoint.connect(protocolFactory), self._reactor, self._seconds, _raiseTimeout)


def _raiseTimeout(seconds: float) -> NoReturn:
    """Give up a connection."""
    raise TimeoutError(f"There was no connection within {seconds:g} seconds.")


class ConnectionPool(HTTPConnectionPool):
    """
    Pool that repeats a request on another connection if an idle one turns out to be closed.

    A server may close an idle connection just as it is used again. It has not read the request then, if no byte of an
    answer came (RFC 9112, 9.3.1), so the request is safe to repeat, with a body too. A request on a new connection is
    never repeated.

    Args:
        reactor: Closes idle connections after a while.
        plain: See `chooseConnecting`.
    """

    # Twisted's own mechanism repeats only requests without a body.
    retryAutomatically = False
    # For each host. Many runs that end together leave their connections to the next ones.
    maxPersistentPerHost = 100
    cachedConnectionTimeout = 60

    def __init__(self, reactor: Any, plain: bool | None = None) -> None:
        super().__init__(reactor)
        self._connecting = chooseConnecting(plain)

    def getConnection(self, key: Hashable, endpoint: IStreamClientEndpoint) -> Deferred[Any]:
        """See `HTTPConnectionPool.getConnection`."""
        watched = _WatchedEndpoint(endpoint)
        getting: Deferred[Any] = super().getConnection(key, watched)
        repeat = None if watched.connects else lambda: self.getConnection(key, endpoint)
        return getting.addCallback(_PooledConnection, self._connecting, repeat)


@implementer(IStreamClientEndpoint)
class _WatchedEndpoint:
    """
    Endpoint that shows whether it was used.

    Attributes:
        connects: Whether a new connection was requested.
    """

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self.connects = False
        self._endpoint = endpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        self.connects = True
        return self._endpoint.connect(protocolFactory)


class _PooledConnection:
    """
    Connection of a pool, for one request.

    Args:
        connection: The connection of `twisted.web.client`.
        connecting: Sends the request.
        getAnother: Gets another connection, in case that this one was idle and is closed; `None` for a new connection.
    """

    def __init__(self, connection: Any, connecting: Connecting, getAnother: Callable[[], Deferred[Any]] | None) -> None:
        self._connection = connection
        self._connecting = connecting
        self._getAnother = getAnother

    def request(self, request: Any) -> Deferred[Any]:
        """Send the request here, or on another connection if this one is closed."""
        limit = _HeadLimit(self._connection)
        responding: Deferred[Any] = self._connecting.sendRequest(self._connection, request).addBoth(limit.remove)
        return responding if self._getAnother is None else responding.addErrback(self._repeat, request)

    def _repeat(self, failure: Failure, request: Any) -> Deferred[Any] | Failure:
        """Repeat a request that was not read; pass on any other failure."""
        reasons = getattr(failure.value, "reasons", [])
        unread = failure.check(RequestTransmissionFailed, ResponseNeverReceived)
        closed = unread and all(reason.check(ConnectionDone, ConnectionLost) for reason in reasons)
        if not closed or self._getAnother is None:
            return failure
        return self._getAnother().addCallback(lambda connection: connection.request(request))


class _HeadLimit:
    """
    Limit of the head of one response. Twisted's client has none, and keeps everything.

    Args:
        connection: The connection of `twisted.web.client`. A request is about to be sent over it.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._left = LONGEST_HEAD
        connection.dataReceived = self.dataReceived

    def dataReceived(self, data: bytes) -> None:
        """See `IProtocol.dataReceived`."""
        type(self._connection).dataReceived(self._connection, data)
        self._left -= len(data)
        if self._left < 0 and "dataReceived" in vars(self._connection):
            log.warn("The head of a response has more than {limit} bytes.", limit=LONGEST_HEAD)  # noqa: G010  (a logger of Twisted)
            self._connection.transport.abortConnection()

    def remove(self, result: T) -> T:
        """
        Let the connection receive by itself.

        Args:
            result: The response, which has begun, or a failure.
        """
        vars(self._connection).pop("dataReceived", None)
        return result


@dataclass(frozen=True, slots=True)
class Connections:
    """
    Connections of a source to its server.

    Args:
        agent: Sends the requests.
        pool: Keeps the idle connections of the agent, if it has a pool.
        readPath: Read path of its responses; `None` takes that of `chooseReadPath`.
    """

    agent: IAgent
    pool: HTTPConnectionPool | None = None
    readPath: ReadPath | None = None


def makeConnections(
    reactor: Any, connectTimeout: float, turnEnd: TurnEnd | None = None, plain: bool | None = None
) -> Connections:
    """
    Make connections that are used again and verify certificates.

    Args:
        reactor: Makes the connections.
        connectTimeout: Seconds that a connection may take.
        turnEnd: Turn end of the service. Tokens that are read in one turn are then sent together.
        plain: Whether to use no speedup; by default as the environment says (`SSESERVER_PLAIN=1`).
    """
    pool = ConnectionPool(reactor, plain)
    return Connections(makeAgent(reactor, connectTimeout, pool, plain), pool, chooseReadPath(reactor, turnEnd, plain))
