"""
Channel: one connection of L{StreamSite} and its requests, made small.

`twisted.web` is made for requests that are over in milliseconds. A viewer's
lasts for hours, and there are many: what each keeps in memory counts, and so
does what a short one costs. So here are Twisted's own channel and request,
with their attributes in slots and less of what an event stream never needs.
What they do stays Twisted's, and so does what is not overridden.
"""

from __future__ import annotations

import io
import re
from functools import partial
from typing import Any

from twisted.internet.main import CONNECTION_DONE
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.http_headers import Headers
from twisted.web.server import Request

from sseserver.speedups.body import isClear, sendAtOnce

#: Multiple of the limit of a body, up to which a refused body is still read, and dropped: a client that sends before it
#: reads gets its answer instead of a reset connection.
_DROPPED = 16

#: What a request has no more of, once the head of an endless response is written.
_NO_HEADERS = Headers()
_NOTHING: Any = ()


#: A head as nearly all clients write it (RFC 9112 3 and 5): no more than Twisted takes, and no fewer checks. What does
#: not look like this is left to Twisted, whatever it is.
_HEAD = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~]+) (HTTP/1\.[01])\r\n"
    rb"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\0\r\n]*\r\n)*)\r\n"
)

#: The fields that say where a body ends.
_FRAMING = {b"content-length", b"transfer-encoding"}

#: Bytes of such a head, and header lines in it: well below what Twisted allows.
_SHORT_HEAD = 8192
_FEW_LINES = 100

#: What these of Twisted's methods must use, for a head to be read without them: private names of theirs, that are set
#: here as well.
_PRIVATE = (
    (HTTPChannel.allContentReceived, ("_command", "_path", "_version", "_transferDecoder", "_HTTPChannel__first_line")),
    (LineReceiver.dataReceived, ("_busyReceiving", "_buffer")),
)


def canReadHeads() -> bool:
    """Whether Twisted keeps what it reads where it did; if not, it reads all heads itself."""
    return all(set(names) <= set(function.__code__.co_names) for function, names in _PRIVATE)


def _defaults(slots: tuple[str, ...], base: type) -> tuple[tuple[str, Any], ...]:
    """Find what a class gives to attributes that have slots in a subclass: a slot hides it."""
    return tuple((name, getattr(base, name)) for name in slots if hasattr(base, name))


class StreamChannel(HTTPChannel):
    """
    Writes a response's head together with what follows it.

    The slots are the attributes that Twisted gives to every connection. Should
    a later release have others, these are kept in a dictionary as before: that
    works, and takes more memory.
    """

    __slots__ = (
        "_HTTPChannel__first_line",
        "_HTTPChannel__header",
        "_TimeoutMixin__timeoutCall",
        "_buffer",
        "_busyReceiving",
        "_command",
        "_dataBuffer",
        "_handlingRequest",
        "_held",
        "_networkProducer",
        "_path",
        "_receivedHeaderCount",
        "_receivedHeaderSize",
        "_requestProducer",
        "_requestProducerStreaming",
        "_savedTimeOut",
        "_transferDecoder",
        "_version",
        "_waitingForTransport",
        "callLater",
        "connected",
        "factory",
        "length",
        "line_mode",
        "persistent",
        "requestFactory",
        "requests",
        "site",
        "timeOut",
        "transport",
    )

    transport: Any
    _HTTPChannel__first_line: int

    def __init__(self) -> None:
        for name, value in _CHANNEL_DEFAULTS:
            setattr(self, name, value)
        super().__init__()
        # What is written while the channel holds it back; `None`: it does not.
        self._held: list[bytes] | None = None

    def dataReceived(self, data: bytes) -> None:
        """See L{HTTPChannel.dataReceived}: a head that comes in one piece is read as one piece."""
        if (
            _READS_HEADS
            and self.line_mode
            and self.persistent
            and self._HTTPChannel__first_line == 1
            and not (self._buffer or self._busyReceiving or self.requests or self.paused)
            and self.requestFactory is StreamRequest
        ):
            match = _HEAD.match(data, 0, _SHORT_HEAD)
            if match and match[4].count(b"\n") <= _FEW_LINES:
                self.resetTimeout()
                self._readRequest(match, data)
                return
        super().dataReceived(data)

    def _readRequest(self, match: re.Match[bytes], data: bytes) -> None:
        """Do what L{HTTPChannel.lineReceived} does for each line, and L{LineReceiver.dataReceived} around it."""
        self._busyReceiving = True
        try:
            request = StreamRequest(self, 0)
            self.requests.append(request)
            self._command, self._path, self._version = match.group(1, 2, 3)
            if self._readFields(match[4], request):
                self.allHeadersReceived()
                # What follows is read as Twisted has it.
                self._buffer += data[match.end() :]
                if self.length == 0:
                    self.allContentReceived()
                else:
                    self.setRawMode()
        finally:
            self._busyReceiving = False
        if self._buffer and not self.transport.disconnecting:
            super().dataReceived(b"")

    def _readFields(self, fields: bytes, request: StreamRequest) -> bool:
        """Read the header fields; false when Twisted refuses one."""
        add = request.requestHeaders.addRawHeader
        for field in fields.split(b"\r\n")[:-1]:
            name, _, value = field.partition(b":")
            if name.lower() in _FRAMING:
                if not self.headerReceived(field):
                    return False
            else:
                add(name, value.strip(b" \t"))
        return True

    def hold(self, first: bytes = b"") -> None:
        """
        Hold back what is written from now on, until L{release} or L{take};
        one of which must come in this turn of the reactor.

        Args:
            first: What stands before it.
        """
        if self._held is None:
            self._held = []
        if first:
            self._held.append(first)

    @property
    def holding(self) -> bool:
        """Whether what is written is held back."""
        return self._held is not None

    def take(self) -> bytes:
        """Hold back nothing more; give what was."""
        held, self._held = self._held, None
        return b"".join(held) if held else b""

    def release(self) -> None:
        """Send what was held back, in one piece."""
        held = self.take()
        if held:
            sendAtOnce(self.transport, held)

    def write(self, data: bytes) -> None:
        """See L{HTTPChannel.write}."""
        if self._held is None:
            self.transport.write(data)
        else:
            self._held.append(data)

    def writeSequence(self, iovec: Any) -> None:
        """See L{HTTPChannel.writeSequence}."""
        if self._held is None:
            self.transport.writeSequence(iovec)
        else:
            self._held.extend(iovec)

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """See L{HTTPChannel.writeHeaders}."""
        if self._held is None:
            super().writeHeaders(version, code, reason, headers)
            return
        fields = b"".join(
            [b"%b: %b\r\n" % (name, value) for name, values in headers.getAllRawHeaders() for value in values]
        )
        self._held.append(b"%b %b %b\r\n%b\r\n" % (version, code, reason, fields))

    def requestDone(self, request: Any) -> None:
        """See L{HTTPChannel.requestDone}: the next request begins, or the connection ends."""
        self.release()
        super().requestDone(request)

    def loseConnection(self) -> None:
        """
        See L{HTTPChannel.loseConnection}. After the last response, when all of
        it is with the kernel, nobody waits until the socket can be written to.
        """
        self.release()
        transport = self.transport
        if not self.persistent and not self.requests and isClear(transport):
            transport.unregisterProducer()
            # As `abortConnection` does it, but in good order.
            transport.disconnecting = True
            transport.stopReading()
            self.callLater(0, partial(transport.connectionLost, Failure(CONNECTION_DONE)))
            return
        super().loseConnection()


_READS_HEADS = canReadHeads()
_CHANNEL_DEFAULTS = _defaults(StreamChannel.__slots__, HTTPChannel)


class StreamRequest(Request):
    """
    Refuses a body that is too large before it is read, and keeps no other on
    disk. Is made small while its response goes on without end.

    Attributes:
        stopsProducer: Its producer is told of every end of the response, and
            need not ask L{notifyFinish}.
    """

    __slots__ = (
        "_adapterCache",
        "_disconnected",
        "_parsePOSTFormSubmission",
        "_received",
        "_refused",
        "args",
        "channel",
        "chunked",
        "client",
        "clientproto",
        "content",
        "cookies",
        "finished",
        "host",
        "method",
        "notifications",
        "path",
        "postpath",
        "prepath",
        "producer",
        "queued",
        "received_cookies",
        "requestHeaders",
        "responseHeaders",
        "sentLength",
        "site",
        "sitepath",
        "startedWriting",
        "streamingProducer",
        "transport",
        "uri",
    )

    stopsProducer = True
    channel: Any
    content: Any

    def __init__(self, channel: StreamChannel, *args: Any, **keywords: Any) -> None:
        for name, value in _REQUEST_DEFAULTS:
            setattr(self, name, value)
        self._refused = False
        self._received = 0
        super().__init__(channel, *args, **keywords)

    def gotLength(self, length: int | None) -> None:
        """See L{Request.gotLength}."""
        self.content = io.BytesIO()
        if length is not None and length > self.channel.site.maxBody:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:
        """See L{Request.handleContentChunk}."""
        self._received += len(data)
        limit = self.channel.site.maxBody
        if self._received > _DROPPED * limit:
            self.channel.loseConnection()
        elif self._received > limit and not self._refused:
            self._refuse()
        elif not self._refused:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """See L{Request.requestReceived}."""
        if self._refused:
            self.channel.loseConnection()
        else:
            super().requestReceived(command, path, version)

    def write(self, data: bytes) -> None:
        """
        See L{Request.write}: the head goes with the first bytes of the body,
        and at once where it can, unless somebody else holds them back already.
        """
        channel = self.channel
        if self.startedWriting or not isinstance(channel, StreamChannel) or channel.holding:
            super().write(data)
        else:
            channel.hold()
            super().write(data)
            channel.release()

    def finish(self) -> None:
        """See L{Request.finish}."""
        producer = self.producer
        super().finish()
        if producer is not None:
            producer.stopProducing()

    def connectionLost(self, reason: Any) -> None:
        """See L{Request.connectionLost}."""
        producer, self.producer = self.producer, None
        super().connectionLost(reason)
        if producer is not None:
            producer.stopProducing()

    def notifyFinish(self) -> Any:
        """See L{Request.notifyFinish}."""
        if self.notifications is _NOTHING:
            self.notifications = []
        return super().notifyFinish()

    def slim(self) -> None:
        """Let go of what only the making of a response needs: its head is written, and its end is far away."""
        self.responseHeaders = _NO_HEADERS
        self.cookies = self.prepath = self.postpath = self.sitepath = _NOTHING
        self.args = {}
        if not self.notifications:
            self.notifications = _NOTHING
        if self.content is not None:
            self.content.close()
            self.content = None

    def _refuse(self) -> None:
        """Answer before the request is complete, which Twisted's own requests cannot."""
        self._refused = True
        # Nobody shall be told to go on.
        self.requestHeaders.removeHeader(b"Expect")
        body = self.channel.site.refusal
        head = (
            b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        self.channel.write(head + body)


_REQUEST_DEFAULTS = _defaults(StreamRequest.__slots__, Request)
