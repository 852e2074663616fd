"""
FollowedLog: the viewers of a stream log, and when they are woken.

`StreamLog` derives from it, and calls `_announce` when there is more to read. A wake-up carries no data: each viewer
reads from its own cursor, through the rendering of its format, which all viewers of that format share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sseserver.interfaces import IFormat, IRendering, Viewer
from sseserver.streams import wakes
from sseserver.streams.wakes import WakeRound
from sseserver.timing.ticker import Tick, Ticker
from sseserver.values import State

#: Seconds. Entries that follow one another within this time are announced together.
FLUSH_TICK = 0.02

# Looked up for each token.
_OPEN = State.OPEN
_TICK = FLUSH_TICK


class FollowedLog:
    """
    The viewers of one stream log.

    It is the base of the log, not a part of it: an object more to touch would cost each token of a viewer 0.1 µs.

    Args:
        ticker: Tells the time, and wakes the viewers of a fast stream once for many entries.

    The attributes are described in `IStreamLog`.
    """

    __slots__ = (
        "_flushing",
        "_place",
        "_renderings",
        "_round",
        "_ticker",
        "_viewers",
        "announced",
        "onChange",
        "sole",
        "state",
    )

    def __init__(self, ticker: Ticker) -> None:
        self.state = _OPEN
        self.sole: Viewer | None = None
        self.announced = -FLUSH_TICK
        self.onChange: Callable[[], None] | None = None
        self._ticker = ticker
        self._viewers: dict[Viewer, None] = {}
        self._renderings: dict[str, IRendering] = {}
        # The cursor of the viewer that left last.
        self._place = 0
        # Wakes the viewers at the end of the flush tick; wakes them if they were ever too many for one turn.
        self._flushing: Tick | None = None
        self._round: WakeRound | None = None

    @property
    def viewers(self) -> int:
        """See `IStreamLog.viewers`."""
        return len(self._viewers)

    def findRendering(self, form: IFormat) -> IRendering:
        """See `IStreamLog.findRendering`."""
        streamLog: Any = self
        return self._renderings.get(form.name) or form.render(streamLog)

    def follow(self, viewer: Viewer, form: IFormat) -> IRendering:
        """See `IStreamLog.follow`."""
        self._viewers[viewer] = None
        self.sole = viewer if len(self._viewers) == 1 else None
        rendering = self._renderings[form.name] = self.findRendering(form)
        return rendering

    def leave(self, viewer: Viewer) -> None:
        """See `IStreamLog.leave`."""
        if viewer in self._viewers:
            del self._viewers[viewer]
            self.sole = next(iter(self._viewers)) if len(self._viewers) == 1 else None
            if not self._viewers:
                self._place = viewer.cursor
                self._renderings = {}  # A new one: the garbage collector walks over one that was filled.
            if self.onChange is not None:
                self.onChange()

    def dismiss(self) -> None:
        """Tell all viewers to return later: the store has lost entries of this log, and drops it."""
        for viewer in tuple(self._viewers):
            viewer.dismiss()

    def findFastest(self) -> int:
        """Return the cursor of the viewer that has read most; without viewers, of the one that left last."""
        return max((viewer.cursor for viewer in self._viewers), default=self._place)

    def _announce(self) -> None:
        """
        Wake the viewers: at once after a quiet tick and at the stream's end, otherwise at the end of this tick.

        A lone token is never late, and a fast source costs each viewer one write a tick.
        """
        now = self._ticker.seconds()
        if self.state is not _OPEN:
            if self._flushing is not None:
                self._ticker.cancel(self._flushing)
                self._flushing = None
        elif 0 <= now - self.announced < _TICK:
            self._flushing = self._ticker.at(self.announced + _TICK, self._flush)
            return
        if self.sole is not None:
            self.announced = now
            self.sole.wake()
        else:
            self._flush(now)

    def _flush(self, now: float) -> None:
        """Wake the viewers."""
        self._flushing = None
        self.announced = now
        if self.sole is not None:
            self.sole.wake()
        elif self._round is None and len(self._viewers) <= wakes.WAKES_PER_LOOK:
            # A copy, since viewers leave while they are woken.
            for viewer in tuple(self._viewers):
                if viewer in self._viewers:
                    viewer.wake()
        else:
            if self._round is None:
                self._round = WakeRound(self._viewers, self._ticker)
            self._round.start()
