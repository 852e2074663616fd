"""
StreamService: runs token sources into stream logs, and knows every viewer.

The web rooms ask it for streams and give it requests; sources write into its
runs; nothing here knows URLs.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from hashlib import sha256
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, inlineCallbacks, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request

from sseserver.delivery.producer import EventStreamProducer, jittered, writeHeaders
from sseserver.delivery.sockets import allSent, isOver
from sseserver.delivery.waiter import Reader, Waiter
from sseserver.errors import KeyReused, Overloaded, StoreUnavailable, StreamEnded, StreamExists, StreamNotFound
from sseserver.formats import makeFormats
from sseserver.interfaces import IFormat, IStreamLog, IStreamStore, ITokenSource
from sseserver.jsontext import toJSON
from sseserver.service.retention import Retention
from sseserver.service.run import Run
from sseserver.service.runqueue import RunQueue
from sseserver.settings import Settings
from sseserver.speedups.body import Outbox
from sseserver.stores.memory import MemoryStore
from sseserver.timing.ticker import Ticker
from sseserver.timing.turnend import TurnEnd
from sseserver.values import Kind, NewEntry, Prompt, Reason, State

log = Logger()

#: Seconds between two slots of the ticker of heartbeats, lingers and ages.
SWEEP_GRANULARITY = 0.25

_FULL = "The server has no room for one more viewer now, or is being stopped."
_STOPPED = "The server is being stopped."


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
        turnEnd: Ends the reactor turns in which viewers are written to. Give the source and the store the same one:
            then tokens leave in the turn in which they come. By default one of its own.

    Attributes:
        formats: The formats that a viewer can ask for, by name.
        created: When the service was made, in seconds since 1970.
    """

    def __init__(
        self,
        reactor: Any,
        source: ITokenSource,
        settings: Settings | None = None,
        store: IStreamStore | None = None,
        *,
        turnEnd: TurnEnd | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.source = source
        self.created: float = reactor.seconds()
        self.formats: dict[str, IFormat] = makeFormats(source.model)
        self._reactor = reactor
        # An embedder should not have to choose a store: the one that needs nothing is there by itself.
        turnEnd = turnEnd or TurnEnd(reactor)
        self._store: IStreamStore = store or MemoryStore(reactor, self.settings.kept, turnEnd=turnEnd)
        self._sweep = Ticker(reactor, SWEEP_GRANULARITY, turnEnd=turnEnd)
        self._outbox = Outbox(turnEnd)
        self._viewers: dict[EventStreamProducer | Waiter, Request] = {}
        self._retention = Retention(reactor, self._store, self.settings, self._sweep, self._forgetKey)
        self._runs = RunQueue(reactor, source, self.settings, self._sweep, self._retention.makeRoom, self._runEnded)
        # From the call of stopService to that of startService nothing new begins.
        self._stopping = False
        # Fires when the last viewer has left a service that is being stopped; and who waits for the end of that.
        self._drained: Deferred[None] | None = None
        self._stopped: list[Deferred[None]] = []

    @property
    def viewers(self) -> int:
        """How many viewers are served now."""
        return len(self._viewers)

    def hasRoom(self) -> bool:
        """Whether one more viewer can be served."""
        return len(self._viewers) < self.settings.maxViewers and not self._stopping

    def startRun(self, prompt: Prompt | None = None, key: str | None = None) -> Deferred[IStreamLog]:
        """
        Start a run of the source into a new stream.

        Args:
            key: An idempotency key: while its stream is kept, the same key
                and prompt give the same stream.

        Returns:
            Fires with the stream's log, whose name is its epoch.

        Raises:
            KeyReused: (as the errback) The key came with another request.
            Overloaded: (as the errback) There is no room, or the service is
                being stopped.
            StoreUnavailable: (as the errback) The store cannot take it now.
        """
        try:
            return self._startRun(prompt) if key is None else self._startRunOnce(prompt, key)
        except (KeyReused, Overloaded) as refusal:
            return fail(refusal)

    def _startRunOnce(self, prompt: Prompt | None, key: str) -> Deferred[IStreamLog]:
        digest = sha256(repr(prompt).encode("utf-8", "surrogatepass")).digest()
        joining = self._runs.join(key, digest)
        return self._startRun(prompt, key, digest) if joining is None else joining

    def _startRun(self, prompt: Prompt | None, key: str | None = None, digest: bytes = b"") -> Deferred[IStreamLog]:
        if not self.hasRoom():
            raise Overloaded(_FULL)
        self._runs.checkRoom()
        creating = self._create(None, published=False)
        if key is not None:
            creating = self._runs.remember(key, digest, creating)
        return creating.addCallback(self._begin, prompt)

    def _begin(self, streamLog: IStreamLog, prompt: Prompt | None) -> IStreamLog:
        self._runs.start(streamLog, prompt)
        return streamLog

    @inlineCallbacks
    def open(self, name: str) -> Generator[Deferred[Any], Any, tuple[IStreamLog, bool]]:
        """
        Open a named stream to publish into.

        Returns:
            Fires with its log, and whether it is new.

        Raises:
            StreamExists: (as the errback) It is a run's.
            StreamEnded: (as the errback) It is there and has ended.
            Overloaded: (as the errback) There is no room for one more.
            StoreUnavailable: (as the errback) The store cannot take it now.
        """
        try:
            return (yield self._published(name)), False
        except StreamNotFound:
            pass
        try:
            return (yield self._create(name, published=True)), True
        except StreamExists:
            # Somebody else was a little faster.
            return (yield self._published(name)), False

    @inlineCallbacks
    def publish(
        self, name: str, entries: Sequence[NewEntry], close: bool, key: str | None = None
    ) -> Generator[Deferred[Any], Any, tuple[IStreamLog, int, int]]:
        """
        Append entries to a stream, all or none.

        Args:
            entries: Kind and data of each; tokens and events.
            close: Whether the stream ends C{done} after them.
            key: An idempotency key: as long as the entries are kept, the same
                key with the same entries appends nothing.

        Returns:
            Fires when the entries are in the log: the log, the number of the
            first entry, that of the last.

        Raises:
            StreamNotFound: (as the errback) There is no such stream.
            StreamExists: (as the errback) It is a run's.
            StreamEnded: (as the errback) It has ended.
            KeyReused: (as the errback) The key came with other entries.
            Overloaded: (as the errback) There is no room for them.
            StoreUnavailable: (as the errback) The store cannot take them now:
                none is in the log.
        """
        streamLog: IStreamLog = yield self._store.find(name)
        repeated = key is not None and streamLog.recall(key) is not None
        if not repeated:
            yield self._published(name)
            if not self._retention.makeRoom():
                raise Overloaded("The server keeps as many bytes of streams as it may.")
        first, last = yield self._store.publish(name, entries, close, key)
        if close and not repeated:
            self._retention.keepAfter(streamLog)
        return streamLog, first, last

    @inlineCallbacks
    def delete(self, name: str) -> Generator[Deferred[Any], Any, None]:
        """
        Stop a stream and forget it: its viewers get C{cancelled}.

        Raises:
            StreamNotFound: (as the errback) There is none of this name.
            StoreUnavailable: (as the errback) The store cannot do it now.
        """
        streamLog: IStreamLog = yield self._store.find(name)
        run = self._runs.find(name)
        if run is not None:
            run.abandon()
        try:
            yield self._store.delete(name)
        except StoreUnavailable:
            # The stream stays; the run that was stopped must have an end all the same.
            if run is not None and not streamLog.sealed:
                self._seal(streamLog, Kind.CANCELLED, {"reason": "asked"})
            raise
        self._runs.forget(streamLog.epoch)

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
        End a stream C{cancelled}, and stop its run; what was produced is
        kept. Idempotent.

        Raises:
            StreamNotFound: (as the errback) There is none of this name.
            StoreUnavailable: (as the errback) The store cannot take the end now.
        """
        streamLog: IStreamLog = yield self._store.find(name)
        run = self._runs.find(name)
        if run is not None:
            run.cancel("asked")
        elif not streamLog.sealed:
            yield self._store.publish(name, [NewEntry(Kind.CANCELLED, toJSON({"reason": Reason.ASKED}))], close=False)
            self._retention.keepAfter(streamLog)
        yield streamLog.settled()
        return streamLog

    def view(
        self,
        request: Request,
        streamLog: IStreamLog,
        form: IFormat,
        url: str,
        lastEventID: str | None = None,
        fromNow: bool = False,
    ) -> None:
        """
        Let a request follow a stream, as a viewer; turn it away where there is no room.

        Args:
            request: Its response has not begun; it belongs to this service now.
            url: The stream's own URL.
            lastEventID: What the client sent, or `None`.
            fromNow: Whether a new viewer starts at the end.

        Raises:
            Overloaded: There is no room, and no other way to tell this viewer.
        """
        if isOver(request):
            return
        if not self.hasRoom():
            self.turnAway(request, form)
            return
        producer = EventStreamProducer(
            request, streamLog, form, self._sweep, self.settings, self._outbox, self._viewerLeft
        )
        self._viewers[producer] = request
        producer.start(lastEventID, jittered(self.settings.reconnectionTime), url, fromNow)

    def wait(
        self, request: Request, streamLog: IStreamLog, form: IFormat, read: Reader, limit: float | None = None
    ) -> Deferred[bool]:
        """
        Let a request, whose response has not begun, wait for a stream as a
        viewer. When who awaits that follows the stream at once, no linger begins.

        Returns:
            Fires with whether what C{read} looks for is there; with false
            after the limit in seconds, and when the client is gone or was cut.

        Raises:
            Overloaded: There is no room.
            Exception: (or as the errback) What C{read} raises.
        """
        cursor, over = read(0)
        if over or isOver(request):
            return succeed(over)
        if not self.hasRoom():
            raise Overloaded(_FULL)
        waiting = Waiter(request, streamLog, self._sweep, read, cursor, self._waited)
        self._viewers[waiting] = request
        waiting.start(form, limit)
        return waiting.over

    def turnAway(self, request: Request, form: IFormat) -> None:
        """
        Tell a viewer to come back later: an EventSource in the one way that
        it obeys, an event stream that holds a reconnection time and ends.
        After any other status than 200 it would never come back.

        Raises:
            Overloaded: The viewers of this format are no EventSources.
        """
        if not form.reconnects:
            raise Overloaded(_FULL)
        writeHeaders(request, form)
        request.write(b"retry: %d\n\n" % jittered(self.settings.reconnectionTime))
        request.finish()

    def startService(self) -> None:
        """
        Open the store.

        Raises:
            StoreUnavailable: What is there cannot be used.
        """
        super().startService()
        self._stopping = False
        self._retention.start(self._store.start())

    def stopService(self) -> Deferred[None]:
        """
        End all runs, give the viewers L{Settings.drain} seconds to take the
        end of their streams, cut those that have not, and close the store.

        Returns:
            Fires when no viewer is left, and everything is stored.
        """
        super().stopService()
        stopped: Deferred[None] = Deferred()
        self._stopped.append(stopped)
        if self._drained is None:
            self._stopping = True
            self._drain()
        return stopped

    def _drain(self) -> None:
        drained: Deferred[None] = Deferred()
        self._drained = drained
        deadline = self._reactor.callLater(self.settings.drain, self._cut)
        transports = [request.transport for request in self._viewers.values()]
        drained.addCallback(lambda _: allSent(self._reactor, transports, deadline.active))
        released = self._runs.shutDown()
        drained.addCallback(lambda _: released)
        drained.addCallback(self._drainedOrCut, deadline)
        drained.addBoth(self._tellStopped)
        for producer in tuple(self._viewers):
            if producer.streamLog.published and isinstance(producer, EventStreamProducer):
                producer.retire(jittered(self.settings.reconnectionTime))
        # The last of them may have left already, with the end of its run.
        if not self._viewers and not drained.called:
            drained.callback(None)

    def _cut(self) -> None:
        for producer in tuple(self._viewers):
            producer.abort("shutdown")

    def _drainedOrCut(self, result: None, deadline: IDelayedCall) -> Deferred[None]:
        if deadline.active():
            deadline.cancel()
        self._retention.stop()
        self._sweep.stop()
        return self._store.stop()

    def _tellStopped(self, result: Any) -> None:
        self._drained = None
        stopped, self._stopped = self._stopped, []
        for waiting in stopped:
            waiting.callback(result)

    def _create(self, name: str | None, published: bool) -> Deferred[IStreamLog]:
        if not self._retention.makeRoom(1):
            return fail(Overloaded("The server keeps as many streams, or as many bytes of them, as it may."))
        if self._stopping:
            return fail(Overloaded(_STOPPED))
        return self._store.create(name, published).addCallback(self._created)

    def _created(self, streamLog: IStreamLog) -> IStreamLog:
        # The store may have taken its time.
        if self._stopping:
            raise Overloaded(_STOPPED)
        return streamLog

    @inlineCallbacks
    def _published(self, name: str) -> Generator[Deferred[Any], Any, IStreamLog]:
        """Find a stream that can be published into."""
        streamLog: IStreamLog = yield self._store.find(name)
        if not streamLog.published:
            raise StreamExists(f"The stream {name} belongs to a run; nothing can be published into it.")
        if streamLog.state is not State.OPEN:
            raise StreamEnded(f"The stream {name} has ended ({streamLog.state.value}).")
        return streamLog

    def _seal(self, streamLog: IStreamLog, kind: Kind, terminal: dict[str, object]) -> int:
        number = streamLog.append(kind, toJSON(terminal))
        self._retention.keepAfter(streamLog)
        return number

    def _runEnded(self, run: Run) -> None:
        self._retention.keepAfter(run.streamLog)

    def _waited(self, waiting: Waiter, result: bool | Failure) -> None:
        del self._viewers[waiting]
        # Who takes over follows the stream before this one leaves it.
        waiting.over.callback(result)
        waiting.streamLog.leave(waiting)
        self._left(waiting.streamLog)

    def _forgetKey(self, epoch: str) -> None:
        # Retention, which is made first, tells what goes; the runs are made of what it tells.
        self._runs.forget(epoch)

    def _viewerLeft(self, producer: EventStreamProducer) -> None:
        self._viewers.pop(producer, None)
        if producer.reason != "complete":
            # twisted.web writes a line for a response that is finished, and none for one that the client closed.
            log.info(
                "A viewer of {name} went: {reason}, {bytes} bytes",
                name=producer.streamLog.name,
                reason=producer.reason,
                bytes=producer.written,
            )
        self._left(producer.streamLog)

    def _left(self, streamLog: IStreamLog) -> None:
        run = self._runs.find(streamLog.name)
        if run is not None:
            run.viewerLeft()
        if not self._viewers and self._drained is not None and not self._drained.called:
            self._drained.callback(None)
