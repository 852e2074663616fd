"""
The peers of a site: clients, and proxies with clients behind them.

A trusted proxy names its client for each request (`X-Forwarded-For`), or once for each connection (the PROXY protocol).

`StreamSite` asks it who a client is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol as ConnectedProtocol
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request

from sseserver.service.clients import Client, findAddress
from sseserver.timing.ticker import Ticker
from sseserver.web.access.proxies import TrustedProxies, readScheme
from sseserver.web.openconnections import OpenConnections, closeNow
from sseserver.web.proxyheader import readProxyHeader

log = Logger(__name__)

#: Seconds. Time for the header of the PROXY protocol.
HEADER_TIMEOUT = 5.0

if TYPE_CHECKING:
    _Base = Request
else:
    _Base = object


@dataclass(frozen=True, slots=True)
class Peers:
    """
    The peers of a site.

    Attributes:
        proxies: Trusted proxies.
        proxyProtocol: Whether each connection from one begins with the PROXY protocol.
        maxConnections: Number of connections at a time. By default the limit of file descriptors of the process, but
            for some that are kept for everything else.
        maxConnectionsEach: Number of them from one address; `None` limits only addresses of the public internet.
    """

    proxies: TrustedProxies = field(default_factory=TrustedProxies)
    proxyProtocol: bool = False
    maxConnections: int | None = None
    maxConnectionsEach: int | None = None

    def findClient(self, address: Any) -> Client | None:
        """Return the client whose connections are counted; `None` for a proxy, and for programs on this machine."""
        return None if self.proxies.trusts(address) else findAddress(address)


class ForwardedRequest(_Base):
    """A mixin for requests that may come from a trusted proxy."""

    __slots__ = ()

    client: Any
    channel: Any

    def believeProxy(self) -> None:
        """Take the address of the client, and the scheme of its request, from the headers of a trusted proxy."""
        proxies = self.channel.site.peers.proxies
        if proxies.trusts(self.client):
            find = self.requestHeaders.getRawHeaders
            self.client = proxies.findClient(self.client, find(b"x-forwarded-for", ()))
            self._isForwardedTLS = readScheme(find(b"x-forwarded-proto", ()))

    def isSecure(self) -> bool:
        """See `Request.isSecure`: whether the client has sent the request over TLS."""
        forwarded: bool | None = getattr(self, "_isForwardedTLS", None)
        return super().isSecure() if forwarded is None else forwarded


class ProxiedSite(Protocol):
    """
    The site of a connection from a proxy.

    Attributes:
        connections: The open connections.
        peers: Its peers.
        ticker: Ticker of deadlines.
    """

    connections: OpenConnections
    peers: Peers
    ticker: Ticker

    def makeChannel(self, address: Any, client: Client | None) -> Any:
        """
        Make the channel of a connection.

        Args:
            address: See `StreamSite.makeChannel`.
            client: See `StreamSite.makeChannel`.
        """


class ProxiedConnection(ConnectedProtocol):
    """
    A connection that begins with the PROXY protocol. Its channel takes it over after the header.

    Args:
        site: Makes the channel.

    Attributes:
        client: `None`: the connection is not counted for a client yet.
    """

    transport: Any

    def __init__(self, site: ProxiedSite) -> None:
        self.client: Client | None = None
        self._site = site
        self._data = b""
        self._deadline: Any = None

    def connectionMade(self) -> None:
        """See `Protocol.connectionMade`."""
        ticker = self._site.ticker
        self._deadline = ticker.at(ticker.seconds() + HEADER_TIMEOUT, self._giveUp)
        self._site.connections.waiting[self] = None

    def dataReceived(self, data: bytes) -> None:
        """See `Protocol.dataReceived`."""
        self._data += data
        try:
            header = readProxyHeader(self._data)
        except ValueError as error:
            log.info("A connection from {peer} was closed: {error}", peer=self.transport.getPeer(), error=error)
            closeNow(self.transport)
            return
        if header is not None:
            self._handOver(header.client, self._data[header.size :])

    def _handOver(self, address: IAddress | None, rest: bytes) -> None:
        """
        Give the connection to its channel.

        Args:
            address: Address of the client; `None` for the proxy itself.
            rest: The bytes after the header.
        """
        site, transport = self._site, self.transport
        client = None if address is None else site.peers.findClient(address)
        if not site.connections.share(client):
            closeNow(transport)
            return
        site.ticker.cancel(self._deadline)
        site.connections.waiting.pop(self, None)
        channel = site.makeChannel(address or transport.getPeer(), client)
        if address is not None:
            channel.standFor(address)
        # The channel reads nothing itself before it has the rest.
        channel.makeConnection(transport)
        transport.protocol = channel
        if rest:
            channel.dataReceived(rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See `Protocol.connectionLost`."""
        self._site.ticker.cancel(self._deadline)
        self._site.connections.remove(self)

    def _giveUp(self, now: float) -> None:
        closeNow(self.transport)
