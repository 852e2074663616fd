"""
Return of free memory to the operating system.

The allocator of glibc returns memory only from the end of its heap. The buffers of hundreds of
viewers that were cut off at once lie in front of some small object that stays; without a trim their
pages would stay resident until the process ends.

`twistd sseserver` adds the service; embedders decide for their own process.
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

#: Seconds between two looks. Memory that is free at two of them in a row is returned.
INTERVAL = 5.0

#: Bytes. Less free memory is left to the allocator.
LEAST = 2 * 1024 * 1024

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

    def measure(self) -> Memory:
        """Measure the memory."""

    def trim(self) -> None:
        """Return the pages of the free bytes to the operating system."""


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
        library: The C library.
    """

    def __init__(self, library: Any) -> None:
        library.mallinfo2.restype = _Info
        library.malloc_trim.argtypes = [ctypes.c_size_t]
        self._library = library

    def measure(self) -> Memory:
        """See `IHeap.measure`."""
        info = self._library.mallinfo2()
        resident = int(_STATM.read_bytes().split()[1]) * _PAGE
        return Memory(resident, info.uordblks + info.hblkhd, info.fordblks)

    def trim(self) -> None:
        """See `IHeap.trim`."""
        self._library.malloc_trim(0)


def findHeap() -> Heap | None:
    """
    Return the heap of this process; `None` if its allocator is not that of glibc.

    Another allocator may have taken the place of glibc's, whose functions are there all the same.
    """
    try:
        heap = Heap(ctypes.CDLL(None))
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
        self._heap = heap
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock
        # The memory after the last trim, and the idle bytes of the look before.
        self._trimmed: Memory
        self._before = 0

    def startService(self) -> None:
        """See `Service.startService`."""
        super().startService()
        self._trimmed = self._heap.measure()
        self._before = 0
        self._loop.start(INTERVAL, now=False)

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> None:
        """Trim the heap if enough of it was idle for an interval."""
        idle = self._measureIdle(self._heap.measure())
        if min(idle, self._before) >= LEAST:
            self._heap.trim()
            self._trimmed = self._heap.measure()
            idle = 0
        self._before = idle

    def _measureIdle(self, memory: Memory) -> int:
        """Return the bytes that were used since the last trim, and are free and resident now."""
        trimmed = self._trimmed
        return min(memory.free, memory.resident - trimmed.resident - (memory.used - trimmed.used))
