"""
Tests of `sseserver.service.localdirectory`, and of `sseserver.testing.directories` on it.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.interfaces import IKeyDirectory
from sseserver.service.localdirectory import KEY_COST, LocalDirectory
from sseserver.streams.account import Account
from sseserver.testing import KeyDirectoryContract


class LocalDirectoryTests(KeyDirectoryContract, SynchronousTestCase):
    """A directory in memory."""

    def makeDirectory(self) -> IKeyDirectory:
        self.account = Account()
        return LocalDirectory(self.account)

    def test_counted(self) -> None:
        """A key is counted from its claim until it is dropped, once, whatever happens to it."""
        self.claim()
        self.directory.claim("key", b"digest")
        self.assertEqual((self.account.used, self.account.count), (KEY_COST + 3, 1))
        first = self.bind()
        self.bind("other")
        second = self.bind()
        self.assertEqual((self.account.used, self.account.count), (2 * KEY_COST + 8, 2))
        for stream in (first, second):
            self.directory.forget(stream.epoch)
        self.assertEqual((self.account.used, self.account.count), (KEY_COST + 5, 1))
        self.claim()
        self.directory.release("key")
        self.assertEqual(self.account.count, 1)

    def test_cancelled(self) -> None:
        """A request that has given up is no obstacle for those that wait with it."""
        self.claim()
        waiting = [self.directory.claim("key", b"digest") for _ in range(2)]
        waiting[0].addErrback(lambda _: None)
        waiting[0].cancel()
        stream = self.bind()
        self.assertEqual(self.successResultOf(waiting[1]), stream)
