"""
Tests of `sseserver.service.publication`.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import StreamEnded, StreamExists
from sseserver.service.publication import Publication, checkPublished
from sseserver.streams.log import FLUSH_TICK, StreamLog
from sseserver.timing.ticker import Ticker
from sseserver.values import Kind


class CheckTests(SynchronousTestCase):
    """`checkPublished`, and the value that a publish gives."""

    def makeLog(self, published: bool) -> StreamLog:
        """Make an empty log."""
        return StreamLog("news", "e" * 22, Ticker(Clock(), FLUSH_TICK), 1000, published=published)

    def test_open(self) -> None:
        """An open published stream passes."""
        streamLog = self.makeLog(True)
        self.assertIs(checkPublished(streamLog), streamLog)
        self.assertIs(Publication(streamLog, 1, 2).streamLog, streamLog)

    def test_run(self) -> None:
        """The stream of a run does not."""
        error = self.assertRaises(StreamExists, checkPublished, self.makeLog(False))
        self.assertIn("news is written by a run", str(error))

    def test_ended(self) -> None:
        """A stream that has ended does not; the error says how it ended."""
        streamLog = self.makeLog(True)
        streamLog.append(Kind.DONE, b"{}")
        self.assertIn("news has ended (done)", str(self.assertRaises(StreamEnded, checkPublished, streamLog)))
