"""
The client's `Agent`, and a pool of connections that requests with a body use again too.

`EventSource` makes an agent by default; the upstream source makes one with a `ConnectionPool`. Both save turns of the
reactor between a client's request and the one to the upstream, because under load each turn takes long.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Hashable
from ipaddress import ip_address
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocolFactory, IReactorSocket, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Connection
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
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer


def makeAgent(reactor: Any, connectTimeout: float, pool: HTTPConnectionPool | None = None) -> Agent:
    """
    Make an agent for `http` and `https` that verifies certificates.

    Args:
        reactor: Makes the connections.
        connectTimeout: Seconds that a connection may take.
        pool: Keeps connections for further requests. `None` uses each connection once.
    """
    agent: Agent = Agent.usingEndpointFactory(reactor, _Endpoints(reactor, connectTimeout), pool)
    return agent


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """
    Endpoints for `Agent` that do not resolve IP addresses.

    Twisted's own resolve an IP address like a name, in a thread, and under load the result comes late.
    """

    def __init__(self, reactor: Any, timeout: float) -> None:
        self._reactor = reactor
        self._timeout = timeout
        self._policy = BrowserLikePolicyForHTTPS()

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """See `IAgentEndpointFactory.endpointForURI`."""
        if uri.scheme not in (b"http", b"https"):
            raise SchemeNotSupported(f"Unsupported scheme: {uri.scheme!r}")
        host = uri.host.decode("ascii")
        try:
            address = ip_address(host)
        except ValueError:
            kind: Any = HostnameEndpoint
            near = False
        else:
            kind = TCP4ClientEndpoint if address.version == 4 else TCP6ClientEndpoint
            near = address.is_loopback and IReactorSocket.providedBy(self._reactor)
        endpoint: IStreamClientEndpoint = kind(self._reactor, host, uri.port, timeout=self._timeout)
        if near:
            endpoint = _NearEndpoint(self._reactor, host, uri.port, endpoint)
        if uri.scheme == b"https":
            return wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), endpoint)
        return endpoint


@implementer(IStreamClientEndpoint)
class _NearEndpoint:
    """
    A port of this machine. A connection to it is made, or refused, as soon as
    it is asked for; to be told so by the reactor takes two turns.

    Args:
        reactor: Takes the connection.
        host: An address in digits.
        otherwise: What connects when this does not succeed, and tells why not.
    """

    def __init__(self, reactor: Any, host: str, port: int, otherwise: IStreamClientEndpoint) -> None:
        self._reactor = reactor
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._address = (host, port)
        self._otherwise = otherwise

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """See L{IStreamClientEndpoint.connect}."""
        try:
            return succeed(self._connectNow(protocolFactory))
        except OSError:
            # Nobody listens there, too many wait there, or there is no descriptor left.
            return self._otherwise.connect(protocolFactory)

    def _connectNow(self, protocolFactory: IProtocolFactory) -> Any:
        """Connect; give the protocol, or raise what prevents it."""
        with socket.socket(self._family, socket.SOCK_STREAM) as connection:
            connection.setblocking(False)
            # The first call only begins; at the second it is decided.
            connection.connect_ex(self._address)
            if connection.connect_ex(self._address) not in (0, errno.EISCONN):
                raise ConnectionError
            kind = IPv6Address if self._family == socket.AF_INET6 else IPv4Address
            protocol: Any = protocolFactory.buildProtocol(kind("TCP", *self._address))
            # It takes a duplicate of the descriptor.
            self._reactor.adoptStreamConnection(connection.fileno(), self._family, _Given(protocol))
            return protocol


class _Given(Factory):
    """Gives the protocol that is there already."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, address: object) -> Protocol:
        return self._protocol


class ConnectionPool(HTTPConnectionPool):
    """
    Pool that repeats a request on another connection if an idle one turns out to be closed.

    A server may close an idle connection just as it is used again. It has not read the request then, if no byte of an
    answer came (RFC 9112, 9.3.1), so the request is safe to repeat, with a body too. A request on a new connection is
    never repeated.
    """

    # Twisted's own mechanism repeats only requests without a body.
    retryAutomatically = False
    # For each host. Many runs that end together leave their connections to the next ones.
    maxPersistentPerHost = 100
    cachedConnectionTimeout = 60

    def getConnection(self, key: Hashable, endpoint: IStreamClientEndpoint) -> Deferred[Any]:
        """See `HTTPConnectionPool.getConnection`."""
        watched = _WatchedEndpoint(endpoint)
        connecting: Deferred[Any] = super().getConnection(key, watched)
        if watched.connects:
            return connecting.addCallback(_Connection)
        return connecting.addCallback(_UsedConnection, lambda: self.getConnection(key, endpoint))


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


class _Connection:
    """A connection whose requests do not wait for the reactor to come round to its socket."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def request(self, request: Any) -> Deferred[Any]:
        """Make the request here."""
        asking: Deferred[Any] = self._connection.request(request)
        transport = self._connection.transport
        if isinstance(transport, Connection) and transport.connected:
            # What goes wrong does so again when the reactor writes, and then it is told.
            transport.doWrite()
        return asking


class _UsedConnection(_Connection):
    """Connection that has served a request before, and may be closed without our knowledge."""

    def __init__(self, connection: Any, getAnother: Callable[[], Deferred[Any]]) -> None:
        super().__init__(connection)
        self._getAnother = getAnother

    def request(self, request: Any) -> Deferred[Any]:
        """Send the request here, or on another connection if this one is closed."""
        return super().request(request).addErrback(self._repeat, request)

    def _repeat(self, failure: Failure, request: Any) -> Deferred[Any] | Failure:
        """Repeat a request that was not read; pass on any other failure."""
        reasons = getattr(failure.value, "reasons", [])
        unheard = failure.check(RequestTransmissionFailed, ResponseNeverReceived)
        if unheard and all(reason.check(ConnectionDone, ConnectionLost) for reason in reasons):
            return self._getAnother().addCallback(lambda connection: connection.request(request))
        return failure
