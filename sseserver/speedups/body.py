"""
The fast body of a streamed response, and the only owner of bytes that wait to be sent.

`Request.write` only queues. The bytes are sent when the reactor next writes to the socket, which
costs two `epoll_ctl` calls and a large part of the price of a token. While the transport's queue is
empty, the bytes can be sent past it.

Small writes are not sent one by one. A `send` runs through the kernel's TCP and replaces the
contents of the processor's caches, so the Python code after it is slow. Small writes of one reactor turn wait
in the `SendBuffer` of their connection, and an `Outbox` sends the buffers of all connections
together when the turn ends.

`sseserver.delivery.body` chooses between `FastBody` and its plain body.
`sseserver.speedups.channel` writes through the same buffer, so the head, the tokens and the end of a
response leave in as few sends as possible, in order. The `FastBody` of a response is the buffer of
its connection: a token touches one object instead of two.
"""

from __future__ import annotations

from typing import Any

from twisted.web.http import Request

from sseserver.speedups.sendbuffer import PIECE, SMALL, SendBuffer, WrittenReadings, canBypassQueue
from sseserver.speedups.sentheads import slim
from sseserver.speedups.states import BODY_STATES, BodyState, BodyStep
from sseserver.steps import findNext
from sseserver.timing.turnend import TurnEnd
from sseserver.wire import frames

#: Number of buffers that are sent before the events of the reactor are looked for, and between two such looks: 0.1 ms.
#: A look takes less than a tenth of a send.
SENDS_PER_LOOK = 20

#: Bytes. A larger head is not kept as long as its response lasts: see `sseserver.delivery.head.trimHead`.
KEPT_HEAD = 1024

# Looked up for each token.
_SMALL = SMALL
_SENDS = SENDS_PER_LOOK


class Outbox:
    """
    Sends the buffers of all connections when a reactor turn ends.

    Args:
        turnEnd: The end of the turns of the transports' reactor.
    """

    __slots__ = ("_buffers", "_chunk", "_framed", "_postponed", "_turnEnd")

    def __init__(self, turnEnd: TurnEnd) -> None:
        self._turnEnd = turnEnd
        self._buffers: list[SendBuffer] = []
        # Buffers of earlier turns.
        self._postponed: list[SendBuffer] = []
        # The data that were framed last, and their chunk.
        self._framed = b""
        self._chunk = b""

    def makeBody(self, request: Request) -> FastBody:
        """
        Make the body of a response, of the buffer of its connection if the channel has one.

        Args:
            request: Its head may be set, but nothing is written yet.
        """
        channel: Any = getattr(request, "channel", None)
        body: FastBody | None = getattr(channel, "sendBuffer", None)
        if body is None:
            body = FastBody(getattr(channel, "transport", None))
        body.begin(request, self)
        return body

    def add(self, buffer: SendBuffer) -> None:
        """Flush a buffer when the turn ends."""
        if not self._buffers and not self._postponed:
            self._turnEnd.atEnd(self._flush)
        self._buffers.append(buffer)

    def frame(self, data: bytes) -> bytes:
        """
        Frame data as a chunk.

        Viewers of one stream write the same object one after another: it is framed once.
        """
        if data is not self._framed:
            self._framed = data
            self._chunk = frames.writeChunk(data)
        return self._chunk

    def _flush(self) -> None:
        buffers, self._buffers = self._buffers, []
        if self._postponed:
            postponed, self._postponed = self._postponed, []
            if len(buffers) <= _SENDS:
                # Answers to the events that the others were postponed for.
                for buffer in buffers:
                    buffer.flush()
                buffers = postponed
            else:
                buffers = postponed + buffers
        room = _SENDS
        for place, buffer in enumerate(buffers):
            if not room:
                if self._turnEnd.hasEvents is not None and self._turnEnd.hasEvents():
                    # In the next turn: those who ask the reactor for something come first.
                    self._postponed = buffers[place:]
                    if not self._buffers:
                        self._turnEnd.atEnd(self._flush)
                    return
                room = _SENDS
            room -= 1
            buffer.flush()


class FastBody(SendBuffer):
    """
    The body of one response after the other on a connection; see `sseserver.delivery.body.Body`.

    Its states are `BodyState`.

    Args:
        transport: The transport of the connection.

    Attributes:
        written: Bytes of the present response so far, without framing.
    """

    __slots__ = ("_chunked", "_outbox", "_request", "_sending", "_state", "written")

    def __init__(self, transport: Any) -> None:
        # As in `SendBuffer`, without a call: there is one for each connection.
        self._transport = transport
        self._waiting = b""
        self._clear = False
        self._socket: Any = None
        self.held = False
        self.written = 0
        self._request: Any = None
        self._outbox: Any = None
        self._state = BodyState.CLOSED
        # Whether the state is SENDING or CORKED: a token looks at this alone.
        self._sending = False
        self._chunked = False

    def begin(self, request: Request, outbox: Outbox) -> None:
        """
        Begin the body of a response.

        Args:
            request: Its head may be set, but nothing is written yet.
            outbox: Sends small writes at the end of the turn.
        """
        self._request = request
        self._outbox = outbox
        self._state = BodyState.NEW
        self._sending = self._chunked = False
        self.written = 0

    def write(self, data: bytes) -> None:
        """See `Body.write`."""
        self.written += len(data)
        if not self._sending:
            self._writeThroughRequest(data)
        elif len(data) > _SMALL:
            self.writeLarge((b"%x\r\n" % len(data), data, b"\r\n") if self._chunked else (data,))
        elif self.add(self._outbox.frame(data) if self._chunked else data):
            self._outbox.add(self)

    def writeSome(self, data: bytes, start: int) -> int:
        """See `Body.writeSome`."""
        if self._sending:
            before = b"%x\r\n" % len(data) if self._chunked and not start else b""
            end = self.sendSome(data, start, before, b"\r\n" if self._chunked else b"")
            self.written += end - start
        else:
            end = min(start + PIECE, len(data))
            self.write(data[start:end])
        return end

    def writeMany(self, readings: list[bytes], start: int = 0) -> WrittenReadings:
        """See `Body.writeMany`."""
        if not self._sending:
            place = self.writeSome(readings[0], start)
            return WrittenReadings(0, place) if place < len(readings[0]) else WrittenReadings(1, 0)
        result = self.sendMany(readings, start, self._chunked)
        self.written += sum(map(len, readings[: result.whole])) + result.place - start
        return result

    def cork(self) -> None:
        """See `Body.cork`."""
        if not self._sending:
            self._step(BodyStep.CORK)
        elif self._isShared():
            # A buffer that the channel does not write through is not released at the end of the response.
            self._step(BodyStep.CORK)
            self.hold()

    def close(self) -> None:
        """See `Body.close`."""
        if self._state is BodyState.SENDING:
            self.flush()
        self._step(BodyStep.CLOSE)
        self._sending = False
        # `Request.write` counts as well, but is not called for each write.
        self._request.sentLength = self.written
        self._request = None

    def _canBypass(self) -> bool:
        """Return whether bytes can be sent past the write queue of the connection."""
        return canBypassQueue(self._transport)

    def _isShared(self) -> bool:
        """Whether the channel writes through this buffer, too."""
        return getattr(self._request.channel, "sendBuffer", None) is self

    def _step(self, step: BodyStep) -> None:
        self._state = findNext(BODY_STATES, self._state, step)

    def _writeThroughRequest(self, data: bytes) -> None:
        """
        Write with `Request.write`: the first bytes, or all if the queue cannot be bypassed.

        The first bytes bring the head.
        """
        request = self._request
        if self._state is BodyState.QUEUING:
            request.write(data)
            return
        bypass = self._canBypass()
        self._step(BodyStep.SEND if bypass else BodyStep.QUEUE)
        if self._isShared():
            self.hold()
            request.write(data)
            self.held = False
            self._outbox.add(self)
        else:
            request.write(data)
        # A write can tell that the client is gone.
        if self._state is not BodyState.CLOSED:
            if bypass:
                self._chunked = bool(request.chunked)
                self._sending = True
            slim(request)
