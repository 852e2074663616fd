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
from sseserver.web.answers import encodeRefusal

#: First byte of a TLS connection: the type of a record with a handshake (RFC 8446 section 5.1).
_HANDSHAKE = b"\x16"

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
    """

    def __init__(self, options: Any) -> None:
        self._context = options.getContext()

    def replace(self, options: Any) -> None:
        """
        Use another key and certificate from now on.

        Args:
            options: See above.

        Raises:
            OpenSSL.SSL.Error: They do not belong together. Nothing is changed.
        """
        self._context = options.getContext()

    def serverConnectionForTLS(self, protocol: Any) -> Connection:
        """See `IOpenSSLServerConnectionCreator.serverConnectionForTLS`."""
        return Connection(self._context, None)


class TLSTransport(BufferingTLSTransport):
    """The TLS of one connection. It answers plain HTTP in plain HTTP."""

    transport: Any

    def makeConnection(self, transport: Any) -> None:
        """See `IProtocol.makeConnection`."""
        self.dataReceived = self._receiveFirst  # type: ignore[method-assign]
        super().makeConnection(transport)

    def _receiveFirst(self, data: bytes) -> None:
        """Receive the first bytes. TLS never begins with a letter, and HTTP always does."""
        del self.dataReceived
        if data[:1].isalpha() and not data.startswith(_HANDSHAKE):
            self.transport.write(_REFUSAL)
            self.transport.loseConnection()
        else:
            self.dataReceived(data)


class TLSFactory(TLSMemoryBIOFactory):
    """Factory of the connections of a TLS port."""

    protocol = TLSTransport


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
        self._certificate = Certificate(contextFactory)
        tls = TLSFactory(self._certificate, False, factory, self._reactor)
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
