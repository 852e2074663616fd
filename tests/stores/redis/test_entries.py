"""
Entries as Redis has them.
"""

from __future__ import annotations

from array import array

from twisted.trial.unittest import SynchronousTestCase

from sseserver.stores.redis.entries import checkEnds, readEntry
from sseserver.streams.segments import Segment
from sseserver.streams.terminal import INTERRUPTED, packCancelled, packDone, packRestart
from sseserver.values import Kind, NewEntry, Reason


def _makeFields(kind: int, data: bytes) -> list[bytes]:
    """Return the fields of an entry."""
    return [b"kind", b"%d" % kind, b"data", data]


class EntryTests(SynchronousTestCase):
    """The fields of an entry."""

    def test_read(self) -> None:
        """All entries that the server writes are read."""
        for entry in (
            NewEntry(Kind.TOKEN, "é\r\n\0".encode()),
            NewEntry(Kind.EVENT, b"type\ndata\r\n\0"),
            NewEntry(Kind.EVENT, b"\n"),
            NewEntry(Kind.CHUNK, b'{"a":1}\ntext'),
            NewEntry(Kind.SILENT_CHUNK, b'{"a":1}'),
            NewEntry(Kind.INPUT, b'{"a":1}\n[]'),
            *(packRestart(2), packDone(Reason.STOP, 7, {"usage": None}), packCancelled(Reason.ASKED), INTERRUPTED),
        ):
            self.assertEqual(readEntry(_makeFields(*entry)), entry)

    def test_foreign(self) -> None:
        """Anything else is refused."""
        for fields in (
            *([], [b"kind", b"0"], [b"a", b"0", b"data", b""], [b"kind", b"0", b"b", b""], _makeFields(0, b"x") * 2),
            *(
                _makeFields(5, b"x"),
                _makeFields(77, b"{}"),
                [b"kind", b"x", b"data", b""],
                [b"kind", b"0 ", b"data", b""],
            ),
            *(_makeFields(0, b"\xff"), _makeFields(1, b"a\rb\nc"), _makeFields(1, b"a\0\n"), _makeFields(2, b"x\ny")),
            *(_makeFields(3, b"x"), _makeFields(4, b"x"), _makeFields(8, b""), _makeFields(9, b"[]")),
            *(_makeFields(10, b'{"reason":1}'), _makeFields(8, b'{"tokens":"x"}'), _makeFields(8, b'{"a":' * 100_000)),
        ):
            self.assertRaises(ValueError, readEntry, fields)


class EndTests(SynchronousTestCase):
    """The ends of the entries of a stream."""

    def check(self, kinds: bytes, end: Kind | None, isWanted: bool = True) -> bool:
        """Return whether entries fit to the end of their stream."""
        try:
            checkEnds(Segment(1, kinds, array("Q", range(len(kinds))), b""), end, isWanted)
        except ValueError:
            return False
        return True

    def test_fits(self) -> None:
        """An open stream has no terminal entry, an ended one has it at its end."""
        self.assertTrue(self.check(b"\0\1\2", None))
        self.assertTrue(self.check(b"\0\x08", Kind.DONE))
        self.assertTrue(self.check(b"", None))
        self.assertTrue(self.check(b"", Kind.DONE, isWanted=False))

    def test_contradicts(self) -> None:
        """Anything else is refused."""
        self.assertFalse(self.check(b"\0\x08", None))
        self.assertFalse(self.check(b"\0\0", Kind.DONE))
        self.assertFalse(self.check(b"\0\x09", Kind.DONE))
        self.assertFalse(self.check(b"\x08\0", None))
        self.assertFalse(self.check(b"\x08\x08", Kind.DONE))
        self.assertFalse(self.check(b"", Kind.DONE))
        self.assertFalse(self.check(b"\0", Kind.TOKEN))
