"""
Clients: the package's own `EventSource`, as programs use it, on a reactor of their own.
"""

from __future__ import annotations

from typing import Any

from sseserver.client import EventSource, EventSourceError, Limits, Request, RetryPolicy
from tests.simulation.eventsviewer import EventsViewer
from tests.simulation.reactor import SimReactor
from tests.simulation.viewers import Stage
from tests.simulation.wire import PORT, Frame


class Client:
    """
    An `EventSource` that follows one stream. It is judged as every viewer of the format `events`.

    Args:
        stage: See `Stage`.
        name: Its name in the history.
        stream: Name of the stream.
    """

    def __init__(self, stage: Stage, name: str, stream: str) -> None:
        self.name = name
        self.finished = False
        self._stage = stage
        self._reactor = SimReactor(stage.network.world, stage.network)
        self._judge = _Judge(stage, name, stream)
        url = f"http://127.0.0.1:{PORT}/streams/{stream}"
        self._source = EventSource(
            self._reactor,
            Request(url),
            self._see,
            retry=RetryPolicy(maxDelay=5.0),
            limits=Limits(connectTimeout=5.0, silence=12.0),
        )
        self._source.onOpen = self._opened
        self._source.onRetry = self._lost

    def start(self) -> None:
        """Begin."""
        self._source.start().addCallbacks(self._ended, self._failed)

    def close(self) -> None:
        """End the client; nothing must be left of it."""
        if not self.finished:
            self._source.close()
        self._stage.after(1.0, self._checkLeft)

    def _checkLeft(self) -> None:
        left = [str(call) for call in self._reactor.getDelayedCalls()]
        if left or self._reactor.getReaders() or self._reactor.getWriters():
            self._stage.history.blame("left", f"{self.name} is closed, and has {left} {self._reactor.getReaders()}")
        self._reactor.die()

    def _opened(self, response: object) -> None:
        self._judge.open(self._source.lastEventID)

    def _see(self, event: Any) -> None:
        self._stage.history.add(self.name, f"{event.type} {event.id} {event.data[:100]!r}")
        self._judge.take(Frame(event.type, event.data, event.id, None))

    def _lost(self, error: Exception | None, delay: float) -> None:
        self._stage.history.add(self.name, f"lost: {type(error).__name__}, again in {delay:.3f}")

    def _ended(self, _: None) -> None:
        self.finished = True
        self._stage.history.add(self.name, "ended")

    def _failed(self, failure: Any) -> None:
        self.finished = True
        self._stage.history.add(self.name, f"failed: {failure.value!r}")
        if not failure.check(EventSourceError):
            self._stage.history.blame("client", f"{self.name}: {failure.value!r}")


class _Judge(EventsViewer):
    """Judges the events that the client delivers."""

    def open(self, lastEventID: str) -> None:
        """Note a new response."""
        self._lastEventID = self._asked = lastEventID
        self._askedLife = self.stage.truth.lives
        self._gap = False
        # After a loss of power a stream may have another end, in another epoch.
        self._ended = False
        self._count = 0

    def take(self, frame: Frame) -> None:
        """Judge an event."""
        if self._ended:
            self.blame("end", f"{frame.type} {frame.id} after the end")
        self._count += 1
        self.see(frame)
