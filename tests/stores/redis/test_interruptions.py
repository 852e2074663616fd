"""
Tests of `sseserver.stores.redis.interruptions`: runs whose process is gone.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import StoreDamaged, StoreUnavailable, StreamNotFound
from tests.redisservers import findMissing

if findMissing() is None:
    from sseserver.stores.redis.interruptions import Interruptions
    from sseserver.stores.redis.layout import Layout


class InterruptionTests(SynchronousTestCase):
    """`Interruptions`, with parts that note their calls."""

    skip = findMissing()

    def setUp(self) -> None:
        self.taken: Any = succeed(None)
        self.ended: Any = succeed(None)
        self.calls: list[str] = []
        node: Any = SimpleNamespace(id=b"me", doubt=lambda: self.calls.append("doubt"))
        takeover: Any = SimpleNamespace(take=lambda name, owner: self.note("take", self.taken))
        client: Any = SimpleNamespace(ask=lambda command, *_: self.note(command, succeed(1)))
        publisher: Any = SimpleNamespace(end=lambda name, entry, owner: self.note("end", self.ended))
        self.interruptions = Interruptions(node, takeover, publisher, client, Layout())

    def note(self, name: str, answer: Deferred[Any]) -> Deferred[Any]:
        """Note a call; return its answer."""
        self.calls.append(name)
        return answer

    def test_settled(self) -> None:
        """A run that was taken over, or must wait, is not ended; one that nobody takes is."""
        for taken, calls, settled in ((True, ["take"], True), (False, ["take"], False), (None, ["take", "end"], True)):
            self.calls.clear()
            self.taken = succeed(taken)
            self.assertIs(self.successResultOf(self.interruptions.settle("a", b"other")), settled)
            self.assertEqual(self.calls, calls)

    def test_own(self) -> None:
        """A run of this process that it does not know any more is only ended; it may be gone."""
        self.ended = fail(StreamNotFound("a"))
        self.assertIs(self.successResultOf(self.interruptions.settle("a", b"me")), True)
        self.assertEqual(self.calls, ["end"])

    def test_damaged(self) -> None:
        """A damaged run is not taken, and is forgotten if nobody can end it."""
        self.taken, self.ended = fail(StoreDamaged("a")), fail(StoreDamaged("a"))
        self.assertIs(self.successResultOf(self.interruptions.settle("a", b"other")), True)
        self.assertEqual(self.calls, ["take", "end", "HDEL"])

    def test_lost(self) -> None:
        """If the answer is lost, this process may have taken the run: it looks for it."""
        self.taken = fail(StoreUnavailable("Lost."))
        self.failureResultOf(self.interruptions.settle("a", b"other"), StoreUnavailable)
        self.assertEqual(self.calls, ["take", "doubt"])
