"""
The fast read path of a client: a whole chunk goes from the socket to its reader in one step.

In twisted.web's client each piece of a chunked body passes six layers, which copy it three times.
An event of a stream nearly always arrives as one whole chunk in one read. `FastReadPath` recognises
that case and hands the chunk on at once. Everything else goes through twisted.web, which does not
notice. `sseserver.client.response` chooses between this and its plain read path.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from twisted.internet.tcp import Connection

from sseserver.speedups.intake import Intake
from sseserver.speedups.privates import connectionOf, decoderOf, isBetweenChunks

#: Reads of a body that the reactor makes; the intake makes the later ones. A read of the intake
#: waits up to `intake.BUSY` for the reads of other connections: a user notices that with the first
#: tokens of an answer only.
PROMPT = 4

#: Bytes in which the line end after a chunk's size must be: a size has seven digits at most.
_SIZE_END = 9


#: Writes the size of a chunk. The chunks of an answer have few sizes, and to format one takes five times as long.
_writeSize = lru_cache(1024)(b"%x".__mod__)


class FastReadPath:
    """
    Hands whole chunks of bodies on at once.

    Args:
        intake: Reads the connections together; `None` leaves that to their reactor.
    """

    def __init__(self, intake: Intake | None = None) -> None:
        self._intake = intake

    def attach(self, transport: Any, receive: Callable[[bytes], object]) -> Callable[[], None]:
        """
        Hand whole chunks of a body on, if it comes over a plain TCP or UNIX connection.

        Args:
            transport: The one that `IResponse.deliverBody` gave to its protocol.
            receive: Takes bytes of the body; twisted.web calls the same.

        Returns:
            Detaches; must be called when the body ends or is not read any further. It may be called
            again.
        """
        connection = connectionOf(transport)
        decoder = decoderOf(getattr(connection, "protocol", None))
        # A connection on which TLS was started is still a `Connection`, but reads other bytes than
        # the peer wrote.
        if decoder is None or not isinstance(connection, Connection) or getattr(connection, "TLS", True):
            return _nothing
        return ChunkReceiver(connection, decoder, receive, self._intake).detach


class ChunkReceiver:
    """
    Stands between a connection and twisted.web's client while one body lasts.

    Args:
        transport: The connection; its protocol leads to the client.
        decoder: The client's decoder of the chunks.
        receive: Takes bytes of the body.
        intake: Reads the connection after `PROMPT` reads.

    Attributes:
        transport: See `Receiver`.
    """

    __slots__ = ("_between", "_decoder", "_intake", "_prompt", "_protocol", "_receive", "_throughTwisted", "transport")

    def __init__(self, transport: Any, decoder: Any, receive: Callable[[bytes], object], intake: Intake | None) -> None:
        self.transport = transport
        self._decoder = decoder
        self._receive = receive
        self._protocol = transport.protocol
        self._throughTwisted = self._protocol.dataReceived
        self._intake = intake
        # Reads that are left to the reactor.
        self._prompt = PROMPT if intake is not None else 0
        self._protocol.dataReceived = self.dataReceived
        self._lookForChunk()

    def dataReceived(self, data: bytes) -> Any:
        """Hand on the data of one whole chunk; leave everything else to the client."""
        if self._prompt:
            self._countDown()
        # chunk = chunk-size CRLF chunk-data CRLF          RFC 9112 7.1
        end = data.find(b"\r\n", 0, _SIZE_END)
        size = len(data) - end - 4
        if self._between and end > 0 and size > 0 and data[:end] == _writeSize(size) and data[-2:] == b"\r\n":
            return self._receive(data[end + 2 : -2])
        result = self._throughTwisted(data)
        self._lookForChunk()
        return result

    def detach(self) -> None:
        """Let all bytes go through twisted.web again. It may be called again."""
        if self._isAttached():
            del self._protocol.dataReceived
            self._between = False
            if self._intake is not None:
                self._intake.remove(self.transport)

    def _countDown(self) -> None:
        self._prompt -= 1
        if not self._prompt and self._intake is not None and self._isAttached():
            self._intake.add(self)

    def _isAttached(self) -> bool:
        return bool(vars(self._protocol).get("dataReceived") == self.dataReceived)

    def _lookForChunk(self) -> None:
        """
        Note whether a chunk begins here.

        Only the decoder changes that, so this is not called for a whole chunk.
        """
        self._between = isBetweenChunks(self._decoder) and self._isAttached()


def _nothing() -> None:
    """Detach nothing."""
