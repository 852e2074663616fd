"""
`EventSource` for Twisted: reads an event stream and continues it over lost connections.

It follows WHATWG HTML 9.2 and departs from it where a program needs more than a browser does: `RetryPolicy` retries
the statuses of an overloaded server and backs off, redirects stay within one origin (`request`), and a certificate
that is not trusted ends the stream.

`opening` gets a response, `response` reads it, `continuation` keeps what the next request needs, and `states` has the
legal steps.
Events do not pass through this module: `ResponseReader` calls the callback.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.python.failure import Failure
from twisted.web.iweb import IAgent, IResponse
from zope.interface import implementer

from sseserver.client.agent import makeAgent
from sseserver.client.bodies import dropResponse
from sseserver.client.continuation import Continuation
from sseserver.client.iteration import EventQueue
from sseserver.client.limits import DEFAULT_LIMITS, Limits
from sseserver.client.opening import OpenedStream, openStream
from sseserver.client.request import Request
from sseserver.client.response import ReadPath, ResponseReader, explainEnd
from sseserver.client.retry import DEFAULT_RETRY, RetryPolicy
from sseserver.client.states import Core, State, makeMachine
from sseserver.wire import Decoder, Event


@implementer(IPushProducer)
class EventSource:
    """
    Client of one event stream.

    Pass `onEvent` and call `start`, or loop over the object::

        async for event in EventSource(reactor, "https://example.com/streams/answer"):
            print(event.data)

    The loop starts the client and raises its errors; leaving the loop closes it.

    The client is a push producer of events: while it is paused it neither delivers events nor reads from the
    connection, so that finally the server has to wait.

    Args:
        reactor: Connects and measures time.
        request: The request, or just its URL.
        onEvent: Called with each event.
        retry: Policy for further requests. `None` makes a single request.
        limits: Limits of time and size.
        agent: Sends the requests. By default one that verifies certificates and uses each connection once.

    Attributes:
        onOpen: Called with each response that is an event stream.
        onEvent: See above. An exception of this or any other callback ends the client with this error.
        onData: Called instead of `onEvent`, with the data of each event as UTF-8 bytes. This is cheaper.
        onComment: Called with the text of each comment, which a browser does not report: heartbeats are empty ones. A
            comment is reported before the events that were received together with it.
        onRetry: Called before each delay with the error (`None` after a complete response) and the delay in seconds.
        readPath: Read path of the responses, which clients can share; see `response.chooseReadPath`.

    Raises:
        ValueError: The URL cannot be requested.
    """

    onOpen: Callable[[IResponse], object] | None = None
    onData: Callable[[bytes], object] | None = None
    onComment: Callable[[str], object] | None = None
    onRetry: Callable[[Exception | None, float], object] | None = None
    readPath: ReadPath | None = None

    def __init__(
        self,
        reactor: Any,
        request: Request | str,
        onEvent: Callable[[Event], object] | None = None,
        *,
        retry: RetryPolicy | None = DEFAULT_RETRY,
        limits: Limits = DEFAULT_LIMITS,
        agent: IAgent | None = None,
    ) -> None:
        self.onEvent = onEvent
        self._reactor = reactor
        self._next = Continuation(Request(request) if isinstance(request, str) else request, retry)
        self._firstEventID = self._next.request.lastEventID
        self._retriedStatuses = () if retry is None else retry.statuses
        self._limits = limits
        self._agent = agent or makeAgent(reactor, limits.connectTimeout)
        self._paused = False
        # Events for the loop, if there is one.
        self._queue: EventQueue | None = None
        # Work under way, at most one of the three: a request, a response, the delay before the next request.
        self._opening: Deferred[OpenedStream | None] | None = None
        self._reader: ResponseReader | None = None
        self._timer: IDelayedCall | None = None
        self._core = Core(self._startWaiting, self._finish)
        self._machine = makeMachine(self._core)
        self._done: Deferred[None] = Deferred(lambda _: self._machine.finish(Failure(CancelledError())))

    @property
    def state(self) -> State:
        """The `readyState` of WHATWG HTML 9.2."""
        return self._core.state

    @property
    def lastEventID(self) -> str:
        """
        ID of the last event that the callback or the loop has received; `""` if there is none.

        The next request carries it, or the ID of the last event that is queued for the loop.
        """
        queue = self._queue
        if queue is not None and queue.isBehind:
            return self._firstEventID if queue.lastEventID is None else queue.lastEventID
        return self._next.request.lastEventID if self._reader is None else self._reader.lastEventID

    @property
    def reconnectionTime(self) -> float:
        """Seconds, as the stream has set it last."""
        time = None if self._reader is None else self._reader.reconnectionTime
        return self._next.reconnectionTime if time is None else time / 1000

    def start(self) -> Deferred[None]:
        """
        Send the first request. Must be called once.

        Returns:
            Fires with `None` after a 204, after `close` and, with `retry=None`, after a complete response. Fails with
            an `EventSourceError`, an `EventTooLarge` or the exception of a callback. Cancelling it closes the client.

        Raises:
            automat.NoTransition: The client was started or closed before.
        """
        self._connect()
        return self._done

    def close(self) -> None:
        """
        End the client: drop the connection at once, deliver no more events, and leave nothing on the clock.

        Does nothing if it has ended.
        """
        if self._queue is not None:
            self._queue.clear()
        self._machine.finish(None)

    def reconnect(self) -> None:
        """
        Drop the connection, or end the delay, and send the next request at once. It carries the last event ID.

        Does nothing if the client was not started, or has ended.
        """
        if self._timer is not None:
            self._timer.reset(0)
        elif self._reader is not None or self._opening is not None:
            self._release()
            self._machine.wait(0.0)

    def pauseProducing(self) -> None:
        """Deliver no events until `resumeProducing`, and stop reading."""
        self._paused = True
        if self._reader is not None:
            self._reader.pauseProducing()

    def resumeProducing(self) -> None:
        """Deliver events again."""
        self._paused = False
        if self._reader is not None:
            self._reader.resumeProducing()

    def stopProducing(self) -> None:
        """See `close`."""
        self.close()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """
        Start the client and yield its events.

        Raises:
            RuntimeError: A callback takes the events.
            Exception: The error of `start`, after the last event.
        """
        if self.onEvent is not None or self.onData is not None:
            raise RuntimeError("Events go to a callback or to a loop, not to both: do not set onEvent or onData.")
        queue = self._queue = EventQueue(self)
        self.onEvent = queue.put
        self.start().addBoth(queue.end)
        try:
            while (event := await queue.take()) is not None:
                yield event
        finally:
            self.close()

    def _connect(self) -> None:
        """Send a request."""
        self._timer = None
        self._machine.connect()
        opening = openStream(self._reactor, self._agent, self._next.request, self._limits, self._retriedStatuses)
        self._opening = Deferred.fromCoroutine(opening)
        self._opening.addCallbacks(self._opened, self._failed).addErrback(self._machine.finish)

    def _failed(self, failure: Failure) -> None:
        """Handle a request that got no event stream."""
        # `close` and `reconnect` cancel a request, and have forgotten it before.
        if self._opening is not None:
            self._opening = None
            self._settle(failure)

    def _opened(self, stream: OpenedStream | None) -> None:
        """Read an event stream, or finish after 204."""
        self._opening = None
        if stream is None:
            self._machine.finish(None)
            return
        self._next.redirect(stream.url)
        reader = self._reader = self._makeReader()
        if self._paused:
            reader.pauseProducing()
        self._machine.open()
        if self.onOpen is not None:
            try:
                self.onOpen(stream.response)
            except BaseException:
                self._machine.finish(Failure())
        if self._reader is reader:
            reader.read(stream.response, stream.firstTimeout, self.readPath)
        else:
            dropResponse(stream.response)

    def _makeReader(self) -> ResponseReader:
        """Make the reader of the next response, on the callbacks that are set now."""
        decoder = Decoder(self._limits.maxEventBytes, lastEventID=self._next.request.lastEventID)
        decoder.onComment = self.onComment
        onEvent, onData = self.onEvent, self.onData
        if onData is not None:
            onEvent = lambda event: onData(event.data.encode("utf-8"))  # noqa: E731
        elif onEvent is None:
            onEvent = _ignore
        return ResponseReader(self._reactor, decoder, self._limits.silence, onEvent, self._ended, onData)

    def _ended(self, reason: Failure) -> None:
        """Handle the end of a response."""
        reader, self._reader = self._reader, None
        if reader is not None:
            self._next.learn(reader)
        self._settle(explainEnd(reason), reader is not None and reader.informed)

    def _settle(self, failure: Failure | None, informed: bool = False) -> None:
        """
        Wait for the next request, or finish.

        Args:
            failure: The failure of the last request; `None` after a complete response.
            informed: Whether its response had an event.
        """
        delay = self._next.chooseDelay(failure, informed)
        if delay is None:
            self._machine.finish(failure)
            return
        self._machine.wait(delay)
        if self.onRetry is not None:
            error: Any = None if failure is None else failure.value
            try:
                self.onRetry(error, delay)
            except BaseException:
                self._machine.finish(Failure())

    def _release(self) -> None:
        """Drop the connection, or the request that makes one."""
        reader, self._reader = self._reader, None
        if reader is not None:
            self._next.learn(reader)
            reader.stopProducing()
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()

    def _startWaiting(self, delay: float) -> None:
        """Schedule the next request; an output of the machine."""
        self._timer = self._reactor.callLater(delay, self._connect)

    def _finish(self, failure: Failure | None) -> None:
        """Release everything and fire the result of `start`; an output of the machine."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._release()
        if failure is None:
            self._done.callback(None)
        else:
            self._done.errback(failure)


def _ignore(event: Event) -> None:
    """Drop an event: there is no callback."""
