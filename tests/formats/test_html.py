"""
Tests for `sseserver.formats.html`.
"""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import GapError
from sseserver.formats import EventsFormat, HTMLFormat
from sseserver.formats.html import escapeHTML
from sseserver.interfaces import IFormat
from sseserver.streams.entries import packChunk
from sseserver.streams.log import StreamLog
from sseserver.streams.terminal import packRestart
from sseserver.testing import FormatContract
from sseserver.values import Kind
from tests.formats.cases import ALL, EPOCH, decode, makeLog
from tests.readers import readAll, readRefusal

#: Texts that mean something in HTML or in event streams, cut anywhere.
TOKENS = st.lists(st.text(st.sampled_from("<>&\"'ab;# \r\n\u2028\U0001f600"), min_size=1), max_size=8)


class HTMLContractTests(FormatContract, SynchronousTestCase):
    """The contract of formats."""

    def makeFormat(self) -> IFormat:
        return HTMLFormat()


class Tags(HTMLParser):
    """Reads the text of a document that has no tags but those of `span`."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser.handle_starttag`."""
        assert (tag, attrs) == ("span", []), tag

    def handle_data(self, data: str) -> None:
        """See `HTMLParser.handle_data`."""
        self.text += data

    def handle_comment(self, data: str) -> None:
        """See `HTMLParser.handle_comment`."""
        raise AssertionError(data)

    handle_decl = unknown_decl = handle_pi = handle_comment


class HTMLTests(SynchronousTestCase):
    """The format `html`."""

    def read(self, streamLog: StreamLog, maxBytes: int = ALL, joined: bool = False) -> bytes:
        """Read a log to its end."""
        return readAll(HTMLFormat().render(streamLog), 0, maxBytes, joined)[1]

    def test_bytes(self) -> None:
        """A token is an event without a type, whose text is escaped; `done` ends the stream."""
        streamLog = makeLog('<b a="1">', " & 'so'\n", terminal=Kind.DONE)
        self.assertEqual(
            self.read(streamLog).decode(),
            f"id: {EPOCH}-1\ndata: &lt;b a=&quot;1&quot;&gt;\n\n"
            f"id: {EPOCH}-2\ndata:  &amp; &#39;so&#39;\ndata: \n\n"
            f"event: done\nid: {EPOCH}-3\ndata: r\n\n",
        )

    def test_space(self) -> None:
        """Space alone is in an element, because htmx appends no other space; line ends are those of `events`."""
        told = [event.data for event in decode(self.read(makeLog(" ", "a\r", "\n", "\n\n", "\nb", "\u2028\ufeff")))]
        expected = ["<span> </span>", "a\n", "<span>\n\n</span>", "<span>\nb</span>", "<span>\u2028\ufeff</span>"]
        self.assertEqual(told, expected)

    def test_head(self) -> None:
        """The reconnection time is a field of the first event."""
        rendering = HTMLFormat().render(makeLog())
        self.assertEqual((rendering.head(0, 5, "/"), rendering.retire(5)), (b"retry: 5\n", b"retry: 5\n\n"))

    @given(TOKENS, st.integers(1, 200), st.booleans())
    def test_anyText(self, tokens: list[str], maxBytes: int, joined: bool) -> None:
        """No text becomes a tag. Taken back, the text is that of `events`, however it is cut and joined."""
        streamLog = makeLog(*tokens)
        parser = Tags()
        parser.feed("".join(event.data for event in decode(self.read(streamLog, maxBytes, joined))))
        parser.close()
        plain = decode(readAll(EventsFormat().render(streamLog), 0, maxBytes, joined)[1])
        self.assertEqual(parser.text, "".join(event.data for event in plain if event.type == "message"))

    def test_failures(self) -> None:
        """A sentence, escaped, comes before the end; the end is the same event for every stream."""
        for kind, entry, sentence in (
            (Kind.FAILED, b'{"reason":"source","message":"<i>No.</i>"}', "&lt;i&gt;No.&lt;/i&gt;"),
            (Kind.CANCELLED, b'{"reason":"asked"}', "The answer was cancelled (asked)."),
        ):
            streamLog = makeLog("a")
            streamLog.append(kind, entry)
            events = [(event.type, event.data) for event in decode(self.read(streamLog))[1:]]
            self.assertEqual(events[0], ("failed", sentence))
            self.assertEqual([event[0] for event in events], ["failed", "done"])

    def test_published(self) -> None:
        """Published events are left out: nobody knows whether their data is HTML."""
        streamLog = makeLog("a")
        streamLog.append(Kind.EVENT, b"html\n<script>")
        self.assertEqual([event.data for event in decode(self.read(streamLog))], ["a"])

    def test_silentChunk(self) -> None:
        """A chunk without text is left out, and does not divide the text."""
        streamLog = makeLog("a")
        for kind, data in (packChunk(b"{}", ""), packChunk(b"{}", "b")):
            streamLog.append(kind, data)
        self.assertEqual(
            HTMLFormat().render(streamLog).read(0, ALL, True).data, b"id: %b-3\ndata: ab\n\n" % EPOCH.encode()
        )

    def test_restart(self) -> None:
        """A viewer with void text is told so, and ends; a new one starts behind it."""
        streamLog = makeLog("a")
        streamLog.append(*packRestart(1))
        rendering = HTMLFormat().render(streamLog)
        events = decode(readRefusal(rendering, 1))
        self.assertEqual([event.type for event in events], ["failed", "done"])
        self.assertEqual(rendering.start(False), 2)
        streamLog = makeLog()
        streamLog.append(*packRestart(1))
        self.assertEqual(self.read(streamLog), b"")

    def test_gap(self) -> None:
        """A gap is told in a sentence."""
        (event,) = decode(HTMLFormat().render(makeLog("a")).gap("x", GapError("trimmed", 0, 3)))
        self.assertEqual((event.type, event.data[:26]), ("gap", "3 entries are no longer ke"))

    def test_escape(self) -> None:
        """Each character with a meaning is escaped once; the rest stays."""
        self.assertEqual(escapeHTML("&lt;<>\"'é".encode()).decode(), "&amp;lt;&lt;&gt;&quot;&#39;é")
