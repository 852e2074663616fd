"""
Large JSON values, decoded step by step: no step takes longer than a turn of the reactor has time for.

`readSteps` reads what `jsontext.readJSON` reads: `web.request` the large bodies of requests, and the service the large
prompts that it has packed. Values that are short are decoded together, many at once; a longer object or array is read
member by member, and a longer string in pieces.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any

import msgspec

from sseserver.errors import BadRequest, BodyTooLarge
from sseserver.jsontext import MAX_DEPTH

#: Bytes that are read in one step.
STEP = 64 * 1024

#: Number. Limit of the values of one body, lower than `jsontext.MAX_VALUES`: everything that is done with a prompt
#: later takes time for each.
MAX_PROMPT_VALUES = 60_000

#: Number of values that are read one by one in a step.
_SINGLE = 500

#: Bytes. Limit of the white space between two values.
_MOST_SPACE = 64 * 1024

#: Objects and arrays inside each other that can be decoded together. A deeper value is read member by member.
_LEVELS = 8

_SPACE = rb"[ \t\r\n]*"
# `*+` gives nothing back: a string that does not end within a step would otherwise be tried at each of its lengths.
# Only for single bytes: Python before 3.11.5 has a fault with groups (gh-106052).
_STRING = rb'(?>"[^"\\]*+(?:\\.[^"\\]*+)*")'


def _makeValue(levels: int) -> bytes:
    """Make the pattern of a value. It also matches some values that are not JSON, which the decoder refuses."""
    inside = rb'[^"\[\]{}]++|' + _STRING
    for _ in range(levels):
        inside = rb'[^"\[\]{}]++|' + _STRING + rb"|(?>[\[{](?:" + inside + rb")*[\]}])"
    return inside.replace(rb'[^"\[\]{}]++', rb'[^"\[\]{},: \t\r\n]++', 1)


def _makeRow(item: bytes) -> re.Pattern[bytes]:
    """Make the pattern of items in a row, each with the comma after it, or with the end of their container."""
    whole = b"(?>" + _SPACE + item + _SPACE + b")"
    return re.compile(b"(?:" + whole + b",)*(?:" + whole + rb"(?=[\]}]))?", re.DOTALL)


_VALUE = b"(?:" + _makeValue(_LEVELS) + b")"
_ITEMS = _makeRow(_VALUE)
_MEMBERS = _makeRow(_STRING + _SPACE + b":" + _SPACE + _VALUE)
_NAME = re.compile(_SPACE + b"(" + _STRING + b")" + _SPACE + b":", re.DOTALL)
_SPACES = re.compile(_SPACE)
_STRINGS = re.compile(_STRING, re.DOTALL)
_OTHER = re.compile(rb'[^"\[\]{},: \t\r\n]{1,5000}')

#: A piece of a string, which does not end inside an escape.
_PIECE = re.compile(rb'[^"\\]*(?:\\(?:u[0-9A-Fa-f]{4}|[^u])[^"\\]*)*', re.DOTALL)

#: Escape of the first half of a surrogate pair.
_FIRST_HALF = re.compile(rb"\\u[dD][89abAB][0-9A-Fa-f]{2}\Z")

_COMMA, _QUOTE = b",", b'"'


def readSteps(body: bytes, maxValues: int = MAX_PROMPT_VALUES) -> Generator[None, None, Any]:
    """
    Decode JSON. The generator yields after each step, and returns the value.

    Args:
        body: UTF-8.
        maxValues: Number of values that it may have.

    Raises:
        BadRequest: The body is not JSON in UTF-8, or is nested too deep.
        BodyTooLarge: It has more values.
    """
    return _Reader(body, maxValues).read()


class _Reader:
    """
    Reader of one JSON text, and its place in it.

    Args:
        body: The text.
        maxValues: See `readSteps`.
    """

    def __init__(self, body: bytes, maxValues: int) -> None:
        self._body = body
        self._maxValues = maxValues
        self._at = 0
        self._values = 0

    def read(self) -> Generator[None, None, Any]:
        """Read the whole text."""
        value = yield from self._readValue(0)
        if self._skip():
            raise self._refuse("characters follow it")
        return value

    def _readValue(self, depth: int) -> Generator[None, None, Any]:
        self._count(1)
        if not self._values % _SINGLE:
            yield
        mark = self._skip()
        if depth >= MAX_DEPTH and mark in {b"{", b"["}:
            raise self._refuse(f"it has more than {MAX_DEPTH} arrays and objects inside each other")
        if mark == b"{":
            return (yield from self._readObject(depth))
        if mark == b"[":
            return (yield from self._readArray(depth))
        if mark == _QUOTE:
            return (yield from self._readString())
        found = _OTHER.match(self._body, self._at)
        if found is None:
            raise self._refuse("a value is missing")
        self._at = found.end()
        return self._decode(found[0])

    def _readArray(self, depth: int) -> Generator[None, None, list[Any]]:
        items: list[Any] = []
        if self._open() == b"]":
            self._at += 1
            return items
        while True:
            row = self._takeRow(_ITEMS, depth)
            if row:
                items += self._decode(b"[%b]" % row)
                yield
            else:
                items.append((yield from self._readValue(depth + 1)))
            if self._endItem(b"]"):
                return items

    def _readObject(self, depth: int) -> Generator[None, None, dict[str, Any]]:
        members: dict[str, Any] = {}
        if self._open() == b"}":
            self._at += 1
            return members
        while True:
            row = self._takeRow(_MEMBERS, depth)
            if row:
                members.update(self._decode(b"{%b}" % row))
                yield
            else:
                name = _NAME.match(self._body, self._at)
                if name is None:
                    raise self._refuse("a name of a member is missing")
                self._at = name.end()
                members[self._decode(name[1])] = yield from self._readValue(depth + 1)
            if self._endItem(b"}"):
                return members

    def _readString(self) -> Generator[None, None, str]:
        body, text = self._body, ""
        self._at += 1
        while True:
            found = _PIECE.match(body, self._at, self._at + STEP)
            assert found is not None
            end = found.end()
            closes = body[end : end + 1] == _QUOTE
            if not closes:
                end = self._findCut(end)
            if end == self._at and not closes:
                raise self._refuse("a string is not valid")
            # Python lengthens a text in place as long as nothing else refers to it.
            piece: str = self._decode(b'"%b"' % body[self._at : end])
            text += piece
            self._at = end
            yield
            if closes:
                self._at += 1
                return text

    def _findCut(self, end: int) -> int:
        """Return the last place up to `end` at which a string can be cut: not inside a character or a pair."""
        body = self._body
        while end > self._at and body[end : end + 1] and body[end] & 0xC0 == 0x80:
            end -= 1
        if _FIRST_HALF.search(body, max(self._at, end - 6), end):
            before = body[self._at : end - 5]
            if (len(before) - len(before.rstrip(b"\\"))) % 2:
                end -= 6
        return end

    def _takeRow(self, row: re.Pattern[bytes], depth: int) -> bytes:
        """
        Take the next short items of a container.

        Args:
            row: The pattern of its items.
            depth: Number of containers around it.

        Returns:
            The items, without the comma after the last one; nothing if the next item is long, or could be too deep.
        """
        if depth + _LEVELS >= MAX_DEPTH:
            return b""
        found = row.match(self._body, self._at, self._at + STEP)
        assert found is not None
        taken = found[0]
        if taken:
            structure = _STRINGS.sub(b"", taken)
            self._count(1 + sum(structure.count(mark) for mark in b",[{"))
            taken = taken.removesuffix(_COMMA)
            self._at += len(taken)
        return taken

    def _count(self, values: int) -> None:
        self._values += values
        if self._values > self._maxValues:
            raise BodyTooLarge(f"The body has more than {self._maxValues} JSON values.")

    def _skip(self) -> bytes:
        """Skip space, and return the byte after it."""
        found = _SPACES.match(self._body, self._at, self._at + _MOST_SPACE)
        assert found is not None
        self._at = found.end()
        mark = self._body[self._at : self._at + 1]
        if mark and mark in b" \t\r\n":
            raise self._refuse(f"it has more than {_MOST_SPACE} bytes of white space in a row")
        return mark

    def _open(self) -> bytes:
        """Skip the bracket that opens a container, and return the byte after it."""
        self._at += 1
        return self._skip()

    def _endItem(self, closing: bytes) -> bool:
        """Skip what follows an item, and return whether its container ends."""
        mark = self._skip()
        self._at += 1
        if mark not in (_COMMA, closing):
            raise self._refuse("it ends too early" if not mark else "a comma is missing")
        return mark == closing

    def _decode(self, text: bytes) -> Any:
        try:
            return msgspec.json.decode(text.decode("utf-8"))
        except UnicodeDecodeError:
            raise BadRequest("The body is not UTF-8.") from None
        except (msgspec.DecodeError, RecursionError):
            raise self._refuse("a value, or a lone surrogate in a string, is not valid") from None

    def _refuse(self, reason: str) -> BadRequest:
        return BadRequest(f"The body is not valid JSON: {reason} (near byte {self._at}).")
