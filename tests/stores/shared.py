"""
A store that says that other processes share it, for tests of what a service leaves to such a store.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from sseserver.interfaces import ICounts, IKeyDirectory, IRate, ISharedLimits, ISharedStore
from sseserver.service.buckets import Buckets
from sseserver.service.localcounts import LocalCounts
from sseserver.service.localdirectory import LocalDirectory
from sseserver.stores.memory import MemoryStore
from sseserver.streams.account import Account


@implementer(ISharedStore, ISharedLimits)
class SharedMemoryStore(MemoryStore):
    """
    A store in memory. Services that have the same one share it as processes share a store.

    Attributes:
        onEnded: See `ISharedStore`.
        problem: The answer of `findProblem`.
        sheds: The calls of `shed`; each drops a stream whose name is in `unused`.
        unused: Names of streams whose logs nobody uses.
        asked: Names of the calls of `isFollowed`.
        answers: Their next answers; after these, `False`.
    """

    def __init__(self, clock: Any, window: int) -> None:
        super().__init__(clock, window)
        self.onEnded: Any = None
        self.limits, self.takeover = self, None
        self.problem: str | None = None
        self.sheds: list[bool] = []
        self.unused: list[str] = []
        self.asked: list[str] = []
        self.answers: list[Deferred[bool]] = []
        self._seconds = clock.seconds
        self._directories: dict[str, IKeyDirectory] = {}
        self._rates: dict[str, IRate] = {}
        self._counts: dict[str, ICounts] = {}

    def findProblem(self) -> str | None:
        """See `IChecked.findProblem`."""
        return self.problem

    def isFollowed(self, name: str) -> Deferred[bool]:
        """See `ISharedStore.isFollowed`."""
        self.asked.append(name)
        return self.answers.pop(0) if self.answers else succeed(False)

    def makeDirectory(self, purpose: str) -> IKeyDirectory:
        """See `ISharedStore.makeDirectory`."""
        return self._directories.setdefault(purpose, LocalDirectory(Account()))

    def makeRate(self, purpose: str, period: float) -> IRate:
        """See `ISharedLimits.makeRate`."""
        return self._rates.setdefault(purpose, Buckets(period, self._seconds))

    def makeCounts(self, purpose: str) -> ICounts:
        """See `ISharedLimits.makeCounts`."""
        return self._counts.setdefault(purpose, LocalCounts())

    def shed(self, published: bool) -> bool:
        """See `ISharedStore.shed`."""
        self.sheds.append(published)
        if not self.unused:
            return False
        self.delete(self.unused.pop(0))
        return True
