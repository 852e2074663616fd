"""
Tests for `sseserver.wire.block`.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.wire import Event, encode, writeBlock


class BlockTests(SynchronousTestCase):
    """`writeBlock` writes what `encode` does, of parts that are checked and encoded."""

    @given(
        st.text(st.characters(codec="utf-8")),
        st.sampled_from(["message", "note", "\xe9"]),
        st.sampled_from([None, "1", "a-1"]),
        st.sampled_from([None, 0, 3000]),
    )
    def test_equal(self, data: str, type: str, id: str | None, retry: int | None) -> None:
        """
        The bytes are those of `encode`.
        """
        block = writeBlock(data.encode("utf-8"), type.encode("utf-8"), (id or "").encode("utf-8"), retry)
        self.assertEqual(block, encode(Event(data, type, id, retry)))
