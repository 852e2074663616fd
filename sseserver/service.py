"""
StreamService: runs token sources into stream logs, and knows every viewer.

The web rooms ask it for streams and give it requests; sources write into its
runs; nothing here knows URLs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request
from zope.interface import implementer

from sseserver.errors import GapError, Overloaded, SourceError
from sseserver.formats import toJSON
from sseserver.interfaces import IFormat, IStreamLog, IStreamStore, ITokenSink, ITokenSource, Kind, Prompt, State
from sseserver.producer import EventStreamProducer, jittered, writeHeaders
from sseserver.stores.memory import MemoryStore
from sseserver.streamlog import ENTRY_COST
from sseserver.ticker import Tick, Ticker

log = Logger()

#: Seconds between two slots of the ticker of heartbeats, lingers and ages.
SWEEP_GRANULARITY = 0.25


@dataclass(frozen=True, slots=True)
class Settings:
    """
    The numbers of a service. Times are seconds, sizes bytes.

    Attributes:
        heartbeat: After so long without a write a viewer gets a comment.
        reconnectionTime: What viewers are told to wait before they come back,
            in milliseconds; each is told a value that differs by up to a third.
        linger: How long a run goes on when no viewer is left; counts from
            its start too. 0 ends it at once when the last viewer leaves.
        maxViewers: So many viewers are served at once.
        keep: How long a stream is kept after its end.
        window: Bytes that each stream keeps.
        readAhead: A run waits when it is so far ahead of its fastest viewer.
        drain: How long viewers have to take the end of their streams when the service stops.
    """

    heartbeat: float = 15.0
    reconnectionTime: int = 3000
    linger: float = 60.0
    maxViewers: int = 10_000
    keep: float = 600.0
    window: int = 16 * 1024 * 1024
    readAhead: int = 1024 * 1024
    drain: float = 5.0


#: Bytes that a run writes between two looks at how far it is ahead.
_AHEAD_CHECK = 64 * 1024

#: A run that nobody has read yet waits at least so long for its first viewer, also with a shorter linger: whoever
#: started it by `POST /streams` must have the time to follow.
_FIRST_VIEWER = 5.0


@implementer(ITokenSink)
class Run:
    """
    A token source working into a stream log: the source's sink.

    Args:
        streamLog: Where the tokens go.
        settings: The service's.
        sweep: The ticker of the linger.
        onEnd: Called once with this run when its terminal entry is in the log.
    """

    __slots__ = (
        "_awaiting",
        "_held",
        "_linger",
        "_onEnd",
        "_paused",
        "_producer",
        "_settings",
        "_sweep",
        "_tokens",
        "_unchecked",
        "_work",
        "streamLog",
    )

    def __init__(self, streamLog: IStreamLog, settings: Settings, sweep: Ticker, onEnd: Callable[[Run], None]) -> None:
        self.streamLog = streamLog
        self._settings = settings
        self._sweep = sweep
        self._onEnd = onEnd
        self._tokens = 0
        # A CR at the end of a token waits for the next one: CR LF over two tokens is one line end for everybody.
        self._held = ""
        self._paused = False
        self._unchecked = 0
        self._producer: IPushProducer | None = None
        self._awaiting: list[Deferred[None]] = []
        self._linger: Tick | None = None
        self._work: Deferred[Any] | None = None

    def start(self, source: ITokenSource, prompt: Prompt | None) -> None:
        """Let the source work. What it returns or raises ends the stream."""
        self._await(max(self._settings.linger, _FIRST_VIEWER))
        self._work = maybeDeferred(source.produce, self, prompt)
        self._work.addCallbacks(self._succeeded, self._failed)
        self._work.addErrback(lambda failure: log.failure("A run broke", failure))

    def write(self, token: str) -> None:
        """See L{ITokenSink.write}."""
        if self._held:
            token, self._held = self._held + token, ""
        if token.endswith("\r"):
            token, self._held = token[:-1], "\r"
        if token and self.streamLog.state is State.OPEN:
            self._append(token)

    def ready(self) -> Deferred[None]:
        """See L{ITokenSink.ready}."""
        if not self._paused:
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._awaiting.remove)
        self._awaiting.append(waiting)
        return waiting

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See L{ITokenSink.registerProducer}."""
        if not streaming:
            raise ValueError("A token sink takes push producers only.")
        if self._producer is not None:
            raise RuntimeError(f"{producer!r} cannot be registered: {self._producer!r} is.")
        if self.streamLog.state is not State.OPEN:
            producer.stopProducing()
            return
        self._producer = producer
        if self._paused:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """See L{ITokenSink.unregisterProducer}."""
        self._producer = None

    def cancel(self, reason: str) -> None:
        """
        Stop the source; what was produced is kept. Harmless after the end.

        Args:
            reason: `asked`, `linger` or `deleted`.
        """
        self._stop(Kind.CANCELLED, {"reason": reason})

    def shutDown(self) -> None:
        """Stop the source because the server stops."""
        self._stop(Kind.FAILED, {"reason": "shutdown", "message": "The server was stopped before the end."})

    def viewerLeft(self) -> None:
        """Begin to linger, when that was the last viewer."""
        if not self.streamLog.viewers and self.streamLog.state is State.OPEN:
            if self._settings.linger:
                self._await(self._settings.linger)
            else:
                self.cancel("linger")

    def _append(self, token: str) -> None:
        data = token.encode("utf-8")
        self._tokens += 1
        self.streamLog.append(Kind.TOKEN, data)
        self._unchecked += len(data) + ENTRY_COST
        if self._unchecked >= _AHEAD_CHECK:
            self._unchecked = 0
            if not self._paused and self.streamLog.ahead() > self._settings.readAhead:
                self._pause()

    def _pause(self) -> None:
        self._paused = True
        self.streamLog.onRead = self._viewerRead
        if self._producer is not None:
            self._producer.pauseProducing()

    def _viewerRead(self) -> None:
        # Not before half of it is read, so that a run does not stop and go with each write of its viewer.
        if self.streamLog.ahead() <= self._settings.readAhead // 2:
            self._resume()

    def _resume(self) -> None:
        self._paused = False
        self.streamLog.onRead = None
        awaiting, self._awaiting = self._awaiting, []
        for waiting in awaiting:
            waiting.callback(None)
        if self._producer is not None:
            self._producer.resumeProducing()

    def _await(self, seconds: float) -> None:
        """Give viewers so long to come."""
        if self._linger is not None:
            self._sweep.cancel(self._linger)
        self._linger = self._sweep.at(self._sweep.seconds() + seconds, self._lingered)

    def _lingered(self, now: float) -> None:
        self._linger = None
        if not self.streamLog.viewers:
            self.cancel("linger")

    def _succeeded(self, result: object) -> None:
        self._end(
            Kind.DONE,
            {"reason": result if isinstance(result, str) else "stop", "tokens": self._tokens + bool(self._held)},
        )

    def _failed(self, failure: Failure) -> None:
        if self.streamLog.state is not State.OPEN:
            # It was stopped: what it says of that is no news, but a bug in its cleaning up is.
            if not failure.check(CancelledError, SourceError):
                log.failure("A token source broke while it was stopped", failure)
        elif isinstance(failure.value, SourceError):
            self._end(Kind.FAILED, {"reason": failure.value.reason, "message": str(failure.value)})
        else:
            log.failure("A token source broke", failure)
            self._end(Kind.FAILED, {"reason": "error", "message": "The source of this text broke down."})

    def _stop(self, kind: Kind, terminal: dict[str, object]) -> None:
        """End the stream first, so that nothing the source says while it stops gets in; then stop the source."""
        if self.streamLog.state is State.OPEN:
            producer, work = self._producer, self._work
            self._end(kind, terminal)
            if producer is not None:
                producer.stopProducing()
            if work is not None:
                work.cancel()

    def _end(self, kind: Kind, terminal: dict[str, object]) -> None:
        """Write the terminal entry, and let go of everything."""
        if self.streamLog.state is not State.OPEN:
            return
        if self._held:
            held, self._held = self._held, ""
            self._append(held)
        if self._linger is not None:
            self._sweep.cancel(self._linger)
        self._producer = None
        self._resume()
        self.streamLog.append(kind, toJSON(terminal))
        self._onEnd(self)


class StreamService(Service):
    """
    Everything that streams, in one Twisted service.

    Add it to your application, or call C{startService} and C{stopService}
    yourself: stopping ends the runs and lets the viewers take their ends.

    Args:
        reactor: Schedules everything.
        source: What runs produce their tokens with.
        settings: The numbers.
        store: Keeps the stream logs.
    """

    def __init__(
        self, reactor: Any, source: ITokenSource, settings: Settings | None = None, store: IStreamStore | None = None
    ) -> None:
        self.settings = settings or Settings()
        self.source = source
        self._reactor = reactor
        # An embedder should not have to choose a store: the one that needs nothing is there by itself.
        self._store: IStreamStore = store or MemoryStore(reactor, self.settings.window)
        self._sweep = Ticker(reactor, SWEEP_GRANULARITY)
        self._runs: dict[str, Run] = {}
        self._viewers: set[EventStreamProducer] = set()
        # The ended streams that are kept yet, and until when; the oldest first.
        self._kept: deque[tuple[float, str]] = deque()
        # Fires when the last viewer has left a service that is being stopped.
        self._drained: Deferred[None] | None = None

    @property
    def viewers(self) -> int:
        """How many viewers are served now."""
        return len(self._viewers)

    def hasRoom(self) -> bool:
        """Whether one more viewer can be served."""
        return len(self._viewers) < self.settings.maxViewers and self._drained is None

    @inlineCallbacks
    def startRun(self, prompt: Prompt | None = None) -> Generator[Deferred[Any], Any, IStreamLog]:
        """
        Start a run of the source into a new stream.

        Returns:
            Fires with the stream's log, whose name is its epoch.

        Raises:
            Overloaded: (as the errback) There is no room, or the service is
                being stopped.
        """
        if not self.hasRoom():
            raise Overloaded("The server has no room for one more viewer now, or is being stopped.")
        streamLog: IStreamLog = yield self._store.create()
        run = self._runs[streamLog.name] = Run(streamLog, self.settings, self._sweep, self._runEnded)
        run.start(self.source, prompt)
        return streamLog

    def find(self, name: str) -> Deferred[IStreamLog]:
        """
        Look a stream up.

        Raises:
            StreamNotFound: (as the errback) There is none of this name.
        """
        return self._store.find(name)

    @inlineCallbacks
    def cancel(self, name: str) -> Generator[Deferred[Any], Any, IStreamLog]:
        """
        Stop the run of a stream; what was produced is kept. Idempotent.

        Raises:
            StreamNotFound: (as the errback) There is none of this name.
        """
        streamLog: IStreamLog = yield self._store.find(name)
        if name in self._runs:
            self._runs[name].cancel("asked")
        return streamLog

    def hasAll(self, streamLog: IStreamLog, form: IFormat, lastEventID: str | None) -> bool:
        """Whether a viewer that comes back with this last event ID has the end already: it is answered 204."""
        if lastEventID is None:
            return False
        try:
            cursor = streamLog.locate(lastEventID)
        except GapError:
            return False
        return streamLog.rendering(form).complete(cursor)

    def view(self, request: Request, streamLog: IStreamLog, form: IFormat, lastEventID: str | None, url: str) -> None:
        """
        Let a request follow a stream, as a viewer; turn it away where there is no room.

        Args:
            request: Its response has not begun; it belongs to this service now.
            lastEventID: What the client sent, or `None`.
            url: The stream's own URL.
        """
        if not self.hasRoom():
            self.turnAway(request)
            return
        producer = EventStreamProducer(request, streamLog, form, self._sweep, self.settings.heartbeat, self._viewerLeft)
        self._viewers.add(producer)
        producer.start(lastEventID, jittered(self.settings.reconnectionTime), url)

    def turnAway(self, request: Request) -> None:
        """
        Tell a viewer to come back later, in the one way that an EventSource
        obeys: an event stream that holds a reconnection time and ends. After
        any other status than 200 it would never come back.
        """
        writeHeaders(request)
        request.write(b"retry: %d\n\n" % jittered(self.settings.reconnectionTime))
        request.finish()

    def startService(self) -> None:
        """Begin, or begin again after a stop."""
        super().startService()
        if self._kept:
            self._sweep.at(self._kept[0][0], self._forget)

    def stopService(self) -> Deferred[None]:
        """
        End all runs, give the viewers L{Settings.drain} seconds to take the
        end of their streams, and cut those that have not.

        Returns:
            Fires when no viewer is left.
        """
        super().stopService()
        self._drained = drained = Deferred[None]()
        for run in tuple(self._runs.values()):
            run.shutDown()
        # The last of them may have left already, with the end of its run.
        if not self._viewers and not drained.called:
            drained.callback(None)
        deadline = self._reactor.callLater(self.settings.drain, self._cut)
        return drained.addCallback(self._stopped, deadline)

    def _cut(self) -> None:
        for producer in tuple(self._viewers):
            producer.abort("shutdown")

    def _stopped(self, result: None, deadline: IDelayedCall) -> None:
        if deadline.active():
            deadline.cancel()
        self._sweep.stop()
        self._drained = None

    def _runEnded(self, run: Run) -> None:
        name = run.streamLog.name
        del self._runs[name]
        self._kept.append((self._sweep.seconds() + self.settings.keep, name))
        if len(self._kept) == 1:
            self._sweep.at(self._kept[0][0], self._forget)

    def _forget(self, now: float) -> float | None:
        """Forget the streams that were kept long enough."""
        while self._kept and self._kept[0][0] <= now:
            deleted = self._store.delete(self._kept.popleft()[1])
            deleted.addErrback(lambda failure: log.failure("A stream could not be forgotten", failure))
        return self._kept[0][0] if self._kept else None

    def _viewerLeft(self, producer: EventStreamProducer) -> None:
        self._viewers.discard(producer)
        run = self._runs.get(producer.streamLog.name)
        if run is not None:
            run.viewerLeft()
        if producer.reason != "complete":
            # twisted.web writes a line for a response that is finished, and none for one that the client closed.
            log.info(
                "A viewer of {name} went: {reason}, {bytes} bytes",
                name=producer.streamLog.name,
                reason=producer.reason,
                bytes=producer.written,
            )
        if not self._viewers and self._drained is not None and not self._drained.called:
            self._drained.callback(None)
