"""
An EventSource for Twisted: reads an event stream, and goes on with it over
lost connections.

It follows WHATWG HTML 9.2 (the states; the requests; what ends it, and what
makes it connect again), with what a program needs beyond a browser. Where it
departs from the standard:

- 429, 502, 503 and 504 are answers of a server that is busy or being
  restarted: asked again, like a lost connection, and not before its
  C{Retry-After}. A browser gives up.
- Each failure after another makes it wait longer, up to a ceiling and spread
  at random; never shorter than the reconnection time.
- Redirects are followed to the same origin only, since headers may hold a
  secret, and not for methods other than GET and HEAD.
- A certificate that does not convince is not asked for again.

What is done in which state is an Automat machine. Events do not pass through
it: they go from the L{ResponseReader} straight to the callback.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from random import uniform
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse
from zope.interface import implementer

from sseserver.client.agent import makeAgent
from sseserver.client.iteration import Queue
from sseserver.client.request import (
    EVENT_STREAM,
    ConnectionFailed,
    ConnectTimeout,
    EventSourceError,
    ResponseRefused,
    ResponseTruncated,
    SilenceTimeout,
    StatusError,
    Untrusted,
    WrongContentType,
    ask,
    checkURL,
    drop,
    essence,
    inWords,
    readRefusal,
    retryAfter,
)
from sseserver.client.response import ReadPath, ResponseReader
from sseserver.client.states import State, makeMachine
from sseserver.errors import EventTooLarge
from sseserver.wire import MAX_EVENT_BYTES, Decoder, Event, checkID

__all__ = [
    "ConnectTimeout",
    "ConnectionFailed",
    "Event",
    "EventSource",
    "EventSourceError",
    "EventTooLarge",
    "ResponseRefused",
    "ResponseTruncated",
    "SilenceTimeout",
    "State",
    "StatusError",
    "Untrusted",
    "WrongContentType",
]

#: Statuses of a server that may be well again soon.
RETRIED = frozenset({429, 502, 503, 504})


@implementer(IPushProducer)
class EventSource:
    """
    Reads an event stream, again and again until its end.

    Give it C{onEvent} and L{start} it, or loop over it::

        async for event in EventSource(reactor, "https://example.com/streams/answer"):
            print(event.data)

    The loop starts it, and closes it when it is left; what goes wrong is
    raised in it.

    Towards who takes the events it is a push producer: paused, it gives out
    none and reads no further, so that in the end the server has to wait.

    Args:
        reactor: Connects, and measures time.
        url: Of C{http} or C{https}, absolute, without a user's name.
        agent: Makes the requests; by default one that verifies certificates
            and uses each connection once.
        method: Any. A request that has a body or changes something is made
            again like any other, unless C{reconnect} is off.
        headers: To send beside C{Accept}, C{Cache-Control} and
            C{Last-Event-ID}; the first two may be given otherwise.
        body: To send.
        lastEventID: Where to go on; C{""} to start anew.
        reconnect: Whether a lost connection, the end of a response and a
            busy server are followed by another request. If not, the first
            ends it: the end of a response in good order, the others by
            errback.
        reconnectionTime: Seconds to wait then, until the stream says otherwise.
        maxDelay: Seconds that failure upon failure lets this grow to.
        connectTimeout: Seconds that a connection may take to be made, and
            without C{firstTimeout} also the head of the response. For an
            agent that is given, the latter only.
        firstTimeout: Seconds from the request to the first byte of the body.
            C{None}: as C{silence}, counted from the head.
        silence: Seconds without any byte, comments included, after which the
            connection counts as lost. C{None}: never; then a server that
            vanished without a word is not noticed.
        maxEventBytes: See L{Decoder}.
        retriedStatuses: What a busy server answers.
        onOpen: Called with each response that is an event stream.
        onEvent: Called with each event. What it or another callback raises
            ends it all, by errback.
        onData: Called instead with the data of each event, in UTF-8, by who
            looks at nothing else: that costs less.
        onRetry: Called when another request follows, with what went wrong
            (C{None} if the response just ended) and the seconds until then.
        readPath: From `chooseReadPath`; event sources may share one.

    Attributes:
        state: Of L{State}.
        reconnectionTime: In seconds, as the server said it last.
    """

    def __init__(
        self,
        reactor: Any,
        url: str,
        *,
        agent: IAgent | None = None,
        method: bytes = b"GET",
        headers: Headers | None = None,
        body: bytes | None = None,
        lastEventID: str = "",
        reconnect: bool = True,
        reconnectionTime: float = 3.0,
        maxDelay: float = 60.0,
        connectTimeout: float = 30.0,
        firstTimeout: float | None = None,
        silence: float | None = None,
        maxEventBytes: int = MAX_EVENT_BYTES,
        retriedStatuses: Collection[int] = RETRIED,
        onOpen: Callable[[IResponse], object] | None = None,
        onEvent: Callable[[Event], object] | None = None,
        onData: Callable[[bytes], object] | None = None,
        onRetry: Callable[[Exception | None, float], object] | None = None,
        readPath: ReadPath | None = None,
    ) -> None:
        self._url = checkURL(url)
        if lastEventID:
            checkID(lastEventID)
        self.state = State.CONNECTING
        self.reconnectionTime = reconnectionTime
        self._reactor = reactor
        self._agent = agent or makeAgent(reactor, connectTimeout)
        self._method = method
        self._headers = headers
        self._body = body
        self._lastEventID = lastEventID
        self._reconnect = reconnect
        self._maxDelay = maxDelay
        self._connectTimeout = connectTimeout
        self._firstTimeout = firstTimeout
        self._silence = silence
        self._maxEventBytes = maxEventBytes
        self._retriedStatuses = retriedStatuses
        self._onOpen = onOpen
        self._onEvent = onEvent if onData is None else lambda event: onData(event.data.encode("utf-8"))
        self._onData = onData
        self._onRetry = onRetry
        self._readPath = readPath
        # Failures since the last byte of an event stream.
        self._failures = 0
        self._paused = False
        # Between the events and a loop, if there is one.
        self._queue: Queue | None = None
        # What is under way, all of which the end stops: a request, or a body that explains a refusal; an event stream;
        # the time that a request may take, or until the next one.
        self._waitingFor: Deferred[Any] | None = None
        self._reader: ResponseReader | None = None
        self._timer: IDelayedCall | None = None
        self._machine = makeMachine(self)
        self._done: Deferred[None] = Deferred(lambda _: self._machine.finish(Failure(CancelledError())))

    @property
    def lastEventID(self) -> str:
        """Of the last event that was given out; what the next request will say. C{""} when there is none."""
        return self._lastEventID if self._reader is None else self._reader.lastEventID

    def start(self) -> Deferred[None]:
        """
        Connect. Once only.

        Returns:
            Fires when it is over: with C{None} after a 204, after L{close}
            and, without reconnecting, at the end of the response; else with
            an L{EventSourceError}, an L{EventTooLarge}, or what a callback
            raised. Cancelling it is closing.
        """
        self._machine.connect()
        self._request()
        return self._done

    def close(self) -> None:
        """
        End it: the connection is dropped at once, no event follows, nothing
        is left on the clock. Harmless when it has ended.
        """
        if self._queue is not None:
            self._queue.events.clear()
        self._machine.finish(None)

    def pauseProducing(self) -> None:
        """Give out no event until L{resumeProducing}, and read no further."""
        self._paused = True
        if self._reader is not None:
            self._reader.pauseProducing()

    def resumeProducing(self) -> None:
        """Go on."""
        self._paused = False
        if self._reader is not None:
            self._reader.resumeProducing()

    def stopProducing(self) -> None:
        """L{close}."""
        self.close()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """
        Start it, and give its events until the end.

        Raises:
            What L{start} fails with, after all events that came before.
        """
        if self._onEvent is not None:
            raise RuntimeError("Events go to the callback; there are none for a loop.")
        queue = self._queue = Queue(self)
        self._onEvent = queue.put
        self.start().addBoth(queue.end)
        try:
            while await queue.ready():
                yield queue.events.popleft()
        finally:
            self.close()

    # One request and its response.

    def _request(self) -> None:
        """Make a request."""
        limit = self._connectTimeout if self._firstTimeout is None else self._firstTimeout
        self._timer = self._reactor.callLater(limit, self._late, limit)
        asked = Deferred.fromCoroutine(
            ask(self._agent, self._method, self._url, self._requestHeaders(), self._body),
        )
        self._waitingFor = asked
        asked.addCallbacks(self._answered, self._failed, callbackArgs=(asked,), errbackArgs=(asked,))
        asked.addErrback(self._machine.finish)

    def _requestHeaders(self) -> Headers:
        headers = Headers() if self._headers is None else self._headers.copy()
        if not headers.hasHeader(b"Accept"):
            headers.setRawHeaders(b"Accept", [EVENT_STREAM.encode("ascii")])
        # What Fetch (4.6, "HTTP-network-or-cache fetch") makes of the cache mode `no-store` that 9.2.2 wants.
        if not headers.hasHeader(b"Cache-Control"):
            headers.setRawHeaders(b"Cache-Control", [b"no-cache"])
        headers.removeHeader(b"Last-Event-ID")
        if self._lastEventID:
            headers.setRawHeaders(b"Last-Event-ID", [self._lastEventID.encode("utf-8")])
        return headers

    def _late(self, limit: float) -> None:
        """The response is not there in time."""
        self._timer = None
        self._abandon()
        if self._firstTimeout is None:
            self._again(ConnectTimeout(f"There was no response within {limit:g} seconds."))
        else:
            self._again(SilenceTimeout(f"Nothing came for {limit:g} seconds."))

    def _abandon(self) -> None:
        """Let go of what is waited for."""
        waitingFor, self._waitingFor = self._waitingFor, None
        if waitingFor is not None:
            waitingFor.cancel()

    def _stopTimer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _failed(self, failure: Failure, asked: Deferred[Any]) -> None:
        """There is no response."""
        if self._waitingFor is asked:
            self._waitingFor = None
            self._stopTimer()
            error = failure.value
            if isinstance(error, ConnectionFailed) and not isinstance(error, Untrusted):
                self._again(error)
            else:
                self._machine.finish(failure)

    def _answered(self, answer: tuple[IResponse, str], asked: Deferred[Any]) -> None:
        """There is a response."""
        response, url = answer
        self._waitingFor = None
        status = response.code
        if status == 200 and essence(response.headers) == EVENT_STREAM:
            self._url = url
            self._opened(response)
        elif status == 200:
            message = f"The content type is not {EVENT_STREAM}, but {essence(response.headers) or 'missing'}."
            self._refused(response, WrongContentType(message, status, response.headers))
        elif status == 204:
            self._machine.finish(None)
        elif self._reconnect and status in self._retriedStatuses:
            drop(response)
            self._stopTimer()
            self._again(_statusError(response), retryAfter(response.headers))
        else:
            self._refused(response, _statusError(response))

    def _refused(self, response: IResponse, error: ResponseRefused) -> None:
        """The response is no event stream: read what it says, then fail."""
        self._stopTimer()

        def fail(body: bytes) -> None:
            self._waitingFor = None
            error.body = body
            self._machine.finish(Failure(error))

        self._waitingFor = readRefusal(self._reactor, response)
        self._waitingFor.addCallback(fail)

    def _opened(self, response: IResponse) -> None:
        """The response is an event stream."""
        # What is left of the time for the first byte.
        first = None
        if self._firstTimeout is not None and self._timer is not None:
            first = max(self._timer.getTime() - self._reactor.seconds(), 0.0)
        self._stopTimer()
        decoder = Decoder(self._maxEventBytes, lastEventID=self._lastEventID)
        onEvent = self._onEvent or (lambda _: None)
        reader = ResponseReader(self._reactor, decoder, self._silence, onEvent, self._ended, self._onData)
        if self._paused:
            reader.pauseProducing()
        self._reader = reader
        self._machine.open()
        if self._onOpen is not None:
            try:
                self._onOpen(response)
            except Exception:
                self._machine.finish(Failure())
        if self._reader is reader:
            reader.read(response, first, self._readPath)
        else:
            drop(response)

    def _ended(self, reason: Failure) -> None:
        """The event stream is over, or its reading."""
        reader, self._reader = self._reader, None
        assert reader is not None
        self._lastEventID = reader.lastEventID
        if reader.reconnectionTime is not None:
            self.reconnectionTime = reader.reconnectionTime / 1000
        error: EventSourceError | None
        if reason.check(ResponseDone, PotentialDataLoss):
            error = None
        elif reason.check(ResponseFailed):
            assert reason.value is not None
            error = ResponseTruncated(f"The response broke off: {inWords(reason.value)}")
            error.__cause__ = reason.value
        elif isinstance(reason.value, SilenceTimeout):
            error = reason.value
        else:
            self._machine.finish(reason)
            return
        self._again(error, heard=reader.heard)

    def _again(self, error: EventSourceError | None, minimum: float = 0.0, heard: bool = False) -> None:
        """
        Make another request later, unless this was to be the only one.

        Args:
            error: What went wrong; C{None} at the end of a response.
            minimum: Seconds to wait at least.
            heard: Whether anything of an event stream had come.
        """
        if not self._reconnect:
            self._machine.finish(None if error is None else Failure(error))
            return
        self._failures = 0 if heard else self._failures + 1
        delay = max(minimum, self._delay())
        self._machine.wait(delay)
        if self._onRetry is not None:
            try:
                self._onRetry(error, delay)
            except Exception:
                self._machine.finish(Failure())

    def _delay(self) -> float:
        """
        Choose the seconds until the next request: at least the reconnection
        time; with each failure up to twice as much, all the way up to the
        ceiling, spread over the whole (full jitter) so that those who failed
        together do not come back together.
        """
        time = self.reconnectionTime
        # Past 2**30 the ceiling decides anyway, and a float has its limits.
        growth = max(time, 1.0) * (2 ** min(self._failures, 30) - 1)
        return time + uniform(0.0, max(min(growth, self._maxDelay - time), 0.0))

    def _due(self) -> None:
        """The time until the next request is over."""
        self._timer = None
        self._machine.connect()
        self._request()

    # What belongs to the steps of the machine.

    def _startWaiting(self, delay: float) -> None:
        self._timer = self._reactor.callLater(delay, self._due)

    def _finished(self, failure: Failure | None) -> None:
        self._stopTimer()
        reader, self._reader = self._reader, None
        if reader is not None:
            self._lastEventID = reader.lastEventID
            reader.stopProducing()
        self._abandon()
        if failure is None:
            self._done.callback(None)
        else:
            self._done.errback(failure)


def _statusError(response: IResponse) -> StatusError:
    return StatusError(f"The server answered {response.code}.", response.code, response.headers)
