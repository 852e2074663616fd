"""
The site: HTTP/1.1 over which event streams are served, with limits for what a client sends.

`twistd sseserver` listens with a `StreamSite`; an embedder may. Its connections and requests are
Twisted's, or the fast ones of `sseserver.speedups.channel`; the limits are the same for both.
"""

from __future__ import annotations

import io
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING, Any

from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from sseserver.delivery.head import PROTECTION, PROTECTION_LINES
from sseserver.errors import BadRequest, SSEServerError
from sseserver.options import defaultOf
from sseserver.settings import MODEL_BODY
from sseserver.speedups.accesslog import accessLine
from sseserver.speedups.channel import FastChannel, FastRequest, readsHeads
from sseserver.speedups.direct import AnswerForm, DirectWay
from sseserver.speedups.privates import seesWaits
from sseserver.speedups.probes import ProbeTransport, probe
from sseserver.timing.ticker import Ticker
from sseserver.web.accessline import plainLine
from sseserver.web.answers import answerEncoded, encodeRefusal, finishAnswer
from sseserver.web.arrivingbodies import SMALL_BODY, ArrivingBodies
from sseserver.web.connection import ConnectionLimits
from sseserver.web.deadlines import RequestDeadlines
from sseserver.web.descriptors import countFree
from sseserver.web.logfile import LogFile
from sseserver.web.openconnections import OpenConnections, RefusedConnection
from sseserver.web.request import makeBodyTooLarge, makeTooManyBodies
from sseserver.web.requestlog import LINES, JSONLine, TextLine, describeRequest
from sseserver.web.targets import readTarget

# Its events are those of requests, in a log of JSON objects.
_accessLog = Logger("sseserver.access")

#: Seconds after which an idle connection is closed. It exceeds the 60 of common load balancers,
#: which would otherwise send a request into a connection that is just being closed.
IDLE_TIMEOUT = 75

#: Seconds. Slot width of the ticker of deadlines.
GRANULARITY = 0.25

#: Bytes of a refused body that are still read and dropped: a client that sends before it reads gets
#: its answer instead of a reset connection.
DROPPED = 16 << 20

#: Number of the largest bodies that may arrive at a time. Small ones do not count.
BODIES = 4


#: Answer to a body in chunks in a version that has none (RFC 9112 section 6.1).
_OLD_CHUNKS = encodeRefusal(BadRequest("A request of HTTP/1.0 cannot have a Transfer-Encoding."))


if TYPE_CHECKING:
    _Base = Request
else:
    _Base = object


class BodyLimit(_Base):
    """
    A mixin for requests with a limited body.

    The body is kept in memory. One over the limit of the site is refused before it is read.
    """

    __slots__ = ()

    channel: Any

    def __init__(self, channel: Any, *args: Any, **keywords: Any) -> None:
        self._received = self._counted = 0
        self._refused = False
        self.begun = monotonic()
        super().__init__(channel, *args, **keywords)

    def gotLength(self, length: int | None) -> None:
        """See `Request.gotLength`."""
        # Twisted's own keeps large bodies on disk.
        self.content = io.BytesIO()
        if length is not None and length > self.channel.site.maxBody:
            self._refuse(self.channel.site.refusal)
        elif length is None and not self.channel.persistent and not self.responseHeaders.hasHeader(b"Connection"):
            # The connection of a request of HTTP/1.1 is kept, unless an answer says that it is not.
            self._refuse(_OLD_CHUNKS)

    def handleContentChunk(self, data: bytes) -> None:
        """See `Request.handleContentChunk`."""
        self._received += len(data)
        site = self.channel.site
        if self._received > site.maxBody + DROPPED:
            self.channel.loseConnection()
        elif self._refused:
            return
        elif self._received > site.maxBody:
            self._refuse(site.refusal)
        elif self._received > SMALL_BODY and not self._count():
            self._refuse(site.overload)
        else:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """See `Request.requestReceived`."""
        if self._counted:
            self._release()
        if self._refused:
            self.channel.loseConnection()
        elif path.startswith(b"/"):
            super().requestReceived(command, path, version)
        else:
            self._receiveOther(command, path, version)

    def _receiveOther(self, command: bytes, path: bytes, version: bytes) -> None:
        """Receive a request whose target is not a path."""
        hosts = self.requestHeaders.getRawHeaders(b"Host", ())
        try:
            target = readTarget(command, path)
            if target.authority is None and len(hosts) != 1 and version == b"HTTP/1.1":
                # No resource sees this target, so none looks for a host.
                raise BadRequest(f"A request needs one header Host, and has {len(hosts)}.")
        except SSEServerError as error:
            self.channel.write(encodeRefusal(error))
            self.channel.loseConnection()
            return
        if target.authority is not None and len(hosts) == 1:
            # A missing or repeated field is still to be refused.
            self.requestHeaders.setRawHeaders(b"Host", [target.authority])
        super().requestReceived(command, target.path, version)

    def connectionLost(self, reason: Any) -> None:
        """See `Request.connectionLost`."""
        if self._counted:
            self._release()
        channel = self.channel
        super().connectionLost(reason)
        if channel is not None and self.clientproto != Request.clientproto:
            # The request was complete. Twisted logs those that are finished only.
            channel.site.log(self)

    def _count(self) -> bool:
        """Count the body among those that arrive; return whether there is room."""
        if not self.channel.site.bodies.grow(self._counted, self._received):
            return False
        self._counted = self._received
        return True

    def _release(self) -> None:
        """Count the body no longer."""
        if self._counted:
            self.channel.site.bodies.remove(self._counted)
            self._counted = 0

    def _refuse(self, answer: bytes) -> None:
        """Answer before the request is complete. What has arrived is dropped."""
        self._refused = self.channel.refused = True
        self._release()
        self.content = io.BytesIO()
        # No `100 Continue`: the client should not send the body.
        self.requestHeaders.removeHeader(b"Expect")
        gate = getattr(self.channel.site.resource, "gate", None)
        self.channel.write(answer if gate is None else gate.share(self, answer))


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
        if not hasattr(site, "refusal"):
            site.maxBody = getattr(site, "maxBody", MODEL_BODY)
            site.refusal = encodeRefusal(makeBodyTooLarge(site.maxBody))
            site.overload = encodeRefusal(makeTooManyBodies())
            site.bodies = ArrivingBodies(BODIES * MODEL_BODY)
        super().__init__(channel, *args, **keywords)


class FastStreamRequest(BodyLimit, FastRequest):
    """The fast request, with the limit."""

    __slots__ = ("_counted", "_received", "_refused", "begun")


class PlainStreamChannel(RequestDeadlines):
    """The plain channel: Twisted's own, with the limits."""

    protection = PROTECTION_LINES

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """See `HTTPChannel.writeHeaders`. There is no `Server`, which Twisted sets with its version."""
        headers.removeHeader(b"Server")
        if not headers.hasHeader(b"Cross-Origin-Resource-Policy"):
            for name, value in PROTECTION:
                headers.addRawHeader(name, value)
        super().writeHeaders(version, code, reason, headers)


class FastStreamChannel(RequestDeadlines, FastChannel, ConnectionLimits):
    """The fast channel, with the limits."""

    __slots__ = ("deadline", "phase")

    protection = PROTECTION_LINES


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
    channel = StreamSite(_Sample(), accessLog=False, plain=True, reactor=reactor).buildProtocol(None)
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
        accessLog: Whether each request is logged in a line at its end.
        plain: Whether to use no speedup; by default as the environment says (`SSESERVER_PLAIN=1`).
        maxBody: Bytes. Limit of the body of a request, the largest of those of its resources.
        maxConnections: Number of connections at a time. By default the limit of file descriptors of the process, but
            for some that are kept for everything else.
        logFormat: Format of the access log, `text` or `json`.
        keywords: See `Site`.

    Attributes:
        bodies: The bodies of requests that are not complete.
        connections: The open connections.
        maxBody: See above.
        overload: Answer to a request whose body has no room beside others.
        refusal: Answer to a request with a larger body.
        stall: See above.
        ticker: Ticker of the deadlines of requests.
    """

    def __init__(
        self,
        resource: IResource,
        *,
        accessLog: bool = True,
        plain: bool | None = None,
        maxBody: int = MODEL_BODY,
        stall: float | None = None,
        maxConnections: int | None = None,
        logFormat: str = "text",
        **keywords: Any,
    ) -> None:
        self.maxBody = maxBody
        self.refusal = encodeRefusal(makeBodyTooLarge(maxBody))
        self.overload = encodeRefusal(makeTooManyBodies())
        self.bodies = ArrivingBodies(BODIES * maxBody)
        if plain is None:
            plain = defaultOf("plain")
        channel, request = chooseConnection(plain)
        # `Site` would choose between HTTP/1.1 and HTTP/2 for each connection.
        self.protocol: Any = channel
        keywords.setdefault("timeout", IDLE_TIMEOUT)
        text = TextLine(plainLine if plain else accessLine)
        formatter = keywords.setdefault("logFormatter", JSONLine() if logFormat == "json" else text)
        self._accessLog, self._isJSON = accessLog, logFormat == "json"
        self.stall: float = defaultOf("stall") if stall is None else stall
        super().__init__(resource, request, parsePOSTFormSubmission=False, **keywords)
        # One bound method for all connections.
        self._callLater = self.reactor.callLater
        self._direct = chooseDirect(self, plain, formatter if accessLog else None)
        self.ticker = Ticker(self.reactor, GRANULARITY, patient=True)
        self.connections = OpenConnections(maxConnections or countFree(), self.reactor)

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
        if not self.connections.admit():
            return RefusedConnection()
        channel = super().buildProtocol(addr)
        channel.callLater = self._callLater
        if self._direct is not None:
            channel.direct = self._direct
        channel.deadline = None
        return channel

    def log(self, request: Any) -> None:
        """See `Site.log`."""
        if self._accessLog:
            if self.logPath is None and self._isJSON:
                _accessLog.info("{method} {target} {status}", **describeRequest(request))
            else:
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
