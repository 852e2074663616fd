"""
Tests of `sseserver.service.creation`: streams are created while the service takes work, and where there is room.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import Overloaded, StreamExists
from sseserver.service.creation import Creation
from sseserver.stores.memory import MemoryStore


class Room:
    """
    Stands for `Retention`.

    Attributes:
        has: Whether there is room.
        asked: What room was made for.
    """

    def __init__(self) -> None:
        self.has = True
        self.asked: list[tuple[int, bool]] = []

    def makeRoom(self, streams: int = 0, published: bool = False) -> bool:
        """See `Retention.makeRoom`."""
        self.asked.append((streams, published))
        return self.has


class CreationTests(SynchronousTestCase):
    """`Creation`."""

    def setUp(self) -> None:
        self.store: Any = MemoryStore(Clock(), 1 << 20)
        self.room: Any = Room()
        self.works = True
        self.creation = Creation(self.store, self.room, lambda: self.works)

    def test_created(self) -> None:
        """A stream is created with its question; a name that is taken is refused."""
        created = self.successResultOf(self.creation.create("a", False, "What?"))
        self.assertEqual((created.name, created.published, created.question), ("a", False, "What?"))
        self.failureResultOf(self.creation.create("a", True), StreamExists)
        self.assertEqual(self.room.asked, [(1, False), (1, True)])

    def test_refused(self) -> None:
        """Without room, and while the service stops, no stream is created."""
        self.room.has = False
        self.assertIn("limit", str(self.failureResultOf(self.creation.create("a", True), Overloaded).value))
        self.room.has, self.works = True, False
        self.assertIn("stopped", str(self.failureResultOf(self.creation.create("a", True), Overloaded).value))
        self.assertEqual(self.store.count, 0)

    def test_late(self) -> None:
        """A stream that a slow store creates after the service was stopped is refused."""
        creating: Deferred[Any] = Deferred()
        slow: Any = SimpleNamespace(create=lambda *_: creating)
        created = Creation(slow, self.room, lambda: self.works).create("a", True)
        self.works = False
        creating.callback(None)
        self.failureResultOf(created, Overloaded)
