"""
Tests for `sseserver.values`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.values import Kind, NewEntry, PackedEntries


class PackedEntriesTests(SynchronousTestCase):
    """`PackedEntries`."""

    def test_sequence(self) -> None:
        """Packed entries are a sequence of what was added, in order."""
        entries = [NewEntry(Kind.TOKEN, b"a"), NewEntry(Kind.EVENT, b"message\n"), NewEntry(Kind.TOKEN, b"")]
        packed = PackedEntries(entries[:2])
        packed.add(entries[2:])
        packed.add([])
        self.assertEqual((len(packed), list(packed), packed[1:]), (3, entries, entries[1:]))
        self.assertEqual([packed[index] for index in (0, 1, 2, -1, -3)], [*entries, entries[2], entries[0]])
        self.assertIs(type(packed[1].kind), Kind)
        self.assertRaises(IndexError, packed.__getitem__, 3)
        self.assertEqual((len(PackedEntries()), list(PackedEntries())), (0, []))
