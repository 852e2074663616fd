"""
Tests for `sseserver.formats.rendering`, with the formats `events` and `text`.
"""

from __future__ import annotations

import json
from typing import cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import GapError
from sseserver.formats import EntriesFormat, EntryRendering, EventsFormat, OpenAIFormat, UIFormat
from sseserver.formats.rendering import JOINED_BYTES, writeGap
from sseserver.interfaces import IStreamLog
from sseserver.values import Kind
from tests.formats.cases import (
    ALL,
    EPOCH,
    FORMATS,
    decode,
    makeLog,
    number,
    tokenLists,
    trimmedLog,
)
from tests.readers import readAll


class SharedTests(SynchronousTestCase):
    """The shared part of the formats."""

    def test_eachRenderingStartsAtNothing(self) -> None:
        """
        A format is stateless: its renderings of two logs know nothing of each
        other.
        """
        for form in FORMATS.values():
            one, two = form.render(makeLog("a")), form.render(makeLog("b"))
            self.assertEqual([event.data for event in decode(one.read(0, ALL, True).data)], ["a"])
            self.assertEqual([event.data for event in decode(two.read(0, ALL, True).data)], ["b"])

    def test_writeGap(self) -> None:
        """
        A gap says what was asked for, what follows, how many entries are
        missing and why; its own ID is the one just before what follows.
        """
        self.assertEqual(
            writeGap(EPOCH, "asked", GapError("trimmed", 41, 7)),
            b"event: gap\nid: %b-41\n"
            b'data: {"after":"asked","from":"%b-42","missed":7,"reason":"trimmed"}\n\n'
            % (EPOCH.encode(), EPOCH.encode()),
        )

    def test_gapAfterAnything(self) -> None:
        """
        Whatever a client sent as its last event ID comes back as data, and
        cannot break out of it.
        """
        asked = "x\r\nid: 1\n\nevent: evil\u2028\x00\x85"
        for form in FORMATS.values():
            [event] = decode(form.render(makeLog()).gap(asked, GapError("unknown", 0, None)))
            self.assertEqual((event.type, event.id), ("gap", f"{EPOCH}-0"))
            self.assertEqual(
                json.loads(event.data), {"after": asked, "from": f"{EPOCH}-1", "missed": None, "reason": "unknown"}
            )


class ContractOfBothTests(SynchronousTestCase):
    """The promises of every rendering."""

    def test_start(self) -> None:
        """
        A new viewer starts at the first entry kept, or at the very start of a
        text; or, if it wants, at the end.
        """
        for log in (makeLog(), makeLog("a"), makeLog("a", "b", terminal=Kind.DONE), trimmedLog(keep=4, total=20)):
            for name, start in (("events", log.buffer.first - 1), ("text", 0)):
                rendering = FORMATS[name].render(log)
                self.assertEqual((rendering.start(False), rendering.start(True)), (start, log.last), name)
        self.assertGreater(log.buffer.first, 1)

    def test_completeIsExact(self) -> None:
        """
        Only who has read the terminal entry has all: a number that nobody was
        given is not complete.
        """
        for form in FORMATS.values():
            rendering = form.render(makeLog("a", "b", terminal=Kind.DONE))
            self.assertEqual([rendering.complete(cursor) for cursor in range(6)], [False] * 3 + [True] + [False] * 2)

    @given(tokenLists(), st.sampled_from([None, Kind.CANCELLED]), st.sampled_from(sorted(FORMATS)), st.booleans())
    def test_readingEnds(self, tokens: list[str], terminal: Kind | None, name: str, joined: bool) -> None:
        """
        From every place reading comes to an end, the cursor never goes back,
        and then the viewer is complete just when the stream has ended.
        """
        log: IStreamLog = makeLog(*tokens, terminal=terminal)
        rendering = FORMATS[name].render(log)
        for cursor in range(log.last + 1):
            end, stream = readAll(rendering, cursor, 8, joined)
            self.assertEqual(end, log.last)
            self.assertEqual(rendering.complete(end), terminal is not None)
            events = decode(stream)
            self.assertEqual([number(event) for event in events], sorted({number(event) for event in events}))
            self.assertEqual(bool(events), cursor < log.last)


class JoinedTests(SynchronousTestCase):
    """The size of events with joined text."""

    def test_F42_joinedEventsAreBounded(self) -> None:
        """F42: an event with joined text has at most 32 KiB as it is written, whatever the text."""
        for form in (EventsFormat(), OpenAIFormat("m"), UIFormat()):
            for text in ("word ", "\n", "\u6587", "\x01", "\U0001f600", "x" * 5000, "\n" * 900):
                tokens = [text] * (300_000 // len(text.encode()))
                rendering = form.render(makeLog(*tokens, terminal=Kind.DONE))
                _, stream = readAll(rendering, 0, ALL, True)
                events = [event for event in stream.split(b"\n\n") if not event.startswith(b'data: {"type')]
                self.assertLessEqual(max(map(len, events)), JOINED_BYTES, (form.name, text))
                self.assertLess(len(events), len(tokens))

    def test_partsOfAPiece(self) -> None:
        """A piece has the same bytes in one part and in several, whatever its line ends."""
        for form in (EventsFormat(), EntriesFormat(), OpenAIFormat("m")):
            rendering = cast("EntryRendering", form.render(makeLog("a\r", "\nb", "c")))
            for text, index in ((b"ab", 0), (b"\nb", 1), (b"\nb", 2), (b"a\r\nb\n", 0), (b"", 0)):
                parts = [b"before"]
                rendering.addPiece(2, text, index, parts)
                self.assertEqual(b"".join(parts), b"before" + rendering.piece(2, text, index), (form.name, text))

    def test_F42_longEntry(self) -> None:
        """F42: an entry that is longer is one event, not joined with others."""
        rendering = EventsFormat().render(makeLog("a", "b", "x" * 100_000, "c", "d"))
        events = decode(readAll(rendering, 0, ALL, True)[1])
        self.assertEqual([len(event.data) for event in events], [2, 100_000, 2])
