"""
Tests of `sseserver.protocols.jsonpieces`: large JSON values, encoded piece by piece.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.jsontext import toJSON
from sseserver.protocols.jsonpieces import PIECE, Array, Folding, Text, encodePieces

#: Bytes. No piece may be larger: a character takes up to 12.
LARGEST = 13 * PIECE

#: Small values, and large ones that have them as their members.
_SMALL = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
_LARGE = (
    st.text().map(lambda text: text * 900)
    | st.lists(_SMALL, max_size=3).map(lambda items: items * 300)
    | st.lists(_SMALL, max_size=2).map(lambda items: {f"{number}": items for number in range(300)})
)
VALUES = st.lists(_SMALL | _LARGE, max_size=4) | st.dictionaries(st.text(), _SMALL | _LARGE, max_size=4) | _LARGE


class Joined(list[str]):
    """A string in pieces."""


class Sorted(list[int]):
    """A list that is to be sorted."""


def unfold(value: Any) -> Any:
    """Turn the classes above into JSON."""
    if isinstance(value, Sorted):
        return Array(iter(sorted(value)))
    return Text(iter(value)) if isinstance(value, Joined) else value


def build(value: Any) -> Any:
    """Turn a small value into JSON."""
    if isinstance(value, Sorted):
        return sorted(value)
    if isinstance(value, Joined):
        return "".join(value)
    return {name: build(member) for name, member in value.items()} if isinstance(value, dict) else value


FOLDING = Folding(unfold, build)


class EncodeTests(SynchronousTestCase):
    """Encoding."""

    def encode(self, value: object) -> bytes:
        """Encode a value, and check that no piece is large."""
        pieces = list(encodePieces(value, FOLDING))
        self.assertLess(max(map(len, pieces)), LARGEST)
        return b"".join(pieces)

    @given(VALUES)
    def test_same(self, value: object) -> None:
        """The pieces are what is written in one; a number may have another form, such as 1e16 and 1e+16."""
        pieces, whole = (
            json.loads(text, object_pairs_hook=list) for text in (self.encode(value), toJSON(value, spaced=True))
        )
        self.assertEqual(pieces, whole)

    def test_examples(self) -> None:
        """Empty values, large ones, and large ones beside small ones."""
        long = 'é\\"\ud800\U0001f600x' * 50_000
        for value in (
            {}, [], "", None, {"a": {}}, [[]], long, [long], {"a": long}, [1, long, 2, 3, long, long], [[]] * 20_000,
            {"a": 1, "b": long, "c": [long, {}], "d": None}, list(range(100_000)), {str(n): n for n in range(20_000)},
            {long: long}, [[long] * 2] * 2, [{"a": 0.5}] * 30_000,
        ):  # fmt: skip
            self.assertEqual(self.encode(value), toJSON(value, spaced=True))

    def test_unfolds(self) -> None:
        """Values that are not JSON are unfolded, wherever they stand."""
        large = Joined(["b", "c", "d" * 100_000])
        value = {"a": large, "b": Joined("xyz"), "e": Sorted((2, 1)), "f": Array([Joined(), Sorted(range(9000)), 1])}
        expected = {"a": "bc" + "d" * 100_000, "b": "xyz", "e": [1, 2], "f": ["", list(range(9000)), 1]}
        self.assertEqual(self.encode(value), toJSON(expected, spaced=True))
        self.assertEqual(self.encode(Joined(["a"])), b'"a"')
        self.assertEqual(self.encode(Array([Joined(["a"]), Sorted([2, 1])])), b'["a", [1, 2]]')

    def test_inTime(self) -> None:
        """Nothing is taken before it is needed."""
        taken = []

        def give() -> Any:
            for number in range(100):
                taken.append(number)
                yield "x" * PIECE

        pieces = encodePieces(Text(give()), FOLDING)
        for _ in range(4):
            next(pieces)
        self.assertLess(len(taken), 5)
