"""
Tests for `sseserver.wire.encoder`.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import MalformedEvent
from sseserver.wire import (
    HEARTBEAT,
    MAX_RECONNECTION_TIME,
    Event,
    checkID,
    checkType,
    comment,
    dataLines,
    encode,
    encodeRetry,
)
from tests.vectors import ENCODED, REFUSED
from tests.wire.cases import decode, property_


class VectorTests(SynchronousTestCase):
    """The vectors, as they are written."""

    def test_encoded(self) -> None:
        """
        Each event is written as its block, whole and in order, with LF.
        """
        for vector in ENCODED:
            self.assertEqual(encode(vector.event), vector.block, vector.property)

    def test_refused(self) -> None:
        """
        An event that the format cannot carry unchanged is refused with a sentence, never repaired.
        """
        for what, event in REFUSED:
            refusal = self.assertRaises(MalformedEvent, encode, event)
            self.assertRegex(str(refusal), r"^A.* must .*\.$", what)


class EventTests(SynchronousTestCase):
    """`Event` is a value."""

    def test_defaults(self) -> None:
        """
        An event made of data alone has the default type, no ID and no
        reconnection time.
        """
        event = Event("a")
        self.assertEqual((event.data, event.type, event.id, event.retry), ("a", "message", None, None))
        self.assertEqual(event, Event(data="a", type="message", id=None, retry=None))

    def test_frozen(self) -> None:
        """
        An event cannot be changed, has no other attributes, and is equal only to an event with the
        same fields, as is its hash.
        """
        event = Event("a", "t", "1", 5)
        with self.assertRaises(dataclasses.FrozenInstanceError):
            event.data = "b"  # type: ignore[misc]
        self.assertFalse(hasattr(event, "__dict__"))
        self.assertEqual({event, Event("a", "t", "1", 5)}, {event})
        changes: list[dict[str, Any]] = [{"data": "b"}, {"type": "u"}, {"id": "2"}, {"id": None}, {"retry": 6}]
        for change in changes:
            self.assertNotEqual(event, dataclasses.replace(event, **change))

    def test_repr(self) -> None:
        """
        An event shows its fields by name.
        """
        self.assertEqual(repr(Event("a", id="1")), "Event(data='a', type='message', id='1', retry=None)")


class EncodingTests(SynchronousTestCase):
    """The pieces of a block."""

    def test_heartbeat(self) -> None:
        """
        The heartbeat is a colon and LF, without an empty line.
        """
        self.assertEqual(HEARTBEAT, b":\n")
        self.assertEqual(comment(), HEARTBEAT)

    def test_encodeRetry(self) -> None:
        """
        A reconnection time is one line, which sets it without an event; other values are refused.
        """
        self.assertEqual(encodeRetry(3000), b"retry: 3000\n")
        self.assertEqual(decode([encodeRetry(3000)]).reconnectionTime, 3000)
        for retry in (-1, MAX_RECONNECTION_TIME + 1, True, 0.5):
            self.assertRaises(MalformedEvent, encodeRetry, retry)

    def test_comment(self) -> None:
        """
        A comment is one line, in UTF-8, without an empty line after it.
        """
        self.assertEqual(comment("héllo\0"), ": héllo\0\n".encode())
        self.assertEqual(comment(": "), b": : \n")

    def test_commentRefused(self) -> None:
        """
        A comment with a line end or a lone surrogate is refused.
        """
        for text in ("a\nb", "a\r", "\r\ndata: a", "\ud800"):
            self.assertRaises(MalformedEvent, comment, text)

    def test_checkType(self) -> None:
        """
        A valid type is returned unchanged; others are refused with the reason.
        """
        self.assertEqual(checkType("a type: é"), "a type: é")
        for type in ("", "a\n", "\ra", "\0", "\udc80"):
            self.assertIn("An event type must", str(self.assertRaises(MalformedEvent, checkType, type)))

    def test_checkID(self) -> None:
        """
        A valid ID is returned unchanged; others are refused with the reason.
        """
        self.assertEqual(checkID("E-1…"), "E-1…")
        for id in ("", "1\n", "\r1", "1\0", "\ud800"):
            self.assertIn("An event ID must", str(self.assertRaises(MalformedEvent, checkID, id)))

    def test_dataLines(self) -> None:
        """
        Data becomes `data:` lines with one space each, split at CR LF, CR and LF only, without an
        empty line.
        """
        for payload, lines in (
            (b"", b"data: \n"),
            (b"a", b"data: a\n"),
            (b" a", b"data:  a\n"),
            (b"a\nb", b"data: a\ndata: b\n"),
            (b"a\r\nb\r", b"data: a\ndata: b\ndata: \n"),
            (b"\r\r\n\n", b"data: \ndata: \ndata: \ndata: \n"),
            (b"\xe2\x80\xa8\x85\x0b\x0c\x1c\0%b", b"data: \xe2\x80\xa8\x85\x0b\x0c\x1c\0%b\n"),
        ):
            self.assertEqual(dataLines(payload), lines)

    @property_
    @given(st.binary() | st.lists(st.sampled_from([b"a", b" ", b"\r", b"\n", b"\r\n", b"%"])).map(b"".join))
    def test_dataLinesByTheLine(self, payload: bytes) -> None:
        """
        The lines are those of a plain loop over the data.
        """
        lines = re.split(b"\r\n|\r|\n", payload)
        self.assertEqual(dataLines(payload), b"".join(b"data: " + line + b"\n" for line in lines))
