"""
The send buffer of a connection: bytes that were written and not sent.

`FastBody` derives from it, and `sseserver.speedups.channel` writes through the same buffer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from twisted.internet.tcp import Connection

from sseserver.speedups import sending
from sseserver.speedups.writequeue import awaitRoom, isQueueEmpty, resumesProducers, seesQueue

#: Bytes. A larger write does not wait: its bytes cost more than their way, and its writer must be
#: told soon that the socket is full.
SMALL = 2048

#: Bytes. Large data go into the queue of a transport in such pieces: one byte more than Twisted's transports queue
#: before they pause their producer (`FileDescriptor.bufferSize`).
PIECE = 64 * 1024 + 1


# Looked up for each token.
_SMALL = SMALL


class WrittenReadings(NamedTuple):
    """
    How far readings were written.

    Attributes:
        whole: Number of readings that were written as a whole.
        place: Bytes of the next one that were written.
    """

    whole: int
    place: int


def canBypassQueue(transport: object) -> bool:
    """
    Return whether bytes can be sent past the write queue of a transport.

    That needs a plain TCP or UNIX connection. A connection on which TLS was started is still a
    `Connection`, but bytes that pass its queue would leave unencrypted.
    """
    return isinstance(transport, Connection) and not getattr(transport, "TLS", True) and seesQueue()


class SendBuffer:
    """
    The bytes of one connection that were written and not sent.

    Args:
        transport: The transport of the connection.

    Attributes:
        held: Whether small writes wait for `release`.
    """

    __slots__ = ("_clear", "_socket", "_transport", "_waiting", "held")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._waiting = b""
        # Whether the transport's queue is known to be empty. True after a flush, until something is queued: while a
        # response lasts, all writes come through here.
        self._clear = False
        # Set while the queue is known to be empty.
        self._socket: Any = None
        self.held = False

    def add(self, data: bytes) -> bool:
        """
        Keep a small write for the end of the turn.

        Returns:
            Whether the buffer must be put into an outbox: it was empty, and is not held.
        """
        if not self._waiting:
            self._waiting = data
            return not self.held
        self._waiting += data
        if len(self._waiting) > _SMALL and not self.held:
            self.flush()
        return False

    def put(self, data: bytes) -> None:
        """Write behind the bytes that wait; straight to the transport's queue if none do."""
        if not self.held and not self._waiting:
            self._clear = False
            self._transport.write(data)
        elif len(data) > SMALL:
            self.writeLarge((data,))
        else:
            self._waiting += data

    def writeLarge(self, pieces: tuple[bytes, ...]) -> None:
        """Send the bytes that wait and these pieces at once, without a copy."""
        if self._waiting:
            pieces = (self._waiting, *pieces)
            self._waiting = b""
        sent = self._send(pieces)
        rest = []
        for piece in pieces:
            if sent < len(piece):
                rest.append(piece[sent:])
            sent = max(0, sent - len(piece))
        if rest:
            self._clear = False
            self._transport.writeSequence(rest)

    def sendSome(self, data: bytes, start: int, before: bytes, after: bytes) -> int:
        """
        Send the bytes that wait, and large data as far as the socket takes them; see `_leave` for the rest.

        Args:
            data: See `Body.writeSome`.
            start: See `Body.writeSome`.
            before: Sent before the data.
            after: Sent after the last of the data.

        Returns:
            See `Body.writeSome`.
        """
        before, self._waiting = self._waiting + before, b""
        sent = self._send((before, memoryview(data)[start:], after))
        return self._leave(sent, data, start, before, after)

    def sendMany(self, readings: list[bytes], start: int, chunked: bool) -> WrittenReadings:
        """
        Send the bytes that wait, and readings as far as the socket takes them; see `_leave` for the rest of one.

        Args:
            readings: See `Body.writeMany`.
            start: See `Body.writeMany`.
            chunked: Whether each of them is a chunk (RFC 9112, 7.1).
        """
        waiting, self._waiting = self._waiting, b""
        after = b"\r\n" if chunked else b""
        pieces: list[bytes | memoryview] = [waiting]
        for data in readings:
            pieces += (b"%x\r\n" % len(data) if chunked else b"", data, after)
        if start:
            # The beginning of the first reading was sent, and so was its frame.
            pieces[1:3] = (b"", memoryview(readings[0])[start:])
        sent = self._send(tuple(pieces))
        before = waiting + bytes(pieces[1])
        for count, data in enumerate(readings):
            if count:
                start, before = 0, bytes(pieces[1 + 3 * count])
            size = len(before) + len(data) - start + len(after)
            if sent < size:
                place = self._leave(sent, data, start, before, after)
                return WrittenReadings(count + 1, 0) if place == len(data) else WrittenReadings(count, place)
            sent -= size
        return WrittenReadings(len(readings), 0)

    def _leave(self, sent: int, data: bytes, start: int, before: bytes, after: bytes) -> int:
        """
        Let the producer wait for room, if there is one and the socket has not taken all; or queue a piece of the rest.

        A paused producer that writes all the same gives the rest up, which is queued.

        Args:
            sent: See `_queueSome`.
            data: See `_queueSome`.
            start: See `_queueSome`.
            before: See `_queueSome`.
            after: See `_queueSome`.

        Returns:
            See `sendSome`.
        """
        transport = self._transport
        place = start + sent - len(before)
        mayWait = transport.producer is not None and not transport.producerPaused and resumesProducers()
        if mayWait and place > 0 and start <= place < len(data):
            awaitRoom(transport)
            return place
        return self._queueSome(sent, data, start, before, after)

    def _queueSome(self, sent: int, data: bytes, start: int, before: bytes, after: bytes) -> int:
        """
        Queue a piece of what was not sent of large data.

        Args:
            sent: Bytes of `before`, the data from `start` on and `after` that were sent.
            data: See `sendSome`.
            start: See `sendSome`.
            before: See `sendSome`.
            after: See `sendSome`.

        Returns:
            See `sendSome`.
        """
        # Bytes of the data and what follows that were sent.
        taken = max(0, sent - len(before))
        place = min(start + taken, len(data))
        end = min(place + PIECE, len(data))
        rest = (before[sent:], data[place:end], after[max(0, start + taken - end) :] if end == len(data) else b"")
        if any(rest):
            self._clear = False
            self._transport.writeSequence(rest)
        return end

    def flush(self) -> None:
        """Send the bytes that wait; queue the rest that the socket does not take."""
        waiting, self._waiting = self._waiting, b""
        if waiting and (self._clear or self._isClear()):
            sent = sending.send(self._socket, waiting)
            if sent == len(waiting):
                return
            waiting = waiting[sent:]
        if waiting:
            self._clear = False
            # A transport whose connection was lost drops it.
            self._transport.write(waiting)

    def hold(self) -> None:
        """Let small writes wait until `release`, which must follow in this reactor turn."""
        if not self.held:
            self.held = True
            # The transport was written to by others, if a response begins here.
            self._clear = False

    def release(self) -> None:
        """Send the bytes that wait. Later small writes wait no longer than this turn."""
        self.held = False
        self.flush()

    def isEmpty(self) -> bool:
        """Return whether all bytes that were written are with the kernel."""
        return not self._waiting and self._isClear()

    def _send(self, pieces: tuple[bytes | memoryview, ...]) -> int:
        """Send some pieces past the queue, if that is possible; return the number of bytes that the socket took."""
        try:
            return int(self._socket.sendmsg(pieces)) if self._clear or self._isClear() else 0
        except OSError:
            # See `sending.send`.
            return 0

    def _isClear(self) -> bool:
        """Look whether bytes can be sent past the queue, and note it."""
        transport = self._transport
        self._clear = bool(
            canBypassQueue(transport)
            and transport.connected
            and not transport.disconnecting
            and isQueueEmpty(transport)
        )
        if self._clear:
            self._socket = transport.getHandle()
        return self._clear
