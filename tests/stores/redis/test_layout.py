"""
Names of keys.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.stores.redis.layout import SHARDS, Layout, findSlot


class LayoutTests(SynchronousTestCase):
    """Keys and channels of streams."""

    def test_slots(self) -> None:
        """All keys of a stream are in one slot, and the streams are spread over all shards."""
        layout = Layout("app:")
        shards = set()
        for number in range(2000):
            place = layout.locate(f"stream {number} ö")
            shards.add(place.shard)
            names = (place.generation, place.stream, place.entries, place.keys, place.streams, place.runs, place.idle)
            self.assertEqual(len({findSlot(name) for name in (*names, place.tail)}), 1)
            self.assertTrue(all(name.startswith(b"app:{%d}:" % place.shard) for name in names))
        self.assertEqual(shards, set(range(SHARDS)))

    def test_published(self) -> None:
        """The layout is one that other programs know: CRC16 of the name gives the shard."""
        self.assertEqual(Layout().locate("123456789").shard, 0x31C3 % SHARDS)
        self.assertEqual(Layout().locate("a{b}").stream, b"sseserver:{%d}:stream:a{b}" % Layout().locate("a{b}").shard)
        self.assertEqual(findSlot(b"foo"), 12182)
