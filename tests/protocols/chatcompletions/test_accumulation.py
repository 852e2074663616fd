"""
Tests for `sseserver.protocols.chatcompletions.accumulation`. `tests/apis/chat/test_answer.py` has more, by the cases of
upstreams.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.protocols.chatcompletions.accumulation import accumulate, build


def join(*pieces: dict[str, Any]) -> Any:
    """Accumulate pieces."""
    known: dict[str, Any] = {}
    for piece in pieces:
        accumulate(known, piece)
    return build(known)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "index", "a"]), inner),
    max_leaves=8,
)


class AccumulationTests(SynchronousTestCase):
    """`accumulate` and `build`."""

    def test_rules(self) -> None:
        """Strings are joined, names replaced, objects merged, lists extended, and any other value replaced."""
        for pieces, joined in (
            (({"a": "x"}, {"a": "y"}), {"a": "xy"}),
            (({"id": "x"}, {"id": ""}, {"id": "y"}, {"id": None}), {"id": "y"}),
            (({"a": None}, {"a": ""}), {"a": ""}),
            (({"a": ""}, {"a": None}), {"a": ""}),
            (({"a": {"b": "x"}}, {"a": {"b": "y", "c": 1}}), {"a": {"b": "xy", "c": 1}}),
            (({"a": [1]}, {"a": [{"b": 2}]}), {"a": [1, {"b": 2}]}),
            (({"a": 1}, {"a": 2}), {"a": 2}),
            (({"a": 1}, {"a": "x"}), {"a": "x"}),
            (({"a": "x"}, {"a": {"b": 1}}), {"a": {"b": 1}}),
        ):
            self.assertEqual(join(*pieces), joined)

    def test_indices(self) -> None:
        """Entries of a list merge by index, in the order of their first pieces; another ID begins a new entry."""
        pieces = [{"index": 1, "id": "b", "t": "x"}, {"index": 0, "t": "y"}, {"index": 1, "t": "z"}]
        self.assertEqual(
            join(*({"a": [piece]} for piece in [*pieces, {"index": 1, "id": "c"}])),
            {"a": [{"index": 1, "id": "b", "t": "xz"}, {"index": 0, "t": "y"}, {"index": 1, "id": "c"}]},
        )

    def test_surrogates(self) -> None:
        """Halves of characters that became adjacent are joined; others become U+FFFD."""
        self.assertEqual(join({"a": "\ud83d"}, {"a": "\ude00\ud83d"}), {"a": "\U0001f600\ufffd"})

    @given(st.lists(st.dictionaries(st.sampled_from(["a", "id", "tool_calls"]), _JSON), max_size=5))
    def test_anything(self, pieces: list[dict[str, Any]]) -> None:
        """Any JSON can be accumulated, and the pieces stay as they are."""
        before = repr(pieces)
        join(*pieces)
        self.assertEqual(repr(pieces), before)
