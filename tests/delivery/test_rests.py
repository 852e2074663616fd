"""
Tests of `sseserver.delivery.rests`: readings that viewers have in part.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.delivery.rests import Rest, Rests


class FakeBody:
    """A body that takes three bytes at a time."""

    def __init__(self) -> None:
        self.written = 0
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        raise AssertionError

    def writeSome(self, data: bytes, start: int) -> int:
        self.pieces.append(data[start : start + 3])
        return start + len(self.pieces[-1])

    def cork(self) -> None:
        raise AssertionError

    def close(self) -> None:
        raise AssertionError


class Holder:
    """A viewer that is cut. Another holder may be told of it."""

    def __init__(self, rests: Rests, data: bytes) -> None:
        self.rest = Rest(data)
        self.reasons: list[str] = []
        self._rests = rests
        rests.hold(self.rest, self)

    def release(self) -> None:
        self._rests.release(self.rest, self)

    def abort(self, reason: str) -> None:
        self.reasons.append(reason)
        self.release()


class RestTests(SynchronousTestCase):
    """One rest."""

    def test_write(self) -> None:
        """A rest is written from its place on."""
        rest, body = Rest(b"12345678"), FakeBody()
        while not rest.isWritten():
            rest.write(body)
        self.assertEqual((body.pieces, rest.place), ([b"123", b"456", b"78"], 8))


class RestsTests(SynchronousTestCase):
    """The rests of several viewers."""

    def setUp(self) -> None:
        self.rests = Rests(100)

    def hold(self, data: bytes) -> Holder:
        """Let one more viewer hold a reading."""
        return Holder(self.rests, data)

    def assertUsed(self, used: int, count: int) -> None:
        """Check the figures."""
        self.assertEqual((self.rests.used, self.rests.count), (used, count))

    def test_shared(self) -> None:
        """Readings with the same bytes become one, which counts once, until its last viewer has released it."""
        holders = [self.hold(bytes(b"x" * size)) for size in (50, 50, 30)]
        self.assertIs(holders[0].rest.data, holders[1].rest.data)
        self.assertUsed(80, 2)
        holders[0].release()
        self.assertUsed(80, 2)
        holders[1].release()
        self.assertUsed(30, 1)
        holders[2].release()
        self.assertUsed(0, 0)

    def test_releasedTwice(self) -> None:
        """A reading that is released twice, or was never kept, changes nothing."""
        kept, holder = self.hold(b"x" * 50), self.hold(b"x" * 50)
        holder.release()
        holder.release()
        self.rests.release(Rest(b"y"), holder)
        self.assertUsed(50, 1)
        kept.release()
        self.assertUsed(0, 0)

    def test_room(self) -> None:
        """Within the limit nobody is cut; above it, the oldest reading leaves."""
        holders = [self.hold(b"%d" % number * 50) for number in range(3)]
        holders[0].release()
        self.rests.makeRoom()
        self.assertEqual([holder.reasons for holder in holders], [[], [], []])
        newest = self.hold(b"9" * 20)
        self.rests.makeRoom()
        self.assertEqual([holder.reasons for holder in (*holders, newest)], [[], ["stalled"], [], []])
        self.assertUsed(70, 2)

    def test_fewViewers(self) -> None:
        """A reading with few viewers leaves before one with many, but the newest stays."""
        many = [self.hold(b"m" * 50) for _ in range(3)]
        few = self.hold(b"f" * 50)
        new = self.hold(b"n" * 50)
        self.rests.makeRoom()
        self.assertEqual([holder.reasons for holder in (*many, few, new)], [[], [], [], ["stalled"], []])
        self.hold(b"e" * 60)
        self.rests.makeRoom()
        self.assertEqual([holder.reasons for holder in (*many, new)], [["stalled"]] * 4)
        self.assertUsed(60, 1)

    def test_one(self) -> None:
        """A single reading may be larger than the limit."""
        holder = self.hold(b"x" * 101)
        self.rests.makeRoom()
        self.assertEqual(holder.reasons, [])
