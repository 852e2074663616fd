"""
Shortcut: how the bytes of an endless response get from the socket to who reads them.

On their way through twisted.web's client each piece of a chunked body passes
six layers, which copy it three times. A stream's event nearly always comes as
one whole chunk in one read; that is recognised here, and handed on at once.
Everything else goes the long way, which never notices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.tcp import Connection

from sseserver.intake import intakeOf

#: Where the line end after a chunk's size is looked for: a size has seven digits at most.
_SIZE_END = 9


def install(proxy: Any, receive: Callable[[bytes], None]) -> Callable[[], None]:
    """
    Hand whole chunks on at once, where that is the same thing: over plain TCP
    or UNIX sockets, where everything that we must see is there.

    Args:
        proxy: What C{deliverBody} gave to its protocol as the transport.
        receive: Takes the body's bytes; is what the long way calls in the end.

    Returns:
        Must be called when the body ends, or nobody wants it any more. May
        be called again.
    """
    transport = getattr(proxy, "_producer", None)
    protocol: Any = getattr(transport, "protocol", None)
    decoder = _decoderOf(protocol)
    # A connection on which TLS was started is still a L{Connection}, but what it reads is not what the peer wrote.
    if decoder is None or not isinstance(transport, Connection) or getattr(transport, "TLS", True):
        return _nothing
    longWay = protocol.dataReceived

    def dataReceived(data: bytes) -> Any:
        # chunk = chunk-size CRLF chunk-data CRLF          RFC 9112 7.1
        end = data.find(b"\r\n", 0, _SIZE_END)
        size = len(data) - end - 4
        if (
            end > 0
            and size > 0
            and data[:end] == b"%x" % size
            and data[-2:] == b"\r\n"
            and decoder.state == "CHUNK_LENGTH"
            and not decoder._buffer
        ):
            receive(data[end + 2 : -2])
            return None
        return longWay(data)

    intake = intakeOf(transport.reactor)

    def remove() -> None:
        if vars(protocol).get("dataReceived") is dataReceived:
            del protocol.dataReceived
            if intake is not None:
                intake.remove(transport)

    protocol.dataReceived = dataReceived
    if intake is not None:
        intake.add(transport)
    return remove


def _decoderOf(protocol: Any) -> Any:
    """
    Find what decodes the chunks; C{None} where there is none, or where it is not as we know it.

    It is asked for what it really has, since most of these names are private
    to Twisted: should a later release change them, all bytes take the long way.
    """
    client = getattr(protocol, "_wrappedProtocol", None)
    decoder = getattr(getattr(client, "_parser", None), "bodyDecoder", None)
    known = isinstance(getattr(decoder, "_buffer", None), bytearray) and isinstance(
        getattr(decoder, "state", None), str
    )
    return decoder if known else None


def _nothing() -> None:
    """There is nothing to remove."""
