"""
Bodies of requests, and of responses that are not event streams.

`request` sends with `BytesProducer`, `opening` reads the start of a refusal, and `response` aborts connections. The
upstream source reads its list of models here, and `web.access` its keys.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.iweb import IBodyProducer, IResponse
from zope.interface import implementer

from sseserver.speedups.privates import connectionOf
from sseserver.timing.patience import PatientCall

#: Bytes. Kept from the body of a response that is not an event stream; enough for the JSON of an error.
REFUSAL_BYTES = 64 * 1024

#: Bytes. A larger body of a request is written step by step. Twisted reads no response before a request is written.
WHOLE_BYTES = 1024 * 1024

#: Bytes. Size of such a step.
STEP_BYTES = 64 * 1024

#: Seconds. Time in which the body of a response that is not an event stream must arrive.
REFUSAL_SECONDS = 5.0


@implementer(IBodyProducer)
class BytesProducer:
    """
    Body of a request that is completely in memory.

    A large one is written step by step, as its transport takes it.

    Args:
        body: The body. It may also be a `bytearray` that nobody changes any more.

    Attributes:
        length: Bytes of the body.
    """

    def __init__(self, body: bytes | bytearray) -> None:
        self._body = body
        self.length = len(body)
        self._at = 0
        self._isPaused = False
        self._consumer: IConsumer | None = None
        # Fires when a large body is written.
        self._written: Deferred[None] | None = None

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """See `IBodyProducer.startProducing`."""
        if self.length <= WHOLE_BYTES:
            # The body may be a `bytearray`, which a transport does not take. Of bytes this is no copy.
            consumer.write(bytes(self._body))
            return succeed(None)
        self._consumer = consumer
        written = self._written = Deferred(lambda _: self.stopProducing())
        self.resumeProducing()
        return written

    def pauseProducing(self) -> None:
        """See `IPushProducer.pauseProducing`."""
        self._isPaused = True

    def resumeProducing(self) -> None:
        """See `IPushProducer.resumeProducing`."""
        self._isPaused = False
        while self._consumer is not None and not self._isPaused:
            start, self._at = self._at, self._at + STEP_BYTES
            self._consumer.write(bytes(self._body[start : self._at]))
            if self._at >= self.length and self._consumer is not None:
                written = self._written
                self.stopProducing()
                if written is not None:
                    written.callback(None)

    def stopProducing(self) -> None:
        """See `IBodyProducer.stopProducing`: write no more."""
        self._consumer = None
        # Its canceller refers to this object.
        self._written = None


class _BodyStart(Protocol):
    """
    Reader of the start of a body, within a size and a time.

    Attributes:
        done: Fires with the bytes; never fails.
    """

    def __init__(self, clock: IReactorTime, maxBytes: int, seconds: float) -> None:
        self._maxBytes = maxBytes
        self._body = bytearray()
        self._timer: PatientCall | None = PatientCall(clock, seconds, self._expire)
        self.done: Deferred[bytes] = Deferred(lambda _: self._end())

    def dataReceived(self, data: bytes) -> None:
        """Keep the bytes that fit, and stop when no more do."""
        self._body += data[: self._maxBytes - len(self._body)]
        if len(self._body) == self._maxBytes:
            self._end()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Stop at the end of the body, complete or not."""
        self._end()

    def _expire(self) -> None:
        self._timer = None
        self._end()

    def _end(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        if not self.done.called:
            done, body = self.done, bytes(self._body)
            abortConnection(self.transport)
            done.callback(body)


def readBodyStart(
    clock: IReactorTime, response: IResponse, maxBytes: int = REFUSAL_BYTES, seconds: float = REFUSAL_SECONDS
) -> Deferred[bytes]:
    """
    Read the start of a body, then drop its connection if the body is not complete.

    Args:
        clock: Measures the time.
        response: A response whose body nobody has read yet.
        maxBytes: Bytes to read at most.
        seconds: Time to read at most.

    Returns:
        Fires with the bytes that came; never fails. Cancelling it drops the connection.
    """
    reader = _BodyStart(clock, maxBytes, seconds)
    response.deliverBody(reader)
    return reader.done


def dropResponse(response: IResponse) -> None:
    """Discard the body of a response, and drop its connection if the body is not complete."""
    discard = Protocol()
    response.deliverBody(discard)
    # Only now: deliverBody resumes the transport at its end, even one that was aborted before.
    abortConnection(discard.transport)


def abortConnection(transport: Any) -> None:
    """
    Drop the connection of a response at once. Does nothing if the body is complete and the connection free.

    Args:
        transport: The transport that `deliverBody` gave to its protocol.
    """
    # Twisted's proxy hides abortConnection (twisted#8227), and its loseConnection waits until everything is written
    # and, over TLS, until the peer has said goodbye: never, if the peer hangs.
    connection = connectionOf(transport)
    if connection is not None:
        getattr(connection, "abortConnection", transport.loseConnection)()
