"""
Contract tests for formats, public as `sseserver.testing.FormatContract`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sseserver.errors import GapError
from sseserver.interfaces import IFormat, IRendering
from sseserver.interfaces.reading import Reading
from sseserver.streams.followed import FLUSH_TICK
from sseserver.streams.ids import makeEpoch
from sseserver.streams.log import StreamLog
from sseserver.timing.ticker import Ticker
from sseserver.values import Kind
from sseserver.wire import Decoder, Event

if TYPE_CHECKING:
    _TestCase = SynchronousTestCase
else:
    _TestCase = object


class FormatContract(_TestCase):
    """
    Contract of every `IFormat` that writes tokens.

    Attributes:
        clock: Clock of the log.
        form: The format.
        streamLog: An empty log, to be rendered.
    """

    def makeFormat(self) -> IFormat:
        """Make the format."""
        raise NotImplementedError("A subclass of FormatContract must implement makeFormat().")

    def setUp(self) -> None:
        """Make a format and a log."""
        super().setUp()
        self.clock = Clock()
        self.form = self.makeFormat()
        self.streamLog = StreamLog("name", makeEpoch(), Ticker(self.clock, FLUSH_TICK), 1 << 20)

    def fill(self) -> None:
        """Append tokens, a published event and a terminal entry."""
        for token in (b"One", b" two\r", b"\nthree \xf0\x9f\x90\x8d\x00\n"):
            self.streamLog.append(Kind.TOKEN, token)
        self.streamLog.append(Kind.EVENT, b"custom\n{}")
        self.streamLog.append(Kind.TOKEN, b"end")
        self.streamLog.append(Kind.DONE, b'{"reason":"stop","tokens":4}')

    def readAll(self, cursor: int, maxBytes: int, joined: bool) -> Reading:
        """
        Read a new rendering to its end.

        Args:
            cursor: Number of the entry after which to begin.
            maxBytes: Size of a step, after which no further entry is read.
            joined: Whether consecutive text may be joined.

        Returns:
            All steps as one reading.
        """
        rendering = self.makeFormat().render(self.streamLog)
        data = b""
        while (step := rendering.read(cursor, maxBytes, joined)).cursor != cursor:
            self.assertGreater(step.cursor, cursor)
            cursor = step.cursor
            data += step.data
        self.assertEqual(step.data, b"")
        return Reading(cursor, data)

    def decode(self, data: bytes) -> list[Event]:
        """Decode whole events. Their IDs, if the format has IDs, are those of this log, and never decrease."""
        self.assertTrue(not data or data.endswith(b"\n\n"))
        events = Decoder().feed(data)
        numbers = [self.streamLog.locate(event.id) for event in events if event.id]
        self.assertEqual(numbers, sorted(numbers))
        return events

    def test_interfaces(self) -> None:
        """
        Format and rendering provide their interfaces.
        """
        verifyObject(IFormat, self.form)
        verifyObject(IRendering, self.form.render(self.streamLog))

    def test_empty(self) -> None:
        """
        An empty log has nothing to read, and its viewer is not complete.
        """
        rendering = self.form.render(self.streamLog)
        self.assertEqual(rendering.read(0, 1000, True), Reading(0, b""))
        self.assertFalse(rendering.complete(0))

    def test_type(self) -> None:
        """
        Reading returns a `Reading`: the compiled build accepts nothing else.
        """
        self.fill()
        self.assertIs(type(self.form.render(self.streamLog).read(0, 1000, True)), Reading)

    def test_read(self) -> None:
        """
        With any size of steps, joined or not, the viewer reaches the end, and is complete there and only there.

        So does a viewer that returns with the last ID, if the format has IDs.
        """
        self.fill()
        for maxBytes in (1, 50, 1 << 20):
            for joined in (False, True):
                reading = self.readAll(0, maxBytes, joined)
                events = self.decode(reading.data)
                self.assertTrue(self.form.render(self.streamLog).complete(reading.cursor))
                self.assertFalse(self.form.render(self.streamLog).complete(0))
                for last in [event.id for event in events if event.id][-1:]:
                    resumed = self.readAll(self.streamLog.locate(last), maxBytes, joined)
                    self.assertEqual(resumed.cursor, reading.cursor)

    def test_shared(self) -> None:
        """
        All viewers of a rendering read the same, and the same as from a new rendering.

        Reads of other viewers before make no difference.
        """
        rendering = self.form.render(self.streamLog)
        cursors = [0]
        for _ in range(2):
            self.streamLog.append(Kind.TOKEN, b"x")
            cursors.append(rendering.read(cursors[-1], 1 << 20, False).cursor)
        self.fill()
        for cursor in (*cursors, *reversed(cursors)):
            expected = self.makeFormat().render(self.streamLog).read(cursor, 1 << 20, True)
            self.assertEqual(rendering.read(cursor, 1 << 20, True), expected)

    def test_renewed(self) -> None:
        """After the log has got another epoch, a rendering reads the same as a new one: IDs of that epoch."""
        rendering = self.form.render(self.streamLog)
        for kind in (Kind.TOKEN, Kind.EVENT, Kind.TOKEN):
            self.streamLog.append(kind, b"a\nb")
            for joined in (False, True):
                for cursor in (0, self.streamLog.last - 1):
                    rendering.read(cursor, 1 << 20, joined)
        before = self.streamLog.epoch.encode("ascii")
        self.streamLog.renew(makeEpoch())
        rendering.renew()
        for fill in (lambda: None, self.fill):
            fill()
            for cursor in (0, 1, self.streamLog.last - 1):
                expected = self.makeFormat().render(self.streamLog).read(cursor, 1 << 20, True)
                self.assertEqual(rendering.read(cursor, 1 << 20, True), expected)
                self.assertNotIn(b"id: " + before, expected.data)

    def test_headAndGap(self) -> None:
        """
        A gap is one event of this log.

        The head of a response consists of whole lines, and may stand before the first events or between a gap and them.
        """
        self.fill()
        rendering = self.form.render(self.streamLog)
        gap = rendering.gap("asked", GapError("trimmed", 2, 1))
        [told] = self.decode(gap)
        self.assertIn("trimmed", told.data)
        for before, cursor in ((b"", 0), (b"", 2), (gap, 2)):
            head = rendering.head(cursor, 3000, "/streams/name")
            self.assertTrue(head.endswith(b"\n"))
            data = self.readAll(cursor, 1 << 20, True).data
            events = self.decode(before + head + data)
            following = self.decode(data)
            self.assertEqual([event.data for event in events[-len(following) :]], [event.data for event in following])
