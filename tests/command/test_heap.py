"""
Tests for `sseserver.command.heap`.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from sseserver.command.heap import INTERVAL, LEAST, Heap, Memory, ReturnedMemory, findHeap
from tests.fakes import TurnClock

#: Bytes that a step of a trim returns at most: returning a megabyte takes up to 0.3 ms.
MOST = 16 * 2**20


#: Says whether a large block is outside of the heap, after one of 30 MiB was freed. Calls `mapLarge` before, or not.
_MAP_LARGE = """
import ctypes, sys
from sseserver.command.heap import MAPPED, findHeap
heap = findHeap()
if sys.argv[1] == "1":
    heap.mapLarge()
library = ctypes.PyDLL(None)
library.malloc.restype = library.sbrk.restype = ctypes.c_void_p
library.free.argtypes = [ctypes.c_void_p]
library.free(library.malloc(30 * 2**20))
print(library.malloc(MAPPED + 1) > library.sbrk(0))
"""


class FakeHeap:
    """
    A heap whose use a test sets.

    Attributes:
        trims: Number of trims.
        ends: Number of trims that were ended, complete or not.
        mapsLarge: Whether `mapLarge` was called.
    """

    def __init__(self) -> None:
        self.trims = self.ends = 0
        self.mapsLarge = False
        self._used = self._most = 10 * LEAST
        self._resident = 30 * LEAST

    def use(self, size: int) -> None:
        """Set the bytes in use. Pages stay resident when their bytes are freed."""
        self._used = size
        if size > self._most:
            self._resident += size - self._most
            self._most = size

    def mapLarge(self) -> None:
        """See `IHeap.mapLarge`."""
        self.mapsLarge = True

    def measure(self) -> Memory:
        """See `IHeap.measure`."""
        return Memory(self._resident, self._used, 50 * LEAST - self._used)

    def trim(self) -> Iterator[None]:
        """See `IHeap.trim`."""
        try:
            for _ in range(2):
                yield
            self.trims += 1
            self._resident -= self._most - self._used
            self._most = self._used
        finally:
            self.ends += 1


class ReturnedMemoryTests(SynchronousTestCase):
    """When memory is returned."""

    def setUp(self) -> None:
        self.clock, self.heap = TurnClock(), FakeHeap()
        self.service = ReturnedMemory(self.clock, self.heap)
        self.service.startService()

    def tearDown(self) -> None:
        """Nothing is left in the clock."""
        self.service.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_mapsLarge(self) -> None:
        """From the start on, large blocks come from the system itself."""
        self.assertTrue(self.heap.mapsLarge)

    def look(self, *sizes: int) -> int:
        """Let an interval pass in which some bytes are in use, one after the other; return the number of trims."""
        for size in sizes:
            self.heap.use(size)
        before = self.heap.trims
        self.clock.advance(INTERVAL)
        return self.heap.trims - before

    def test_F108_stays(self) -> None:
        """F108: memory that is free at two looks in a row is returned, once."""
        sizes = [20 * LEAST, *[10 * LEAST] * 4]
        self.assertEqual([self.look(size) for size in sizes], [0, 0, 1, 0, 0])

    def test_F108_between(self) -> None:
        """F108: memory that was used between two looks is returned, too, each time."""
        wave = 20 * LEAST, 10 * LEAST
        self.assertEqual([self.look(*wave), self.look(), self.look(), self.look(*wave), self.look()], [0, 1, 0, 0, 1])

    def test_little(self) -> None:
        """Little free memory is left to the allocator."""
        sizes = [11 * LEAST - 1, *[10 * LEAST] * 3]
        self.assertEqual([self.look(size) for size in sizes], [0] * 4)

    def test_busy(self) -> None:
        """Memory that is free at every other look only is in use."""
        self.assertEqual([self.look(size) for size in (20 * LEAST, 10 * LEAST) * 4], [0] * 8)

    def test_stopped(self) -> None:
        """A service that has stopped looks no more, and can start again."""
        self.service.stopService()
        self.assertEqual(self.look(20 * LEAST, 10 * LEAST) + self.look(), 0)
        self.service.startService()
        self.assertEqual(self.look(30 * LEAST, 10 * LEAST) + self.look(), 1)

    def begin(self) -> None:
        """Begin a trim, and take its first step."""
        self.look(20 * LEAST, 10 * LEAST)
        self.clock.step(INTERVAL)
        self.clock.turn()

    def test_steps(self) -> None:
        """A trim takes each of its steps in a turn of its own, and no other begins meanwhile."""
        self.begin()
        self.assertEqual(self.heap.trims, 0)
        self.clock.step(INTERVAL)
        self.assertEqual((self.clock.turn(), self.heap.trims), (2, 0))
        self.assertEqual((self.clock.turn(), self.heap.trims), (1, 1))
        self.assertEqual((self.clock.turn(), self.heap.ends), (0, 1))

    def test_stoppedMeanwhile(self) -> None:
        """A trim that is under way ends with the service, and another one can begin later."""
        self.begin()
        self.service.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual((self.heap.trims, self.heap.ends), (0, 1))
        self.service.startService()
        self.assertEqual(self.look(30 * LEAST, 10 * LEAST) + self.look(), 1)


class HeapTests(SynchronousTestCase):
    """The heap of this process."""

    def find(self) -> Heap:
        """Find it, or skip the test."""
        heap = findHeap()
        if heap is None:
            self.assertFalse(sys.platform.startswith("linux") and _isGlibc(), "The probe failed.")
            self.skipTest("The allocator is not that of glibc.")
        return heap

    def fragment(self, count: int, size: int) -> list[bytes]:
        """Allocate blocks, free every other one, and return the rest."""
        blocks = [b"x" * size for _ in range(count)]
        return blocks[::2]

    def test_F108_steps(self) -> None:
        """F108: no step returns much memory, all of them return most of what is free, and nothing stays taken."""
        heap = self.find()
        for count, size in ((2000, 65_000), (4000, 7_000)):
            blocks = self.fragment(count, size)
            before = heap.measure()
            residents = [before.resident, *(heap.measure().resident for _ in heap.trim()), heap.measure().resident]
            self.assertLess(max(a - b for a, b in pairwise(residents)), MOST)
            self.assertGreater(len(residents), 3)
            # Of each block between two others, the pages that are not theirs.
            self.assertGreater(before.resident - residents[-1], count // 2 * (size - 8192) * 0.9)
            self.assertLess(heap.measure().used - before.used, 100_000)
            self.assertEqual(blocks[-1], b"x" * size)

    def test_F108_ended(self) -> None:
        """F108: a trim that ends early keeps nothing."""
        heap = self.find()
        blocks = self.fragment(1000, 65_000)
        before = heap.measure()
        steps = heap.trim()
        next(steps)
        self.assertGreater(heap.measure().used - before.used, 20_000_000)
        del steps
        self.assertLess(heap.measure().used - before.used, 100_000)
        self.assertEqual(blocks[-1], b"x" * 65_000)

    def test_mapLarge(self) -> None:
        """Large blocks lie outside of the heap, whatever was freed before: only such ones grow without a copy."""
        self.find()
        results = [
            subprocess.run([sys.executable, "-c", _MAP_LARGE, calls], capture_output=True, text=True, check=True).stdout
            for calls in ("0", "1")
        ]
        self.assertEqual(results, ["False\n", "True\n"])

    def test_counts(self) -> None:
        """Bytes that are freed between blocks that stay are free, and no longer in use."""
        heap = self.find()
        blocks = [bytes(30_000) for _ in range(600)]
        before = heap.measure()
        blocks = blocks[::2]
        after = heap.measure()
        self.assertGreater(after.free - before.free, 5_000_000)
        self.assertGreater(before.used - after.used, 5_000_000)
        for _ in heap.trim():
            pass
        self.assertLess(heap.measure().resident, after.resident)
        self.assertEqual(len(blocks[-1]), 30_000)

    def test_otherAllocators(self) -> None:
        """Without glibc, or if another allocator has taken its place, there is no heap to trim."""

        class Other:
            """A C library whose counts never change."""

            def __init__(self) -> None:
                self.malloc_trim = self.mallinfo2 = self.malloc = self.free = self.sbrk = _Function()

        with patch.object(ctypes, "PyDLL", lambda name: object()):
            self.assertIsNone(findHeap())
        with patch.object(ctypes, "PyDLL", lambda name: Other()):
            self.assertIsNone(findHeap())


class _Function:
    """A function of a C library that always returns the same."""

    fordblks = uordblks = hblkhd = 1000

    def __call__(self, *arguments: int) -> _Function:
        return self


def _isGlibc() -> bool:
    """Return whether the C library has the functions of glibc."""
    return hasattr(ctypes.CDLL(None), "mallinfo2")
