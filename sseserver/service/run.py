"""
Run: a token source working into a stream log.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import classImplements

from sseserver.errors import SourceError
from sseserver.interfaces import IStreamLog, ITokenSink
from sseserver.jsontext import toJSON
from sseserver.protocols.chatcompletions.usage import usageMembers
from sseserver.settings import Settings
from sseserver.streams.entries import packChunk
from sseserver.timing.ticker import Tick, Ticker
from sseserver.values import Kind, Prompt

log = Logger()

_TOKEN = Kind.TOKEN

#: A run looks how far it is ahead at each entry with more bytes than this, and at every so many others.
_LARGE = 1024
_AHEAD_CHECK = 64

#: Seconds after which a paused run looks for itself whether it may go on.
_RETRY = 1.0

#: A run that nobody has read yet waits at least so long for its first viewer, also with a shorter linger: whoever
#: started it by `POST /streams` must have the time to follow.
_FIRST_VIEWER = 5.0

#: What viewers are told of a bug in a source.
_BROKEN: dict[str, object] = {"reason": "error", "message": "The source of this text broke down."}


class Run:
    """
    A token source working into a stream log: the source's sink.

    Args:
        streamLog: Where the tokens go.
        settings: The service's.
        sweep: The ticker of the linger.
        hasRoom: Tells whether the store can take more.
        onEnd: Called once with this run when it has written its terminal entry.
        prompt: What was asked.
    """

    __slots__ = (
        "_awaiting",
        "_ended",
        "_hasRoom",
        "_linger",
        "_onEnd",
        "_paused",
        "_producer",
        "_prompt",
        "_retrying",
        "_settings",
        "_sweep",
        "_work",
        "streamLog",
    )

    def __init__(
        self,
        streamLog: IStreamLog,
        settings: Settings,
        sweep: Ticker,
        hasRoom: Callable[[], bool],
        onEnd: Callable[[Run], None],
        prompt: Prompt | None = None,
    ) -> None:
        self.streamLog = streamLog
        self._prompt = prompt
        self._settings = settings
        self._sweep = sweep
        self._onEnd = onEnd
        self._hasRoom = hasRoom
        self._ended = False
        self._paused = False
        self._retrying: Tick | None = None
        self._producer: IPushProducer | None = None
        self._awaiting: list[Deferred[None]] = []
        self._linger: Tick | None = None
        self._work: Deferred[Any] | None = None

    def start(self, produce: Callable[[], Deferred[Any]], onWorked: Callable[[Run], None]) -> None:
        """
        Let the source work. What it returns or raises ends the stream.

        Args:
            produce: Calls the source when it is this run's turn; fires with what it returns.
            onWorked: Called once with this run when the source has let go.
        """
        self._await(max(self._settings.linger, _FIRST_VIEWER))
        self._work = produce()
        self._work.addCallbacks(self._succeeded, self._failed)
        self._work.addErrback(lambda failure: log.failure("A run broke", failure))
        self._work.addCallback(lambda _: onWorked(self))
        if self._ended:
            # It was stopped while the source only began.
            self._work.cancel()

    def write(self, token: str) -> None:
        """See L{ITokenSink.write}."""
        if token and not self._ended:
            self._append(_TOKEN, token.encode("utf-8"))

    def writeChunk(self, chunk: bytes, text: str) -> None:
        """See L{ITokenSink.writeChunk}."""
        if not self._ended:
            kind, data = packChunk(chunk, text)
            self._append(kind, data)

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
        if self._ended:
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

    def abandon(self) -> None:
        """Stop the source: the stream is deleted, and has its terminal entry already."""
        self._stop(None, {})

    def shutDown(self) -> None:
        """Stop the source because the server stops."""
        self._stop(Kind.FAILED, {"reason": "shutdown", "message": "The server was stopped before the end."})

    def viewerLeft(self) -> None:
        """Begin to linger, when that was the last viewer."""
        if not self.streamLog.viewers and not self._ended:
            if self._settings.linger:
                self._await(self._settings.linger)
            else:
                self.cancel("linger")

    def _append(self, kind: Kind, data: bytes) -> None:
        number = self.streamLog.append(kind, data)
        # Only so often, since it costs more than the entry; large ones count as many.
        if (number % _AHEAD_CHECK == 0 or len(data) > _LARGE) and not self._paused and self._isAhead():
            self._pause()

    def _isAhead(self) -> bool:
        return self.streamLog.ahead() > self._settings.readAhead or not self._hasRoom()

    def _pause(self) -> None:
        self._paused = True
        self.streamLog.onRead = self._viewerRead
        if not self._hasRoom():
            self._retrying = self._sweep.at(self._sweep.seconds() + _RETRY, self._retry)
        if self._producer is not None:
            self._producer.pauseProducing()

    def _viewerRead(self) -> None:
        # Not before half of it is read, so that a run does not stop and go with each write of its viewer.
        if self.streamLog.ahead() > self._settings.readAhead // 2:
            return
        if self._hasRoom():
            self._resume()
        elif self._retrying is None:
            self._retrying = self._sweep.at(self._sweep.seconds() + _RETRY, self._retry)

    def _retry(self, now: float) -> float | None:
        """Look whether the store has room again: no viewer's reading tells."""
        self._retrying = None
        self._viewerRead()
        return None

    def _resume(self) -> None:
        self._paused = False
        self.streamLog.onRead = None
        if self._retrying is not None:
            self._sweep.cancel(self._retrying)
            self._retrying = None
        awaiting, self._awaiting = self._awaiting, []
        for waiting in awaiting:
            waiting.callback(None)
        if self._producer is not None:
            try:
                self._producer.resumeProducing()
            except Exception:
                # Its bug, and not that of the viewer whose reading has resumed it.
                log.failure("A token source broke when it was resumed")
                self._stop(Kind.FAILED, _BROKEN)

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
        reason = result if isinstance(result, str) else "stop"
        self._end(Kind.DONE, {"reason": reason, "tokens": self.streamLog.buffer.tokens, **self._usage()})

    def _usage(self) -> dict[str, object]:
        """Tell what the answer took, where that was asked; chunks of an upstream tell it themselves."""
        kinds = self.streamLog.buffer.kinds
        if Kind.CHUNK in kinds or Kind.SILENT_CHUNK in kinds:
            return {}
        return usageMembers(self._prompt, self.streamLog.buffer.tokens)

    def _failed(self, failure: Failure) -> None:
        if self._ended:
            # It was stopped: what it says of that is no news, but a bug in its cleaning up is.
            if not failure.check(CancelledError, SourceError):
                log.failure("A token source broke while it was stopped", failure)
        elif isinstance(failure.value, SourceError):
            self._end(Kind.FAILED, failure.value.toEntry())
        else:
            log.failure("A token source broke", failure)
            self._end(Kind.FAILED, _BROKEN)

    def _stop(self, kind: Kind | None, terminal: dict[str, object]) -> None:
        """End the stream first, so that nothing the source says while it stops gets in; then stop the source."""
        if not self._ended:
            producer, work = self._producer, self._work
            self._end(kind, terminal)
            try:
                if producer is not None:
                    producer.stopProducing()
            except Exception:
                log.failure("A token source broke while it was stopped")
            if work is not None:
                work.cancel()

    def _end(self, kind: Kind | None, terminal: dict[str, object]) -> None:
        """Write the terminal entry, if it is not there already, and let go of everything."""
        if self._ended:
            return
        self._ended = True
        if self._linger is not None:
            self._sweep.cancel(self._linger)
        self._producer = None
        self._resume()
        if kind is not None:
            self.streamLog.append(kind, toJSON(terminal))
        self._onEnd(self)


classImplements(Run, ITokenSink)
