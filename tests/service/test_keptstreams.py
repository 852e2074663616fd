"""
Tests of `sseserver.service.keptstreams`.
"""

from __future__ import annotations

from typing import Any

from sseserver.errors import StreamNotFound
from sseserver.service.service import Settings
from tests.service.cases import ServiceTestCase


class KeptStreamsTests(ServiceTestCase):
    """Keys of an API for streams of runs."""

    settings = Settings(keep=10)

    def setUp(self) -> None:
        """Make a set of keys."""
        super().setUp()
        self.kept = self.service.makeKeptStreams()

    def find(self, key: str) -> Any:
        """Return the stream of a key."""
        return self.successResultOf(self.kept.find(key))

    def test_find(self) -> None:
        """A key finds its newest stream; a stream can have several keys."""
        first, second = self.startLog(), self.startLog()
        self.kept.add("a", first)
        self.kept.add("b", first)
        self.assertEqual([self.find("a"), self.find("b")], [first, first])
        self.kept.add("a", second)
        self.assertEqual([self.find("a"), self.find("b")], [second, first])
        self.failureResultOf(self.kept.find("c"), StreamNotFound)

    def test_forget(self) -> None:
        """The keys of a stream go with it, whether it is deleted or its time is over; newer streams of a key stay."""
        first, second, third = self.startLog(), self.startLog(), self.startLog()
        for key, streamLog in (("a", first), ("a", second), ("b", first), ("c", third)):
            self.kept.add(key, streamLog)
        self.successResultOf(self.service.delete(first.name))
        self.assertEqual((len(self.kept), self.find("a")), (2, second))
        for run in self.source.runs[1:]:
            run.end()
        self.reactor.run(20, 1)
        self.assertEqual(len(self.kept), 0)
        self.failureResultOf(self.kept.find("a"), StreamNotFound)

    def test_nameThatWasGivenAgain(self) -> None:
        """A published stream that was given the name of a run later is not the stream of the key."""
        streamLog = self.startLog()
        self.kept.add("a", streamLog)
        self.source.run.end()
        self.successResultOf(self.service.store.delete(streamLog.name))
        self.successResultOf(self.service.open(streamLog.name))
        self.failureResultOf(self.kept.find("a"), StreamNotFound)
