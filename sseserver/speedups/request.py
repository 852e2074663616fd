"""
The fast request of a site: small in memory, and read, routed and answered in fewer steps than Twisted's.

`sseserver.speedups.channel` has its channel, and the probe of both. `sseserver.web.site` chooses between them and
Twisted's own, which does everything that is not overridden here.
"""

from __future__ import annotations

from functools import lru_cache, partial
from time import time
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.python.failure import Failure
from twisted.web import resource
from twisted.web.http import NO_BODY_CODES, HTTPChannel, datetimeToString
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from sseserver.speedups.body import FastBody
from sseserver.speedups.constants import Constant
from sseserver.speedups.headers import FastHeaders, keepLogged
from sseserver.speedups.probes import NoReactor, ProbeTransport, probe
from sseserver.speedups.sendbuffer import SMALL
from sseserver.speedups.sentheads import SENT
from sseserver.speedups.usual import endUsual, fillRequest, hasUsualEnd

#: Replaces the collections of a request whose head was written.
_NOTHING: Any = ()
_NO_ENTRIES: Any = MappingProxyType({})

#: The attributes that Twisted gives to each request, private and public: they become slots of `FastRequest`.
REQUEST_ATTRIBUTES = (
    "_disconnected", "args", "channel", "chunked",
    "clientproto", "content", "cookies", "finished", "method", "notifications", "path", "postpath",
    "prepath", "producer", "received_cookies", "requestHeaders", "responseHeaders", "sentLength",
    "site", "sitepath", "startedWriting", "streamingProducer", "transport", "uri",
)  # fmt: skip

#: The header `Date` of a second.
_formatDate = lru_cache(2)(datetimeToString)


def listDefaults(slots: tuple[str, ...], base: type) -> tuple[tuple[str, Any], ...]:
    """
    Find the class attributes that are defaults of attributes with a slot: the slot hides them.

    Args:
        slots: Names of attributes.
        base: The class that has the defaults.

    Returns:
        The names with a default, and the defaults.
    """
    return tuple((name, getattr(base, name)) for name in slots if hasattr(base, name))


class LaterInput(HTTPChannel):
    """A channel that has a list of bytes for later requests (`later`) only if there are any."""

    __slots__ = ()

    later: list[bytes] | None

    @property
    def _dataBuffer(self) -> list[bytes]:
        if self.later is None:
            self.later = []
        return self.later

    @_dataBuffer.setter
    def _dataBuffer(self, pieces: list[bytes]) -> None:
        self.later = pieces or None


class FastRequest(Request):
    """
    One request on a `FastChannel`.

    Attributes:
        hasLargeHead: Whether the head has more than `KEPT_HEAD` bytes, or its size is not known.
        isShort: Whether requests go the short way: `servesRequests` has passed.
        stopsProducer: Whether the request stops its producer at every end of the response. Such a
            producer need not ask `notifyFinish`.
        outcome: Reason of the end and number of events, for the access log; `principalName`: of the principal.
    """

    __slots__ = (*REQUEST_ATTRIBUTES, "_adapters", "_client", "_host", "hasLargeHead", "outcome", "principalName")

    isShort = False
    stopsProducer = True
    queued = Constant(False)
    _parsePOSTFormSubmission: Any = Constant(False)
    channel: Any
    content: Any
    responseHeaders: Headers
    transport: Any
    _adapters: dict[str, Any] | None
    _client: Any
    _host: Any

    def __init__(self, channel: Any, *args: Any, **keywords: Any) -> None:
        self.hasLargeHead = True
        if fillsRequests():
            fillRequest(self, channel, *args, **keywords)
        else:
            self.fill(channel, *args, **keywords)

    def fill(self, channel: Any, *args: Any, **keywords: Any) -> None:
        """Give each attribute its value in Twisted's own way."""
        for name, value in _DEFAULTS:
            setattr(self, name, value)
        super().__init__(channel, *args, **keywords)

    @property
    def host(self) -> Any:
        """Address of the server, see `Request.getHost`. The system is asked when somebody wants to know."""
        channel = getattr(self, "channel", None)
        if self._host is None and channel is not None:
            self._host = channel.getHost()
        return self._host

    @host.setter
    def host(self, address: Any) -> None:
        self._host = address

    @property
    def client(self) -> Any:
        """Address of the client, see `Request.getClientAddress`. A request that was made small asks its transport."""
        return self.transport.getPeer() if self._client is None else self._client

    @client.setter
    def client(self, address: Any) -> None:
        self._client = address

    def getClientAddress(self) -> Any:
        """See `Request.getClientAddress`."""
        return self.transport.getPeer() if self._client is None else self._client

    @property
    def _adapterCache(self) -> dict[str, Any]:
        """The components of `Componentized`, which few requests have."""
        if self._adapters is None:
            self._adapters = {}
        return self._adapters

    @_adapterCache.setter
    def _adapterCache(self, adapters: dict[str, Any]) -> None:
        self._adapters = adapters or None

    def readHead(self, version: bytes) -> bool | None:
        """
        Do what `HTTPChannel.allHeadersReceived` does before the length of the body is known.

        Args:
            version: The version of HTTP.

        Returns:
            Whether the connection is kept; `None` for a head that Twisted must look at.
        """
        headers: Any = self.requestHeaders
        if not self.isShort or version != b"HTTP/1.1" or type(headers) is not FastHeaders or headers.hasRare():
            return None
        asked = headers.getRawHeaders(b"Connection")
        if asked is None:
            return True
        if asked[0] != b"close":
            return None
        self.responseHeaders.setRawHeaders(b"Connection", asked)
        return False

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """See `Request.requestReceived`."""
        if not self.isShort or b"?" in path:
            super().requestReceived(command, path, version)
            return
        self.content.seek(0)
        self.args = {}
        self.method, self.clientproto = command, version
        self.uri = self.path = path
        self.process()

    def process(self) -> None:
        """See `Request.process`. There is no `Server`, which the channel would drop."""
        if not self.isShort or self.path == b"*":
            super().process()
            return
        site = self.site = self.channel.site
        headers: Any = self.responseHeaders
        headers._rawHeaders[b"Date"] = [_formatDate(int(time()))]
        self.prepath = []
        segments = self.path[1:].split(b"/")
        # To look for a sign takes less time than to call a function for each segment.
        self.postpath = segments if self.path.find(b"%") < 0 else [unquote_to_bytes(segment) for segment in segments]
        try:
            found: Any = site.getResourceFor(self)
            if resource._IEncodingResource.providedBy(found):
                self._encoder = found.getEncoder(self)
            self.render(found)
        except BaseException:
            self.processingFailed(Failure())

    def write(self, data: bytes) -> None:
        """
        See `Request.write`.

        The head leaves with the first bytes of the body, at once unless the buffer is held.
        """
        buffer = getattr(self.channel, "sendBuffer", None)
        if self.startedWriting or buffer is None:
            super().write(data)
            return
        held = buffer.held
        if not held:
            buffer.hold()
        if self._hasUsualHead():
            self._writeHead(buffer, data)
        else:
            super().write(data)
        if not held:
            buffer.release()

    def _hasUsualHead(self) -> bool:
        """Return whether the response has a body and nothing unusual in its head."""
        return not (
            not self.isShort
            or self.method == b"HEAD"
            or self.code in NO_BODY_CODES
            or self.cookies
            or self.etag is not None
            or self.lastModified is not None
            or self.finished
            or self._disconnected
            or self._encoder
            or self._inFakeHead
            or type(self.responseHeaders) is not FastHeaders
        )

    def _writeHead(self, buffer: Any, data: bytes) -> None:
        """Write the head and the first bytes of the body as one piece, into the buffer of the channel."""
        self.startedWriting = 1
        headers: Any = self.responseHeaders
        fields = headers._rawHeaders
        length = fields.get(b"Content-Length")
        if b"Content-Type" not in fields and self.defaultContentType and length != [b"0"]:
            headers.setRawHeaders(b"Content-Type", [self.defaultContentType])
        if length is None and self.clientproto == b"HTTP/1.1":
            fields[b"Transfer-Encoding"] = [b"chunked"]
            self.chunked = 1
        lines = headers.encode(getattr(self.channel, "protection", b""))
        head = b"%b %d %b\r\n%b\r\n" % (self.clientproto, self.code, self.code_message, lines)
        self.sentLength += len(data)
        if self.chunked and data:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        if len(data) > SMALL:
            buffer.put(head)
            buffer.put(data)
        else:
            buffer.put(head + data)

    def finish(self) -> None:
        """See `Request.finish`."""
        producer = self.producer
        if producer is None and self.isShort and hasUsualEnd(self):
            endUsual(self)
            return
        super().finish()
        if producer is not None:
            producer.stopProducing()

    def connectionLost(self, reason: Any) -> None:
        """See `Request.connectionLost`."""
        producer, self.producer = self.producer, None
        super().connectionLost(reason)
        if producer is not None:
            producer.stopProducing()

    def notifyFinish(self) -> Any:
        """See `Request.notifyFinish`."""
        if self.notifications is _NOTHING:
            self.notifications = []
        return super().notifyFinish()

    def slim(self) -> None:
        """Release everything that only the head needs: it was written, and the end is far away."""
        self.responseHeaders = SENT
        self.requestHeaders = keepLogged(self.requestHeaders)
        self.cookies = self.prepath = self.postpath = self.sitepath = _NOTHING
        self.args = self.received_cookies = _NO_ENTRIES
        if not self.notifications:
            self.notifications = _NOTHING
        if self.channel.forgetPeer(self._client):
            self._client = None
        if self.content is not None:
            self.content.close()
            self.content = None


_DEFAULTS = listDefaults(FastRequest.__slots__, Request)


class _Canned(Resource):
    """The root of the probe: its children are answers."""

    isLeaf = True

    def render(self, request: Any) -> bytes:
        segments = [*request.prepath, *request.postpath]
        for segment in segments:
            name, _, value = segment.partition(b"=")
            if name == b"code":
                request.setResponseCode(int(value))
            elif value:
                request.setHeader(name, value)
        request.write(b"abc")
        if request.method == b"HEAD":
            # Twisted would log a warning of a body.
            return b""
        return b" ".join([request.method, request.uri, *request.requestHeaders.getRawHeaders(b"accept", ())])


#: Requests of the probe.
_REQUESTS = (
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /%41/content-type=b?c HTTP/1.1\r\nHost: a\r\naccept:  b \r\nAccept: c\r\n\r\n",
    b"GET /code=204 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD /content-length=0 HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\n\r\n",
    b"POST /code=404/content-length=99 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
    *(b"GET /b HTTP/1.%b\r\n\r\n" % rest for rest in (b"1\r\nHost: a\r\nConnection: close", b"0\r\nHost: a")),
)


class _Short(FastRequest):
    """A request that goes the short way."""

    isShort = True


def _exchange(factory: Any) -> list[list[bytes]]:
    """Send the canned requests to a site; return the lines of its answers, without those that may differ."""
    seen = []
    for data in _REQUESTS:
        channel: Any = HTTPChannel()
        channel.site = channel.factory = Site(_Canned(), reactor=NoReactor(), parsePOSTFormSubmission=False)
        channel.requestFactory = factory
        transport = ProbeTransport()
        channel.sendBuffer = FastBody(transport)
        channel.makeConnection(transport)
        channel.dataReceived(data)
        lines = transport.written.split(b"\r\n")
        seen.append([line for line in lines if not line.startswith((b"Date:", b"Server:"))])
    return seen


@probe
def servesRequests() -> bool:
    """Probe the short way of requests: with it, canned requests have the same answers as without."""
    return _exchange(_Short) == _exchange(Request)


@probe
def fillsRequests() -> bool:
    """Probe `fillRequest`: with it a request has the same attributes as without."""
    channel: Any = HTTPChannel()
    channel.site = Site(Resource(), reactor=NoReactor(), parsePOSTFormSubmission=False)
    channel.makeConnection(ProbeTransport())
    seen = []
    for fill in (partial(FastRequest.fill), fillRequest):
        request: Any = FastRequest.__new__(FastRequest)
        fill(request, channel, False)
        seen.append({name: getattr(request, name, "") for name in (*REQUEST_ATTRIBUTES, "host", *vars(request))})
    return _describe(seen[0]) == _describe(seen[1])


def _describe(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return attributes in a form that can be compared."""
    return {
        name: list(value.getAllRawHeaders()) if isinstance(value, Headers) else value
        for name, value in attributes.items()
    }


FastRequest.isShort = servesRequests()
