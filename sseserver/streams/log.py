"""
StreamLog: one stream as an ordered log; viewers are cursors into it.

The log gives each entry its number, keeps the newest entries in memory, and
wakes the viewers when there is more. It knows nothing of HTTP, of formats, or
of where tokens come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from operator import length_hint

from twisted.internet.defer import Deferred, succeed
from zope.interface import classImplements

from sseserver.errors import GapError, StoreUnavailable, StreamEnded
from sseserver.interfaces import IFormat, IRendering, IStreamLog, Viewer
from sseserver.streams.buffer import ENTRY_COST, EntryBuffer
from sseserver.streams.ids import parseID
from sseserver.streams.keeper import Keeper
from sseserver.streams.segments import Segment
from sseserver.timing.ticker import IDLE, Tick, Ticker
from sseserver.values import TERMINAL, Kind, State

#: Entries that follow one another within this many seconds are announced together.
FLUSH_TICK = 0.02

# The kinds after which a stream goes on, the most frequent first.
_GOES_ON = tuple(kind for kind in Kind if kind not in TERMINAL)

#: So many viewers are woken in one turn of the reactor; the rest waits for the next turns, so
#: that ten thousand viewers of one stream do not hold up everybody else.
WAKES_PER_TURN = 500


class StreamLog(EntryBuffer):
    """
    The log of one stream, kept in memory, and perhaps in a store as well.

    Args:
        name: What the stream is called in URLs.
        epoch: What no other stream ever was called, from L{makeEpoch}.
        ticker: Tells the time, and wakes viewers of a fast stream together.
        window: Bytes kept, with L{ENTRY_COST} for each entry; the oldest
            entries are trimmed, the newest never is.
        keeper: The store, which counts the bytes; none for a log of its own.
        published: Whether entries are published into it.
        durable: Whether an entry is visible only when the keeper says that it
            has it; else at once.

    Attributes:
        created: When the log was made, in seconds since 1970.
        ended: When it got its terminal entry; C{None} before.
        announced: When viewers were woken last, in seconds on the ticker's clock.
        sole: The viewer, when there is one and no other.
        onRead: While a run is paused, called after a viewer has read.
        keys: Idempotency keys: digest, number of the first entry, of the last.
    """

    __slots__ = (
        "__weakref__",
        "_again",
        "_durable",
        "_flushing",
        "_keeper",
        "_place",
        "_renderings",
        "_round",
        "_sealed",
        "_settling",
        "_ticker",
        "_viewers",
        "_window",
        "announced",
        "created",
        "ended",
        "epoch",
        "keys",
        "last",
        "name",
        "onRead",
        "published",
        "sole",
        "state",
    )

    def __init__(
        self,
        name: str,
        epoch: str,
        ticker: Ticker,
        window: int,
        keeper: Keeper | None = None,
        *,
        published: bool = False,
        durable: bool = False,
    ) -> None:
        super().__init__()
        self.name = name
        self.epoch = epoch
        self.published = published
        self.state = State.OPEN
        self.last = 0
        self.keys: dict[str, tuple[bytes, int, int]] = {}
        self.onRead: Callable[[], None] | None = None
        self.created = ticker.clock.seconds()
        self.ended: float | None = None
        self._ticker = ticker
        self._window = window
        self._keeper: Keeper = keeper or Keeper()
        self._durable = durable
        # There is a terminal entry, though it may not be visible yet.
        self._sealed = False
        self._settling: list[tuple[int, Deferred[None]]] = []
        self._viewers: dict[Viewer, None] = {}
        self.sole: Viewer | None = None
        self._renderings: dict[str, IRendering] = {}
        # Where the last viewer was; the run's read-ahead counts from there.
        self._place = 0
        # When viewers were woken last, and whether they will be at the end of this flush tick.
        self.announced = -FLUSH_TICK
        self._flushing: Tick | None = None
        # The viewers that are still to be woken in this round; whether another round must follow.
        self._round: Iterator[Viewer] | None = None
        self._again = False

    @property
    def viewers(self) -> int:
        """How many viewers follow now."""
        return len(self._viewers)

    def append(self, kind: Kind, data: bytes) -> int:
        """See L{IStreamLog.append}."""
        if self._sealed:
            raise StreamEnded(f"The stream {self.name} has ended; nothing can be added to it.")
        self.add(kind, data)
        self._keeper.used += len(data) + ENTRY_COST
        if kind not in _GOES_ON:
            self._sealed = True
        if self._durable:
            self._keeper.write(self)
            return self.appended
        number = self.last + 1
        if self._sealed or self._end - self._base + ENTRY_COST * (number + 1 - self.first) > self._window:
            self.commit(number)
            return number
        # What `commit` would do, in place: nearly every token of a store in memory comes by here.
        self.last = number
        followed = self.sole is not None or self._viewers
        if followed and (self._flushing is None or self._flushing.slot == IDLE):
            self._announce()
        return number

    def commit(self, number: int) -> None:
        """Make the entries up to this one visible: the store has them."""
        self.last = number
        if self._sealed and number == self.appended:
            self.state = TERMINAL[Kind(self.kinds[-1])]
            self.ended = self._ticker.clock.seconds()
        if self.size > self._window:
            self._trim()
        while self._settling and self._settling[0][0] <= number:
            self._settling.pop(0)[1].callback(None)
        # A ticker that was stopped has forgotten its ticks. The end is worth no waiting: nothing follows it.
        if self._viewers and (self._flushing is None or self._flushing.slot == IDLE or self.state is not State.OPEN):
            self._announce()

    def refuse(self, error: StoreUnavailable) -> None:
        """Drop the entries that are not visible: the store cannot take them."""
        self._keeper.used -= self.cut(self.last)
        self._sealed = self.state is not State.OPEN
        self.keys = {key: value for key, value in self.keys.items() if value[2] <= self.last}
        settling, self._settling = self._settling, []
        for _, waiting in settling:
            waiting.errback(error)

    def settled(self) -> Deferred[None]:
        """See L{IStreamLog.settled}."""
        if self.last == self.appended:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._settling.append((self.appended, waiting))
        return waiting

    def remember(self, key: str, digest: bytes, first: int) -> None:
        """See L{IStreamLog.remember}."""
        self.keys[key] = (digest, first, self.appended)

    def recall(self, key: str) -> tuple[bytes, int, int] | None:
        """See L{IStreamLog.recall}."""
        return self.keys.get(key)

    @property
    def sealed(self) -> bool:
        """Whether there is a terminal entry, visible or not."""
        return self._sealed

    def restore(self, segment: Segment, tokens: int, keys: dict[str, tuple[bytes, int, int]]) -> None:
        """Take in what the store had kept; for a log that is new. Its bytes are counted already."""
        self.load(segment, tokens)
        self.keys = keys
        self.last = self.appended
        self.state = TERMINAL.get(Kind(self.kinds[-1]), State.OPEN) if self.kinds else State.OPEN
        self._sealed = self.state is not State.OPEN
        self._place = self.last

    def drop(self) -> int:
        """
        Leave the store, which forgets this log. Viewers that are here yet
        read on from memory; those of an open stream get its terminal entry.

        Returns:
            The bytes that the log took.
        """
        size = self.size
        self._keeper = Keeper()
        self._durable = False
        if not self._sealed:
            self.append(Kind.CANCELLED, b'{"reason":"deleted"}')
        return size

    def locate(self, lastEventID: str) -> int:
        """See L{IStreamLog.locate}."""
        start = self.first - 1
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
        self.sole = viewer if len(self._viewers) == 1 else None
        rendering = self._renderings[form.name] = self.rendering(form)
        return rendering

    def leave(self, viewer: Viewer) -> None:
        """See L{IStreamLog.leave}."""
        if viewer in self._viewers:
            del self._viewers[viewer]
            self.sole = next(iter(self._viewers)) if len(self._viewers) == 1 else None
            if not self._viewers:
                self._place = viewer.cursor
                self._renderings.clear()

    def ahead(self) -> int:
        """See L{IStreamLog.ahead}."""
        place = max((viewer.cursor for viewer in self._viewers), default=self._place)
        return self.measure(max(place + 1, self.first), self.appended)

    def _trim(self) -> None:
        """
        Drop the oldest entries, a sixteenth of the window at a time: dropping
        one by one would move the others each time.
        """
        # What is not visible yet cannot go, and the last visible entry stays.
        excess = self.size - self._window + self._window // 16
        cost = self.shed(excess, self.last - self.first)
        if cost:
            self._keeper.used -= cost
            if self.keys:
                self.keys = {key: value for key, value in self.keys.items() if value[2] >= self.first}
            self._keeper.trimmed(self)

    def _announce(self) -> None:
        """
        Wake the viewers: at once after a quiet tick and at the stream's end,
        else when this tick ends.

        So a lone token is never late, and a fast source costs its viewers one
        write a tick.
        """
        now = self._ticker.seconds()
        if self.state is not State.OPEN:
            if self._flushing is not None:
                self._ticker.cancel(self._flushing)
                self._flushing = None
        elif 0 <= now - self.announced < FLUSH_TICK:
            self._flushing = self._ticker.at(self.announced + FLUSH_TICK, self._flush)
            return
        self.announced = now
        if self.sole is not None:
            self.sole.wake()
        else:
            self._wake()

    def _flush(self, now: float) -> None:
        self._flushing = None
        self.announced = now
        self._wake()

    def _wake(self) -> None:
        if self.sole is not None:
            self.sole.wake()
        elif self._round is not None:
            self._again = True
        elif len(self._viewers) <= WAKES_PER_TURN:
            # A copy, since viewers leave while they are woken.
            for viewer in tuple(self._viewers):
                if viewer in self._viewers:
                    viewer.wake()
        else:
            self._round = iter(tuple(self._viewers))
            self._wakeSome()

    def _wakeSome(self) -> None:
        """Wake the next viewers of the round, and come back for the rest."""
        assert self._round is not None
        for viewer in islice(self._round, WAKES_PER_TURN):
            if viewer in self._viewers:
                viewer.wake()
        if self._again and not length_hint(self._round):
            self._again = False
            self._round = iter(tuple(self._viewers))
        if length_hint(self._round):
            self._ticker.clock.callLater(0, self._wakeSome)
        else:
            self._round = None


classImplements(StreamLog, IStreamLog)
