"""
Tests for `sseserver.formats.events`.
"""

from __future__ import annotations

import json
import tracemalloc

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import GapError
from sseserver.formats import EntriesFormat, EventsFormat
from sseserver.interfaces.reading import Reading
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.entries import packChunk
from sseserver.values import Kind
from sseserver.wire import Event
from tests.fakes import FakeViewer
from tests.formats.cases import (
    ALL,
    EPOCH,
    TERMINALS,
    decode,
    lineEnds,
    makeLog,
    number,
    tokenLists,
    trimmedLog,
)
from tests.readers import readAll, step


class EventsHeadTests(SynchronousTestCase):
    """The beginning of a response in the format `events`."""

    def test_bytes(self) -> None:
        """
        The head is an event `stream` with the reconnection time, the viewer's cursor in its ID, and
        JSON.
        """
        self.assertEqual(
            EventsFormat().render(makeLog()).head(0, 3000, "/streams/x"),
            b"event: stream\nretry: 3000\nid: %b-0\n"
            b'data: {"url":"/streams/x","epoch":"%b","state":"open"}\n\n' % (EPOCH.encode(), EPOCH.encode()),
        )

    def test_placeAndState(self) -> None:
        """
        A returning viewer gets its own ID, and the present state of the stream.
        """
        for terminal, state in [(None, "open"), *TERMINALS]:
            [event] = decode(EventsFormat().render(makeLog("a", "b", terminal=terminal)).head(2, 1, "u"))
            self.assertEqual((event.type, event.id, event.retry), ("stream", f"{EPOCH}-2", 1))
            self.assertEqual(json.loads(event.data), {"url": "u", "epoch": EPOCH, "state": state})


class EventsTests(SynchronousTestCase):
    """Entries in the format `events`."""

    def test_oneByOne(self) -> None:
        """
        Unless joined, each token is an event of the default type with its own ID. A space at its
        start is kept.
        """
        rendering = EventsFormat().render(makeLog("Hello", " world", "!"))
        epoch = EPOCH.encode()
        self.assertEqual(
            rendering.read(0, ALL, False),
            Reading(3, b"id: %b-1\ndata: Hello\n\nid: %b-2\ndata:  world\n\nid: %b-3\ndata: !\n\n" % ((epoch,) * 3)),
        )

    def test_joined(self) -> None:
        """
        Joined tokens are one event with the ID of the last.
        """
        rendering = EventsFormat().render(makeLog("Hello", " world", "!"))
        self.assertEqual(rendering.read(0, ALL, True), Reading(3, b"id: %b-3\ndata: Hello world!\n\n" % EPOCH.encode()))
        self.assertEqual(rendering.read(1, ALL, True), Reading(3, b"id: %b-3\ndata:  world!\n\n" % EPOCH.encode()))

    def test_newest(self) -> None:
        """
        The newest entry is the same event whether joined or not, and changes with each entry.
        """
        log = makeLog()
        rendering = EventsFormat().render(log)
        for n, token in enumerate(["a", "b", "c"]):
            log.append(Kind.TOKEN, token.encode())
            for joined in (True, False):
                cursor, frames = step(rendering, n, ALL, joined)
                self.assertEqual((cursor, decode(frames)), (n + 1, [Event(token, id=f"{EPOCH}-{n + 1}")]))

    def test_lines(self) -> None:
        """
        A token of several lines is one event with as many `data` lines. Only CR LF, CR and LF end a
        line.
        """
        rendering = EventsFormat().render(makeLog("a\nb\r\nc\rd\n", "\n"))
        frame = b"id: %b-%d\n%b\n"
        listed = frame % (EPOCH.encode(), 1, b"data: a\ndata: b\ndata: c\ndata: d\ndata: \n")
        listed += frame % (EPOCH.encode(), 2, b"data: \ndata: \n")
        self.assertEqual(rendering.read(0, ALL, False), Reading(2, listed))
        joined = frame % (EPOCH.encode(), 2, b"data: a\ndata: b\ndata: c\ndata: d\ndata: \ndata: \n")
        self.assertEqual(rendering.read(0, ALL, True), Reading(2, joined))

    def test_terminals(self) -> None:
        """
        A terminal entry is an event of its own type, never joined to tokens.
        """
        for terminal, type in TERMINALS:
            rendering = EventsFormat().render(makeLog("a", "b", terminal=terminal))
            end = Event('{"reason":"r"}', type, f"{EPOCH}-3")
            self.assertEqual(decode(rendering.read(0, ALL, True).data), [Event("ab", id=f"{EPOCH}-2"), end])
            self.assertEqual(decode(rendering.read(1, ALL, True).data), [Event("b", id=f"{EPOCH}-2"), end])
            self.assertEqual(
                decode(rendering.read(0, ALL, False).data),
                [Event("a", id=f"{EPOCH}-1"), Event("b", id=f"{EPOCH}-2"), end],
            )
            for joined in (True, False):
                self.assertEqual(decode(rendering.read(2, ALL, joined).data), [end])

    def test_silentChunks(self) -> None:
        """
        A chunk without text is an event `chunk` with its JSON as it came. It is not joined, and divides no line end.
        """
        chunks = [packChunk(b'{"a": 1}', "One\r"), packChunk(b'{"b" :2}', ""), packChunk(b'{"c":3}', "\nTwo")]
        log = makeLog()
        for kind, data in [*chunks, packChunk(b"{}", " three")]:
            log.append(kind, data)
        for form, first, second in (
            (EventsFormat(), "One\n", "Two three"),
            (EntriesFormat(), '{"token":"One\\r"}', '{"token":"\\nTwo three"}'),
        ):
            events = decode(form.render(log).read(0, ALL, True).data)
            expected = [
                ("message", first, f"{EPOCH}-1"),
                ("chunk", '{"b" :2}', f"{EPOCH}-2"),
                ("message", second, f"{EPOCH}-4"),
            ]
            self.assertEqual([(event.type, event.data, event.id) for event in events], expected)

    def test_caughtUp(self) -> None:
        """
        A caught-up viewer gets nothing, and keeps its cursor.
        """
        rendering = EventsFormat().render(makeLog())
        self.assertEqual(rendering.read(0, ALL, True), Reading(0, b""))
        rendering = EventsFormat().render(makeLog("a", terminal=Kind.DONE))
        for joined in (True, False):
            self.assertEqual(rendering.read(2, ALL, joined), Reading(2, b""))

    def test_complete(self) -> None:
        """
        A viewer is complete once it has read the terminal entry, and not before.
        """
        log = makeLog("a")
        rendering = EventsFormat().render(log)
        self.assertEqual([rendering.complete(cursor) for cursor in (0, 1)], [False, False])
        log.append(Kind.CANCELLED, b"{}")
        self.assertEqual([rendering.complete(cursor) for cursor in (0, 1, 2)], [False, False, True])

    def test_shared(self) -> None:
        """
        Viewers at the same place get the same bytes object, encoded once.
        """
        rendering = EventsFormat().render(makeLog("one", "two", "three", "four"))
        for cursor, joined in [(3, True), (0, True), (0, False), (1, True), (1, False)]:
            first, second = [rendering.read(cursor, ALL, joined) for _ in range(2)]
            self.assertEqual(first, second)
            self.assertIs(first.data, second.data)
        self.assertIs(rendering.read(3, ALL, True).data, rendering.read(3, ALL, False).data)

    def test_notShared(self) -> None:
        """
        A reading of a single viewer is not kept for others; one of several viewers is.
        """
        log = makeLog(*["x" * 1000] * 10)
        viewers = [FakeViewer(), FakeViewer()]
        for viewer, shared in zip(viewers, (False, True), strict=True):
            rendering = log.follow(viewer, EventsFormat())
            frames = [rendering.read(0, ALL, True).data for _ in range(2)]
            self.assertEqual(frames[0], frames[1])
            self.assertEqual(frames[0] is frames[1], shared)

    def test_sharedIsNotStale(self) -> None:
        """
        A shared reading is not used after another entry, or for a viewer that reads in another way.
        """
        log = makeLog("a", "b", "c")
        rendering = EventsFormat().render(log)
        for entries in ("abc", "abcd", "abcde"):
            if len(entries) > log.last:
                log.append(Kind.TOKEN, entries[-1].encode())
            for cursor in (0, 1):
                joined, listed = rendering.read(cursor, ALL, True), rendering.read(cursor, ALL, False)
                self.assertEqual([event.data for event in decode(joined.data)], [entries[cursor:]])
                self.assertEqual([event.data for event in decode(listed.data)], list(entries[cursor:]))
                self.assertEqual(rendering.read(cursor, 1, True).cursor, cursor + 1)

    def test_whatIsSharedIsBounded(self) -> None:
        """
        However many places viewers read from, a rendering keeps no multiple of the log's bytes.
        """
        log = makeLog(*["x" * 1000] * 1000)
        rendering = EventsFormat().render(log)
        tracemalloc.start()
        try:
            for cursor in range(500):
                rendering.read(cursor, 128 * 1024, True)
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertLess(kept, 16 * log.buffer.size)

    @given(tokenLists(), st.sampled_from([None, Kind.DONE]), st.integers(0, 12), st.integers(1, 60))
    @example(["a\r", "\r\nb"], None, 0, ALL)
    def test_joinedEqualsListed(self, tokens: list[str], terminal: Kind | None, cursor: int, maxBytes: int) -> None:
        """
        From every place and in steps of every size, joined events and single ones give the same
        text, the same end and the same last ID.
        """
        log = makeLog(*tokens, terminal=terminal)
        cursor = min(cursor, log.last)
        rendering = EventsFormat().render(log)
        text = {}
        for joined in (True, False):
            end, stream = readAll(rendering, cursor, maxBytes, joined)
            events = decode(stream)
            self.assertEqual(end, log.last)
            self.assertEqual(number(events[-1]) if events else cursor, log.last)
            self.assertEqual(
                [event.type for event in events if event.type != "message"], ["done"] * bool(terminal and events)
            )
            text[joined] = "".join(event.data for event in events if event.type == "message")
        self.assertEqual(text[True], text[False])
        self.assertEqual(text[True], lineEnds("".join(tokens[cursor:])))

    @given(tokenLists(), st.booleans(), st.integers(0, 12), st.integers(1, 60), st.integers(300, 3000))
    def test_idsCoverTheirEntries(
        self, tokens: list[str], joined: bool, cursor: int, maxBytes: int, window: int
    ) -> None:
        """
        Each event contains exactly the entries after the ID before it up to its own, even in a
        trimmed log: a viewer that resumes misses and repeats nothing.
        """
        log = makeLog(*tokens, terminal=Kind.DONE, window=window)
        cursor = max(log.buffer.first - 1, min(cursor, log.last))
        _, stream = readAll(EventsFormat().render(log), cursor, maxBytes, joined)
        for event in decode(stream):
            if event.type == "message":
                self.assertEqual(event.data, lineEnds("".join(tokens[cursor : number(event)])))
                self.assertTrue(joined or number(event) == cursor + 1)
            else:
                self.assertEqual(number(event), cursor + 1)
            cursor = number(event)
        self.assertEqual(cursor, log.last)

    @given(tokenLists(), st.sampled_from([None, Kind.DONE]), st.integers(0, 12), st.integers(1, 60))
    def test_bounded(self, tokens: list[str], terminal: Kind | None, cursor: int, maxBytes: int) -> None:
        """
        A reading ends with the entry that reaches the requested size, or with the last entry.
        """
        log = makeLog(*tokens, terminal=terminal)
        cursor = min(cursor, log.last)
        rendering = EventsFormat().render(log)
        for joined in (True, False):
            end, frames = step(rendering, cursor, maxBytes, joined)
            self.assertTrue(end > cursor or end == log.last)
            self.assertTrue(len(frames) >= maxBytes or end == log.last)
            # All entries but the last one read do not reach it, by their data; nor, one by one, by their frames.
            self.assertTrue(sum(map(len, log.buffer.entries[cursor : end - 1])) < maxBytes)
            if not joined and end > cursor:
                *whole, _ = frames.split(b"\n\n")[:-1]
                self.assertLess(sum(len(frame) + 2 for frame in whole), maxBytes)

    def test_boundedToTheByte(self) -> None:
        """
        An entry that reaches the requested size exactly is the last one read.
        """
        rendering = EventsFormat().render(makeLog("1234", "5678", "9", "0"))
        self.assertEqual([rendering.read(0, size, True).cursor for size in (1, 4, 5, 8, 9)], [1, 1, 2, 2, 3])
        frame = len(rendering.read(0, 1, False).data)
        self.assertEqual([rendering.read(0, size, False).cursor for size in (1, frame, frame + 1)], [1, 1, 2])

    def test_trimmed(self) -> None:
        """
        If entries after the cursor are no longer kept, the error tells how many are missing and
        where to continue; reading continues there.
        """
        log = trimmedLog(keep=32, total=100)
        start = log.buffer.first - 1
        rendering = EventsFormat().render(log)
        for joined in (True, False):
            for cursor in (0, 1, start - 1):
                gap = self.assertRaises(GapError, rendering.read, cursor, ALL, joined)
                self.assertEqual((gap.reason, gap.cursor, gap.missed), ("trimmed", start, start - cursor))
            end, stream = readAll(rendering, start, 10, joined)
            self.assertEqual(end, 100)
            text = "".join(event.data for event in decode(stream))
            self.assertEqual(text, "".join(str(n % 10) for n in range(start + 1, 101)))

    def test_trimmedWhileReading(self) -> None:
        """
        A shared reading is no longer used once its entries are trimmed.
        """
        log = makeLog("a", "b", "c", window=3 * (ENTRY_COST + 1))
        rendering = EventsFormat().render(log)
        self.assertEqual(rendering.read(0, ALL, True).cursor, 3)
        log.append(Kind.TOKEN, b"d")
        self.assertGreater(log.buffer.first, 1)
        self.assertRaises(GapError, rendering.read, 0, ALL, True)

    def test_onlyTheNewestIsKept(self) -> None:
        """
        If only the newest entry is kept, the viewer just before it gets it, and the one before that
        gets a gap.
        """
        log = makeLog("a", "b", "c", window=0)
        rendering = EventsFormat().render(log)
        self.assertEqual(decode(rendering.read(2, ALL, True).data), [Event("c", id=f"{EPOCH}-3")])
        gap = self.assertRaises(GapError, rendering.read, 1, ALL, True)
        self.assertEqual((gap.cursor, gap.missed), (2, 1))
