"""
Tests for `sseserver.interfaces.reading`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.interfaces.reading import Reading


class ReadingTests(SynchronousTestCase):
    """`Reading`."""

    def test_value(self) -> None:
        """
        Readings are equal if cursor and data are, and show both.
        """
        reading = Reading(1, b"a")
        self.assertEqual((reading.cursor, reading.data), (1, b"a"))
        self.assertEqual(reading, Reading(1, b"a"))
        self.assertEqual(hash(reading), hash(Reading(1, b"a")))
        for other in (Reading(2, b"a"), Reading(1, b"b"), (1, b"a"), None):
            self.assertNotEqual(reading, other)
        self.assertEqual(repr(reading), "Reading(cursor=1, data=b'a')")
