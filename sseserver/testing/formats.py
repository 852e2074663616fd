"""
For whoever writes a part of their own: what it must do, as tests, and fakes to try it with.

The contracts are mixins for a L{SynchronousTestCase}. Say how your part is
made, and run them::

    from sseserver.testing import StoreContract

    class MyStoreTests(StoreContract, SynchronousTestCase):
        def makeStore(self, window):
            return MyStore(self.clock, window)

- L{StoreContract}: of an L{IStreamStore} and its logs.
- L{SourceContract}: of an L{ITokenSource}; L{RecordingSink} takes what one writes.
- L{FormatContract}: of an L{IFormat}; L{RecordingViewer} notes when a log wakes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sseserver.errors import GapError
from sseserver.interfaces import IFormat, IRendering
from sseserver.streams.ids import makeEpoch
from sseserver.streams.log import FLUSH_TICK, StreamLog
from sseserver.testing.sources import RecordingSink, SourceContract
from sseserver.testing.storecase import RecordingViewer
from sseserver.testing.stores import StoreContract
from sseserver.timing.ticker import Ticker
from sseserver.values import Kind
from sseserver.wire import Decoder, Event

__all__ = ["FormatContract", "RecordingSink", "RecordingViewer", "SourceContract", "StoreContract"]

if TYPE_CHECKING:
    _TestCase = SynchronousTestCase
else:
    _TestCase = object


class FormatContract(_TestCase):
    """
    What every L{IFormat} must do that writes tokens.

    Attributes:
        clock: What the log's time comes from.
        form: The format.
        streamLog: A log to be rendered.
    """

    def makeFormat(self) -> IFormat:
        """Make the format."""
        raise NotImplementedError("Say how your format is made.")

    def setUp(self) -> None:
        """Make a format, and a log."""
        super().setUp()
        self.clock = Clock()
        self.form = self.makeFormat()
        self.streamLog = StreamLog("name", makeEpoch(), Ticker(self.clock, FLUSH_TICK), 1 << 20)

    def fill(self) -> None:
        """Let the stream have tokens, a published event and an end."""
        for token in (b"One", b" two\r", b"\nthree \xf0\x9f\x90\x8d\x00\n"):
            self.streamLog.append(Kind.TOKEN, token)
        self.streamLog.append(Kind.EVENT, b"custom\n{}")
        self.streamLog.append(Kind.TOKEN, b"end")
        self.streamLog.append(Kind.DONE, b'{"reason":"stop","tokens":4}')

    def read(self, cursor: int, maxBytes: int, joined: bool) -> tuple[int, bytes]:
        """Read all that follows a cursor, at most so many bytes at a time."""
        rendering = self.form.render(self.streamLog)
        frames = b""
        while (step := rendering.read(cursor, maxBytes, joined))[0] != cursor:
            self.assertGreater(step[0], cursor)
            cursor = step[0]
            frames += step[1]
        self.assertEqual(step[1], b"")
        return cursor, frames

    def events(self, frames: bytes) -> list[Event]:
        """Decode frames: whole events; IDs, where the format has them, are of this log and do not go back."""
        self.assertTrue(not frames or frames.endswith(b"\n\n"))
        events = Decoder().feed(frames)
        numbers = [self.streamLog.locate(event.id) for event in events if event.id]
        self.assertEqual(numbers, sorted(numbers))
        return events

    def test_interfaces(self) -> None:
        """
        Format and rendering have what their interfaces name.
        """
        verifyObject(IFormat, self.form)
        verifyObject(IRendering, self.form.render(self.streamLog))

    def test_nothing(self) -> None:
        """
        Of an empty log there is nothing to read, and it is not complete.
        """
        rendering = self.form.render(self.streamLog)
        self.assertEqual(rendering.read(0, 1000, True), (0, b""))
        self.assertFalse(rendering.complete(0))

    def test_read(self) -> None:
        """
        However many bytes are read at a time, joined or not, the viewer comes to the end and is complete there, and
        only there; the last ID that it has, if any, leads it to the end as well.
        """
        self.fill()
        for maxBytes in (1, 50, 1 << 20):
            for joined in (False, True):
                cursor, frames = self.read(0, maxBytes, joined)
                events = self.events(frames)
                self.assertTrue(self.form.render(self.streamLog).complete(cursor))
                self.assertFalse(self.form.render(self.streamLog).complete(0))
                for last in [event.id for event in events if event.id][-1:]:
                    self.assertEqual(self.read(self.streamLog.locate(last), maxBytes, joined)[0], cursor)

    def test_shared(self) -> None:
        """
        What a rendering gives to one viewer it gives to all, whatever others have read between; and the same as a
        rendering that was made later.
        """
        rendering = self.form.render(self.streamLog)
        cursors = [0]
        for _ in range(2):
            self.streamLog.append(Kind.TOKEN, b"x")
            cursors.append(rendering.read(cursors[-1], 1 << 20, False)[0])
        self.fill()
        for cursor in (*cursors, *reversed(cursors)):
            expected = self.form.render(self.streamLog).read(cursor, 1 << 20, True)
            self.assertEqual(rendering.read(cursor, 1 << 20, True), expected)

    def test_headAndGap(self) -> None:
        """
        What tells of a gap is one event of this log. What a response begins with is whole lines, which fit between it
        and what follows.
        """
        self.fill()
        rendering = self.form.render(self.streamLog)
        gap = rendering.gap("asked", GapError("trimmed", 2, 1))
        told = self.events(gap)
        self.assertEqual(len(told), 1)
        self.assertIn("trimmed", told[0].data)
        for before, cursor in ((b"", 0), (b"", 2), (gap, 2)):
            head = rendering.head(cursor, 3000, "/streams/name")
            self.assertTrue(head.endswith(b"\n"))
            frames = self.read(cursor, 1 << 20, True)[1]
            events = self.events(before + head + frames)
            following = self.events(frames)
            self.assertEqual([event.data for event in events[-len(following) :]], [event.data for event in following])
