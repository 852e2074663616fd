"""
The fast body of a response over TLS: the writes of a turn are joined, encrypted once, and sent at once.

A token leaves in one small record, and a text in records of 16 KiB. The rest that the socket does not take is queued,
encrypted.
"""

from __future__ import annotations

from typing import Any

from sseserver.speedups import sending
from sseserver.speedups.body import FastBody
from sseserver.speedups.sendbuffer import WrittenReadings, canBypassQueue
from sseserver.speedups.tls import TLSConnection
from sseserver.speedups.writequeue import isQueueEmpty

#: Bytes. Large data are encrypted in such pieces: four full records, which are more than Twisted's transports queue
#: before they pause their producer.
_PIECE = 64 * 1024

#: Number of pieces in one go. The last one is queued, and the producer paused: other responses have their turn.
_PIECES = 5


class TLSBody(FastBody):
    """
    The body of one response after the other on a connection with TLS.

    Args:
        transport: The TLS of the connection.
    """

    __slots__ = ("_connection", "_security")

    def __init__(self, transport: TLSConnection) -> None:
        super().__init__(transport)
        self._security = transport
        # The TCP connection.
        self._connection: Any = transport.transport
        transport.body = self

    def flush(self) -> None:
        """See `SendBuffer.flush`."""
        waiting, self._waiting = self._waiting, b""
        if waiting:
            self._sendNow(waiting)

    def writeLarge(self, pieces: tuple[bytes, ...]) -> None:
        """See `SendBuffer.writeLarge`; they are copied to be encrypted."""
        waiting, self._waiting = self._waiting, b""
        self._sendNow(b"".join((waiting, *pieces)))

    def sendSome(self, data: bytes, start: int, before: bytes, after: bytes) -> int:
        """See `SendBuffer.sendSome`."""
        before, self._waiting = self._waiting + before, b""
        end = start
        for number in range(1, _PIECES + 1):
            start, end = end, min(end + _PIECE, len(data))
            isLast = end == len(data)
            text = b"".join((before, data[start:end], after if isLast else b""))
            before = b""
            if number < _PIECES:
                self._sendNow(text)
            else:
                self._clear = False
                self._transport.write(text)
            if isLast or not self._clear:
                break
        return end

    def sendMany(self, readings: list[bytes], start: int, chunked: bool) -> WrittenReadings:
        """See `SendBuffer.sendMany`. One after the other is encrypted."""
        for count, data in enumerate(readings):
            before = b"%x\r\n" % len(data) if chunked and not start else b""
            place = self.sendSome(data, start, before, b"\r\n" if chunked else b"")
            start = 0
            if place < len(data):
                return WrittenReadings(count, place)
            if not self._clear:
                return WrittenReadings(count + 1, 0)
        return WrittenReadings(len(readings), 0)

    def isEmpty(self) -> bool:
        """See `SendBuffer.isEmpty`: false, since the connection still has to send its `close_notify`."""
        return False

    def sendRecords(self, records: bytes) -> None:
        """Send records past the queue of the connection, if it is empty; queue the rest."""
        if self._clear or self._isClear():
            sent = sending.send(self._socket, records)
            if sent == len(records):
                return
            records = records[sent:]
        self._clear = False
        self._connection.write(records)

    def forget(self) -> None:
        """Look at the queue again before the next write."""
        self._clear = False

    def _sendNow(self, text: bytes) -> None:
        """Encrypt and send bytes past the queue, if it is empty."""
        if self._clear or self._canWrite():
            self.sendRecords(self._security.encrypt(text))
        else:
            self._transport.write(text)

    def _canWrite(self) -> bool:
        """Return whether the connection takes bytes past its queue."""
        return self._security.isOpen and self._isClear()

    def _canBypass(self) -> bool:
        """See `FastBody._canBypass`."""
        return self._security.isOpen and canBypassQueue(self._connection)

    def _isClear(self) -> bool:
        """See `SendBuffer._isClear`."""
        connection = self._connection
        isClear = bool(
            canBypassQueue(connection)
            and connection.connected
            and not connection.disconnecting
            and isQueueEmpty(connection)
        )
        if isClear:
            self._socket = connection.getHandle()
        # A handshake, and a `close_notify`, have records of their own.
        self._clear = isClear and self._security.isOpen
        return isClear


def makeSendBuffer(transport: Any) -> FastBody:
    """Make the buffer of a connection, which is also the body of its responses."""
    return TLSBody(transport) if isinstance(transport, TLSConnection) else FastBody(transport)
