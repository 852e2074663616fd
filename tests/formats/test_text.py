"""
Tests for `sseserver.formats.text`.
"""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import ViewerRefused
from sseserver.formats import TextFormat
from sseserver.formats import text as textFormat
from sseserver.interfaces import IRendering
from sseserver.interfaces.reading import Reading
from sseserver.values import Kind
from sseserver.wire import Decoder, Event
from tests.formats.cases import (
    ALL,
    EPOCH,
    TERMINALS,
    decode,
    lineEnds,
    makeLog,
    tokenLists,
)
from tests.readers import step


class Page(NamedTuple):
    """The state of a page that shows the newest event: the text, and all events so far."""

    text: str | None
    events: list[Event]


def show(stream: bytes) -> Page:
    """Set an element's text to the data of each event of the default type."""
    events = decode(stream)
    texts = [event.data for event in events if event.type == "message"]
    return Page(texts[-1] if texts else None, events)


class TextHeadTests(SynchronousTestCase):
    """The beginning of a response in the format `text`."""

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


def readAnything(rendering: IRendering) -> Reading | bytes:
    """Read a rendering from the start; return the reading, or the events of a refusal."""
    try:
        return rendering.read(0, ALL, False)
    except ViewerRefused as refusal:
        return refusal.events


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
                        readAnything(single)
                    if ended:
                        log.append(Kind.DONE, b"{}")
                    self.assertEqual(readAnything(once), readAnything(single), (tokens, event))

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
        The terminal event follows the text, with its own type and ID; a viewer that has the text
        gets only that.
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
        Viewers that read before the end get the terminal event as well.
        """
        log = makeLog("a")
        rendering = TextFormat().render(log)
        self.assertEqual(rendering.read(0, ALL, True).cursor, 1)
        log.append(Kind.FAILED, b"{}")
        self.assertEqual(decode(rendering.read(1, ALL, False).data), [Event("{}", "failed", f"{EPOCH}-2")])

    def test_nothingButTheTerminal(self) -> None:
        """
        A stream without tokens has a terminal event as well.
        """
        rendering = TextFormat().render(makeLog(terminal=Kind.DONE))
        after, frames = step(rendering, 0, ALL, True)
        self.assertEqual((after, decode(frames)), (1, [Event('{"reason":"r"}', "done", f"{EPOCH}-1")]))

    def test_complete(self) -> None:
        """
        A viewer is complete once it has read the terminal entry, even if this rendering has read
        nothing.
        """
        log = makeLog("a")
        rendering = TextFormat().render(log)
        self.assertEqual([rendering.complete(cursor) for cursor in (0, 1)], [False, False])
        log.append(Kind.DONE, b"{}")
        self.assertEqual([rendering.complete(cursor) for cursor in (0, 1, 2)], [False, False, True])

    def test_shared(self) -> None:
        """
        All viewers get the same bytes object for the same text.
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
        At each step a viewer gets the entire text, with the ID of the last token in it; one that
        reads at each step and one that reads once get the same.
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
