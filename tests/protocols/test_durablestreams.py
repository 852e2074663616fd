"""
Tests for `sseserver.protocols.durablestreams`.
"""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import BadRequest
from sseserver.protocols.durablestreams import (
    CURSOR_EPOCH,
    Mode,
    Offset,
    Position,
    ReadRequest,
    describePosition,
    makeCursor,
    makeTag,
    parseOffset,
    readRequest,
    writeControl,
    writeData,
)
from sseserver.wire import Decoder

EPOCHS = st.from_regex(r"[A-Za-z0-9]{22}", fullmatch=True)
NUMBERS = st.integers(0, 10**19 - 1)
OFFSETS = st.builds(Offset, NUMBERS, EPOCHS)


class OffsetTests(SynchronousTestCase):
    """Offsets."""

    @given(OFFSETS)
    def test_isRead(self, offset: Offset) -> None:
        """An offset is read as it was written; its text needs no quoting and is none of the reserved ones."""
        text = offset.write()
        self.assertEqual(parseOffset(text), offset)
        self.assertRegex(text, r"\A[A-Za-z0-9_]{1,255}\Z")
        self.assertEqual(readRequest({b"offset": [text.encode()]}), ReadRequest(offset, False, Mode.CATCH_UP, 0))

    @given(NUMBERS, NUMBERS, EPOCHS, EPOCHS)
    def test_order(self, one: int, other: int, before: str, after: str) -> None:
        """The texts of offsets sort like the numbers, also if the stream has got another epoch between them."""
        low, high = sorted((one, other))
        if low < high:
            self.assertLess(Offset(low, before).write(), Offset(high, after).write())
        self.assertEqual(Offset(low, before).write() == Offset(high, before).write(), low == high)

    @given(OFFSETS, st.text(max_size=3), st.integers(0, 45))
    def test_foreign(self, offset: Offset, text: str, place: int) -> None:
        """A text with more characters, or with fewer, is no offset."""
        written = offset.write()
        for wrong in (written[:place] + text + written[place:], written[:place] + written[place + 1 :]):
            if wrong != written:
                self.assertIsNone(parseOffset(wrong))


class RequestTests(SynchronousTestCase):
    """The query of a reader."""

    def refuse(self, **parameters: bytes | list[bytes]) -> str:
        """Return the message about a query."""
        given = {name.encode(): value if isinstance(value, list) else [value] for name, value in parameters.items()}
        return str(self.assertRaises(BadRequest, readRequest, given))

    def test_start(self) -> None:
        """A reader without an offset starts at the start, as with -1; `now` is the end."""
        start = ReadRequest(None, False, Mode.CATCH_UP, 0)
        self.assertEqual(readRequest({}), start)
        self.assertEqual(readRequest({b"offset": [b"-1"], b"sig": [b"x"]}), start)
        self.assertEqual(readRequest({b"offset": [b"now"]}), start._replace(fromNow=True))

    def test_live(self) -> None:
        """A reader that waits says how, and may have a cursor."""
        for live, mode in ((b"long-poll", Mode.LONG_POLL), (b"sse", Mode.SSE)):
            asked = readRequest({b"offset": [b"-1"], b"live": [live], b"cursor": [b"12"]})
            self.assertEqual(asked, ReadRequest(None, False, mode, 12))
            self.assertIn("needs the parameter offset", self.refuse(live=live))

    def test_malformed(self) -> None:
        """A parameter that is malformed, empty or doubled is refused, and named."""
        for odd in (b"", b"0", b"-2", b"NOW", b"1,2", b"\xff", b"a b", b"../x", b"1\x00"):
            self.assertIn("parameter offset", self.refuse(offset=odd))
        for odd in (b"", b"SSE", b"true", b"\xff"):
            self.assertIn("parameter live", self.refuse(offset=b"-1", live=odd))
        for odd in (b"", b"-1", b"x", "\u0661".encode(), b"9" * 65):
            self.assertIn("parameter cursor", self.refuse(offset=b"-1", cursor=odd or b" "))
        for name in ("offset", "live", "cursor"):
            self.assertIn(f"{name} must be given once", self.refuse(**{"offset": b"-1", name: [b"-1", b"-1"]}))


class PositionTests(SynchronousTestCase):
    """The position that a reader is told."""

    def test_behind(self) -> None:
        """A reader that is behind gets its offset; a live one a cursor, too."""
        position = Position("a", False, False)
        self.assertEqual(describePosition(position), [(b"Stream-Next-Offset", b"a")])
        self.assertEqual(describePosition(position, 7), [(b"Stream-Next-Offset", b"a"), (b"Stream-Cursor", b"7")])
        self.assertEqual(self.control(position), {"streamNextOffset": "a", "streamCursor": "7"})

    def test_upToDate(self) -> None:
        """A reader that has everything is told so."""
        position = Position("a", True, False)
        self.assertEqual(dict(describePosition(position, 7))[b"Stream-Up-To-Date"], b"true")
        self.assertEqual(self.control(position), {"streamNextOffset": "a", "streamCursor": "7", "upToDate": True})

    def test_closed(self) -> None:
        """After the end there is no cursor."""
        position = Position("a", True, True)
        fields = dict(describePosition(position, 7))
        self.assertEqual((fields[b"Stream-Closed"], fields.get(b"Stream-Cursor")), (b"true", None))
        self.assertEqual(self.control(position), {"streamNextOffset": "a", "upToDate": True, "streamClosed": True})

    def control(self, position: Position) -> object:
        """Return the members of an event `control`."""
        [event] = Decoder().feed(writeControl(position, 7))
        self.assertEqual(event.type, "control")
        return json.loads(event.data)

    def test_data(self) -> None:
        """An event `data` is a JSON array in one line."""
        data = writeData(b'{"a":1},{"b":2}')
        [event] = Decoder().feed(data)
        self.assertEqual((event.type, json.loads(event.data)), ("data", [{"a": 1}, {"b": 2}]))
        self.assertEqual(data.count(b"\n"), 3)

    def test_tag(self) -> None:
        """The tag of a page tells its range and the end of the stream."""
        place = Position(Offset(12, "e" * 22).write(), True, False)
        self.assertEqual(makeTag("e", 0, place), b'"e:0:12"')
        self.assertEqual(makeTag("e", 3, place._replace(isClosed=True)), b'"e:3:12:c"')
        self.assertEqual(makeTag("e", 0, Position(Offset(0, "e" * 22).write(), True, False)), b'"e:0:0"')

    @given(st.floats(CURSOR_EPOCH, 4e9), st.integers(0, 10**64))
    def test_cursor(self, now: float, given: int) -> None:
        """A cursor is greater than that of the reader, whose next request may have it."""
        cursor = makeCursor(now, given)
        self.assertGreater(cursor, given)
        self.assertTrue(re.fullmatch("[0-9]{1,65}", str(cursor)))
        self.assertGreater(makeCursor(now + 1, 0), makeCursor(now, 0))
