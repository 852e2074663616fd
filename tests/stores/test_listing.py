"""
Tests of `sseserver.stores.listing`: pages of a list of streams.
"""

from __future__ import annotations

from dataclasses import dataclass

from twisted.trial.unittest import SynchronousTestCase

from sseserver.stores.listing import findPage
from sseserver.values import ListedPlace


@dataclass(frozen=True)
class Created:
    """A stream, as far as a list knows it."""

    name: str
    created: float


class PageTests(SynchronousTestCase):
    """Five streams, three of which were created at the same time."""

    def setUp(self) -> None:
        times = {"a": 1.0, "b": 2.0, "c": 2.0, "d": 2.0, "e": 3.0}
        self.streams = {name: Created(name, created) for name, created in times.items()}

    def page(self, limit: int, before: ListedPlace | None = None) -> str:
        """Return the names of the streams of a page."""
        return "".join(stream.name for stream in findPage(self.streams, limit, before))

    def test_first(self) -> None:
        """The first page begins with the newest stream and has at most `limit` streams."""
        self.assertEqual(self.page(2), "ed")
        self.assertEqual(self.page(9), "edcba")

    def test_next(self) -> None:
        """A page begins after the last stream of the page before, also among streams of the same time."""
        self.assertEqual(self.page(2, ListedPlace(2.0, "d")), "cb")
        self.assertEqual(self.page(2, ListedPlace(2.0, "b")), "a")
        self.assertEqual(self.page(2, ListedPlace(1.0, "a")), "")

    def test_deleted(self) -> None:
        """If that stream was deleted, the page begins with the streams before its time."""
        del self.streams["c"]
        self.assertEqual(self.page(2, ListedPlace(2.0, "c")), "a")

    def test_nameAgain(self) -> None:
        """A stream that has its name now does not count as that stream."""
        del self.streams["b"]
        self.streams["b"] = Created("b", 4.0)
        self.assertEqual(self.page(9, ListedPlace(2.0, "b")), "a")
