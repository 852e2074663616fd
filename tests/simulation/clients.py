"""
Clients: the package's own `EventSource`, as programs and the command use it, each on a reactor of its own.
"""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from sseserver.client import EventSource, EventSourceError, Limits, Request, RetryPolicy
from sseserver.client.__main__ import Printer, makeParser
from tests.simulation.eventsviewer import EventsViewer
from tests.simulation.payloads import findMarkers
from tests.simulation.reactor import SimReactor
from tests.simulation.viewers import Stage
from tests.simulation.wire import PORT, Frame

#: Seconds without a byte after which a client takes a connection for lost.
SILENCE = 12.0


class Client:
    """
    An `EventSource` that follows one stream by callbacks. It is judged as every viewer of the format `events`.

    Args:
        stage: See `Stage`.
        name: Its name in the history.
        stream: Name of the stream.
    """

    def __init__(self, stage: Stage, name: str, stream: str) -> None:
        self.name = name
        self.finished = False
        self.stage = stage
        self.reactor = SimReactor(stage.network.world, stage.network)
        self._stream = stream
        self.url = f"http://127.0.0.1:{PORT}/streams/{stream}"
        self._judge = _Judge(stage, name, stream)
        self._source = EventSource(
            self.reactor,
            Request(self.url),
            retry=RetryPolicy(maxDelay=5.0),
            limits=Limits(connectTimeout=5.0, silence=SILENCE),
        )
        self._source.onRetry = self._lost

    def start(self) -> None:
        """Begin."""
        self._source.onEvent = self._see
        self._source.onOpen = lambda response: self._judge.open(self._source.lastEventID)
        self._source.start().addCallbacks(self._ended, self._failed)

    def close(self) -> None:
        """End the client; nothing must be left of it."""
        if not self.finished:
            self._source.close()
        self.stage.after(1.0, self._checkLeft)

    def _checkLeft(self) -> None:
        left = [str(call) for call in self.reactor.getDelayedCalls()]
        if left or self.reactor.getReaders() or self.reactor.getWriters():
            self.stage.history.blame("left", f"{self.name} is closed, and has {left} {self.reactor.getReaders()}")
        self.reactor.die()

    def _see(self, event: Any) -> None:
        self.stage.history.add(self.name, f"{event.type} {event.id} {event.data[:100]!r}")
        self._judge.take(Frame(event.type, event.data, event.id, None))

    def _lost(self, error: Exception | None, delay: float) -> None:
        self.stage.history.add(self.name, f"lost: {type(error).__name__}, again in {delay:.3f}")

    def _ended(self, _: object) -> None:
        self.finished = True
        self.stage.history.add(self.name, "ended")

    def _failed(self, failure: Any) -> None:
        self.finished = True
        self.stage.history.add(self.name, f"failed: {failure.value!r}")
        if not failure.check(EventSourceError, CancelledError):
            self.stage.history.blame("client", f"{self.name}: {failure.value!r}")


class LoopClient(Client):
    """An `EventSource` in a loop, `async for`."""

    def start(self) -> None:
        """See `Client.start`."""
        Deferred.fromCoroutine(self._follow()).addCallbacks(self._ended, self._failed)

    async def _follow(self) -> None:
        before = ""
        async for event in self._source:
            if event.type == "gap" or (event.type == "stream" and before != "gap"):
                # A new response. The client may have read ahead of this loop.
                self._judge.open(self._judge.seen)
            before = event.type
            self._see(event)


class CommandClient(Client):
    """The command `python -m sseserver.client`."""

    def start(self) -> None:
        """See `Client.start`."""
        self._out, self._notes = io.StringIO(), io.StringIO()
        options = makeParser().parse_args(["--silence", str(SILENCE), "--header", "X-Simulated: yes", self.url])
        self._running = Deferred.fromCoroutine(Printer(options, self._out, self._notes).run(self.reactor))
        self._running.addCallbacks(self._ended, self._failed)

    def close(self) -> None:
        """See `Client.close`."""
        if not self.finished:
            self._running.cancel()
        self._checkOutput()
        self.stage.after(1.0, self._checkLeft)

    def _ended(self, status: object) -> None:
        super()._ended(status)
        self.stage.history.add(self.name, f"status {status}, {self._notes.getvalue()!r}")
        if status not in (0, 1):
            self.stage.history.blame("client", f"{self.name} ends with the status {status}")

    def _checkOutput(self) -> None:
        """Check that the tokens of a run were printed in order, and once for each epoch of the stream."""
        printed = [marker.split(".") for marker in findMarkers(self._out.getvalue()) if marker[0] in "rt"]
        indexes = [int(index) for _, index in printed]
        self.stage.history.add(self.name, f"printed {len(printed)} tokens")
        breaks = [one for before, one in pairwise(indexes) if one != before + 1]
        epochs = len(self.stage.truth.epochsOf(self._stream))
        # Entries may be missing if the stream is trimmed.
        if not self.stage.truth.trims and (any(one != 1 for one in breaks) or len(breaks) >= max(1, epochs)):
            self.stage.history.blame("order", f"{self.name} printed {printed}")


class _Judge(EventsViewer):
    """Judges the events that the client delivers."""

    @property
    def seen(self) -> str:
        """ID of the last event that was delivered."""
        return f"{self.epoch}-{self.cursor}" if self.epoch else ""

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
