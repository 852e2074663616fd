"""
The site: HTTP/1.1 over which event streams are served, with limits for what a client sends.

`twistd sseserver` listens with a `StreamSite`; an embedder may. Its connections and requests are
Twisted's, or the fast ones of `sseserver.speedups.channel`; the limits are the same for both.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource, Resource, getChildForRequest
from twisted.web.server import NOT_DONE_YET, Request, Site

from sseserver.counting import Tally
from sseserver.delivery.head import PROTECTION, PROTECTION_LINES
from sseserver.options import defaultOf
from sseserver.service.clients import Client
from sseserver.settings import MODEL_BODY
from sseserver.speedups.accesslog import accessLine
from sseserver.speedups.channel import FastChannel, readsHeads
from sseserver.speedups.direct import AnswerForm, DirectWay
from sseserver.speedups.privates import seesWaits
from sseserver.speedups.probes import ProbeTransport, probe
from sseserver.speedups.request import FastRequest
from sseserver.timing.fairturns import FairTurns
from sseserver.timing.nextturn import NextTurn
from sseserver.timing.ticker import Ticker
from sseserver.timing.turnend import TurnEnd
from sseserver.web.accessline import plainLine
from sseserver.web.answers import answerEncoded, encodeRefusal, finishAnswer
from sseserver.web.arrivingbodies import ArrivingBodies
from sseserver.web.bodylimit import BodyLimit
from sseserver.web.connection import ConnectionLimits
from sseserver.web.deadlines import RequestDeadlines
from sseserver.web.descriptors import countFree
from sseserver.web.logfile import LogFile
from sseserver.web.openconnections import OpenConnections, RefusedConnection
from sseserver.web.peers import Peers, ProxiedConnection
from sseserver.web.request import makeTooManyBodies
from sseserver.web.requestlog import LINES, JSONLine, TextLine, describeRequest

# Its events are those of requests, in a log of JSON objects.
_accessLog = Logger("sseserver.access")

#: Seconds after which an idle connection is closed. It exceeds the 60 of common load balancers,
#: which would otherwise send a request into a connection that is just being closed.
IDLE_TIMEOUT = 75

#: Seconds. Slot width of the ticker of deadlines.
GRANULARITY = 0.25

#: Number of the largest bodies that may arrive at a time. Small ones do not count.
BODIES = 4

#: HTTP status. The lowest of a request that is refused.
_REFUSED = 400

#: The statuses that are counted, one by one. They are those of our own errors; an upstream may have others.
REFUSALS = (
    *("400", "401", "403", "404", "405", "406", "408", "409", "410", "413", "414", "415", "417", "421", "422"),
    *("429", "431", "500", "501", "502", "503", "504"),
)


class PlainStreamRequest(BodyLimit, Request):
    """The plain request: Twisted's own, with the limit."""


class StreamRequest(PlainStreamRequest):
    """
    A request for a `Site` of your own, whose body is kept in memory and limited.

    Pass it as `Site(root, requestFactory=StreamRequest, parsePOSTFormSubmission=False)`. The limit is 32 MiB, or the
    attribute `maxBody` of the site. A larger body is refused before it is read.
    """

    def __init__(self, channel: Any, *args: Any, **keywords: Any) -> None:
        site = channel.site
        if not hasattr(site, "overload"):
            site.maxBody = getattr(site, "maxBody", MODEL_BODY)
            site.overload = encodeRefusal(makeTooManyBodies())
            site.bodies = ArrivingBodies(BODIES * MODEL_BODY)
            site.peers = getattr(site, "peers", Peers())
        super().__init__(channel, *args, **keywords)


class FastStreamRequest(BodyLimit, FastRequest):
    """The fast request, with the limit."""

    __slots__ = ("_counted", "_inChunks", "_isForwardedTLS", "_limit", "_received", "_refused", "begun")


class PlainStreamChannel(RequestDeadlines):
    """The plain channel: Twisted's own, with the limits."""

    protection = PROTECTION_LINES

    def standFor(self, address: Any) -> None:
        """Take the address that a proxy has named for that of the client."""
        self.getPeer = lambda: address  # type: ignore[method-assign]

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """See `HTTPChannel.writeHeaders`. There is no `Server`, which Twisted sets with its version."""
        headers.removeHeader(b"Server")
        if not headers.hasHeader(b"Cross-Origin-Resource-Policy"):
            for name, value in PROTECTION:
                headers.addRawHeader(name, value)
        super().writeHeaders(version, code, reason, headers)


class FastStreamChannel(RequestDeadlines, FastChannel, ConnectionLimits):
    """The fast channel, with the limits."""

    __slots__ = ("client", "deadline", "phase")

    protection = PROTECTION_LINES

    def standFor(self, address: Any) -> None:
        """Take the address that a proxy has named for that of the client."""
        self._peer = address


def chooseConnection(plain: bool) -> tuple[type[RequestDeadlines], type[Request]]:
    """
    Choose the connections of a site.

    Args:
        plain: Whether to use no speedup.

    Returns:
        The class of the channels and that of their requests. Neither offers HTTP/2.
    """
    return (PlainStreamChannel, PlainStreamRequest) if plain else (FastStreamChannel, FastStreamRequest)


def chooseDirect(site: StreamSite, plain: bool, formatter: object | None) -> DirectWay | None:
    """
    Choose whether a site answers small POSTs without a request object, if its root can.

    Args:
        site: The site.
        plain: Whether to use no speedup.
        formatter: Makes the lines of the access log; `None` if there is none. One of an embedder
            needs the request.

    Returns:
        The way of these answers; `None` if all requests go the usual way.
    """
    if plain or not (formatter is None or isinstance(formatter, LINES)) or not answersDirectly():
        return None
    return DirectWay(site, AnswerForm(_sampleAnswer()), formatter is not None)


@probe
def answersDirectly() -> bool:
    """Probe direct answers: the private names that they need, and the form of the usual ones."""
    return readsHeads() and seesWaits() and bool(AnswerForm(_sampleAnswer()))


class _Sample(Resource):
    """Answers with an empty body in JSON."""

    isLeaf = True

    def render(self, request: Any) -> int:
        """See `IResource.render`."""
        finishAnswer(request, answerEncoded(request, b""))
        return NOT_DONE_YET


@cache
def _sampleAnswer() -> bytes:
    """Return an answer in JSON, written in the usual way."""
    reactor = Clock()
    channel = StreamSite(_Sample(), accessLog=None, plain=True, reactor=reactor).buildProtocol(None)
    transport = ProbeTransport()
    channel.makeConnection(transport)
    channel.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    return transport.written


class StreamSite(Site):
    """
    Serves a resource over HTTP/1.1.

    HTTP/2 is not offered, even if the `h2` package is installed: a client that lets its window run
    out makes twisted.web's HTTP/2 spin. Put a proxy that speaks HTTP/2 in front.

    Args:
        resource: The root.
        accessLog: Format of the access log, `text` or `json`: each request is logged in a line at its end. `None` for
            no access log.
        plain: Whether to use no speedup; by default as the environment says (`SSESERVER_PLAIN=1`).
        maxBody: Bytes. Limit of the body of a request, the largest of those of its resources.
        stall: Seconds after which a client that takes nothing is cut; by default that of `Settings`.
        peers: Trusted proxies, and the limits of connections.
        turnEnd: The end of the reactor's turns: connections that have sent everything are closed at the end of a batch.
        keywords: See `Site`.

    Attributes:
        bodies: The bodies of requests that are not complete.
        closing: Closes connections that have sent everything, those of a turn together.
        firstReads: Limits the time of a turn in which requests of new connections are read.
        connections: The open connections.
        isFast: Whether speedups are on.
        maxBody: See above.
        peers: See above.
        overload: Answer to a request whose body has no room beside others.
        refusals: Number of requests that were refused, by status.
        stall: See above.
        ticker: Ticker of the deadlines of requests.
    """

    def __init__(
        self,
        resource: IResource,
        *,
        accessLog: str | None = "text",
        plain: bool | None = None,
        maxBody: int = MODEL_BODY,
        stall: float | None = None,
        peers: Peers | None = None,
        turnEnd: TurnEnd | None = None,
        **keywords: Any,
    ) -> None:
        self.maxBody = maxBody
        self.refusals = Tally(REFUSALS)
        self.overload = encodeRefusal(makeTooManyBodies())
        self.bodies = ArrivingBodies(BODIES * maxBody)
        if plain is None:
            plain = defaultOf("plain")
        channel, request = chooseConnection(plain)
        # `Site` would choose between HTTP/1.1 and HTTP/2 for each connection.
        self.protocol: Any = channel
        keywords.setdefault("timeout", IDLE_TIMEOUT)
        text = TextLine(plainLine if plain else accessLine)
        formatter = keywords.setdefault("logFormatter", JSONLine() if accessLog == "json" else text)
        self._accessLog = accessLog
        self.stall: float = defaultOf("stall") if stall is None else stall
        super().__init__(resource, request, parsePOSTFormSubmission=False, **keywords)
        # One bound method for all connections.
        self._callLater = self.reactor.callLater
        self.closing = NextTurn(self.reactor, turnEnd)
        self.firstReads = FairTurns(self.reactor, TurnEnd(self.reactor))
        self.isFast = not plain
        self._direct = chooseDirect(self, plain, None if accessLog is None else formatter)
        self.ticker = Ticker(self.reactor, GRANULARITY, patient=True)
        self.peers = peers or Peers()
        limit = self.peers.maxConnections or countFree()
        self.connections = OpenConnections(limit, self.reactor, self.peers.maxConnectionsEach)

    def startFactory(self) -> None:
        """See `Site.startFactory`. A client on its own starts and stops no loop for its deadline."""
        super().startFactory()
        self.ticker.setLazy(True)

    def stopFactory(self) -> None:
        """See `Site.stopFactory`. Open connections keep their deadlines."""
        super().stopFactory()
        self.ticker.setLazy(False)

    def buildProtocol(self, addr: Any) -> Any:
        """See `Site.buildProtocol`."""
        client = self.peers.findClient(addr)
        if not self.connections.admit(client):
            return RefusedConnection()
        if self.peers.proxyProtocol and self.peers.proxies.trusts(addr):
            return ProxiedConnection(self)
        return self.makeChannel(addr, client)

    def makeChannel(self, address: Any, client: Client | None) -> Any:
        """
        Make the channel of a connection.

        Args:
            address: Address of the client.
            client: The client, for whom the connection is counted.
        """
        channel: Any = self.protocol()
        # The steps of three classes of Twisted at once.
        channel.factory = channel.site = self
        channel.requestFactory, channel.timeOut = self.requestFactory, self.timeOut
        channel.callLater = self._callLater
        channel.client = client
        channel.deadline = None
        if self.isFast:
            channel.direct = self._direct
            if isinstance(address, (IPv4Address, IPv6Address)):
                # The transport would make it again.
                channel.standFor(address)
        return channel

    def getResourceFor(self, request: Any) -> Any:
        """See `Site.getResourceFor`."""
        request.site = self
        request.sitepath = request.prepath.copy()
        return getChildForRequest(self.resource, request)

    def log(self, request: Any) -> None:
        """See `Site.log`."""
        if request.code >= _REFUSED:
            self.refusals.add(str(request.code))
        if self._accessLog == "json" and self.logPath is None:
            _accessLog.info("{method} {target} {status}", **describeRequest(request))
        elif self._accessLog is not None:
            super().log(request)

    def reopenLog(self) -> None:
        """Open the file of the access log again, if there is one and it is open."""
        if self.logPath and self.numPorts:
            self.logFile.reopen()

    def _openLogFile(self, path: Any) -> LogFile:
        """See `Site._openLogFile`, which subclasses may override."""
        return LogFile(path)

    def acceptableProtocols(self) -> list[bytes]:
        """See `Site.acceptableProtocols`: only HTTP/1.1."""
        return [b"http/1.1"]
