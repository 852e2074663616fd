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

from sseserver.speedups.intake import intakeOf

#: So many times what comes is read by the reactor, at once; only then do an answer's bytes wait for those of others
#: (L{intake.BUSY}). Whoever asked waits for the first token, and nobody for any other.
PROMPT = 4

#: Where the line end after a chunk's size is looked for: a size has seven digits at most.
_SIZE_END = 9


class Shortcut:
    """
    What stands between a connection and twisted.web's client, as long as a body lasts.

    Args:
        transport: The connection; its protocol leads to the client.
        decoder: The client's, of the chunks.
        receive: Takes the body's bytes; is what the long way calls in the end.
    """

    __slots__ = ("_between", "_decoder", "_intake", "_longWay", "_prompt", "_protocol", "_receive", "transport")

    def __init__(self, transport: Any, decoder: Any, receive: Callable[[bytes], object]) -> None:
        self.transport = transport
        self._decoder = decoder
        self._receive = receive
        self._protocol = transport.protocol
        self._longWay = self._protocol.dataReceived
        self._intake = intakeOf(transport.reactor)
        # How many times the reactor still reads.
        self._prompt = PROMPT if self._intake is not None else 0
        self._protocol.dataReceived = self.dataReceived
        self._look()

    def dataReceived(self, data: bytes) -> Any:
        """Hand on what is one whole chunk; leave all else to the client."""
        if self._prompt:
            self._countDown()
        # chunk = chunk-size CRLF chunk-data CRLF          RFC 9112 7.1
        end = data.find(b"\r\n", 0, _SIZE_END)
        size = len(data) - end - 4
        if self._between and end > 0 and size > 0 and data[:end] == b"%x" % size and data[-2:] == b"\r\n":
            return self._receive(data[end + 2 : -2])
        result = self._longWay(data)
        self._look()
        return result

    def _countDown(self) -> None:
        self._prompt -= 1
        if not self._prompt and self._intake is not None and self._isInstalled():
            self._intake.add(self)

    def remove(self) -> None:
        """Let everything take the long way again. May be called again and again."""
        if self._isInstalled():
            del self._protocol.dataReceived
            self._between = False
            if self._intake is not None:
                self._intake.remove(self.transport)

    def _isInstalled(self) -> bool:
        return bool(vars(self._protocol).get("dataReceived") == self.dataReceived)

    def _look(self) -> None:
        """See whether a chunk begins here; only the long way can change that, so not each chunk must ask."""
        begins = self._decoder.state == "CHUNK_LENGTH" and not self._decoder._buffer
        self._between = begins and self._isInstalled()


def install(proxy: Any, receive: Callable[[bytes], object]) -> Callable[[], None]:
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
    decoder = _decoderOf(getattr(transport, "protocol", None))
    # A connection on which TLS was started is still a L{Connection}, but what it reads is not what the peer wrote.
    if decoder is None or not isinstance(transport, Connection) or getattr(transport, "TLS", True):
        return _nothing
    return Shortcut(transport, decoder, receive).remove


def _decoderOf(protocol: Any) -> Any:
    """
    Find what decodes the chunks; C{None} where there is none, or where it is not as we know it.

    It is asked for what it really has, since most of these names are private
    to Twisted: should a later release change them, all bytes take the long way.
    """
    # Most endpoints put something of their own before the client.
    client = getattr(protocol, "_wrappedProtocol", protocol)
    decoder = getattr(getattr(client, "_parser", None), "bodyDecoder", None)
    known = isinstance(getattr(decoder, "_buffer", None), bytearray) and isinstance(
        getattr(decoder, "state", None), str
    )
    return decoder if known else None


def _nothing() -> None:
    """There is nothing to remove."""
