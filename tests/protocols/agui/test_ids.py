"""
Tests for `sseserver.protocols.agui.ids`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.protocols.agui import parseEventID

EPOCH = "0123456789abcdefghijAZ"


class IDTests(SynchronousTestCase):
    """The IDs of AG-UI's events."""

    def test_parse(self) -> None:
        """An ID is an epoch and a number; an event ID of another format is none."""
        self.assertEqual(parseEventID(f"{EPOCH}.17"), (EPOCH, 17))
        self.assertEqual(parseEventID(f"{EPOCH}.0"), (EPOCH, 0))
        for odd in ("", f"{EPOCH}-17", f"{EPOCH}.01", f"{EPOCH}.-1", f"{EPOCH}.1 ", f"{EPOCH}.{'9' * 20}", "x.1"):
            self.assertIsNone(parseEventID(odd), odd)
