"""
ConnectionPool: HTTP connections that are used again, by requests with a body too.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure
from twisted.web.client import HTTPConnectionPool, RequestTransmissionFailed, ResponseNeverReceived
from zope.interface import implementer


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
