"""
Run: a token source working into a stream log.

`RunQueue` makes the runs and starts them; a run is the sink of its source. It pauses the source
while the viewers are too far behind, stops it when nobody watches, and writes the terminal entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import classImplements

from sseserver.errors import SourceError
from sseserver.interfaces import IPackedSink, IResponseSink, IStreamLog, Origin
from sseserver.service.linger import Linger
from sseserver.service.pause import Pause
from sseserver.service.prompts import KeptPrompt
from sseserver.service.runcounts import RunCounts
from sseserver.service.states import RUN_STEPS, RunState
from sseserver.settings import Settings
from sseserver.steps import step
from sseserver.streams.entries import packChunk, packLine
from sseserver.streams.terminal import packCancelled, packDone, packFailed
from sseserver.timing.ticker import Ticker
from sseserver.tracebacks import forgetFailure
from sseserver.values import Kind, NewEntry, PackedEntries, Reason
from sseserver.wire import frames

log = Logger(__name__)

_TOKEN = Kind.TOKEN
_WORKING = RunState.WORKING
_PAUSED = RunState.PAUSED
_ENDED = RunState.ENDED

#: The kinds of entries that are not the first token.
_SILENT = (Kind.SILENT_CHUNK, Kind.RESPONSE_EVENT)

#: Bytes. A larger entry is followed by a check of the read-ahead.
_LARGE = 1024

#: Entries between two checks of the read-ahead.
_AHEAD_CHECK = 64

#: Seconds. Shortest linger of a run that had no viewer yet: a client that starts a run needs time to
#: follow it.
_FIRST_VIEWER = 5.0

#: Returns further members of the entry `done`, for the finished stream log.
Summarize = Callable[[IStreamLog], Mapping[str, object]]


#: End of a run that nobody watched.
_LINGERED = packCancelled(Reason.LINGER)


class Run:
    """
    The sink of a token source, for one stream.

    Args:
        streamLog: Takes the tokens.
        settings: Linger and read-ahead.
        sweep: Ticker of the linger and of the retries.
        makeRoom: Forgets ended streams if the store is full; returns whether the store has room.
        onEnd: Called once with this run when it has ended and its terminal entry is written.
        summarize: Adds members to the entry `done`, if any.

    Attributes:
        streamLog: See above.
        state: State of the run.
        prompt: The prompt, until the source has it; `None` if there is none.
        firstToken: See `Counted`; so are `counted` and `tokens`.
    """

    __slots__ = (
        "_counts",
        "_linger",
        "_makeRoom",
        "_nextCheck",
        "_onEnd",
        "_pausing",
        "_producer",
        "_readAhead",
        "_settings",
        "_summarize",
        "_sweep",
        "_work",
        "counted",
        "firstToken",
        "prompt",
        "state",
        "streamLog",
        "tokens",
    )

    def __init__(
        self,
        streamLog: IStreamLog,
        settings: Settings,
        sweep: Ticker,
        makeRoom: Callable[[], bool],
        onEnd: Callable[[Run], None],
        summarize: Summarize | None = None,
    ) -> None:
        self.streamLog = streamLog
        self._settings = settings
        self._readAhead = min(settings.readAhead, settings.kept // 2)
        self._sweep = sweep
        self._makeRoom = makeRoom
        self._onEnd = onEnd
        self._summarize = summarize
        self.state = RunState.WAITING
        self._pausing: Pause | None = None
        self._producer: IPushProducer | None = None
        self._linger: Linger | None = None
        self._work: Deferred[Any] | None = None
        self.prompt: KeptPrompt | None = None
        self._counts: RunCounts
        # Number of the entry after which the read-ahead is checked next: at first the one with the first token.
        self._nextCheck = 1
        self.firstToken = -1.0
        self.counted = self.tokens = 0

    def start(
        self,
        produce: Callable[[Run], Deferred[Any]],
        onReleased: Callable[[Run], None],
        counts: RunCounts,
        isFollowed: Callable[[str], Deferred[bool]] | None = None,
    ) -> None:
        """
        Queue the source's work. Its result or exception ends the stream.

        Args:
            produce: Called with this run. It calls `begin` and the source when it is the run's turn;
                its Deferred fires with the source's result.
            onReleased: Called once with this run when the source holds nothing any more.
            counts: Counts the tokens and the end.
            isFollowed: Tells whether another process follows the stream; `None` if there are no others.
        """
        self._counts = counts
        counts.started += 1
        self._linger = Linger(self.streamLog, self._sweep, partial(self.stop, _LINGERED), isFollowed)
        self._linger.begin(max(self._settings.linger, _FIRST_VIEWER))
        self._work = produce(self)
        self._work.addBoth(self._finish, onReleased)
        if self.state is _ENDED:
            # The source stopped its own run when it was called.
            self._work.cancel()

    def begin(self) -> None:
        """Note that it is this run's turn: the source is called next."""
        self.state = step(RUN_STEPS, self.state, _WORKING)

    def write(self, token: str) -> None:
        """See `ITokenSink.write`."""
        if token and self.state is not _ENDED:
            self._append(_TOKEN, frames.encodeText(token))

    def writeTokens(self, tokens: PackedEntries) -> None:
        """See `IPackedSink.writeTokens`."""
        if self.state is not _ENDED:
            number = self.streamLog.extend(tokens)
            if number >= self._nextCheck:
                # A check after a few small tokens is for the first one only, as in `_append`.
                self._check(_TOKEN, number, len(tokens.data) if len(tokens) < _AHEAD_CHECK else _LARGE + 1)

    def writeChunk(self, chunk: bytes, text: str) -> None:
        """See `ITokenSink.writeChunk`."""
        if self.state is not _ENDED:
            kind, data = packChunk(chunk, text)
            self._append(kind, data)

    def writeResponseEvent(self, event: bytes) -> None:
        """See `IResponseSink.writeResponseEvent`."""
        if self.state is not _ENDED:
            self._append(Kind.RESPONSE_EVENT, packLine(event))

    def noteOrigin(self, origin: Origin) -> None:
        """See `ITokenSink.noteOrigin`."""
        self.streamLog.origin = origin

    def ready(self) -> Deferred[None]:
        """See `ITokenSink.ready`."""
        return succeed(None) if self._pausing is None else self._pausing.wait()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See `ITokenSink.registerProducer`."""
        if not streaming:
            raise ValueError("A token sink takes push producers only: `streaming` must be true.")
        if self._producer is not None:
            raise RuntimeError(f"Cannot register {producer!r}: {self._producer!r} is registered.")
        if self.state is _ENDED:
            producer.stopProducing()
            return
        self._producer = producer
        if self.state is _PAUSED:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """See `ITokenSink.unregisterProducer`."""
        self._producer = None

    def stop(self, entry: NewEntry | None, *, appends: bool = True) -> None:
        """
        Stop the source; what it has produced is kept. Harmless after the end.

        Args:
            entry: The terminal entry, which another process may have put into the log; `None` if the stream is being
                deleted, which ends it.
            appends: Whether to append the entry. Otherwise another process writes the stream from now on.
        """
        if self.state is _ENDED:
            return
        producer, work = self._producer, self._work
        # The stream ends first: tokens that the source writes while it stops are dropped.
        self._end(entry, appends)
        try:
            if producer is not None:
                producer.stopProducing()
        except BaseException:
            log.failure("A token source broke while it was stopped")
        if work is not None:
            work.cancel()

    def detach(self) -> None:
        """Let the run go on without viewers, however long, until its entries take half of what the stream keeps."""
        if self._linger is not None:
            self._linger.stop()
            self._linger = None
        self._readAhead = self._settings.kept // 2
        if self._pausing is not None:
            self._resume()

    def viewerLeft(self) -> None:
        """Begin the linger if the stream has no viewers left."""
        if not self.streamLog.viewers and self._linger is not None:
            self._linger.begin(self._settings.linger)

    def _append(self, kind: Kind, data: bytes) -> None:
        number = self.streamLog.append(kind, data)
        # The check costs more than the entry, so it is not made for each small one.
        if number >= self._nextCheck or len(data) > _LARGE:
            self._check(kind, number, len(data))

    def _check(self, kind: Kind, number: int, size: int) -> None:
        """
        Note the first token. Pause if the viewers are too far behind, or the store is full.

        Args:
            kind: Kind of the newest entry.
            number: Its number.
            size: Bytes of its data.
        """
        if self.firstToken < 0 and kind not in _SILENT:
            self._counts.noteFirst(self, self.streamLog.created, self._sweep.clock.seconds())
        self._nextCheck = number + 1 if self.firstToken < 0 else number - number % _AHEAD_CHECK + _AHEAD_CHECK
        if number % _AHEAD_CHECK and size <= _LARGE:
            return
        self._counts.noteEntries(self, self.streamLog.buffer, number)
        # A source that writes has its prompt.
        if self.prompt is not None and not self.prompt.isShared:
            self.prompt.release()
            self.prompt = None
        if self.state is _WORKING and (self.streamLog.measureAhead() > self._readAhead or not self._makeRoom()):
            self._pause()

    def _pause(self) -> None:
        self.state = step(RUN_STEPS, self.state, _PAUSED)
        self._pausing = Pause(self.streamLog, self._readAhead // 2, self._makeRoom, self._sweep, self._resume)
        if self._producer is not None:
            self._producer.pauseProducing()

    def _resume(self) -> None:
        self.state = step(RUN_STEPS, self.state, _WORKING)
        # Taken first: a source that was awaiting `ready` may get too far ahead again at once.
        pausing, self._pausing = self._pausing, None
        if pausing is not None:
            pausing.end()
        if self._producer is not None:
            try:
                self._producer.resumeProducing()
            except BaseException:
                # A bug of the source: the viewer whose read resumed it must not suffer.
                log.failure("A token source broke when it was resumed")
                self.stop(_broken())

    def _finish(self, result: object, onReleased: Callable[[Run], None]) -> None:
        """End the stream with the outcome of the source's work. One callback takes less time than one for each."""
        try:
            if isinstance(result, Failure):
                if self.state is _ENDED:
                    _reportLate(result)
                else:
                    self._end(_packFailure(result))
                forgetFailure(result)
            elif self.state is not _ENDED:
                reason = result if isinstance(result, str) else Reason.STOP
                more = None if self._summarize is None else self._summarize(self.streamLog)
                self._end(packDone(reason, self.streamLog.answered, more))
        except BaseException:
            log.failure("A run broke")
        onReleased(self)

    def _end(self, entry: NewEntry | None, appends: bool = True) -> None:
        """Write the terminal entry, unless the stream is being deleted, and release everything."""
        self.state = step(RUN_STEPS, self.state, _ENDED)
        if self._linger is not None:
            self._linger.stop()
            self._linger = None
        self._producer = None
        pausing, self._pausing = self._pausing, None
        if pausing is not None:
            pausing.end()
        if appends and entry is not None and not self.streamLog.sealed:
            self.streamLog.append(entry.kind, entry.data)
        self._counts.noteEnd(self, self.streamLog, entry, self._sweep.clock.seconds())
        self._onEnd(self)


def _packFailure(failure: Failure) -> NewEntry:
    """Make the terminal entry for a failure of the source's work."""
    if isinstance(failure.value, SourceError):
        return packFailed(failure.value)
    log.failure("A token source broke", failure)
    return _broken()


def _reportLate(failure: Failure) -> None:
    """Log a failure after the end if it is a bug: a run that was stopped may fail."""
    if not failure.check(CancelledError, SourceError):
        log.failure("A token source broke while it was stopped", failure)


def _broken() -> NewEntry:
    """Make the terminal entry for a bug in a source: viewers learn no details."""
    return packFailed(SourceError("The source of this text broke down.", Reason.ERROR))


classImplements(Run, IPackedSink, IResponseSink)
