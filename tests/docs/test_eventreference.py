"""
docs/events.md, the reference of the events.
"""

from __future__ import annotations

import json
import re

from twisted.trial.unittest import SynchronousTestCase

from sseserver.apis.native.publishing import RESERVED_TYPES
from sseserver.errors import GapError
from sseserver.formats import makeFormats
from sseserver.values import Kind, Reason
from sseserver.wire import Decoder
from tests.docs.generators import loadGenerator

#: Types of events that no stream sends: an `EventSource` has events of these types itself.
NEVER_SENT = {"open", "error"}

#: Reasons of `done` and of `cancelled`.
REASONS = {
    "done": {Reason.STOP, Reason.LENGTH, Reason.CONTENT_FILTER, Reason.TOOL_CALLS, Reason.FUNCTION_CALL},
    "cancelled": {Reason.ASKED, Reason.DELETED, Reason.LINGER, Reason.IDLE},
}


class EventReferenceTests(SynchronousTestCase):
    """The page, its generator, and the formats."""

    def setUp(self) -> None:
        self.generator = loadGenerator("eventreference")

    def test_page(self) -> None:
        """The page is what docs/eventreference.py makes."""
        self.assertEqual(self.generator.reference(), self.generator.PAGE.read_text("utf-8"))

    def test_types(self) -> None:
        """The page describes each type of event that the server reserves, and that it sends by itself."""
        self.assertEqual({each.type for each in self.generator.EVENTS}, RESERVED_TYPES - NEVER_SENT)

    def test_members(self) -> None:
        """The members in the page are those that the data of an event has."""
        for described in self.generator.EVENTS:
            [event] = Decoder().feed(self.generator.exampleOf(described))
            self.assertEqual(event.type, described.type)
            members = json.loads(event.data)
            self.assertEqual({each.name for each in described.members}, set(members), described.type)
            for each in described.members:
                kinds = {"string": str, "integer": int, "boolean": bool, "object": dict}
                self.assertIs(type(members[each.name]), kinds[re.split(r"[ ,]", each.type)[0]], each)

    def test_entries(self) -> None:
        """Each kind of entry has a row in the table of each format, and each format a text."""
        kinds = {entry.kind for entry in self.generator.ENTRIES.values()}
        self.assertEqual(kinds, set(Kind) - {Kind.INPUT})
        self.assertEqual(set(self.generator.FORMATS), set(makeFormats("sseserver")))

    def test_reasons(self) -> None:
        """The tables have each reason of a terminal entry that no failure has, and each reason of a gap."""
        told = self.generator.REASONS
        self.assertEqual({name: set(told[name]) for name in REASONS}, REASONS)
        for lastEventID, reason in (("x", "unknown"), (f"{'a' * 22}-1", "lost")):
            log = self.generator.makeLog()
            gap = self.assertRaises(GapError, log.locate, lastEventID)
            self.assertEqual(gap.reason, reason)
        self.assertEqual(set(told["gap"]), {"trimmed", "lost", "unknown"})
