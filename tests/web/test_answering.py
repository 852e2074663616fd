"""
Tests of `sseserver.web.answering`; those of the APIs show more.
"""

from __future__ import annotations

from sseserver.errors import SourceError
from sseserver.service.service import Settings
from sseserver.streams.followed import FLUSH_TICK
from tests.apis.chat.cases import ChatTestCase


class AnsweringTests(ChatTestCase):
    """Answers that wait for their run."""

    settings = Settings(heartbeat=5)

    def test_held(self) -> None:
        """The head of a streamed answer waits for the first entry, but no longer than a heartbeat interval."""
        soon, late = self.stream(), self.stream()
        run = self.source.runs[0]
        self.reactor.advance(4)
        self.assertEqual((soon.received, late.received), (b"", b""))
        run.write("a")
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual((soon.response.status, late.received), (200, b""))
        self.reactor.advance(1.5)
        self.assertEqual(late.response.status, 200)

    def test_refused(self) -> None:
        """A run that fails before its first entry gives a streamed answer the status of its error."""
        wire = self.stream()
        self.breakDown(SourceError("No.", "refused", 429))
        self.assertEqual(wire.response.status, 429)

    def test_whole(self) -> None:
        """An answer in one piece waits for the end; its client is a viewer until then, and may leave."""
        stays, leaves = self.complete(), self.complete()
        self.write("a")
        self.assertEqual((stays.received, self.service.viewers.count), (b"", 2))
        leaves.close()
        self.assertEqual(self.service.viewers.count, 1)
        for run in self.source.runs:
            run.end()
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(stays.response.status, 200)
