"""
StreamLog: one stream as an ordered log; viewers are cursors into it.

The log gives each entry its number, keeps the newest entries in memory, and
wakes the viewers when there is more. It knows nothing of HTTP, of formats, or
of where tokens come from.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Callable, Iterator
from itertools import islice
from operator import length_hint

from zope.interface import implementer

from sseserver.errors import GapError, StreamEnded
from sseserver.interfaces import TERMINAL, IFormat, IRendering, IStreamLog, Kind, State, Viewer
from sseserver.ticker import Ticker

#: What an entry costs in memory beside its data, in bytes: the header of a `bytes` object (33), its
#: place in the list (8, and up to an eighth of room to grow), its kind (1), the allocator's rounding.
ENTRY_COST = 56

#: Entries that follow one another within this many seconds are announced together.
FLUSH_TICK = 0.02

#: So many viewers are woken in one turn of the reactor; the rest waits for the next turns, so
#: that ten thousand viewers of one stream do not hold up everybody else.
WAKES_PER_TURN = 500

_ALPHABET = string.ascii_letters + string.digits
_EPOCH_LENGTH = 22  # 62 ** 22 > 2 ** 128

_LAST_EVENT_ID = re.compile(r"([A-Za-z0-9]{22})-(0|[1-9][0-9]{0,18})")


def makeEpoch() -> str:
    """Make a new epoch: 128 random bits, written as 22 letters and digits."""
    number = secrets.randbits(128)
    digits = []
    for _ in range(_EPOCH_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(digits)


def parseID(lastEventID: str) -> tuple[str, int] | None:
    """
    Read an ID of ours.

    Returns:
        The epoch and the number, or `None` for what cannot be an ID of ours.
    """
    match = _LAST_EVENT_ID.fullmatch(lastEventID)
    return (match[1], int(match[2])) if match else None


@implementer(IStreamLog)
class StreamLog:
    """
    The log of one stream, kept in memory.

    Args:
        name: What the stream is called in URLs.
        epoch: What no other stream ever was called, from L{makeEpoch}.
        ticker: Tells the time, and wakes viewers of a fast stream together.
        window: Bytes kept, with L{ENTRY_COST} for each entry; the oldest
            entries are trimmed, the newest never is.

    Attributes:
        entries: The data of the entries kept; number `n` is at `n - first`.
        kinds: Their kinds, one byte each.
        size: Bytes kept, costs included.
        created: When the log was made, in seconds since 1970.
        ended: When it got its terminal entry; `None` before.
        onRead: While a run is paused, called after a viewer has read.
    """

    __slots__ = (
        "__weakref__",
        "_again",
        "_announced",
        "_flushing",
        "_place",
        "_renderings",
        "_round",
        "_ticker",
        "_viewers",
        "_window",
        "created",
        "ended",
        "entries",
        "epoch",
        "first",
        "kinds",
        "last",
        "name",
        "onRead",
        "size",
        "state",
    )

    def __init__(self, name: str, epoch: str, ticker: Ticker, window: int) -> None:
        self.name = name
        self.epoch = epoch
        self.state = State.OPEN
        self.first = 1
        self.last = 0
        self.entries: list[bytes] = []
        self.kinds = bytearray()
        self.size = 0
        self.onRead: Callable[[], None] | None = None
        self.created = ticker.clock.seconds()
        self.ended: float | None = None
        self._ticker = ticker
        self._window = window
        self._viewers: dict[Viewer, None] = {}
        self._renderings: dict[str, IRendering] = {}
        # Where the last viewer was; the run's read-ahead counts from there.
        self._place = 0
        # When viewers were woken last, and whether they will be at the end of this flush tick.
        self._announced = -FLUSH_TICK
        self._flushing = False
        # The viewers that are still to be woken in this round; whether another round must follow.
        self._round: Iterator[Viewer] | None = None
        self._again = False

    @property
    def viewers(self) -> int:
        """How many viewers follow now."""
        return len(self._viewers)

    def append(self, kind: Kind, data: bytes) -> int:
        """See L{IStreamLog.append}."""
        if self.state is not State.OPEN:
            raise StreamEnded(f"The stream {self.name} has ended ({self.state.value}); nothing can be added to it.")
        self.entries.append(data)
        self.kinds.append(kind)
        self.size += len(data) + ENTRY_COST
        self.last += 1
        if kind in TERMINAL:
            self.state = TERMINAL[kind]
            self.ended = self._ticker.clock.seconds()
        if self.size > self._window:
            self._trim()
        self._announce()
        return self.last

    def locate(self, lastEventID: str | None) -> int:
        """See L{IStreamLog.locate}."""
        start = self.first - 1
        if lastEventID is None:
            return start
        parsed = parseID(lastEventID)
        if parsed is None:
            raise GapError("unknown", start, None)
        epoch, number = parsed
        if epoch != self.epoch or number > self.last:
            raise GapError("lost", start, None)
        if number < start:
            raise GapError("trimmed", start, start - number)
        return number

    def rendering(self, form: IFormat) -> IRendering:
        """See L{IStreamLog.rendering}."""
        return self._renderings.get(form.name) or form.render(self)

    def follow(self, viewer: Viewer, form: IFormat) -> IRendering:
        """See L{IStreamLog.follow}."""
        self._viewers[viewer] = None
        rendering = self._renderings[form.name] = self.rendering(form)
        return rendering

    def leave(self, viewer: Viewer) -> None:
        """See L{IStreamLog.leave}."""
        if viewer in self._viewers:
            del self._viewers[viewer]
            if not self._viewers:
                self._place = viewer.cursor
                self._renderings.clear()

    def ahead(self) -> int:
        """See L{IStreamLog.ahead}."""
        place = max((viewer.cursor for viewer in self._viewers), default=self._place)
        unread = self.entries[max(0, place + 1 - self.first) :]
        return sum(map(len, unread)) + ENTRY_COST * len(unread)

    def _trim(self) -> None:
        """
        Drop the oldest entries, a sixteenth of the window at a time: dropping
        one by one would move the whole list each time.
        """
        excess = self.size - self._window + self._window // 16
        count = 0
        while excess > 0 and count < len(self.entries) - 1:
            excess -= len(self.entries[count]) + ENTRY_COST
            count += 1
        self.size -= sum(map(len, self.entries[:count])) + ENTRY_COST * count
        del self.entries[:count]
        del self.kinds[:count]
        self.first += count

    def _announce(self) -> None:
        """
        Wake the viewers: at once after a quiet tick, else when this tick ends.

        So a lone token is never late, and a fast source costs its viewers one
        write a tick.
        """
        if self._flushing or not self._viewers:
            return
        now = self._ticker.seconds()
        if 0 <= now - self._announced < FLUSH_TICK:
            self._flushing = True
            self._ticker.at(self._announced + FLUSH_TICK, self._flush)
        else:
            self._announced = now
            self._wake()

    def _flush(self, now: float) -> None:
        self._flushing = False
        self._announced = now
        self._wake()

    def _wake(self) -> None:
        if self._round is not None:
            self._again = True
        elif len(self._viewers) <= WAKES_PER_TURN:
            # A copy, since viewers leave while they are woken.
            for viewer in tuple(self._viewers):
                viewer.wake()
        else:
            self._round = iter(tuple(self._viewers))
            self._wakeSome()

    def _wakeSome(self) -> None:
        """Wake the next viewers of the round, and come back for the rest."""
        assert self._round is not None
        for viewer in islice(self._round, WAKES_PER_TURN):
            viewer.wake()
        if length_hint(self._round):
            self._ticker.clock.callLater(0, self._wakeSome)
        else:
            self._round = None
            if self._again:
                self._again = False
                self._wake()
