"""
Tests for `sseserver.testing.directories`: the contract on a careless directory.

tests/service/test_localdirectory.py runs it on ours.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from sseserver.interfaces import IKeyDirectory, KeyedStream
from sseserver.service.localdirectory import LocalDirectory
from sseserver.streams.account import Account
from sseserver.testing import KeyDirectoryContract
from tests.testing.failing import findFailures


class _Careless(LocalDirectory):
    """A directory that compares no digests, and drops the keys of no stream."""

    def claim(self, key: str, digest: bytes) -> Deferred[KeyedStream | None]:
        return super().claim(key, b"")

    def forget(self, epoch: str) -> None:
        pass


class CarelessTests(SynchronousTestCase):
    """The failures that the contract finds."""

    def test_careless(self) -> None:
        """The tests of what the directory does not do fail, and no others."""

        class Tests(KeyDirectoryContract, SynchronousTestCase):
            def makeDirectory(self) -> IKeyDirectory:
                return _Careless(Account())

        self.assertEqual(findFailures(Tests), {"test_digest", "test_forgotten"})
