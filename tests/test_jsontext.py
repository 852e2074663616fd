"""
Tests for `sseserver.jsontext`.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import BadRequest, ClientError, InvalidMember
from sseserver.jsontext import MAX_VALUES, convert, nameUnread, quoteAll, readJSON, toJSON

#: Line ends, escapes, wide characters, and a lone surrogate.
TEXTS = ("\r\n\x00", "\r\n\u2028\x85\u00e9\U0001f600", "half:\ud83d", '"\\/\x7f\b\f\t')


class Shape(msgspec.Struct):
    """A body."""

    prompt: str | None = None


class Needed(msgspec.Struct):
    """A body with a member that is required."""

    prompt: str


class WriterTests(SynchronousTestCase):
    """`toJSON`."""

    def test_compact(self) -> None:
        """
        JSON is compact, and one line of ASCII whatever the value contains.
        """
        for text in TEXTS:
            value = {"a": text, "b": [1, None, True]}
            encoded = toJSON(value)
            self.assertEqual(json.loads(encoded), value)
            self.assertTrue(encoded.isascii())
            self.assertEqual(re.findall(rb"\s", encoded), [])

    @given(st.text(st.characters()))
    def test_oneSpelling(self, text: str) -> None:
        """
        A string is spelled as the `json` module spells it, whether or not it is ASCII; only DEL may stay as it is.
        """
        self.assertEqual(toJSON(text).replace(b"\x7f", b"\\u007f"), json.dumps(text).encode("ascii"))

    @given(st.lists(st.text(st.characters(codec="utf-8"))))
    def test_together(self, texts: list[str]) -> None:
        """Many strings are spelled as each of them is."""
        self.assertEqual(quoteAll([text.encode() for text in texts]), list(map(toJSON, texts)))

    def test_spaced(self) -> None:
        """
        Spaced, JSON has a space after each colon and comma, and is still one line of ASCII.
        """
        self.assertEqual(toJSON({"a": [1, 0.5], "b": "\u00e9\n"}, spaced=True), b'{"a": [1, 0.5], "b": "\\u00e9\\n"}')
        for text in TEXTS:
            encoded = toJSON([text], spaced=True).replace(b"\x7f", b"\\u007f")
            self.assertEqual(encoded, json.dumps([text]).replace("\x7f", "\\u007f").encode("ascii"))
        for value in ({}, [], {"a": {}, "b": []}, [[{}], None, True], "a: b, c", {"c,d:e": '"\\: ,'}, 2**70, -0.5):
            self.assertEqual(toJSON(value, spaced=True), json.dumps(value).encode("ascii"))

    def test_derivedText(self) -> None:
        """A class derived from `str` is written as its text."""

        class Text(str):
            __slots__ = ()

        for spaced, expected in ((True, b'{"a": "b"}'), (False, b'{"a":"b"}')):
            self.assertEqual(toJSON({"a": Text("b")}, spaced=spaced), expected)

    def test_notFinite(self) -> None:
        """Numbers that JSON does not have are `null`, whatever stands beside them."""
        for number in (float("inf"), -float("inf"), float("nan")):
            for text in ("a", *TEXTS):
                value = {"a": [number, 1.5], "b": text}
                for spaced in (False, True):
                    told = json.loads(toJSON(value, spaced=spaced), parse_constant=self.fail)
                    self.assertEqual(told, {"a": [None, 1.5], "b": text})


class ReaderTests(SynchronousTestCase):
    """`readJSON`."""

    def refuse(self, body: bytes) -> str:
        """Read a body that must be refused; return the message."""
        return str(self.assertRaises(BadRequest, readJSON, body, Shape))

    def test_read(self) -> None:
        """
        A body becomes a value of the type asked for; unknown members are ignored.
        """
        self.assertEqual(readJSON(b'{"prompt": "\\ud83d\\udcd6", "x": {}}', Shape), Shape("\U0001f4d6"))
        self.assertEqual(readJSON(b'[1, "a"]', list[Any]), [1, "a"])

    def test_notJSON(self) -> None:
        """
        The dialects of Python and JavaScript are refused, and so is a lone surrogate, which the message names.
        """
        for body in (b"", b"{", b'{"prompt": NaN}', b"{'prompt': 'x'}", b'{"prompt": "x"} {}'):
            self.assertIn("not valid JSON", self.refuse(body))
        deep = b"[" * 100_000
        self.assertIn("not valid JSON", str(self.assertRaises(BadRequest, readJSON, deep, list[Any])))
        self.assertIn("lone surrogate", self.refuse(b'{"prompt": "\\ud800"}'))

    def test_once(self) -> None:
        """The message says once that the body is not JSON."""
        self.assertIn("not valid JSON: invalid character", self.refuse(b"prompt=a"))
        self.assertNotIn("malformed", self.refuse(b"prompt=a"))

    def test_notUTF8(self) -> None:
        """
        Bytes that are not UTF-8 are refused wherever they are; the message tells where.
        """
        self.assertIn("byte 12", self.refuse(b'{"prompt": "\xff"}'))
        self.assertIn("byte 2", self.refuse(b'{"\xff": 1}'))

    def test_wrongShape(self) -> None:
        """
        JSON of another shape is refused; the message names the member.
        """
        self.assertIn("at `prompt`", self.refuse(b'{"prompt": 1}'))
        self.assertEqual(self.assertRaises(InvalidMember, readJSON, b'{"prompt": 1}', Shape).param, "prompt")
        self.assertIn("expected shape", self.refuse(b"[]"))


class UnreadTests(SynchronousTestCase):
    """Members that are not read, in errors about members that are missing."""

    def test_convert(self) -> None:
        """A missing member names the others, which may be meant; a member of the wrong type does not."""
        error = self.assertRaises(InvalidMember, convert, {"question": "x"}, Needed)
        self.assertEqual((error.param, str(error).endswith("Members that are not read: `question`.")), ("prompt", True))
        for body in ({}, {"prompt": 1, "question": "x"}):
            self.assertNotIn("not read", str(self.assertRaises(InvalidMember, convert, body, Needed)))

    def test_bounds(self) -> None:
        """Only some members are named, each on one line and not as a whole if it is long."""
        self.assertEqual(nameUnread({"a": 1}, ["a"]), "")
        said = nameUnread({"x" * 999: 1, "\n\x1b": 2, **dict.fromkeys("abcdef")}, [])
        self.assertEqual(said, f" Members that are not read: `{'x' * 50}`, `\\n\\x1b`, `a`, `b`, `c`, ….")


class ShapeTests(SynchronousTestCase):
    """The limits of depth and of the number of values."""

    def assertRead(self, body: bytes, word: str = "") -> None:
        """Check that a body is read, or refused with a message that has a word."""
        if word:
            self.assertIn(word, str(self.assertRaises(ClientError, readJSON, body, dict)))
        else:
            self.assertEqual(readJSON(body, dict), json.loads(body))

    def test_F84_depth(self) -> None:
        """F84: a list that is nested 100 deep in a member is refused, and one of 99 is read, however it is written."""
        for start, end in ((b"[", b"]"), (b'{"a":', b"}"), (b' [ "]", ', b"]\n")):
            for depth, word in ((99, ""), (100, "inside each other"), (960, "inside each other")):
                inner = b"[]" if b"[" in start else b"{}"
                body = b'{"x": %b%b%b}' % (start * (depth - 1), inner, end * (depth - 1))
                self.assertRead(body, word)

    def test_F84_strings(self) -> None:
        """Brackets in strings do not count, quotes and backslashes in them neither, across windows of any size."""
        deep = b"[" * 101 + b"]" * 101
        for text in (b"[" * 300, b'\\"' + b"[" * 300, b"\\\\\\" + b'"' + b"[" * 300, b"x" * 70_000 + b"[" * 300):
            self.assertRead(b'{"%b": [], "y": "%b", "z": ["%b"]}' % (text, text, text))
            self.assertRead(b'{"y": "%b", "x": %b}' % (text, deep), "inside each other")
            self.assertRead(b'{"y": "%b\\\\", "x": %b}' % (text, deep), "inside each other")

    def test_values(self) -> None:
        """A body with too many values is refused before it takes a hundred times its memory; many strings are read."""
        self.assertRead(b'{"x": [%b[]]}' % (b"[]," * (MAX_VALUES // 2)), "values")
        self.assertRead(b'{"x": [%b0]}' % (b"0," * (MAX_VALUES - 10)))
        self.assertRead(b'{"x": "%b"}' % (b",[{" * MAX_VALUES))

    def test_F84_malformed(self) -> None:
        """Malformed JSON is refused as before."""
        for body in (b'"' * 500, b"[" * 500, b"]" * 500, b"\\" * 500, b'{"a": [' + b"[]," * 200):
            self.assertRaises(BadRequest, readJSON, body, dict)


class Nested(msgspec.Struct):
    """A body with a list."""

    shapes: list[Shape]


class ConvertTests(SynchronousTestCase):
    """`convert`."""

    def test_convert(self) -> None:
        """
        Decoded JSON becomes a typed value; unknown members are ignored.
        """
        self.assertEqual(convert({"shapes": [{"prompt": "a", "x": 1}]}, Nested), Nested([Shape("a")]))

    def test_wrongMember(self) -> None:
        """
        The error names the member that is missing or has the wrong type.
        """
        for value, param in (({}, "shapes"), ({"shapes": [{"prompt": 1}]}, "shapes[0].prompt"), ([], "")):
            error = self.assertRaises(InvalidMember, convert, value, Nested)
            self.assertEqual(error.param, param)
            self.assertEqual(f", at `{param}`." in str(error), param != "")
