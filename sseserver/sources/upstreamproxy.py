"""
HTTP proxies in front of an upstream: which one to use, and connections through it.

`sseserver.command.upstream` uses it for `--upstream-proxy`, `HTTPS_PROXY` and the like. An upstream of `https` is
reached through a tunnel (CONNECT, RFC 9110, 9.3.6), one of `http` by requests with absolute URLs.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, TimeoutError
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, BrowserLikePolicyForHTTPS, ProxyAgent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from sseserver.client.agent import ConnectionPool, Connections, TimedEndpoint
from sseserver.client.response import chooseReadPath
from sseserver.redaction import splitURL
from sseserver.timing.patience import PatientCall
from sseserver.timing.turnend import TurnEnd

#: Bytes. Largest head of a proxy's answer to CONNECT.
_MAX_HEAD = 16 * 1024


@dataclass(frozen=True, slots=True)
class Proxy:
    """
    An HTTP proxy.

    Attributes:
        host: Name or IP address.
        port: Port.
        credentials: Value of the header `Proxy-Authorization`, or `None`. It appears in no log and no error.
    """

    host: str
    port: int
    credentials: bytes | None


def readProxy(url: str) -> Proxy:
    """
    Read the URL of a proxy, in the form that other clients take: `http://USER:PASSWORD@HOST:PORT`.

    Raises:
        ValueError: The URL is unusable. The message does not repeat it, because it may hold a secret.
    """
    parts = splitURL(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("the proxy must be http:// and a host")
    if parts.path.strip("/") or parts.query or parts.fragment or not url.isascii() or not url.isprintable():
        raise ValueError("the URL of a proxy has a host and a port only")
    credentials = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        credentials = b"Basic " + b64encode(pair.encode("utf-8"))
    return Proxy(parts.hostname, parts.port or 80, credentials)


def findProxy(url: str) -> str | None:
    """
    Find the proxy that the environment names for a URL.

    The variables are `https_proxy`, `http_proxy`, `all_proxy` and `no_proxy`, in lower or upper case. This machine is
    never reached through a proxy.

    Args:
        url: URL of the upstream.

    Returns:
        URL of the proxy, or `None` for none.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies()
    if _isLoopback(host) or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return proxies.get(parts.scheme) or proxies.get("all") or None


def _isLoopback(host: str) -> bool:
    """Return whether a host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def makeProxyConnections(
    reactor: Any, proxy: Proxy, secure: bool, timeout: float, turnEnd: TurnEnd | None = None, plain: bool | None = None
) -> Connections:
    """
    Make connections through a proxy, which are used again and verify certificates.

    Args:
        reactor: Makes the connections.
        proxy: The proxy.
        secure: Whether the upstream's URL is `https`.
        timeout: Seconds that a connection may take.
        turnEnd: See `client.agent.makeConnections`.
        plain: See `client.agent.makeConnections`.
    """
    pool = ConnectionPool(reactor, plain)
    named: Any = HostnameEndpoint
    endpoint: Any = TimedEndpoint(reactor, named(reactor, proxy.host, proxy.port, timeout=None), timeout)
    if secure:
        agent: IAgent = Agent.usingEndpointFactory(reactor, _Tunnels(reactor, endpoint, proxy, timeout), pool)
    else:
        agent = _ForwardingAgent(ProxyAgent(endpoint, reactor, pool), proxy)
    return Connections(agent, pool, chooseReadPath(reactor, turnEnd, plain))


@implementer(IAgent)
class _ForwardingAgent:
    """Agent that adds the credentials of a proxy to each request."""

    def __init__(self, agent: ProxyAgent, proxy: Proxy) -> None:
        self._agent = agent
        self._proxy = proxy

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        """See `IAgent.request`."""
        headers = Headers() if headers is None else headers.copy()
        if self._proxy.credentials is not None:
            headers.setRawHeaders(b"Proxy-Authorization", [self._proxy.credentials])
        responding: Deferred[IResponse] = self._agent.request(method, uri, headers, bodyProducer)
        return responding


@implementer(IAgentEndpointFactory)
class _Tunnels:
    """Endpoints that reach each host of `https` through a tunnel."""

    def __init__(self, reactor: Any, endpoint: IStreamClientEndpoint, proxy: Proxy, timeout: float) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._proxy = proxy
        self._timeout = timeout
        self._policy = BrowserLikePolicyForHTTPS()

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """See `IAgentEndpointFactory.endpointForURI`."""
        host = b"[%b]" % uri.host if b":" in uri.host else uri.host
        authority = b"%b:%d" % (host, uri.port)
        request = b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n" % (authority, authority)
        if self._proxy.credentials is not None:
            request += b"Proxy-Authorization: %b\r\n" % self._proxy.credentials
        tunnel = TunnelEndpoint(self._reactor, self._endpoint, request + b"\r\n", self._timeout)
        endpoint: IStreamClientEndpoint = wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), tunnel)
        return endpoint


@implementer(IStreamClientEndpoint)
class TunnelEndpoint:
    """
    Endpoint that connects through a proxy.

    Args:
        reactor: Measures time.
        endpoint: Endpoint of the proxy.
        request: The request CONNECT, complete.
        timeout: Seconds that the proxy's answer may take.
    """

    def __init__(self, reactor: Any, endpoint: IStreamClientEndpoint, request: bytes, timeout: float) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._request = request
        self._timeout = timeout

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """See `IStreamClientEndpoint.connect`."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, protocolFactory: IProtocolFactory) -> Any:
        opening = _Opening(self._reactor, self._request, self._timeout)
        await self._endpoint.connect(Factory.forProtocol(lambda: opening))
        rest = await opening.opened
        transport: Any = opening.transport
        protocol: Any = protocolFactory.buildProtocol(transport.getPeer())
        # From now on the bytes of the connection are those of the tunnel.
        transport.protocol = protocol
        protocol.makeConnection(transport)
        if rest:
            protocol.dataReceived(rest)
        return protocol


class _Opening(Protocol):
    """
    The request for a tunnel, and the proxy's answer.

    Attributes:
        opened: Fires with the bytes after the proxy's head, or fails with a `ConnectError`.
    """

    def __init__(self, reactor: Any, request: bytes, timeout: float) -> None:
        self._reactor = reactor
        self._request = request
        self._timeout = timeout
        self._head = b""
        self._timer: PatientCall | None = None
        self.opened: Deferred[bytes] = Deferred(lambda _: self._fail(None))

    def connectionMade(self) -> None:
        self._timer = PatientCall(self._reactor, self._timeout, self._expire)
        transport: Any = self.transport
        transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            if len(self._head) > _MAX_HEAD:
                self._fail(ConnectError("The proxy's answer is not HTTP."))
            return
        line = head.partition(b"\r\n")[0].decode("latin-1")
        _, _, status = line.partition(" ")
        if not line.startswith("HTTP/1.") or not status[:3].isdecimal():
            self._fail(ConnectError("The proxy's answer is not HTTP."))
        elif status[:1] != "2":
            self._fail(ConnectError(f"The proxy answered {status[:3]}."))
        elif not self.opened.called:
            self._stopTimer()
            self.opened.callback(rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._fail(ConnectError("The proxy closed the connection."))

    def _expire(self) -> None:
        self._timer = None
        self._fail(TimeoutError("The proxy did not answer."))

    def _fail(self, error: Exception | None) -> None:
        """Give up, without an error if the caller does."""
        self._stopTimer()
        if self.opened.called and error is not None:
            return
        if error is not None:
            self.opened.errback(error)
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()

    def _stopTimer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
