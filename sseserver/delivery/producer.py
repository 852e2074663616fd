"""
The producer of an event stream: it writes one stream log to one request.

It is the `IPushProducer` of its request, and knows the request, the log and its cursor. A new
viewer, one that returns and one that is slow all run through the same loop: read from the cursor,
write, until there is no more or the transport is full. `sseserver.service` makes one for each
viewer.
"""

from __future__ import annotations

from math import inf
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.web.http import Request
from zope.interface import classImplements

from sseserver.delivery.connection import resumeReading
from sseserver.delivery.counts import CONTINUED, GAP, UNKNOWN
from sseserver.delivery.gathering import gather
from sseserver.delivery.head import jitter, writeHeaders
from sseserver.delivery.readings import READ_BYTES, ReadingProducer
from sseserver.delivery.response import Delivery
from sseserver.delivery.states import ViewerState, ViewerStep
from sseserver.errors import GapError, ReadingUnfinished, ViewerRefused
from sseserver.formats.rendering import EntryRendering
from sseserver.formats.translation import TranslatedRendering
from sseserver.interfaces import ANYONE, IBeatingFormat, IFormat, IRendering, IStreamLog
from sseserver.interfaces.reading import Reading
from sseserver.speedups.body import FastBody
from sseserver.speedups.sendbuffer import PIECE
from sseserver.values import StartingPlace, State
from sseserver.wire import HEARTBEAT

log = Logger(__name__)

# Looked up for each token.
_LIVE = ViewerState.LIVE
_OPEN = State.OPEN
_LARGE = PIECE
_READ = READ_BYTES


class EventStreamProducer(ReadingProducer):
    """
    One viewer of a stream.

    Args:
        request: A GET whose response has not begun.
        streamLog: The stream.
        form: The format of the viewer.
        delivery: The parts that it shares with the other viewers.

    Attributes:
        cursor: See `ReadingProducer`.
        expires: The time at which the viewer is told to return, in seconds on the ticker's clock; infinite for never.
        form: See above.
        principal: The client.
        streamLog: The stream.
    """

    __slots__ = (
        "_behind",
        "_first",
        "_quietSince",
        "_refused",
        "_rendering",
        "_sent",
        "_sought",
        "expires",
        "form",
        "principal",
        "streamLog",
    )

    def __init__(self, request: Request, streamLog: IStreamLog, form: IFormat, delivery: Delivery) -> None:
        super().__init__(request, delivery)
        self._first = 0
        self.expires = inf
        self.principal = ANYONE
        self.streamLog = streamLog
        self.form = form
        self._rendering: IRendering
        self._behind = True
        # Whether the format has refused to serve the rest of the stream.
        self._refused = False
        # The time of the last write.
        self._quietSince = 0.0
        # The place at which the viewer starts, while it is sought.
        self._sought: StartingPlace | None = None
        # Number of the last entry that is counted as sent.
        self._sent = 0

    def start(self, place: StartingPlace, retry: int, url: str) -> None:
        """
        Begin the response and follow the log.

        Args:
            place: Where the viewer starts to read. A number of events is one that the rendering has.
            retry: Milliseconds. Its reconnection time.
            url: The URL of the stream.
        """
        writeHeaders(self.request, self.form)
        settings = self._delivery.settings
        left = self.expires - self._delivery.ticker.seconds()
        if not self._begin(min(settings.heartbeat, settings.stall, left)):
            return
        # Registered before the first read, so that no entry is missed between the two.
        self._rendering = self.streamLog.follow(self, self.form)
        before = self._locate(place)
        self._first = self._sent = self.cursor
        self._write(before + self._rendering.head(self.cursor, retry, url))
        if self._sought is not None:
            # Before the run may go on, whose tokens wake the viewer.
            self._yieldTurn()
        # A viewer that starts at the end reads nothing, and yet a paused run may go on for it.
        if self.streamLog.onChange is not None:
            self.streamLog.onChange()
        self.wake()

    def wake(self) -> None:  # noqa: C901, PLR0912, PLR0915 (see below)
        """Write the entries after the cursor, as far as the transport takes them."""
        try:
            # One function without calls of its own: every token of every viewer comes through here.
            while self._state is _LIVE:
                try:
                    rendering = self._rendering
                    if isinstance(rendering, EntryRendering):
                        # In the compiled build this is a call of a structure.
                        entries = rendering
                        reading = entries.read(self.cursor, _READ, self._behind)
                    else:
                        reading = rendering.read(self.cursor, _READ, self._behind)
                    cursor, frames = reading.cursor, reading.data
                except GapError as gap:
                    cursor, frames = gap.cursor, self._writeGap(gap)
                except ViewerRefused as refusal:
                    self._refuse(refusal.events)
                    return
                except ReadingUnfinished:
                    self._yieldTurn()
                    return
                if cursor == self.cursor:
                    self._behind = False
                    if self._rendering.complete(cursor):
                        self.finish("complete")
                    return
                self.cursor = cursor
                streamLog = self.streamLog
                if streamLog.state is not _OPEN and self._rendering.complete(cursor):
                    # The last entries leave with the end of the response.
                    self._body.cork()
                if frames:
                    # The time of the wake-up: the log has read the clock already.
                    self._quietSince = max(self._quietSince, streamLog.announced)
                    if len(frames) > _LARGE:
                        self._writeLarge(Reading(cursor, frames))
                        cursor = self.cursor
                    else:
                        body = self._body
                        if isinstance(body, FastBody):
                            # See above.
                            fast = body
                            fast.write(frames)
                        else:
                            body.write(frames)
                if streamLog.onChange is not None:
                    streamLog.onChange()
                if cursor == streamLog.last and streamLog.state is _OPEN:
                    self._behind = False
                    return
                # A format that leaves out most of these entries writes so little that the transport would not stop
                # the loop.
                if cursor < streamLog.last and (len(frames) < _READ or not self._delivery.turns.hasTime()):
                    self._yieldTurn()
                    return
        except BaseException:
            log.failure("An event stream failed")
            self.abort("broken")

    def resumeProducing(self) -> None:
        """Continue: the transport is empty. Entries that came meanwhile are joined."""
        before = self._state
        self._step(ViewerStep.RESUME)
        if before is ViewerState.PAUSED:
            self._behind = True
            resumeReading(self.request)
            self._quietSince = self._delivery.ticker.seconds()
            self._goOnSoon()

    def _goOn(self) -> None:
        """See `ResponseProducer._goOn`."""
        rest = self._rest
        if rest is not None:
            if rest.retirement is None and self._isFarBehind():
                self._releaseRest()
                self._writeLarge(Reading(self.cursor, rest.data), rest.place)
            else:
                self._writeRest(rest)
        if self._sought is not None and self._state is _LIVE:
            self._goOnSeeking(self._sought)
        # The transport may be full again.
        if self._refused and self._state is _LIVE:
            self.finish("refused")
        self.wake()

    def retire(self, retry: int, reason: str = "retired") -> None:
        """See `ReadingProducer.retire`."""
        if self._rest is not None:
            # Not between two events.
            self._rest.retirement = (retry, reason)
        elif self._state is not ViewerState.ENDED:
            # A full transport may still hold the end of the stream, after which nothing follows.
            if not self._refused and not self._rendering.complete(self.cursor):
                self._write(self._rendering.retire(retry))
            self.finish(reason)

    def dismiss(self) -> None:
        """See `Viewer.dismiss`."""
        self.retire(jitter(self._delivery.settings.reconnectionTime))

    def beat(self, now: float) -> float:
        """See `Watched.beat`. A heartbeat also shows whether a silent peer is gone."""
        self.count()
        self._noteLag(now)
        if not self._behind:
            self._delivery.largeWrites.end(self)
        settings = self._delivery.settings
        heartbeat = settings.heartbeat
        if now >= self.expires:
            self.retire(jitter(settings.reconnectionTime), "expired")
            return now + heartbeat
        if self._state is not ViewerState.LIVE:
            return min(now + heartbeat, self.expires)
        if now - self._quietSince >= heartbeat:
            form = self.form
            self._write(form.heartbeat if IBeatingFormat.providedBy(form) else HEARTBEAT)
        return min(self._quietSince + heartbeat, self.expires)

    def countEvents(self) -> int:
        """See `ResponseProducer.countEvents`."""
        return self.cursor - self._first

    def _locate(self, place: StartingPlace) -> bytes:
        """Set the cursor, or seek on in other turns; return the events before it: of a gap, or the rest of an entry."""
        lastEventID, resumes = place.lastEventID, self._delivery.counts.resumes
        if place.events is not None:
            # Only `TranslatedRendering` counts events.
            rendering: Any = self._rendering
            try:
                self.cursor, events = rendering.findEvent(place.events)
            except ReadingUnfinished:
                self._sought = place
                return b""
            self._sought = None
            resumes.add(CONTINUED)
            return bytes(events)
        if lastEventID is None:
            self.cursor = self._rendering.start(place.fromNow)
            return b""
        try:
            self.cursor = self.streamLog.locate(lastEventID)
        except GapError as gap:
            self.cursor = gap.cursor
            resumes.add(UNKNOWN if gap.reason == UNKNOWN else GAP)
            self._delivery.counts.gaps.add(gap.reason)
            return self._rendering.gap(lastEventID, gap)
        resumes.add(CONTINUED)
        return b""

    def _goOnSeeking(self, place: StartingPlace) -> None:
        """Look on for the place at which the viewer starts. Its response has begun."""
        try:
            before = self._locate(place)
        except GapError as gap:
            # Entries were trimmed meanwhile.
            self._refuse(self._rendering.gap("", gap))
            return
        self._first = self._sent = self.cursor
        if self._sought is not None:
            self._yieldTurn()
        elif before:
            self._write(before)

    def _noteLag(self, now: float) -> None:
        """Note how long the viewer has not got what there is to read."""
        since = now
        if self.cursor < self.streamLog.last and not self._refused:
            # A wake-up is on its way to a viewer that is not paused.
            since = self._quietSince if self.isPaused else max(self._quietSince, self.streamLog.announced)
        self._delivery.counts.lags.note(now - since)

    def count(self) -> None:
        """See `ResponseProducer.count`. Entries are counted, too."""
        written = self._body.written
        counts = self._delivery.counts
        counts.bytes += written - self._counted
        counts.entries += self.cursor - self._sent
        self._counted, self._sent = written, self.cursor

    def _writeGap(self, gap: GapError) -> bytes:
        """Return the events of a gap after the cursor, and count it. The entries in it are not sent."""
        events = self._rendering.gap(f"{self.streamLog.epoch}-{self.cursor}", gap)
        self._delivery.counts.gaps.add(gap.reason)
        self._sent += gap.cursor - self.cursor
        return events

    def _refuse(self, events: bytes) -> None:
        """
        Send the last events that the format has for this viewer, and finish once the transport has taken them.

        The viewer leaves the log first: it reads no further, so a run does not count on it.
        """
        self._refused = True
        self.streamLog.leave(self)
        self._body.cork()
        self._write(events)
        if self._state is _LIVE:
            self.finish("refused")

    def _write(self, data: bytes) -> None:
        self._quietSince = self._delivery.ticker.seconds()
        if len(data) > PIECE:
            self._writeReadings([Reading(self.cursor, data)])
        else:
            self._body.write(data)

    def _isFarBehind(self) -> bool:
        """
        Return whether readings are sent together: the transport took more than one the last time.

        Only in formats that join nothing: a joined text is a few readings, and it costs more to read one again that the
        transport did not begin to take than to send it by itself.
        """
        return self._many > 1 and self._behind and isinstance(self._rendering, TranslatedRendering)

    def _writeLarge(self, first: Reading, start: int = 0) -> None:
        """
        Write a large reading; to a viewer far behind also those after it that the transport is likely to take.

        Args:
            first: The reading.
            start: Index of its first byte that is not written yet.
        """
        readings = [first]
        if self._isFarBehind():
            last, hasTime = self.streamLog.last, self._delivery.turns.hasTime
            # The rest of a reading does not count.
            most = self._many + bool(start)
            readings = gather(self._rendering, first, last, most, READ_BYTES, hasTime)
            if readings[-1].cursor < last:
                self._delivery.largeWrites.begin(self, self.request.transport)
            if len(readings) > 1 and self._rendering.complete(readings[-1].cursor):
                self._body.cork()
        self._writeReadings(readings, start)

    def _release(self) -> None:
        """See `ResponseProducer._release`."""
        self._releaseRest()
        self._delivery.largeWrites.end(self)
        self.streamLog.leave(self)
        self._delivery.onEnd(self)


classImplements(EventStreamProducer, IPushProducer)
