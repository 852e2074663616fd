"""
Pool: an L{Agent} that connects at once where it can, and HTTP connections that
are used again, by requests with a body too.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
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
    Make what asks servers, by C{http:} and C{https:}; certificates are verified.

    Args:
        reactor: Connects.
        connectTimeout: Seconds that this may take.
        pool: Connections to be used again.
    """
    agent: Agent = Agent.usingEndpointFactory(reactor, _Endpoints(reactor, connectTimeout), pool)
    return agent


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """
    What L{Agent} connects to; but an address in digits is not looked up.
    Twisted's looks it up like a name, in a thread, and waits for that thread
    longest when the server has most to do.
    """

    def __init__(self, reactor: Any, timeout: float) -> None:
        self._reactor = reactor
        self._timeout = timeout
        self._policy = BrowserLikePolicyForHTTPS()

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """See L{IAgentEndpointFactory.endpointForURI}."""
        if uri.scheme not in (b"http", b"https"):
            raise SchemeNotSupported(f"Unsupported scheme: {uri.scheme!r}")
        host = uri.host.decode("ascii")
        try:
            kind: Any = TCP4ClientEndpoint if ip_address(host).version == 4 else TCP6ClientEndpoint
        except ValueError:
            kind = HostnameEndpoint
        endpoint: IStreamClientEndpoint = kind(self._reactor, host, uri.port, timeout=self._timeout)
        if uri.scheme == b"https":
            return wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), endpoint)
        return endpoint


class ConnectionPool(HTTPConnectionPool):
    """
    A pool in which a request goes to another connection, when the one that it
    took was closed by the server before a byte of an answer came.

    That happens when a server gives up an idle connection just as it is used
    again, and then it has not read the request (RFC 9112 9.3.1). On a new
    connection nothing is ever asked twice.
    """

    # Twisted's own does it for requests without a body only.
    retryAutomatically = False
    # For each host: what a wave of answers leaves behind is there for the next one.
    maxPersistentPerHost = 100
    cachedConnectionTimeout = 60

    def getConnection(self, key: Hashable, endpoint: IStreamClientEndpoint) -> Deferred[Any]:
        """See L{HTTPConnectionPool.getConnection}."""
        noting = _NotingEndpoint(endpoint)
        connecting: Deferred[Any] = super().getConnection(key, noting)
        if noting.asked:
            return connecting
        return connecting.addCallback(_UsedConnection, lambda: self.getConnection(key, endpoint))


@implementer(IStreamClientEndpoint)
class _NotingEndpoint:
    """An endpoint that knows whether it was asked for a connection."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self.asked = False
        self._endpoint = endpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        self.asked = True
        return self._endpoint.connect(protocolFactory)


class _UsedConnection:
    """A connection that had a request before: it may be closed already, and we do not know yet."""

    def __init__(self, connection: Any, getAnother: Callable[[], Deferred[Any]]) -> None:
        self._connection = connection
        self._getAnother = getAnother

    def request(self, request: Any) -> Deferred[Any]:
        """Make the request here, or on another connection."""
        asking: Deferred[Any] = self._connection.request(request)
        return asking.addErrback(self._askAgain, request)

    def _askAgain(self, failure: Failure, request: Any) -> Deferred[Any] | Failure:
        reasons = getattr(failure.value, "reasons", [])
        unheard = failure.check(RequestTransmissionFailed, ResponseNeverReceived)
        if unheard and all(reason.check(ConnectionDone, ConnectionLost) for reason in reasons):
            return self._getAnother().addCallback(lambda connection: connection.request(request))
        return failure
