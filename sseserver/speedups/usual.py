"""
Usual requests, and their connections: made, received and ended in few steps if there is nothing unusual.

Like `sseserver.speedups.privates`, this module uses private names of Twisted. The probes of
`sseserver.speedups.channel` and `sseserver.speedups.request` compare its effects with those of Twisted.
"""

from __future__ import annotations

from typing import Any

from twisted.web.http import HTTPChannel

from sseserver.speedups.headers import HEADERS


def fillChannel(channel: Any) -> None:
    """Give each attribute of an `HTTPChannel`, which is a slot, the default that it has in Twisted's classes."""
    channel._HTTPChannel__first_line = channel.line_mode = channel.persistent = 1
    channel._HTTPChannel__header = channel._buffer = b""
    channel._requestProducer = channel._requestProducerStreaming = None
    channel._savedTimeOut = channel.factory = channel.timeOut = channel.transport = channel._transferDecoder = None
    channel._busyReceiving = channel._waitingForTransport = channel._handlingRequest = False
    channel._receivedHeaderCount = channel._receivedHeaderSize = channel.connected = channel.length = 0
    channel.callLater = HTTPChannel.callLater
    channel.requestFactory = HTTPChannel.requestFactory
    channel.requests = []


def fillRequest(request: Any, channel: Any, *_: object) -> None:
    """
    Do the work of the constructors of Twisted's `Request` at once: give each attribute its value.

    Args:
        request: A request of twisted.web, whose attributes are slots.
        channel: Its channel, on a site that does not parse forms.
    """
    request.channel = channel
    request._client = getattr(channel, "_peer", None) or channel.getPeer()
    request._host = request._adapters = None
    request.transport = channel.transport
    # Without a call of `__init__`.
    requestHeaders = request.requestHeaders = HEADERS.__new__(HEADERS)
    responseHeaders = request.responseHeaders = HEADERS.__new__(HEADERS)
    requestHeaders._rawHeaders, responseHeaders._rawHeaders = {}, {}
    request.received_cookies = {}
    request.cookies = []
    request.notifications = []
    request._disconnected = False
    request.args = request.content = request.path = request.producer = None
    request.postpath = request.prepath = request.site = None
    request.chunked = request.finished = request.sentLength = request.startedWriting = 0
    request.method = b"(no method yet)"
    request.uri = b"(no uri yet)"
    request.clientproto = b"(no clientproto yet)"


def receivePlain(channel: Any, head: Any, isLarge: bool, rest: bytes) -> None:
    """
    Do the work of `receiveRequest`, and of its calls, for a request without a body and without anything to look at.

    Args:
        channel: A `FastChannel` between two requests.
        head: A `Head` that is plain.
        isLarge: See `FastRequest.hasLargeHead`.
        rest: The bytes that followed the head.
    """
    channel._busyReceiving = True
    try:
        request = channel.requestFactory(channel, 0)
        channel.requests.append(request)
        request.hasLargeHead = isLarge
        request.requestHeaders = head.makeHeaders()
        channel.persistent = not head.closes
        if head.closes:
            request.responseHeaders._rawHeaders[b"Connection"] = [b"close"]
        request.gotLength(0)
        channel._buffer += rest
        if channel.timeOut:
            channel._savedTimeOut = channel.setTimeout(None)
        channel._handlingRequest = True
        channel.line_mode = 0
        request.requestReceived(*head.requestLine)
    finally:
        channel._busyReceiving = False


def hasUsualEnd(request: Any) -> bool:
    """Return whether a response was begun, and nothing is unusual at its end."""
    return bool(
        request.startedWriting
        and not (request.finished or request._disconnected or request._encoder)
        and getattr(request.channel, "factory", None) is not None
    )


def endUsual(request: Any) -> None:
    """
    Do the work of the methods `finish` and `_cleanup` of Twisted's requests at once.

    Args:
        request: A request with a usual end, and without a producer.
    """
    channel = request.channel
    if request.chunked:
        channel.write(b"0\r\n\r\n")
    channel.factory.log(request)
    request.finished = 1
    channel.requestDone(request)
    del request.channel
    if request.content is not None:
        request.content.close()
        del request.content
    for waiting in request.notifications:
        waiting.callback(None)
    request.notifications = []
