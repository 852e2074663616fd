"""
Tests for `sseserver.streams.entries`.
"""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.streams.entries import (
    areTokens,
    countResponseEvents,
    countTokens,
    findLastText,
    packChunk,
    packEvent,
    packLine,
    readText,
    unpack,
)
from sseserver.values import Kind

T, E, C, S, D = Kind.TOKEN, Kind.EVENT, Kind.CHUNK, Kind.SILENT_CHUNK, Kind.DONE


class EntriesTests(SynchronousTestCase):
    """Data of entries is packed and unpacked."""

    def test_event(self) -> None:
        """
        A published event's data may have line ends, its type has none.
        """
        self.assertEqual(unpack(packEvent(b"custom", b"a\n\nb\n")), (b"custom", b"a\n\nb\n"))

    def test_chunk(self) -> None:
        """
        A chunk stays as it came, byte for byte, with its text beside it.
        """
        chunk = '{"choices": [ {"delta":{"content":"a\\n\\u00e9 é"}} ], "x": 1.0}'.encode()
        kind, data = packChunk(chunk, "a\né é")
        self.assertEqual((kind, unpack(data)), (C, (chunk, "a\né é".encode())))
        self.assertEqual(readText(kind, data), "a\né é".encode())

    def test_line(self) -> None:
        """JSON is kept in one line, without white space around it."""
        self.assertEqual(packLine(b' {"a":\r\n1,\r"b":\n2} \n'), b'{"a":  1, "b": 2}')

    def test_responseEvents(self) -> None:
        """The events of an upstream at the begin are counted, and none after another entry."""
        R = Kind.RESPONSE_EVENT
        for kinds, count in (((), 0), ((R, R), 2), ((R, C, R), 1), ((T, R), 0)):
            self.assertEqual(countResponseEvents(bytes(kinds)), count)

    def test_silentChunk(self) -> None:
        """
        A chunk without text is of a kind of its own, which has no text.
        """
        kind, data = packChunk(b'{"choices":[]}', "")
        self.assertEqual((kind, unpack(data)[0], readText(kind, data)), (S, b'{"choices":[]}', b""))

    @given(
        st.recursive(
            st.none() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=10,
        ),
        st.sampled_from(["\n", "\r\n", "\r"]),
        st.text(min_size=1),
    )
    def test_chunkOfManyLines(self, value: object, end: str, text: str) -> None:
        """
        A chunk that came in several lines means the same in one.
        """
        chunk = json.dumps(value, indent=2).replace("\n", end) + end
        _, data = packChunk(chunk.encode(), text)
        line, packed = unpack(data)
        self.assertNotIn(b"\r", line)
        self.assertEqual((json.loads(line), packed.decode()), (value, text))

    def test_textOf(self) -> None:
        """
        Tokens are text; published events and terminals have none.
        """
        self.assertEqual(readText(T, b"a\nb"), b"a\nb")
        self.assertEqual(readText(E, b"message\nb"), b"")
        self.assertEqual(readText(D, b'{\n"reason":"stop"}'), b"")

    def test_kinds(self) -> None:
        """
        Tokens and chunks with text are tokens; the last of them is found, whatever stands behind it.
        """
        kinds = bytes([T, C, S, E, T, C, S, D])
        self.assertEqual((countTokens(kinds), countTokens(kinds, 2)), (4, 2))
        self.assertEqual([findLastText(kinds, end) for end in (0, 1, 2, 4, 5, 8)], [-1, 0, 1, 1, 4, 5])

    def test_onlyTokens(self) -> None:
        """
        Rows of tokens are told from all others.
        """
        self.assertTrue(areTokens(bytearray([T, T, T])))
        for other in (E, C, S, D):
            self.assertFalse(areTokens(bytes([T, other, T])))
