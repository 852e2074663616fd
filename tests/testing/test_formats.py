"""Tests for `sseserver.testing.formats`: the contract on formats of ours."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.formats import EventsFormat, TextFormat
from sseserver.interfaces import IFormat
from sseserver.testing import FormatContract


class EventsTests(FormatContract, SynchronousTestCase):
    """The format `events`."""

    def makeFormat(self) -> IFormat:
        return EventsFormat()


class TextTests(FormatContract, SynchronousTestCase):
    """The format `text`."""

    def makeFormat(self) -> IFormat:
        return TextFormat()
