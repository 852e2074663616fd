"""Tests for `sseserver.testing.stores`: the contract on a broken store. tests/stores runs it on ours."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from sseserver.interfaces import IStreamStore
from sseserver.stores.memory import MemoryStore
from sseserver.testing import StoreContract
from tests.testing.failing import findFailures

#: Tests of the contract that `_Forgetful` fails.
_FORGETFUL = {"test_accounts", "test_delete", "test_deleteAnother", "test_nameAgain", "test_used"}


class _Forgetful(MemoryStore):
    """Store whose `delete` forgets the viewers, the bytes and the epoch."""

    def delete(self, name: str, epoch: str | None = None) -> Deferred[None]:
        deleted: Any = self.find(name)
        self._logs.pop(name, None)
        return deleted.addCallback(lambda _: None)


class ContractTests(SynchronousTestCase):
    """The contract fails for a store that breaks it."""

    def test_store(self) -> None:
        """The contract finds a store whose `delete` forgets the viewers, the bytes and the epoch."""

        class Case(StoreContract, SynchronousTestCase):
            def makeStore(self, window: int) -> IStreamStore:
                return _Forgetful(self.clock, window)

        self.assertEqual(findFailures(Case), _FORGETFUL)
