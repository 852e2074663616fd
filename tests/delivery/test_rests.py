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
    """A viewer that has a reading in part."""

    def __init__(self, rests: Rests, data: bytes) -> None:
        self.rest = Rest(data, 0)
        self.hasGivenUp = False
        self._rests = rests
        rests.hold(self.rest, self)

    def release(self) -> None:
        self._rests.release(self.rest, self)

    def giveUp(self) -> None:
        self.hasGivenUp = True
        self.release()


class RestTests(SynchronousTestCase):
    """One rest."""

    def test_write(self) -> None:
        """A rest is written from its place on."""
        rest, body = Rest(b"12345678", 1), FakeBody()
        while not rest.isWritten():
            rest.write(body)
        self.assertEqual((body.pieces, rest.place), ([b"234", b"567", b"8"], 8))


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

    def assertGivenUp(self, holders: list[Holder], expected: list[Holder]) -> None:
        """Check which of some viewers have given up."""
        self.assertEqual([holder for holder in holders if holder.hasGivenUp], expected)

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

    def test_similar(self) -> None:
        """Readings that differ in the middle only are two."""
        holders = [self.hold(b"x" * 200 + middle + b"x" * 200) for middle in (b"1", b"2", b"1")]
        self.assertUsed(802, 2)
        self.assertEqual([holder.rest.data[200:201] for holder in holders], [b"1", b"2", b"1"])
        for holder in holders:
            holder.release()
        self.assertUsed(0, 0)

    def test_releasedTwice(self) -> None:
        """A reading that is released twice, or was never kept, changes nothing."""
        kept, holder = self.hold(b"x" * 50), self.hold(b"x" * 50)
        holder.release()
        holder.release()
        self.rests.release(Rest(b"y", 0), holder)
        self.assertUsed(50, 1)
        kept.release()
        self.assertUsed(0, 0)

    def test_room(self) -> None:
        """Within the limit nobody gives up; above it, the oldest reading leaves."""
        holders = [self.hold(b"%d" % number * 50) for number in range(3)]
        holders[0].release()
        self.rests.makeRoom()
        self.assertGivenUp(holders, [])
        newest = self.hold(b"9" * 20)
        self.rests.makeRoom()
        self.assertGivenUp([*holders, newest], holders[1:2])
        self.assertUsed(70, 2)

    def test_fewViewers(self) -> None:
        """A reading with few viewers leaves before one with many, but the newest stays."""
        many = [self.hold(b"m" * 50) for _ in range(3)]
        few = self.hold(b"f" * 50)
        new = self.hold(b"n" * 50)
        self.rests.makeRoom()
        self.assertGivenUp([*many, few, new], [few])
        self.hold(b"e" * 60)
        self.rests.makeRoom()
        self.assertGivenUp([*many, new], [*many, new])
        self.assertUsed(60, 1)

    def test_one(self) -> None:
        """A single reading may be larger than the limit."""
        holder = self.hold(b"x" * 101)
        self.rests.makeRoom()
        self.assertGivenUp([holder], [])
