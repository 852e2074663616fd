"""
TLS ports: their certificates are read again on demand, and a client that speaks plain HTTP there is told so.

`Server` passes a `TLSReactor` to the endpoints of `ssl:` strings. Twisted reads the files of such a string when it is
parsed, so a string that is parsed again yields the new certificate.
"""

from __future__ import annotations

from typing import Any

from OpenSSL.SSL import Connection
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IOpenSSLServerConnectionCreator
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from zope.interface import implementer

from sseserver.command.listening import BadEndpoint, checkCertificates, explainError
from sseserver.errors import BadRequest
from sseserver.speedups.clienthello import isPlainHTTP
from sseserver.speedups.tls import TLSConnection, TLSServer
from sseserver.speedups.tlscontext import makeTLSServer
from sseserver.web.answers import encodeRefusal

#: Answer to plain HTTP.
_REFUSAL = encodeRefusal(BadRequest("This port speaks TLS: use a URL that begins with https://."))


def isTLS(description: str) -> bool:
    """Return whether an endpoint, in Twisted's notation, is a TLS port."""
    return description.startswith("ssl:")


@implementer(IOpenSSLServerConnectionCreator)
class Certificate:
    """
    Key and certificate of a TLS port. New connections use the newest ones, and the others keep theirs.

    Args:
        options: Makes the context: Twisted's `CertificateOptions`.
        plain: Whether to use no speedup.

    Attributes:
        server: The fast TLS of new connections; `None` if Twisted's serves them.
    """

    def __init__(self, options: Any, plain: bool) -> None:
        self._plain = plain
        self.replace(options)

    def replace(self, options: Any) -> None:
        """
        Use another key and certificate from now on.

        Args:
            options: See above.

        Raises:
            OpenSSL.SSL.Error: They do not belong together. Nothing is changed.
        """
        server = chooseTLS(options, self._plain)
        self._context, self.server = options.getContext(), server

    def serverConnectionForTLS(self, protocol: Any) -> Connection:
        """See `IOpenSSLServerConnectionCreator.serverConnectionForTLS`."""
        return Connection(self._context, None)


def chooseTLS(options: Any, plain: bool) -> TLSServer | None:
    """
    Choose the TLS of a port.

    Args:
        options: Twisted's `CertificateOptions`.
        plain: Whether to use no speedup.

    Returns:
        The server's side of fast TLS; `None` for Twisted's.
    """
    return None if plain else makeTLSServer(options, "http/1.1", _REFUSAL)


class TLSTransport(BufferingTLSTransport):
    """The TLS of one connection. It answers plain HTTP in plain HTTP."""

    transport: Any

    def makeConnection(self, transport: Any) -> None:
        """See `IProtocol.makeConnection`."""
        self.dataReceived = self._receiveFirst  # type: ignore[method-assign]
        super().makeConnection(transport)

    def _receiveFirst(self, data: bytes) -> None:
        """Receive the first bytes."""
        del self.dataReceived
        if isPlainHTTP(data):
            self.transport.write(_REFUSAL)
            self.transport.loseConnection()
        else:
            self.dataReceived(data)


class TLSFactory(TLSMemoryBIOFactory):
    """
    Factory of the connections of a TLS port.

    Args:
        certificate: Key and certificate.
        site: What is served there.
        reactor: Calls later.
    """

    protocol = TLSTransport

    def __init__(self, certificate: Certificate, site: Any, reactor: Any) -> None:
        super().__init__(certificate, False, site, reactor)
        self._certificate = certificate

    def buildProtocol(self, addr: Any) -> Any:
        """See `IProtocolFactory.buildProtocol`."""
        server = self._certificate.server
        if server is None:
            return super().buildProtocol(addr)
        return TLSConnection(self.wrappedFactory.buildProtocol(addr), server)


class TLSReactor:
    """
    Listens on one TLS port.

    Args:
        reactor: Listens.
        description: The endpoint, in Twisted's notation.
    """

    def __init__(self, reactor: Any, description: str) -> None:
        self._reactor = reactor
        self._description = description
        self._certificate: Certificate | None = None

    def listenSSL(
        self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        """See `IReactorSSL.listenSSL`."""
        self._certificate = Certificate(contextFactory, not factory.isFast)
        tls = TLSFactory(self._certificate, factory, self._reactor)
        listening: IListeningPort = self._reactor.listenTCP(port, tls, backlog, interface)
        return listening

    def reload(self) -> None:
        """
        Read key and certificate again, if the port listens.

        Raises:
            BadEndpoint: A file cannot be read, or they do not belong together. Nothing is changed.
        """
        if self._certificate is None:
            return
        checkCertificates(self._description)
        try:
            reading = _Reading()
            serverFromString(reading, self._description).listen(None)
            self._certificate.replace(reading.options)
        except Exception as error:
            raise BadEndpoint(explainError(self._description, error)) from None


class _Reading:
    """
    Takes the certificate of an endpoint in place of listening.

    Attributes:
        options: Twisted's `CertificateOptions`.
    """

    options: Any = None

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, **keywords: Any) -> None:
        """
        Take the certificate.

        Args:
            port: Number of the port.
            factory: Would serve its connections.
            contextFactory: Has key and certificate.
            keywords: Other arguments of the endpoint.
        """
        self.options = contextFactory
