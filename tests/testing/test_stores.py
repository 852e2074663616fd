"""
Tests for `sseserver.testing.stores`, `sseserver.testing.storepublishing` and `sseserver.testing.storecase`: the
contract on a broken store.

tests/stores runs the contract on ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from sseserver.interfaces import IPersistence, IStreamStore
from sseserver.stores.memory import MemoryStore
from sseserver.stores.persistent import PersistentStore
from sseserver.testing import StoreContract
from sseserver.values import Addition, Change, Creation, Deletion, Entry, StoredEntries, StoredStream
from tests.testing.failing import findFailures

#: Tests of the contract that a store with `_Careless` fails.
_CARELESS = {
    "test_crash",
    "test_interrupted",
    "test_keyOfEnded",
    "test_range",
    "test_restart",
    "test_trimmedCR",
}

#: Tests of the contract that `_Forgetful` fails.
_FORGETFUL = {
    "test_accounts",
    "test_createAndDelete",
    "test_delete",
    "test_deleteAnother",
    "test_nameAgain",
    "test_used",
}


class _Forgetful(MemoryStore):
    """Store whose `delete` forgets the viewers, the bytes and the epoch."""

    def delete(self, name: str, epoch: str | None = None) -> Deferred[None]:
        deleted: Any = self.find(name)
        self._logs.pop(name, None)
        return deleted.addCallback(lambda _: None)


@implementer(IPersistence)
class _Careless:
    """Persistence in memory that loses idempotency keys and the oldest entry of each range, and leaves runs open."""

    def __init__(self) -> None:
        self.streams: dict[str, StoredStream] = {}
        self.entries: dict[str, list[Entry]] = {}

    def start(self, now: float) -> list[StoredStream]:
        return list(self.streams.values())

    def stop(self) -> Deferred[None]:
        return succeed(None)

    def write(self, changes: Sequence[Change]) -> Deferred[None]:
        for change in changes:
            if isinstance(change, Creation):
                self.streams[change.epoch] = StoredStream(*change, None, 1, 0, 0, 0)
                self.entries[change.epoch] = []
            elif isinstance(change, Addition):
                kept = self.entries[change.epoch] = [*self.entries[change.epoch], *change.entries]
                self.streams[change.epoch] = self.streams[change.epoch]._replace(
                    ended=change.ended, last=kept[-1].number, size=sum(len(entry.data) for entry in kept)
                )
            elif isinstance(change, Deletion):
                del self.streams[change.epoch]
        return succeed(None)

    def read(self, epoch: str, first: int, last: int) -> Deferred[StoredEntries]:
        return succeed(StoredEntries([entry for entry in self.entries[epoch] if first < entry.number <= last], {}))


class ContractTests(SynchronousTestCase):
    """The contract fails for a store that breaks it."""

    def test_store(self) -> None:
        """The contract finds a store whose `delete` forgets the viewers, the bytes and the epoch."""

        class Case(StoreContract, SynchronousTestCase):
            def makeStore(self, window: int) -> IStreamStore:
                return _Forgetful(self.clock, window)

        self.assertEqual(findFailures(Case), _FORGETFUL)

    def test_persistence(self) -> None:
        """The contract finds a persistence that loses keys and entries and does not recover."""
        stored = _Careless()

        class Case(StoreContract, SynchronousTestCase):
            survives = True

            def setUp(self) -> None:
                stored.__init__()  # type: ignore[misc]
                super().setUp()

            def makeStore(self, window: int) -> IStreamStore:
                return PersistentStore(self.clock, stored, window)

            def crash(self) -> None:
                self.result(self.store.stop())

        found = findFailures(Case)
        self.flushLoggedErrors(ValueError)
        self.assertEqual(found, _CARELESS)
