"""
Tests of `sseserver.delivery.producer`: what a viewer is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.protocols.policies import WrappingFactory
from zope.interface.verify import verifyObject

from sseserver.delivery.readings import READ_BYTES
from sseserver.errors import GapError, ReadingUnfinished
from sseserver.formats import EventsFormat, OpenAIFormat, TextFormat, UIFormat, rendering, translation
from sseserver.formats import text as textFormat
from sseserver.formats.events import EventsRendering
from sseserver.formats.places import EventPlace
from sseserver.interfaces import IStreamLog
from sseserver.interfaces.reading import Reading
from sseserver.streams.entries import packChunk, packEvent
from sseserver.streams.followed import FLUSH_TICK
from sseserver.streams.ids import makeEpoch
from sseserver.streams.log import StreamLog
from sseserver.values import Kind, StartingPlace
from tests.delivery.cases import BrokenFormat, ProducerTestCase
from tests.http import EVENTSOURCE


class CountingFormat(EventsFormat):
    """A format whose viewers count events: of an entry that one has in part, the rest comes with the head."""

    def render(self, streamLog: IStreamLog) -> Any:
        return CountingRendering(streamLog)


class CountingRendering(EventsRendering):
    """A rendering in which each entry is three events."""

    __slots__ = ()

    def findEvent(self, events: int) -> EventPlace:
        return EventPlace(-(-events // 3), b"data: rest\n\n" * (-events % 3))


class SeekingFormat(EventsFormat):
    """
    A format whose viewers count events, and that looks for a place in three turns.

    Args:
        onSeek: Called in each of them; what it raises in the last one is raised instead of finding the place.
    """

    def __init__(self, onSeek: Callable[[], None]) -> None:
        self._onSeek = onSeek

    def render(self, streamLog: IStreamLog) -> Any:
        return SeekingRendering(streamLog, self._onSeek)


class SeekingRendering(EventsRendering):
    """A rendering that looks for a place in three turns."""

    def __init__(self, streamLog: IStreamLog, onSeek: Callable[[], None]) -> None:
        super().__init__(streamLog)
        self._onSeek = onSeek
        self._turns = 0

    def findEvent(self, events: int) -> EventPlace:
        self._turns += 1
        self._onSeek()
        if self._turns < 3:
            raise ReadingUnfinished
        return EventPlace(events, b"data: rest\n\n")


class ProducerTests(ProducerTestCase):
    """The events that a viewer is sent."""

    def test_interface(self) -> None:
        """
        It is a push producer.
        """
        self.follow()
        self.assertTrue(verifyObject(IPushProducer, self.producers[0]))

    def test_headComesAtOnce(self) -> None:
        """
        The headers and the first event come before the first token, so an EventSource fires `open`.
        """
        response = self.follow().response
        self.assertEqual(response.status, 200)
        self.assertEqual(
            {name: value for name, value in response.headers.items() if name != "date"},
            {
                "content-type": "text/event-stream",
                "cache-control": "no-cache, no-store, no-transform",
                "x-accel-buffering": "no",
                "x-content-type-options": "nosniff",
                "cross-origin-resource-policy": "same-origin",
                "transfer-encoding": "chunked",
            },
        )
        self.assertEqual(
            [(event.type, event.id, event.retry) for event in response.events], [("stream", self.entry(0), 3000)]
        )
        self.assertFalse(response.complete)

    def test_startsAtEvent(self) -> None:
        """A viewer that counts events gets the rest of an entry that it has in part, and then the next entries."""
        self.append("a", "b")
        self.form, self.startingPlace = CountingFormat(), StartingPlace(events=2)
        events = self.follow().response.events
        self.assertEqual([event.data for event in events if event.type == "message"], ["rest", "b"])
        self.assertEqual(self.counts.resumes.counts["continued"], 1)

    def test_farEvent(self) -> None:
        """A viewer gets the head at once, and its events once the place is found: none is too early."""
        written: list[int] = []

        def seek() -> None:
            written.append(self.producers[0].written)
            if len(written) == 2:
                self.reactor.callLater(0, self.producers[0].pauseProducing)
                self.reactor.callLater(0, self.producers[0].resumeProducing)

        self.append("a", "b")
        self.streamLog.onChange = lambda: self.streamLog.last < 3 and self.streamLog.append(Kind.TOKEN, b"x")
        self.form, self.startingPlace = SeekingFormat(seek), StartingPlace(events=1)
        wire = self.follow()
        self.assertEqual([bool(size) for size in written], [False, True, True])
        self.assertEqual([event.data for event in wire.response.events if event.type == "message"], ["rest", "bx"])
        self.append("d")
        self.assertEqual(wire.response.texts[-1], "d")
        self.assertEqual((self.producers[0].countEvents(), self.counts.resumes.counts["continued"]), (3, 1))

    def test_farEventIsTrimmed(self) -> None:
        """A viewer whose events are dropped while they are looked for is told so, and gets no others."""
        error = iter((None, None, GapError("trimmed", 0, 1)))

        def seek() -> None:
            found = next(error)
            if found is not None:
                raise found

        self.append("a")
        self.form, self.startingPlace = SeekingFormat(seek), StartingPlace(events=1)
        wire = self.follow()
        self.assertEqual((wire.response.complete, wire.response.types[-1], wire.response.texts), (True, "gap", []))

    def test_registersBeforeItWrites(self) -> None:
        """
        The producer is registered before the first write: under TLS one that
        comes later is never paused.
        """
        self.follow()
        calls = self.spies[0].calls
        self.assertLess(calls.index("registerProducer"), calls.index("write"))

    def test_tokensAsTheyCome(self) -> None:
        """
        Each token is sent to every viewer as an event with its number; after the terminal event the
        response ends and the connection stays.
        """
        wires = [self.follow(), self.follow()]
        for number, token in enumerate(["Hello", " world", "\n", "!"], 1):
            self.append(token)
            for wire in wires:
                self.assertEqual(wire.response.events[number:], [self.token(number, token)])
        self.end()
        for wire in wires:
            self.assertEqual(wire.response.types[-1], "done")
            self.assertTrue(wire.response.complete)
            self.assertFalse(wire.closed)
        self.assertEqual([producer.reason for producer in self.ended], ["complete", "complete"])
        self.assertEqual(wires[0].response.body, wires[1].response.body)

    def test_lateViewerGetsWhatWasThereJoined(self) -> None:
        """
        Tokens from before a viewer are joined into one event with the last ID; later ones are
        single events.
        """
        self.append("a", "b", "c")
        wire = self.follow()
        self.append("d", "e")
        self.assertEqual(wire.response.events[1:], [self.token(3, "abc"), self.token(4, "d"), self.token(5, "e")])

    def test_resumes(self) -> None:
        """A viewer with the ID of an entry gets the next one."""
        self.append("a", "b", "c")
        for number in range(4):
            events = self.follow(after=number).response.events
            self.assertEqual(events[0].id, self.entry(number))
            self.assertEqual("".join(event.data for event in events[1:]), "abc"[number:])

    def test_unknownID(self) -> None:
        """A viewer with an unknown ID is sent a gap, then everything."""
        self.append("a", "b")
        self.lastEventID = "nonsense"
        wire = self.connect(self.factory)
        response = wire.ask("/", EVENTSOURCE)
        self.assertEqual([event.type for event in response.events if event.type != "stream"], ["gap", "message"])
        self.assertIn('"reason":"unknown"', response.events[response.types.index("gap")].data)
        self.assertEqual(response.texts, ["ab"])

    def test_endedStream(self) -> None:
        """A stream that has ended is replayed, and the response ends."""
        self.append("a")
        self.end()
        wire = self.follow()
        self.assertEqual(wire.response.types, ["stream", "message", "done"])
        self.assertTrue(wire.response.complete)
        self.assertEqual(self.streamLog.viewers, 0)

    def test_HTTP10(self) -> None:
        """A client of HTTP/1.0 gets no chunks; the response ends with the connection."""
        wire = self.follow(version="1.0")
        self.append("a", "b")
        self.assertNotIn("transfer-encoding", wire.response.headers)
        self.assertEqual(wire.response.texts, ["a", "b"])
        self.assertFalse(wire.closed)
        self.end()
        self.assertTrue(wire.response.complete)

    def test_manyTokensInOneTick(self) -> None:
        """Tokens of one flush tick are written in one write, as single events."""
        wire = self.follow()
        self.append("first")
        wire.socket.sends.clear()
        for token in "abc":
            self.streamLog.append(Kind.TOKEN, token.encode())
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(wire.response.texts, ["first", "a", "b", "c"])
        self.assertLessEqual(len(wire.socket.sends), 2)

    def watchTurns(self) -> list[int]:
        """Return a list that gets the newest viewer's cursor after each call that the reactor makes at once."""
        cursors: list[int] = []
        callLater = self.reactor.callLater

        def watched(delay: float, call: Callable[..., object], *arguments: Any) -> Any:
            def made() -> None:
                call(*arguments)
                cursors.append(self.producers[-1].cursor)

            return callLater(delay, call, *arguments) if delay else callLater(0, made)

        self.patch(self.reactor, "callLater", watched)
        return cursors

    def test_entriesThatAreLeftOut(self) -> None:
        """
        #12: a turn reads a bounded number of entries, also if the format leaves them out, so that the transport does
        not stop the producer.
        """
        self.patch(rendering, "READ_ENTRIES", 10)
        self.patch(translation, "READ_ENTRIES", 10)
        cursors = self.watchTurns()
        for form, behind in ((OpenAIFormat("m"), None), (UIFormat(), None), (OpenAIFormat("m"), 1)):
            self.form = form
            self.streamLog = StreamLog("name", makeEpoch(), self.flush, self.window)
            for _ in range(95):
                self.streamLog.append(Kind.EVENT, packEvent(b"message", b"x"))
            self.end()
            cursors.clear()
            wire = self.follow(after=behind)
            self.assertEqual(cursors[-1], 96)
            for before, after in pairwise([(behind or 0) + 10, *cursors]):
                self.assertLessEqual(after - before, 10)
            self.assertIn("[DONE]", [event.data for event in wire.response.events])

    def fillChunks(self) -> None:
        """Append many chunks, whose texts are short."""
        self.patch(textFormat, "READ_ENTRIES", 10)
        for number in range(95):
            self.streamLog.append(*packChunk(b"{}", f"{number} "))

    def test_textInTurns(self) -> None:
        """#12: a turn reads a bounded number of entries into a whole text, which is sent once, and then the end."""
        self.form = TextFormat()
        self.fillChunks()
        self.end()
        cursors = self.watchTurns()
        wire = self.follow()
        self.assertGreaterEqual(cursors.index(96), 8)
        texts = [event.data for event in wire.response.events if event.type == "message"]
        self.assertEqual(texts, ["", "".join(f"{number} " for number in range(95))])
        self.assertEqual(wire.response.types[-1], "done")

    def test_leavesBetweenTurns(self) -> None:
        """A viewer that leaves while its text is being read leaves nothing to be called."""
        self.form = TextFormat()
        self.fillChunks()
        cursors = self.watchTurns()
        self.after["write"] = lambda: self.reactor.callLater(0, self.producers[-1].abort, "left")
        self.follow()
        self.assertEqual([producer.reason for producer in self.ended], ["left"])
        self.assertEqual(set(cursors), {0})
        self.assertEqual([call for call in self.reactor.getDelayedCalls() if call.getTime() <= 0], [])

    def test_catchesUpInBoundedSteps(self) -> None:
        """A long log is read and written in steps of about 128 KiB."""
        text = [f"{number:06}," * 150 for number in range(2000)]
        for token in text:
            self.streamLog.append(Kind.TOKEN, token.encode())
        wire = self.follow()
        self.assertGreater(len(wire.response.texts), 2000 * 1050 // READ_BYTES - 1)
        self.assertLess(max(map(len, wire.response.texts)), READ_BYTES + 2 * 1050)
        self.assertEqual("".join(wire.response.texts), "".join(text))

    def test_tellsTheLogThatItHasRead(self) -> None:
        """The log's `onChange` is called after each read."""
        read = []
        self.follow()
        self.append("a")
        self.streamLog.onChange = lambda: read.append(self.producers[0].cursor)
        self.append("b", "c")
        self.assertEqual(read, [2, 3])

    def test_counts(self) -> None:
        """`written` is the length of the body."""
        wire = self.follow()
        self.append("a", "zwölf")
        self.assertEqual(self.producers[0].written, len(wire.response.body))

    def test_entriesThatAFormatPassesOver(self) -> None:
        """An entry that a format does not show is read, and nothing is written for it."""
        self.form = BrokenFormat()
        self.patch(BrokenFormat, "read", lambda form, cursor, maxBytes, joined: Reading(self.streamLog.last, b""))
        wire = self.follow()
        before = wire.response.body
        self.append("a", "b")
        self.assertEqual(wire.response.body, before)
        self.assertEqual(self.producers[0].cursor, 2)

    def test_refusedTextEndsAtOnce(self) -> None:
        """
        A text that grows too long for the format `text` ends its response with `failed`; the stream
        goes on.
        """
        self.patch(textFormat, "TEXT_LIMIT", 100)
        self.form = TextFormat()
        wire = self.follow()
        self.append("a" * 60, "b" * 60)
        self.assertEqual(wire.response.types[-2:], ["gap", "failed"])
        self.assertTrue(wire.response.complete)
        self.assertEqual(self.ended, self.producers)


class QueuedProducerTests(ProducerTests):
    """The same on a transport whose queue cannot be bypassed."""

    def makeFactory(self) -> Any:
        return WrappingFactory(super().makeFactory())
