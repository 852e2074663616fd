"""
Tests for `sseserver.formats.translation` and `sseserver.formats.translatedlog`.

Their protocol numbers its events.
"""

from __future__ import annotations

import gc
import json
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from sseserver.errors import GapError, ReadingUnfinished
from sseserver.formats.rendering import READ_ENTRIES, identify
from sseserver.formats.translatedlog import CHECKPOINT
from sseserver.formats.translation import MOST_PLACES, TranslatedFormat, TranslatedRendering
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.entries import packChunk, packEvent
from sseserver.streams.log import StreamLog
from sseserver.testing import FormatContract
from sseserver.values import Kind
from tests.formats.chatcases import ALL, EPOCH, TOKENS, decode, end, makeLog, parts
from tests.readers import readAll, readRefusal


class Numbering:
    """
    Writes numbered events: `open` before the first entry, one for each token, two for each chunk with text.

    A chunk without text has none, and the end repeats the text.
    """

    def __init__(self, number: int, text: bytes = b"", isOpen: bool = False) -> None:
        self.number = number
        self.text = text
        self.isOpen = isOpen
        self.translated = 0

    def fork(self) -> Numbering:
        return Numbering(self.number, self.text, self.isOpen)

    def translate(self, kind: Kind, data: bytes) -> list[bytes]:
        self.translated += 1
        events = [] if self.isOpen else [self.write("open")]
        self.isOpen = True
        if kind == Kind.TOKEN:
            events.append(self.write(data.decode()))
            self.text += data
        elif kind == Kind.CHUNK:
            events += [self.write("a"), self.write("b")]
        elif kind == Kind.DONE:
            events += [self.write(self.text.decode()), b"data: [DONE]\n\n"]
        return events

    def write(self, told: str) -> bytes:
        self.number += 1
        return b"data: %b\n\n" % json.dumps([self.number - 1, told]).encode()

    def skip(self, text: bytes, count: int) -> bool:
        if not self.isOpen:
            return False
        self.text += text
        self.number += count
        return True

    def writeTexts(self, texts: list[bytes]) -> list[bytes]:
        if not self.isOpen:
            return []
        self.text += b"".join(texts)
        return [self.write(text.decode()) for text in texts]

    def findTexts(self, data: bytes, bounds: list[int]) -> list[bytes]:
        return []


@implementer(IRendering)
class NumberedRendering(TranslatedRendering):
    """A rendering in numbered events."""

    def __init__(self, streamLog: IStreamLog) -> None:
        self.made: list[int] = []
        super().__init__(streamLog, self.make)

    def make(self, streamLog: IStreamLog, number: int) -> Numbering:
        self.made.append(number)
        return Numbering(number)

    def writeFailure(self, reason: str, message: str) -> bytes:
        return b"data: %b\n\n" % json.dumps([reason, message]).encode()


class SkippingRendering(NumberedRendering):
    """A rendering that skips tokens."""

    takesTexts = True


class ReadingRendering(NumberedRendering):
    """A rendering that reads what the run answers."""

    readsInput = True


class IdentifiedRendering(SkippingRendering):
    """A rendering with IDs."""

    hasIDs = True


@implementer(IFormat)
class NumberedFormat(TranslatedFormat):
    """A format in numbered events."""

    name = "numbered"

    def __init__(self, rendering: type[NumberedRendering] = SkippingRendering) -> None:
        super().__init__()
        self.makeRendering = rendering  # type: ignore[method-assign, assignment]


class NumberedContractTests(FormatContract, SynchronousTestCase):
    """The contract of formats."""

    def makeFormat(self) -> IFormat:
        return NumberedFormat()


class IdentifiedContractTests(FormatContract, SynchronousTestCase):
    """The contract of formats, for one with IDs."""

    def makeFormat(self) -> IFormat:
        return NumberedFormat(IdentifiedRendering)


def fill(streamLog: StreamLog, entries: int, seed: int = 1) -> None:
    """Append entries of all kinds, and the end."""
    draw = random.Random(seed)
    for number in range(entries):
        match draw.choice("tttttttttteec"):
            case "t":
                streamLog.append(Kind.TOKEN, b"t%d " % number)
            case "e":
                streamLog.append(Kind.EVENT, packEvent(b"custom", b"data"))
            case _:
                streamLog.append(*packChunk(b"{}", draw.choice(("", "x"))))
    end(streamLog)


def told(data: bytes) -> list[Any]:
    """Return the data of events."""
    return parts(decode(data))


class TranslationTests(SynchronousTestCase):
    """Renderings with a translator."""

    def read(self, rendering: IRendering, cursor: int = 0, maxBytes: int = ALL) -> list[Any]:
        return told(readAll(rendering, cursor, maxBytes, True)[1])

    @given(TOKENS, st.integers(1, 400), st.booleans())
    def test_anyText(self, tokens: list[str], maxBytes: int, joined: bool) -> None:
        """Nothing is joined, however a log is read; events are numbered from 0."""
        streamLog = makeLog(*tokens)
        end(streamLog)
        data = readAll(SkippingRendering(streamLog), 0, maxBytes, joined)[1]
        texts = ["open", *tokens, "".join(tokens)]
        self.assertEqual(told(data), [*([n, text] for n, text in enumerate(texts)), "[DONE]"])

    def test_anywhere(self) -> None:
        """From each cursor and after each event a new rendering goes on as a whole reading does; so do 300 viewers."""
        streamLog = makeLog()
        fill(streamLog, 3 * CHECKPOINT)
        whole = self.read(SkippingRendering(streamLog))
        for kind in (NumberedRendering, SkippingRendering):
            shared = kind(streamLog)
            self.assertEqual(self.read(shared), whole)
            for events in range(0, len(whole) + 1, 7):
                for rendering in (shared, kind(streamLog)):
                    place = rendering.findEvent(events)
                    following = told(place.events) + self.read(rendering, place.cursor)
                    self.assertEqual(following, whole[events:])
            self.assertEqual(shared.countEvents(), len(whole))

    def test_live(self) -> None:
        """A translator translates each entry once while viewers follow, and each of them gets the same."""
        streamLog = makeLog()
        rendering = NumberedRendering(streamLog)
        cursors, data = [0, 0, 0], [b"", b"", b""]
        for number in range(2 * CHECKPOINT):
            streamLog.append(Kind.TOKEN, b"%d" % number)
            for viewer, pace in enumerate((1, 3, 64)):
                if not number % pace:
                    reading = rendering.read(cursors[viewer], ALL, pace > 1)
                    cursors[viewer] = reading.cursor
                    data[viewer] += reading.data
        self.assertTrue(data[0].startswith(data[1]))
        self.assertTrue(data[0].startswith(data[2]))
        self.assertEqual(rendering.made, [0])

    def test_behind(self) -> None:
        """
        A viewer that reads step by step goes on from its place: each entry is translated once.
        """
        streamLog = makeLog(*["x"] * 1000)
        rendering = NumberedRendering(streamLog)
        counted: list[int] = []
        translate = Numbering.translate
        self.patch(Numbering, "translate", lambda one, kind, data: counted.append(1) or translate(one, kind, data))
        self.read(rendering, maxBytes=100)
        self.assertEqual(len(counted), 1000)
        # Another viewer starts at a checkpoint.
        rendering.read(2 * CHECKPOINT + 5, 1, True)
        self.assertEqual(len(counted), 1000 + 5 + 1)

    def test_turns(self) -> None:
        """A place that is far away is sought in several turns, at most some of the log in each."""
        streamLog = makeLog(*["x"] * (2 * READ_ENTRIES + CHECKPOINT))
        rendering = NumberedRendering(streamLog)
        far = 2 * READ_ENTRIES + 100
        for _ in range(2):
            self.assertRaises(ReadingUnfinished, rendering.findEvent, far)
        self.assertEqual(rendering.findEvent(far).cursor, far - 1)
        self.assertEqual(NumberedRendering(streamLog).findEvent(CHECKPOINT).cursor, CHECKPOINT - 1)
        self.assertEqual(SkippingRendering(streamLog).findEvent(far).cursor, far - 1)
        other = NumberedRendering(streamLog)
        for _ in range(2):
            self.assertRaises(ReadingUnfinished, other.read, 2 * READ_ENTRIES + 100, ALL, True)
        self.assertEqual(told(other.read(2 * READ_ENTRIES + 100, 1, True).data), [[2 * READ_ENTRIES + 101, "x"]])

    def test_bounded(self) -> None:
        """However many viewers stand apart, the places of few are kept; the others go on all the same."""
        streamLog = makeLog(*"x" * 500)
        rendering = NumberedRendering(streamLog)
        translators: list[int] = []
        for cursor in range(0, 400, 2):
            rendering.read(cursor, 1, True)
        gc.collect()
        translators = [one.number for one in gc.get_objects() if isinstance(one, Numbering)]
        self.assertLessEqual(len(translators), MOST_PLACES + 3)
        self.assertEqual(told(rendering.read(1, 1, True).data), [[2, "x"]])

    def test_lost(self) -> None:
        """A number of events that the log does not have yet is an error."""
        streamLog = makeLog("a", "b")
        rendering = SkippingRendering(streamLog)
        self.assertEqual(rendering.findEvent(3), (2, b""))
        error = self.assertRaises(GapError, rendering.findEvent, 4)
        self.assertEqual(error.reason, "lost")

    def test_sure(self) -> None:
        """An event is sure to be there if there are as many texts, none of which is void or dropped."""
        streamLog = makeLog(*"abcd", window=8 * (ENTRY_COST + 1))
        rendering = SkippingRendering(streamLog)
        self.assertEqual([event for event in range(7) if rendering.hasEvent(event)], [0, 1, 2, 3, 4])
        streamLog.append(Kind.RESTART, b"{}")
        self.assertFalse(rendering.hasEvent(1))
        for _ in range(20):
            streamLog.append(Kind.TOKEN, b"x")
        self.assertGreater(streamLog.buffer.first, 5)
        self.assertFalse(rendering.hasEvent(1))

    def test_trimmed(self) -> None:
        """If entries that are needed are no longer kept, viewers are refused; one that is further reads on."""
        streamLog = makeLog(*"abcd", window=8 * (ENTRY_COST + 1))
        rendering = NumberedRendering(streamLog)
        cursor = rendering.read(0, ALL, True).cursor
        for token in b"efghijkl":
            streamLog.append(Kind.TOKEN, b"%c" % token)
            cursor = rendering.read(cursor, ALL, True).cursor
        self.assertGreater(streamLog.buffer.first, 2)
        self.assertEqual(cursor, streamLog.last)
        for late in (rendering, NumberedRendering(streamLog)):
            [[reason, message]] = told(readRefusal(late, 0))
            self.assertEqual(reason, "trimmed")
            self.assertIn("entries are no longer kept (trimmed): the answer cannot be whole.", message)
        error = self.assertRaises(GapError, NumberedRendering(streamLog).countEvents)
        self.assertEqual(error.reason, "trimmed")
        for events in (0, 2):
            self.assertEqual(self.assertRaises(GapError, rendering.findEvent, events).reason, "trimmed")
        streamLog.append(Kind.TOKEN, b"m")
        self.assertEqual(told(rendering.read(cursor, ALL, True).data), [[13, "m"]])

    def test_restart(self) -> None:
        """
        A restart ends the viewers that have text. For new ones the answer begins anew, and its events have new numbers.
        """
        streamLog = makeLog("a", "b")
        rendering = NumberedRendering(streamLog)
        cursor = rendering.read(0, ALL, True).cursor
        streamLog.append(Kind.RESTART, b"{}")
        streamLog.append(Kind.TOKEN, b"c")
        [[reason, _]] = told(readRefusal(rendering, cursor))
        self.assertEqual(reason, "restarted")
        end(streamLog)
        for late in (rendering, NumberedRendering(streamLog)):
            self.assertEqual(told(late.read(0, ALL, True).data), [[0, "open"], [1, "a"], [2, "b"]])
            [[reason, _]] = told(readRefusal(late, 2))
            self.assertEqual(reason, "restarted")
            anew = [[3, "open"], [4, "c"], [5, "c"], "[DONE]"]
            self.assertEqual(self.read(late, late.start(False)), anew)
            self.assertEqual(late.findEvent(0), (3, b""))
            for events in (1, 2, 3):
                self.assertEqual(self.assertRaises(GapError, late.findEvent, events).reason, "restarted")
            self.assertEqual(told(late.findEvent(4).events), [[4, "c"]])

    def test_restartWithoutText(self) -> None:
        """A restart before any text changes nothing."""
        streamLog = makeLog()
        for kind, data in ((Kind.RESTART, b"{}"), (Kind.EVENT, b"a\nb"), (Kind.RESTART, b"{}"), (Kind.TOKEN, b"a")):
            streamLog.append(kind, data)
        rendering = NumberedRendering(streamLog)
        self.assertEqual(self.read(rendering), [[0, "open"], [1, "a"]])
        self.assertEqual(self.read(rendering, rendering.start(True)), [[0, "open"], [1, "a"]])

    def test_input(self) -> None:
        """
        An input is written only by a translator that reads it: first, and again after a restart.

        There its events come with those of the next entry, since a viewer may start after the restart.
        """
        streamLog = makeLog()
        for kind, data in (
            (Kind.INPUT, b"{}\n[]"),
            (Kind.RESTART, b"{}"),
            (Kind.TOKEN, b"a"),
            (Kind.RESTART, b"{}"),
            (Kind.RESTART, b"{}"),
        ):
            streamLog.append(kind, data)
        reader = ReadingRendering(streamLog)
        self.assertEqual(reader.start(False), 5)
        self.assertEqual(told(reader.read(0, ALL, True).data), [[0, "open"], [1, "a"]])
        self.assertEqual(reader.countEvents(), 2)
        streamLog.append(Kind.TOKEN, b"b")
        for late in (reader, ReadingRendering(streamLog)):
            self.assertEqual(self.read(late, 5), [[2, "open"], [3, "b"]])
            self.assertEqual(told(late.findEvent(3).events), [[3, "b"]])
        plain = NumberedRendering(streamLog)
        self.assertEqual(self.read(plain, 5), [[2, "open"], [3, "b"]])
        early = makeLog()
        early.append(Kind.INPUT, b"{}\n[]")
        early.append(Kind.RESTART, b"{}")
        self.assertEqual(ReadingRendering(early).start(False), 0)
        self.assertEqual(self.read(ReadingRendering(early)), [[0, "open"]])
        self.assertEqual(self.read(NumberedRendering(early)), [])

    def test_identified(self) -> None:
        """The last event of an entry has its ID, directly before its data."""
        streamLog = makeLog("a", "b")
        data = readAll(IdentifiedRendering(streamLog), 0, ALL, True)[1]
        opened, first, second = data.split(b"\n\n")[:3]
        self.assertEqual(opened, b'data: [0, "open"]')
        self.assertEqual(first, b'id: %b-1\ndata: [1, "a"]' % EPOCH.encode())
        self.assertEqual(second, b'id: %b-2\ndata: [2, "b"]' % EPOCH.encode())
        self.assertEqual(identify(b"event: a\ndata: b\n\n", b"1"), b"event: a\nid: 1\ndata: b\n\n")

    def test_failures(self) -> None:
        """The rest of the contract: a response that is ended, and a gap. A head is a field of the first event."""
        rendering = NumberedRendering(makeLog("a"))
        self.assertEqual(told(rendering.retire(3000))[0][0], "retired")
        self.assertEqual(told(rendering.gap("x", GapError("unknown", 0, None)))[0][0], "unknown")
        self.assertEqual(rendering.head(0, 3000, "/"), b"retry: 3000\n")

    def test_shared(self) -> None:
        """A format finds the rendering of a log again as long as it is used, and never that of another log."""
        form = NumberedFormat()
        streamLog, other = makeLog("a"), makeLog("b")
        rendering = form.render(streamLog)
        self.assertIs(form.render(streamLog), rendering)
        self.assertIsNot(form.render(other), rendering)

    def test_base(self) -> None:
        """The parts that a subclass provides are named."""
        rendering = TranslatedRendering(makeLog("a"), lambda streamLog, number: Numbering(number))
        self.assertRaises(NotImplementedError, rendering.writeFailure, "a", "b")
        self.assertRaises(NotImplementedError, TranslatedFormat().render, makeLog())
