"""
Tests of `sseserver.service.keptstreams`.
"""

from __future__ import annotations

from typing import Any

from sseserver.errors import StreamNotFound
from sseserver.service.localdirectory import KEY_COST
from sseserver.service.service import Settings
from sseserver.streams.ids import makeEpoch
from tests.service.cases import ServiceTestCase


class KeptStreamsTests(ServiceTestCase):
    """Keys of an API for streams of runs."""

    settings = Settings(keep=10)

    def setUp(self) -> None:
        """Make a set of keys."""
        super().setUp()
        self.kept = self.service.keys.makeKept("chats")

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

    def test_counted(self) -> None:
        """Each key counts once, whichever streams it had, and as long as its stream is kept."""
        first, second = self.startLog(), self.startLog()
        account = self.service.ledger.keys
        for streamLog in (first, second, first, second):
            self.kept.add("a", streamLog)
        self.assertEqual((account.used, account.count), (KEY_COST + 1, 1))
        self.successResultOf(self.service.delete(first.name))
        self.assertEqual(account.count, 1)
        self.successResultOf(self.service.delete(second.name))
        self.assertEqual((account.used, account.count), (0, 0))

    def test_many(self) -> None:
        """A stream has sixteen keys; the oldest go first."""
        streamLog = self.startLog()
        for number in range(20):
            self.kept.add(str(number), streamLog)
        self.assertEqual(self.service.ledger.keys.count, 16)
        self.failureResultOf(self.kept.find("3"), StreamNotFound)
        self.assertIs(self.find("4"), streamLog)

    def test_forget(self) -> None:
        """The keys of a stream go with it, whether it is deleted or its time is over; newer streams of a key stay."""
        first, second, third = self.startLog(), self.startLog(), self.startLog()
        for key, streamLog in (("a", first), ("a", second), ("b", first), ("c", third)):
            self.kept.add(key, streamLog)
        self.successResultOf(self.service.delete(first.name))
        self.assertEqual((self.service.ledger.keys.count, self.find("a")), (2, second))
        for run in self.source.runs[1:]:
            run.end()
        self.reactor.run(20, 1)
        self.assertEqual(self.service.ledger.keys.count, 0)
        self.failureResultOf(self.kept.find("a"), StreamNotFound)

    def test_nameThatWasGivenAgain(self) -> None:
        """A published stream that was given the name of a run later is not the stream of the key."""
        streamLog = self.startLog()
        self.kept.add("a", streamLog)
        self.source.run.end()
        self.successResultOf(self.service.store.delete(streamLog.name))
        self.successResultOf(self.service.open(streamLog.name))
        self.failureResultOf(self.kept.find("a"), StreamNotFound)

    def test_renewed(self) -> None:
        """A stream that has got another epoch is still the stream of its keys, and is found after its end."""
        streamLog = self.startLog()
        self.kept.add("a", streamLog)
        streamLog.renew(makeEpoch())
        self.assertIs(self.find("a"), streamLog)
