"""
Return of free memory to the operating system.

The allocator of glibc returns memory only from the end of its heap. The buffers of hundreds of
viewers that were cut off at once lie in front of some small object that stays; without a trim their
pages would stay resident until the process ends.

`malloc_trim` returns the pages of everything that is free, and keeps the lock of the allocator
meanwhile: in a thread it would stop the reactor for as long. So the free memory is taken first, as
blocks that nobody writes to. Then a few of them are freed and trimmed in each turn.

A block of several megabytes comes from the system itself, and goes back to it at once. It also grows
without being copied, which the bytes of a large prompt need.

`twistd sseserver` adds the service; embedders decide for their own process.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall

#: Seconds between two looks. Memory that is free at two of them in a row is returned.
INTERVAL = 5.0

#: Bytes. Less free memory is left to the allocator.
LEAST = 2 * 1024 * 1024

#: Bytes. Sizes of the blocks in which free memory is taken, one after the other. All are smaller than those that glibc
#: asks the system for (128 KiB), and larger than a page, without which there is nothing to return.
BLOCKS = (64_000, 16_000, 5_000)

#: Bytes freed in one step, and number of blocks taken or freed in one step. A step takes about 2 ms.
STEP_BYTES = 8 * 1024 * 1024
STEP_BLOCKS = 1000

#: Bytes. A larger block comes from the system itself. glibc decides so by 128 KiB at first, and by up to 32 MiB later:
#: then a prompt that grows is copied each time, for 10 ms.
MAPPED = 4 * 1024 * 1024

#: Bytes. Free memory at the end of the heap that is left there until a trim.
_LEFT = 64 * 1024 * 1024

#: Parameters of `mallopt`.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

#: The pages of this process, in Linux.
_STATM = Path("/proc/self/statm")

#: Bytes. Size of a page.
_PAGE = os.sysconf("SC_PAGE_SIZE")

#: Bytes. Size of the block that the probe allocates: small enough to come from the heap.
_PROBED = 64 * 1024

#: Rounds of the probe: another thread, or a garbage collection, may free something meanwhile.
_PROBES = 5


@dataclass(frozen=True, slots=True)
class Memory:
    """
    The memory of a process, in bytes.

    Attributes:
        resident: What the system gives it.
        used: What the allocator has handed out.
        free: What the allocator keeps, with pages that were returned.
    """

    resident: int
    used: int
    free: int


class IHeap(Protocol):
    """The heap of a process."""

    def mapLarge(self) -> None:
        """Let blocks of more than `MAPPED` bytes come from the system itself from now on."""

    def measure(self) -> Memory:
        """Measure the memory."""

    def trim(self) -> Iterator[None]:
        """
        Return the pages of the free bytes to the operating system.

        Returns:
            The steps, each of which is short enough for a turn of the reactor. Between them some free memory is taken.
        """


class _Info(ctypes.Structure):
    """`struct mallinfo2` of glibc 2.33 and later."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


class Heap:
    """
    The heap of glibc.

    Args:
        library: The C library, whose functions are called with Python's lock: most take nanoseconds.
    """

    def __init__(self, library: Any) -> None:
        library.mallinfo2.restype = _Info
        library.malloc_trim.argtypes = library.malloc.argtypes = [ctypes.c_size_t]
        library.malloc.restype = library.sbrk.restype = ctypes.c_void_p
        library.sbrk.argtypes = [ctypes.c_ssize_t]
        library.mallopt.argtypes = [ctypes.c_int, ctypes.c_int]
        library.free.argtypes, library.free.restype = [ctypes.c_void_p], None
        self._library = library

    def mapLarge(self) -> None:
        """See `IHeap.mapLarge`."""
        self._library.mallopt(_M_MMAP_THRESHOLD, MAPPED)
        self._library.mallopt(_M_TRIM_THRESHOLD, _LEFT)

    def measure(self) -> Memory:
        """See `IHeap.measure`."""
        info = self._library.mallinfo2()
        resident = int(_STATM.read_bytes().split()[1]) * _PAGE
        return Memory(resident, info.uordblks + info.hblkhd, info.fordblks)

    def trim(self) -> Iterator[None]:
        """See `IHeap.trim`."""
        taken: list[tuple[int, int]] = []
        try:
            yield from self._take(self.measure().free, taken)
            self._free(taken)
            while taken:
                yield
                self._free(taken)
        finally:
            for address, _ in taken:
                self._library.free(address)

    def _take(self, limit: int, taken: list[tuple[int, int]]) -> Iterator[None]:
        """
        Take the free memory of the heap, in steps.

        Args:
            limit: Bytes to take at most.
            taken: Address and size of each block are added to it.
        """
        malloc = self._library.malloc
        for size in BLOCKS:
            # A block behind the end of the heap was not free: the system has just given it.
            end = self._library.sbrk(0)
            while limit > 0 and (address := malloc(size)):
                taken.append((address, size))
                limit -= size
                if address >= end:
                    break
                if len(taken) % STEP_BLOCKS == 0:
                    yield
                    end = self._library.sbrk(0)

    def _free(self, taken: list[tuple[int, int]]) -> None:
        """Free some of the blocks, the newest first, and return their pages."""
        size = count = 0
        while taken and size < STEP_BYTES and count < STEP_BLOCKS:
            address, block = taken.pop()
            self._library.free(address)
            size += block
            count += 1
        self._library.malloc_trim(0)


def findHeap() -> Heap | None:
    """
    Return the heap of this process; `None` if its allocator is not that of glibc.

    Another allocator may have taken the place of glibc's, whose functions are there all the same.
    """
    try:
        heap = Heap(ctypes.PyDLL(None))
        return heap if any(_seesBlock(heap) for _ in range(_PROBES)) else None
    except (AttributeError, OSError, TypeError):
        return None


def _seesBlock(heap: Heap) -> bool:
    """Return whether the figures of a heap include a block that is allocated now."""
    before = heap.measure().used
    block = ctypes.create_string_buffer(_PROBED)
    return heap.measure().used - before >= len(block)


class ReturnedMemory(Service):
    """
    Returns free memory to the operating system while it runs.

    Args:
        clock: Tells when to look.
        heap: The heap of the process.
    """

    def __init__(self, clock: IReactorTime, heap: IHeap) -> None:
        self._clock = clock
        self._heap = heap
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock
        # The memory after the last trim, and the idle bytes of the look before.
        self._trimmed: Memory
        self._before = 0
        # The steps of a trim under way, and the call that takes the next one.
        self._steps: Iterator[None] | None = None
        self._next: IDelayedCall | None = None

    def startService(self) -> None:
        """See `Service.startService`."""
        super().startService()
        self._heap.mapLarge()
        self._trimmed = self._heap.measure()
        self._before = 0
        self._loop.start(INTERVAL, now=False)

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        if self._next is not None:
            self._next.cancel()
        self._next = self._steps = None

    def _look(self) -> None:
        """Trim the heap if enough of it was idle for an interval."""
        if self._steps is not None:
            return
        idle = self._measureIdle(self._heap.measure())
        if min(idle, self._before) >= LEAST:
            self._steps = self._heap.trim()
            self._step(self._steps)
        else:
            self._before = idle

    def _step(self, steps: Iterator[None]) -> None:
        """Take the next step of a trim."""
        self._next = None
        if next(steps, self) is self:
            self._steps = None
            self._trimmed = self._heap.measure()
            self._before = 0
        else:
            self._next = self._clock.callLater(0, self._step, steps)

    def _measureIdle(self, memory: Memory) -> int:
        """Return the bytes that were used since the last trim, and are free and resident now."""
        trimmed = self._trimmed
        return min(memory.free, memory.resident - trimmed.resident - (memory.used - trimmed.used))
