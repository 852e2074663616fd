"""
Fast connecting of a client: connections to this machine, and requests, without waiting for a turn of the reactor.

`sseserver.client.agent` chooses between this and its plain connecting.
"""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocolFactory, IReactorSocket, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Connection
from zope.interface import implementer

from sseserver.speedups.privates import releaseParser


class FastConnecting:
    """Connects to this machine at once, and writes requests at once."""

    def wrapEndpoint(
        self, reactor: Any, host: str, port: int, endpoint: IStreamClientEndpoint
    ) -> IStreamClientEndpoint:
        """See `Connecting.wrapEndpoint`: a `LoopbackEndpoint` for an address of this machine, otherwise unchanged."""
        if ip_address(host).is_loopback and IReactorSocket.providedBy(reactor):
            return LoopbackEndpoint(reactor, host, port, endpoint)
        return endpoint

    def sendRequest(self, connection: Any, request: Any) -> Deferred[Any]:
        """See `Connecting.sendRequest`; the request is written to the socket before the reactor does so."""
        responding: Deferred[Any] = connection.request(request)
        releaseParser(connection)
        transport = connection.transport
        if isinstance(transport, Connection) and transport.connected:
            # An error occurs again when the reactor writes, and is reported then.
            transport.doWrite()
        return responding


@implementer(IStreamClientEndpoint)
class LoopbackEndpoint:
    """
    Endpoint of a port of this machine. The connection is there as soon as it is requested; a reactor takes two turns.

    Args:
        reactor: Takes the connection.
        host: An IP address.
        port: The port.
        fallback: Connects, or reports the error, if the connection cannot be made at once.
    """

    def __init__(self, reactor: Any, host: str, port: int, fallback: IStreamClientEndpoint) -> None:
        self._reactor = reactor
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._address = (host, port)
        self._fallback = fallback

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """See `IStreamClientEndpoint.connect`."""
        try:
            return succeed(self._connectNow(protocolFactory))
        except OSError:
            # The port is closed, its backlog is full, or there is no file descriptor left.
            return self._fallback.connect(protocolFactory)

    def _connectNow(self, protocolFactory: IProtocolFactory) -> Any:
        """Connect, and return the protocol; an `OSError` says that this did not succeed at once."""
        with socket.socket(self._family, socket.SOCK_STREAM) as connection:
            connection.setblocking(False)
            # The first call starts the connection, and the second one reports its result.
            connection.connect_ex(self._address)
            if connection.connect_ex(self._address) not in (0, errno.EISCONN):
                raise ConnectionError
            kind = IPv6Address if self._family == socket.AF_INET6 else IPv4Address
            protocol: Any = protocolFactory.buildProtocol(kind("TCP", *self._address))
            # The reactor duplicates the descriptor.
            self._reactor.adoptStreamConnection(connection.fileno(), self._family, _ReadyFactory(protocol))
            return protocol


class _ReadyFactory(Factory):
    """Factory of a protocol that exists already."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, address: object) -> Protocol:
        return self._protocol
