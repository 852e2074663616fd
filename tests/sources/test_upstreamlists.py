"""Tests for `sseserver.sources.upstreamlists`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import SourceError
from sseserver.sources.upstreamlists import MOST_MODELS, RETRY_SECONDS, WAIT_SECONDS, NamedUpstream, UpstreamLists
from sseserver.sources.upstreammodels import KEPT_SECONDS


class FakeUpstream:
    """
    An upstream whose list its test gives.

    Attributes:
        asked: Requests that wait for the list, the newest last.
        count: Number of requests so far.
    """

    def __init__(self) -> None:
        self.asked: list[Deferred[Any]] = []
        self.count = 0

    def models(self) -> Deferred[Sequence[str | Mapping[str, Any]]]:
        """See `IModels.models`."""
        self.count += 1
        self.asked.append(Deferred())
        return self.asked[-1]

    def tell(self, *models: str | Mapping[str, Any]) -> None:
        """Answer the oldest request."""
        self.asked.pop(0).callback(list(models))

    def fail(self, error: Exception | None = None) -> None:
        """Fail the oldest request."""
        self.asked.pop(0).errback(error or SourceError("Gone."))


class ListTests(SynchronousTestCase):
    """The lists of two upstreams."""

    def setUp(self) -> None:
        """Make the lists. The clock must be empty at the end."""
        self.clock = Clock()
        self.one, self.two = FakeUpstream(), FakeUpstream()
        named: Any = [NamedUpstream("one", self.one), NamedUpstream("two", self.two)]  # type: ignore[arg-type]
        self.lists = UpstreamLists(self.clock, named)
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def settle(self) -> Deferred[None]:
        """Wait for the lists."""
        return self.lists.settle()

    def test_merge(self) -> None:
        """Each upstream is asked once, and its models have its name; an ID of two upstreams means the first."""
        first, second = self.settle(), self.settle()
        self.assertEqual((self.one.count, self.two.count), (1, 1))
        self.one.tell("a", {"id": "b", "owned_by": "x"})
        self.assertNoResult(first)
        self.two.tell({"id": "b"}, "c")
        self.successResultOf(first)
        self.successResultOf(second)
        merged = [
            {"id": "a", "upstream": "one"},
            {"id": "b", "owned_by": "x", "upstream": "one"},
            {"id": "two/b", "upstream": "two"},
            {"id": "c", "upstream": "two"},
        ]
        self.assertEqual(self.lists.merge(), merged)
        self.assertIs(self.lists.merge(), self.lists.merge())
        self.assertEqual((self.lists.has("two", "b"), self.lists.has("two", "a")), (True, False))

    def test_kept(self) -> None:
        """Lists are kept for a minute, and then requested anew; until then the old ones hold."""
        self.settle()
        self.one.tell("a")
        self.two.tell("b")
        self.clock.advance(KEPT_SECONDS - 1)
        self.successResultOf(self.settle())
        self.assertEqual(self.one.count, 1)
        self.clock.advance(1)
        waiting = self.settle()
        self.assertEqual((self.one.count, self.lists.has("one", "a")), (2, True))
        self.one.tell("new")
        self.two.tell("b")
        self.successResultOf(waiting)
        self.assertEqual((self.lists.has("one", "a"), self.lists.has("one", "new")), (False, True))

    def test_failure(self) -> None:
        """An upstream that fails hides no other one, keeps the list that it had, and is asked again soon."""
        waiting = self.settle()
        self.one.fail()
        self.two.tell("b")
        self.successResultOf(waiting)
        self.assertEqual([model["id"] for model in self.lists.merge()], ["b"])
        self.assertEqual((self.lists.isKnown("one"), self.lists.isKnown("two")), (False, True))
        self.successResultOf(self.settle())
        self.clock.advance(RETRY_SECONDS)
        self.settle()
        self.assertEqual((self.one.count, self.two.count), (2, 1))
        self.one.tell("a")
        self.clock.advance(KEPT_SECONDS)
        self.settle()
        self.one.fail()
        self.two.fail()
        self.assertEqual([model["id"] for model in self.lists.merge()], ["a", "b"])

    def test_slow(self) -> None:
        """A slow upstream is not waited for longer than some seconds; its list is there for the next one."""
        waiting = self.settle()
        self.one.tell("a")
        self.clock.advance(WAIT_SECONDS - 0.1)
        self.assertNoResult(waiting)
        self.clock.advance(0.2)
        self.successResultOf(waiting)
        self.assertEqual([model["id"] for model in self.lists.merge()], ["a"])
        self.two.tell("b")
        self.assertEqual([model["id"] for model in self.lists.merge()], ["a", "b"])

    def test_cancel(self) -> None:
        """A caller that gives up leaves the request to the others."""
        first, second = self.settle(), self.settle()
        first.cancel()
        self.failureResultOf(first)
        self.one.tell("a")
        self.two.tell("b")
        self.successResultOf(second)

    def test_bound(self) -> None:
        """No more models of one upstream are kept than fit."""
        self.settle()
        self.one.tell(*map(str, range(MOST_MODELS + 1)))
        self.two.tell("b")
        self.assertEqual(len(self.lists.merge()), MOST_MODELS + 1)

    def test_bug(self) -> None:
        """A list that cannot be read is logged, and nobody waits for it for ever."""
        waiting = self.settle()
        self.one.tell({"no": "id"})
        self.two.tell("b")
        self.clock.advance(WAIT_SECONDS)
        self.successResultOf(waiting)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_clock(self) -> None:
        """A clock that was set back does not keep a list for ever."""
        self.clock.advance(1000)
        self.settle()
        self.one.tell("a")
        self.two.tell("b")
        self.clock.rightNow = 0.0
        self.settle()
        self.assertEqual(self.one.count, 2)
        self.one.tell("a")
        self.two.tell("b")
