"""Tests for `sseserver.service.runcounts`, by the runs that add to them."""

from __future__ import annotations

from sseserver.errors import SourceError
from sseserver.values import Prompt, Reason
from tests.service.cases import ServiceTestCase


class RunCountsTests(ServiceTestCase):
    """`RunCounts`."""

    def setUp(self) -> None:
        super().setUp()
        self.counts = self.service.runs.counts

    def test_tokens(self) -> None:
        """The tokens of a run are counted every 64 entries, and the rest at its end."""
        self.startLog()
        self.source.run.write(*"x" * 63)
        self.assertEqual(self.counts.tokens, 0)
        self.source.run.write("x")
        self.assertEqual(self.counts.tokens, 64)
        self.source.run.write("x" * 5000, "y")
        self.assertEqual(self.counts.tokens, 65)
        self.source.run.end()
        self.assertEqual((self.counts.tokens, self.counts.started), (66, 1))

    def test_silentChunks(self) -> None:
        """A chunk without text is no token, and not the first one either."""
        self.startLog()
        sink = self.source.run.sink
        for _ in range(70):
            sink.writeChunk(b"{}", "")
        self.reactor.advance(1)
        self.assertEqual(sum(self.counts.firstTokens.counts), 0)
        sink.writeChunk(b"{}", "text")
        self.assertEqual((sum(self.counts.firstTokens.counts), self.counts.firstTokens.total), (1, 1.0))
        self.source.run.end()
        self.assertEqual(self.counts.tokens, 1)

    def test_trimmed(self) -> None:
        """Tokens that the window has dropped are counted as well."""
        self.startLog()
        large = "x" * (1 << 20)
        for _ in range(20):
            self.source.run.write(large)
        self.source.run.end()
        self.assertEqual(self.counts.tokens, 20)

    def test_times(self) -> None:
        """The time to the first token counts from the start of the run, the time of a token from one to the next."""
        self.startLog()
        self.reactor.advance(2)
        for _ in range(5):
            self.source.run.write("x")
            self.reactor.advance(0.5)
        self.source.run.end()
        self.assertEqual((sum(self.counts.firstTokens.counts), self.counts.firstTokens.total), (1, 2.0))
        self.assertEqual((sum(self.counts.tokenTimes.counts), self.counts.tokenTimes.total), (1, 0.625))

    def test_ends(self) -> None:
        """Each end is counted by its reason; a source's own word counts as `other`."""
        for outcome in ("stop", "length", "a word of the source", "\ud800"):
            self.startLog()
            self.source.run.end(outcome)
        self.startLog()
        self.source.run.fail(SourceError("No.", Reason.REFUSED))
        self.successResultOf(self.service.cancel(self.startLog().name))
        self.successResultOf(self.service.delete(self.startLog().name))
        found = {reason: count for reason, count in self.counts.ends.counts.items() if count}
        reasons = {"stop": 1, "length": 1, "other": 2, "refused": 1, "asked": 1, "deleted": 1}
        self.assertEqual((found, self.counts.started), (reasons, 7))

    def test_failedTimes(self) -> None:
        """A run that fails has no time of a token: its source may have been silent before."""
        self.startLog(Prompt("x"))
        self.source.run.write("a", "b")
        self.reactor.advance(30)
        self.source.run.fail(SourceError("No.", Reason.TIMEOUT))
        self.assertEqual(sum(self.counts.tokenTimes.counts), 0)
