"""
Tests for L{sseserver.formats.rendering}.

What comes out is read with L{sseserver.wire.Decoder}, as a viewer would; the
exact bytes are held by a few tests beside it.
"""

from __future__ import annotations

import json
import re
import tracemalloc
from typing import Any, NamedTuple

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sseserver.errors import GapError
from sseserver.formats import EventsFormat, TextFormat
from sseserver.formats import text as textFormat
from sseserver.formats.rendering import REFUSED, writeGap
from sseserver.formats.text import TEXT_LIMIT
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.reading import Reading
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.log import StreamLog
from sseserver.timing.ticker import Ticker
from sseserver.values import Kind
from sseserver.wire import Decoder, Event
from tests.fakes import FakeViewer
from tests.readers import readAll, step

EPOCH = "0123456789abcdefghijAZ"

#: More than any test's log holds.
ALL = 10_000_000

FORMATS: dict[str, IFormat] = {form.name: form for form in (EventsFormat(), TextFormat())}

TERMINALS = [(Kind.DONE, "done"), (Kind.FAILED, "failed"), (Kind.CANCELLED, "cancelled")]


def makeLog(*tokens: str, terminal: Kind | None = None, window: int = ALL) -> StreamLog:
    """Make a log with these tokens and, if wanted, a terminal entry."""
    streamLog = StreamLog("name", EPOCH, Ticker(Clock(), 0.005), window)
    for token in tokens:
        streamLog.append(Kind.TOKEN, token.encode("utf-8"))
    if terminal is not None:
        streamLog.append(terminal, b'{"reason":"r"}')
    return streamLog


def trimmedLog(keep: int, total: int, terminal: Kind | None = None) -> StreamLog:
    """Make a log that has had so many tokens of one byte, `0` to `9` in turn, and keeps only the newest."""
    return makeLog(*(str(n % 10) for n in range(1, total + 1)), terminal=terminal, window=keep * (ENTRY_COST + 1))


def decode(stream: bytes) -> list[Event]:
    """Read a whole event stream; nothing of it may be unfinished."""
    decoder = Decoder(ALL)
    events = decoder.feed(stream)
    assert not decoder.pending, stream
    return events


def number(event: Event) -> int:
    """Find an event's number in its ID."""
    match = re.fullmatch(rf"{EPOCH}-(0|[1-9][0-9]*)", event.id or "")
    assert match is not None, event
    return int(match[1])


def lineEnds(text: str) -> str:
    """Write a text as EventSource shows it: all line ends are LF."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


# Line ends, what only str.splitlines takes for one, what could be mistaken for the format's own signs, wide characters.
SIGNS = "\r\n :a\u2028\x85\x0b\x0c\x1c\x00\ufeff\u00e9\U0001f600"
HOSTILE = st.text(st.sampled_from(SIGNS) | st.characters(codec="utf-8"))


@st.composite
def tokenLists(draw: st.DrawFn) -> list[str]:
    """
    Draw tokens as a sink writes them: none is empty, and a CR at a token's end
    was held back for the next one, so that no CR LF is cut in two.
    """
    tokens, held = [], ""
    for piece in draw(st.lists(HOSTILE, max_size=12)):
        token, held = held + piece, ""
        if token.endswith("\r"):
            token, held = token[:-1], "\r"
        if token:
            tokens.append(token)
    return [*tokens, held] if held else tokens


class ToolTests(SynchronousTestCase):
    """What the formats share."""

    def test_formats(self) -> None:
        """
        The formats can be found by their names, and keep their contracts.
        """
        self.assertEqual(sorted(FORMATS), ["events", "text"])
        for name, form in FORMATS.items():
            self.assertEqual(form.name, name)
            verifyObject(IFormat, form)
            verifyObject(IRendering, form.render(makeLog()))

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


class EventsHeadTests(SynchronousTestCase):
    """What a response in the format `events` begins with."""

    def test_bytes(self) -> None:
        """
        The head is an event `stream` with the reconnection time, the viewer's
        place as its ID, and JSON.
        """
        self.assertEqual(
            EventsFormat().render(makeLog()).head(0, 3000, "/streams/x"),
            b"event: stream\nretry: 3000\nid: %b-0\n"
            b'data: {"url":"/streams/x","epoch":"%b","state":"open"}\n\n' % (EPOCH.encode(), EPOCH.encode()),
        )

    def test_placeAndState(self) -> None:
        """
        A viewer that comes back gets its own place again, and the state that
        the stream is in now.
        """
        for terminal, state in [(None, "open"), *TERMINALS]:
            [event] = decode(EventsFormat().render(makeLog("a", "b", terminal=terminal)).head(2, 1, "u"))
            self.assertEqual((event.type, event.id, event.retry), ("stream", f"{EPOCH}-2", 1))
            self.assertEqual(json.loads(event.data), {"url": "u", "epoch": EPOCH, "state": state})


class EventsTests(SynchronousTestCase):
    """Entries in the format `events`."""

    def test_oneByOne(self) -> None:
        """
        Not joined, each token is an event of the default type with its own ID;
        the space at its start is kept.
        """
        rendering = EventsFormat().render(makeLog("Hello", " world", "!"))
        epoch = EPOCH.encode()
        self.assertEqual(
            rendering.read(0, ALL, False),
            Reading(3, b"id: %b-1\ndata: Hello\n\nid: %b-2\ndata:  world\n\nid: %b-3\ndata: !\n\n" % ((epoch,) * 3)),
        )

    def test_joined(self) -> None:
        """
        Joined, tokens that wait are one event with the last one's ID.
        """
        rendering = EventsFormat().render(makeLog("Hello", " world", "!"))
        self.assertEqual(rendering.read(0, ALL, True), Reading(3, b"id: %b-3\ndata: Hello world!\n\n" % EPOCH.encode()))
        self.assertEqual(rendering.read(1, ALL, True), Reading(3, b"id: %b-3\ndata:  world!\n\n" % EPOCH.encode()))

    def test_newest(self) -> None:
        """
        The newest entry is the same event whether joined or not, and changes
        with each new entry.
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
        A token of several lines is one event of as many `data` lines; only CR
        LF, CR and LF end a line.
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
        A terminal entry is an event of its own type, never joined to the
        tokens before it.
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

    def test_caughtUp(self) -> None:
        """
        A viewer that has everything gets nothing, and keeps its cursor.
        """
        rendering = EventsFormat().render(makeLog())
        self.assertEqual(rendering.read(0, ALL, True), Reading(0, b""))
        rendering = EventsFormat().render(makeLog("a", terminal=Kind.DONE))
        for joined in (True, False):
            self.assertEqual(rendering.read(2, ALL, joined), Reading(2, b""))

    def test_complete(self) -> None:
        """
        A viewer has all that will ever come when the stream has ended and it
        has read the terminal entry; not before either.
        """
        log = makeLog("a")
        rendering = EventsFormat().render(log)
        self.assertEqual([rendering.complete(cursor) for cursor in (0, 1)], [False, False])
        log.append(Kind.CANCELLED, b"{}")
        self.assertEqual([rendering.complete(cursor) for cursor in (0, 1, 2)], [False, False, True])

    def test_shared(self) -> None:
        """
        Viewers at the same place are given the same bytes object, encoded
        once.
        """
        rendering = EventsFormat().render(makeLog("one", "two", "three", "four"))
        for cursor, joined in [(3, True), (0, True), (0, False), (1, True), (1, False)]:
            first, second = [rendering.read(cursor, ALL, joined) for _ in range(2)]
            self.assertEqual(first, second)
            self.assertIs(first.data, second.data)
        self.assertIs(rendering.read(3, ALL, True).data, rendering.read(3, ALL, False).data)

    def test_notShared(self) -> None:
        """
        What a single viewer reads is not kept for others; what it reads together with another one is.
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
        What was given before a new entry came is not given after it, and what
        was given in one way is not given in another.
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
        However many places viewers read from while no entry comes, a rendering
        keeps no multiple of what the log itself holds.
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
        From every place and in steps of every size, whoever reads joined and
        whoever reads one by one come to the same text, the same end and the
        same last ID.
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
        Each event holds exactly the entries after the ID before it and up to
        its own, also in a log that was trimmed: whoever resumes from any ID
        misses and repeats nothing.
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
        A read stops after the entry that reaches the wanted size: not before,
        unless there is no more, and not after.
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
        An entry that reaches the wanted size to the byte is the last one read.
        """
        rendering = EventsFormat().render(makeLog("1234", "5678", "9", "0"))
        self.assertEqual([rendering.read(0, size, True).cursor for size in (1, 4, 5, 8, 9)], [1, 1, 2, 2, 3])
        frame = len(rendering.read(0, 1, False).data)
        self.assertEqual([rendering.read(0, size, False).cursor for size in (1, frame, frame + 1)], [1, 1, 2])

    def test_trimmed(self) -> None:
        """
        Where entries after the cursor are no longer kept, reading raises how
        many are missing and where it goes on; from there it does go on.
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
        What was read and shared before is not given any more once it is
        trimmed.
        """
        log = makeLog("a", "b", "c", window=3 * (ENTRY_COST + 1))
        rendering = EventsFormat().render(log)
        self.assertEqual(rendering.read(0, ALL, True).cursor, 3)
        log.append(Kind.TOKEN, b"d")
        self.assertGreater(log.buffer.first, 1)
        self.assertRaises(GapError, rendering.read, 0, ALL, True)

    def test_onlyTheNewestIsKept(self) -> None:
        """
        Where the newest entry is all that is kept, the viewer just before it
        gets it, and the one before that is told.
        """
        log = makeLog("a", "b", "c", window=0)
        rendering = EventsFormat().render(log)
        self.assertEqual(decode(rendering.read(2, ALL, True).data), [Event("c", id=f"{EPOCH}-3")])
        gap = self.assertRaises(GapError, rendering.read, 1, ALL, True)
        self.assertEqual((gap.cursor, gap.missed), (2, 1))


class Page(NamedTuple):
    """What the page of nine lines has after some frames: the text shown, and all events."""

    text: str | None
    events: list[Event]


def show(stream: bytes) -> Page:
    """Set an element's text to the data of each event of the default type."""
    events = decode(stream)
    texts = [event.data for event in events if event.type == "message"]
    return Page(texts[-1] if texts else None, events)


class TextHeadTests(SynchronousTestCase):
    """What a response in the format `text` begins with."""

    def test_new(self) -> None:
        """
        A new viewer first gets the empty text with the first ID and the
        reconnection time, so that it can resume before the first token.
        """
        head = TextFormat().render(makeLog()).head(0, 3000, "u")
        self.assertEqual(head, b"retry: 3000\nid: %b-0\ndata: \n\n" % EPOCH.encode())
        self.assertEqual(decode(head), [Event("", id=f"{EPOCH}-0", retry=3000)])

    def test_resumed(self) -> None:
        """
        A viewer that comes back keeps the text that it shows, and its last
        event ID: it is given only the reconnection time.
        """
        decoder = Decoder(lastEventID=f"{EPOCH}-2")
        self.assertEqual(decoder.feed(TextFormat().render(makeLog("a", "b", "c")).head(2, 1234, "u")), [])
        self.assertEqual((decoder.reconnectionTime, decoder.lastEventID), (1234, f"{EPOCH}-2"))
        self.assertFalse(decoder.pending)


class TextTests(SynchronousTestCase):
    """Entries in the format `text`."""

    def test_wholeText(self) -> None:
        """
        Each event is the whole text so far with the newest ID.
        """
        log = makeLog()
        rendering = TextFormat().render(log)
        shown = []
        for cursor, token in enumerate(["Hello", " world", "\n", "!"]):
            log.append(Kind.TOKEN, token.encode())
            after, frames = step(rendering, cursor, ALL, False)
            self.assertEqual(after, cursor + 1)
            shown += decode(frames)
        self.assertEqual(
            shown,
            [
                Event("Hello", id=f"{EPOCH}-1"),
                Event("Hello world", id=f"{EPOCH}-2"),
                Event("Hello world\n", id=f"{EPOCH}-3"),
                Event("Hello world\n!", id=f"{EPOCH}-4"),
            ],
        )

    def test_bytes(self) -> None:
        """
        The text's lines are `data` lines of one event.
        """
        rendering = TextFormat().render(makeLog("a\n", "b", "\r\n\nc\r", " d"))
        self.assertEqual(
            rendering.read(0, ALL, True),
            Reading(4, b"id: %b-4\ndata: a\ndata: b\ndata: \ndata: c\ndata:  d\n\n" % EPOCH.encode()),
        )

    def test_manyAtOnce(self) -> None:
        """
        Tokens that are taken in as one piece make the same frame as one by
        one: with line ends inside and between them, other entries among them,
        empty ones last, and over the limit.
        """
        self.patch(textFormat, "TEXT_LIMIT", 20)
        scenes = (
            ["a", "b\n", "\nc"],
            ["a\r", "\nb", "\r", "\n"],
            ["a", "b", ""],
            ["", ""],
            ["0123456789", "0123456789"],
            ["0123456789", "0123456789", "x"],
            ["0123456789", "012345678\r", "\n", "x"],
        )
        for tokens in scenes:
            for event in range(len(tokens) + 1):
                for ended in (False, True):
                    log = makeLog()
                    single, once = TextFormat().render(log), TextFormat().render(log)
                    for place, token in enumerate(tokens):
                        if place == event:
                            log.append(Kind.EVENT, b"name\ndata")
                        log.append(Kind.TOKEN, token.encode())
                        single.read(0, ALL, False)
                    if ended:
                        log.append(Kind.DONE, b"{}")
                    self.assertEqual(once.read(0, ALL, False), single.read(0, ALL, False), (tokens, event))

    def test_newestOnly(self) -> None:
        """
        A viewer that is behind, however far, gets one event: the newest, and
        no part of it, whatever size was wanted.
        """
        rendering = TextFormat().render(makeLog(*"abcdefgh"))
        for cursor in range(8):
            for maxBytes, joined in [(1, True), (1, False), (ALL, True)]:
                end, frames = step(rendering, cursor, maxBytes, joined)
                self.assertEqual((end, decode(frames)), (8, [Event("abcdefgh", id=f"{EPOCH}-8")]))
        self.assertEqual(rendering.read(8, ALL, True), Reading(8, b""))

    def test_empty(self) -> None:
        """
        Of an empty log there is nothing to read.
        """
        rendering = TextFormat().render(makeLog())
        self.assertEqual(rendering.read(0, ALL, True), Reading(0, b""))
        self.assertFalse(rendering.complete(0))

    def test_terminal(self) -> None:
        """
        The terminal event comes after the text, with its own type and ID; a
        viewer that shows the whole text already gets only that.
        """
        for terminal, type in TERMINALS:
            rendering = TextFormat().render(makeLog("a", "b", terminal=terminal))
            end = Event('{"reason":"r"}', type, f"{EPOCH}-3")
            for cursor in (0, 1):
                after, frames = step(rendering, cursor, ALL, True)
                self.assertEqual((after, decode(frames)), (3, [Event("ab", id=f"{EPOCH}-2"), end]))
            after, frames = step(rendering, 2, ALL, True)
            self.assertEqual((after, decode(frames)), (3, [end]))
            self.assertEqual(rendering.read(3, ALL, True), Reading(3, b""))

    def test_terminalComesLater(self) -> None:
        """
        The terminal is told to viewers that read before it came, too.
        """
        log = makeLog("a")
        rendering = TextFormat().render(log)
        self.assertEqual(rendering.read(0, ALL, True).cursor, 1)
        log.append(Kind.FAILED, b"{}")
        self.assertEqual(decode(rendering.read(1, ALL, False).data), [Event("{}", "failed", f"{EPOCH}-2")])

    def test_nothingButTheTerminal(self) -> None:
        """
        A stream without a token ends all the same.
        """
        rendering = TextFormat().render(makeLog(terminal=Kind.DONE))
        after, frames = step(rendering, 0, ALL, True)
        self.assertEqual((after, decode(frames)), (1, [Event('{"reason":"r"}', "done", f"{EPOCH}-1")]))

    def test_complete(self) -> None:
        """
        A viewer has all when the stream has ended and it has read the terminal
        entry; that is known without a read, too.
        """
        log = makeLog("a")
        rendering = TextFormat().render(log)
        self.assertEqual([rendering.complete(cursor) for cursor in (0, 1)], [False, False])
        log.append(Kind.DONE, b"{}")
        self.assertEqual([rendering.complete(cursor) for cursor in (0, 1, 2)], [False, False, True])

    def test_shared(self) -> None:
        """
        All viewers that get the same text get the same bytes object.
        """
        log = makeLog("a", "b")
        rendering = TextFormat().render(log)
        frames = rendering.read(0, ALL, True).data
        self.assertIs(rendering.read(1, 1, False).data, frames)
        log.append(Kind.TOKEN, b"c")
        self.assertIs(rendering.read(0, ALL, True).data, rendering.read(2, ALL, True).data)
        self.assertEqual(show(rendering.read(0, ALL, True).data).text, "abc")

    @given(tokenLists(), st.lists(st.booleans(), min_size=12), st.booleans())
    def test_wholeTextAtEachStep(self, tokens: list[str], reads: list[bool], ends: bool) -> None:
        """
        Whenever a viewer reads, it shows the whole text so far, and its last
        event ID is that of the last token in it; one that reads at each step
        and one that comes at the end see the same.
        """
        log = makeLog()
        rendering = TextFormat().render(log)
        cursor = 0
        for count, token in enumerate(tokens, 1):
            log.append(Kind.TOKEN, token.encode("utf-8"))
            if reads[count - 1]:
                cursor, frames = step(rendering, cursor, 1, False)
                self.assertEqual(decode(frames), [Event(lineEnds("".join(tokens[:count])), id=f"{EPOCH}-{count}")])
                self.assertEqual(cursor, count)
        if ends:
            log.append(Kind.DONE, b"{}")
        whole = [Event(lineEnds("".join(tokens)), id=f"{EPOCH}-{len(tokens)}")] if tokens else []
        end = [Event("{}", "done", f"{EPOCH}-{len(tokens) + 1}")] if ends else []
        self.assertEqual(decode(rendering.read(0, 1, True).data), whole + end)
        self.assertEqual(decode(TextFormat().render(log).read(0, 1, True).data), whole + end)
        missing = whole if cursor < len(tokens) else []
        self.assertEqual(decode(rendering.read(cursor, 1, True).data), missing + end)


class TextLimitTests(SynchronousTestCase):
    """Texts that the format `text` does not serve."""

    def setUp(self) -> None:
        """Make long texts short."""
        self.patch(textFormat, "TEXT_LIMIT", 100)

    def assertRefused(self, events: list[Event], after: str, following: int) -> None:
        """These two events tell that the rest of the text does not fit."""
        self.assertEqual([event.type for event in events], ["gap", "failed"])
        gap: dict[str, Any] = json.loads(events[0].data)
        self.assertEqual(gap, {"after": after, "from": f"{EPOCH}-{following}", "missed": None, "reason": "trimmed"})
        self.assertEqual([number(event) for event in events], [following - 1, REFUSED])
        failed = json.loads(events[1].data)
        self.assertEqual(failed["reason"], "too_long")
        self.assertIsInstance(failed["message"], str)

    def test_default(self) -> None:
        """
        By default the limit is 1 MiB.
        """
        self.assertEqual(TEXT_LIMIT, 1024 * 1024)

    def test_longestText(self) -> None:
        """
        A text of as many bytes as the limit is served, in one token or in
        many, of one line or of many; with a byte more it is not.
        """
        for tokens in (["x" * 100], ["x"] * 100, ["x" * 9 + "\n"] * 10, ["\n"] * 100, ["\n" * 100], ["\u00e9"] * 50):
            log = makeLog(*tokens)
            rendering = TextFormat().render(log)
            page = show(rendering.read(0, ALL, True).data)
            self.assertEqual((page.text, [event.type for event in page.events]), ("".join(tokens), ["message"]))
            log.append(Kind.TOKEN, b"x")
            after, frames = step(rendering, log.last - 1, ALL, True)
            self.assertEqual(after, REFUSED)
            self.assertRefused(decode(frames), f"{EPOCH}-{log.last - 1}", log.last)

    def test_tooLong(self) -> None:
        """
        A viewer of a text that is too long gets it as far as it goes, then a
        gap, then `failed`; that is all for this viewer.
        """
        rendering = TextFormat().render(makeLog("a" * 40, "b" * 40, "c" * 40, "d"))
        self.assertFalse(rendering.complete(0))
        for joined in (True, False):
            after, frames = step(rendering, 0, ALL, joined)
            [text, *rest] = decode(frames)
            self.assertEqual(text, Event("a" * 40 + "b" * 40, id=f"{EPOCH}-2"))
            self.assertRefused(rest, f"{EPOCH}-2", 3)
            self.assertEqual(after, REFUSED)
        self.assertEqual([rendering.complete(cursor) for cursor in (0, 2, 3, 4, REFUSED)], [False] * 4 + [True])
        self.assertEqual(rendering.read(REFUSED, ALL, True), Reading(REFUSED, b""))

    def test_tooLongWhileViewed(self) -> None:
        """
        A viewer that shows all that fits is told when more comes, and only
        once, whatever comes then.
        """
        log = makeLog("a" * 90)
        rendering = TextFormat().render(log)
        self.assertEqual(rendering.read(0, ALL, True).cursor, 1)
        log.append(Kind.TOKEN, b"b" * 20)
        after, frames = step(rendering, 1, ALL, False)
        self.assertRefused(decode(frames), f"{EPOCH}-1", 2)
        self.assertEqual(after, REFUSED)
        log.append(Kind.TOKEN, b"c")
        log.append(Kind.DONE, b"{}")
        self.assertEqual(rendering.read(after, ALL, True), Reading(after, b""))
        self.assertEqual([rendering.complete(cursor) for cursor in (1, 2, log.last, after)], [False] * 2 + [True] * 2)

    def test_comesBackWhenItIsTrimmed(self) -> None:
        """
        A viewer that has all of a text whose beginning is trimmed meanwhile is
        told nothing when it comes back, and is complete when the text is; when
        more comes it is told that there is a gap after what it has.
        """
        log = trimmedLog(3, 6)
        self.assertGreater(log.buffer.first, 1)
        rendering = TextFormat().render(log)
        self.assertEqual(rendering.read(6, ALL, True), Reading(6, b""))
        self.assertFalse(rendering.complete(6))
        log.append(Kind.TOKEN, b"y")
        after, frames = step(rendering, 6, ALL, False)
        self.assertRefused(decode(frames), f"{EPOCH}-6", 7)
        self.assertEqual(after, REFUSED)
        log.append(Kind.DONE, b"{}")
        for known in (rendering, TextFormat().render(log)):
            self.assertEqual([known.complete(cursor) for cursor in (6, 7, 8)], [False, False, True])

    def test_firstTokenTooLong(self) -> None:
        """
        When already the first token is too long there is no text before the
        gap.
        """
        rendering = TextFormat().render(makeLog("x" * 1000, terminal=Kind.DONE))
        after, frames = step(rendering, 0, ALL, True)
        self.assertRefused(decode(frames), f"{EPOCH}-0", 1)
        self.assertEqual(after, REFUSED)

    def test_resumesAtTheGap(self) -> None:
        """
        A viewer that was cut between the gap and `failed` is told the latter
        when it comes back.
        """
        rendering = TextFormat().render(makeLog("a" * 90, "b" * 20))
        after, frames = step(rendering, 1, ALL, True)
        self.assertEqual((after, decode(frames)[-1].type), (REFUSED, "failed"))

    def test_refusedByAnother(self) -> None:
        """
        Whoever was told has all, whatever this rendering knows: it may be one
        that was made later, even after a restart.
        """
        rendering = TextFormat().render(makeLog("a"))
        self.assertTrue(rendering.complete(REFUSED))
        self.assertEqual(rendering.read(REFUSED, ALL, True), Reading(REFUSED, b""))
        log = makeLog("a" * 90, "b" * 20, "c")
        for cursor, complete in ((REFUSED, True), (3, False), (2, False), (0, False)):
            self.assertEqual(TextFormat().render(log).complete(cursor), complete)

    def test_terminalDoesNotCount(self) -> None:
        """
        The terminal entry is no text: it comes through however long it is.
        """
        log = makeLog("a" * 90)
        log.append(Kind.FAILED, b'"%b"' % (b"x" * 200))
        rendering = TextFormat().render(log)
        self.assertEqual([event.type for event in decode(rendering.read(0, ALL, True).data)], ["message", "failed"])

    def test_trimmedBeforeSeen(self) -> None:
        """
        Where entries were trimmed before the rendering saw them, its text
        cannot be whole: viewers keep what they have and are told.
        """
        log = makeLog("a", "b", window=4 * (ENTRY_COST + 1))
        rendering = TextFormat().render(log)
        self.assertEqual(rendering.read(0, ALL, True).cursor, 2)
        while log.buffer.first <= 3:
            log.append(Kind.TOKEN, b"x")
        self.assertFalse(rendering.complete(2))
        after, frames = step(rendering, 2, ALL, True)
        [gap, failed] = decode(frames)
        self.assertEqual((gap.type, failed.type), ("gap", "failed"))
        self.assertEqual(json.loads(gap.data)["after"], f"{EPOCH}-2")
        self.assertEqual([number(gap), number(failed)], [2, REFUSED])
        self.assertEqual(after, REFUSED)
        self.assertTrue(rendering.complete(after))

    def test_trimmedAfterSeen(self) -> None:
        """
        Entries that the rendering saw before they were trimmed are in the
        text: nobody who reads on is told of anything.
        """
        log = makeLog("a", window=4 * (ENTRY_COST + 1))
        rendering = TextFormat().render(log)
        text, cursor = "a", 0
        for token in "bcdefgh":
            cursor, frames = step(rendering, cursor, ALL, True)
            self.assertEqual(show(frames).text, text)
            log.append(Kind.TOKEN, token.encode())
            text += token
        self.assertGreater(log.buffer.first, 1)
        self.assertEqual(show(rendering.read(cursor, ALL, True).data).text, "abcdefgh")

    def test_newViewerOfATrimmedLog(self) -> None:
        """
        A new viewer of a log whose beginning was trimmed is told, by a gap and
        `failed`, before it is complete: its response is never just empty.
        """
        for terminal in (None, Kind.DONE):
            log = trimmedLog(keep=4, total=20, terminal=terminal)
            rendering = TextFormat().render(log)
            cursor = rendering.start(False)
            self.assertEqual(cursor, 0)
            self.assertFalse(rendering.complete(cursor))
            after, frames = step(rendering, cursor, ALL, True)
            self.assertEqual([event.type for event in decode(frames)], ["gap", "failed"])
            self.assertTrue(rendering.complete(after))

    def test_newViewerAfterTheLimit(self) -> None:
        """
        So is a new viewer that comes when the text has become too long and the
        place where it did was trimmed.
        """
        log = makeLog("a" * 90, "b" * 20, window=4 * ENTRY_COST + 200)
        rendering = TextFormat().render(log)
        self.assertEqual(rendering.read(0, ALL, True).cursor, REFUSED)
        while log.buffer.first <= 4:
            log.append(Kind.TOKEN, b"c")
        cursor = rendering.start(False)
        self.assertFalse(rendering.complete(cursor))
        after, frames = step(rendering, cursor, ALL, True)
        self.assertEqual([event.type for event in decode(frames)][-2:], ["gap", "failed"])
        self.assertTrue(rendering.complete(after))


class ContractOfBothTests(SynchronousTestCase):
    """What every rendering promises."""

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
