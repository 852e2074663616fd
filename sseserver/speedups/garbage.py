"""
Rare garbage collections, for a process that runs nothing but sseserver.

Kept streams are many small objects that live for minutes. With its defaults, Python's collector
walks over all of them repeatedly: a tenth of the price of a short stream, and pauses of 30 ms. It
finds little: viewers and runs are released by their reference counts.

`twistd sseserver` adds the service; embedders decide for their own process.
"""

from __future__ import annotations

import gc
from typing import NamedTuple

from twisted.application.service import Service


class Thresholds(NamedTuple):
    """
    When the collector collects: see `gc.set_threshold`.

    Attributes:
        young: Number of new objects before a collection of the youngest generation.
        middle: Number of these before one of the next generation.
        old: Number of those before one of all.
    """

    young: int
    middle: int
    old: int


#: Numbers of objects, and of collections. The youngest generation is collected after 10,000 new objects (50 short
#: streams hold fewer at a time), the next in every third such collection: it then walks over 30,000 objects, which
#: takes four milliseconds. With four times as many, everybody would wait too long. All are collected in the 27th of
#: those, at 800,000 objects. So garbage amounts to some 100 MB at worst.
_THRESHOLDS = Thresholds(10_000, 1, 25)


class RareCollections(Service):
    """
    Makes collections rare while it runs.

    Objects that exist when it starts (modules, classes, the site) are not walked over at all, not even when the process
    ends: that would take a quarter of the CPU time of a start. The collector of another Python than CPython has no such
    settings and is left alone.
    """

    def __init__(self) -> None:
        self._before: Thresholds | None = None

    def startService(self) -> None:
        """See `Service.startService`."""
        super().startService()
        if hasattr(gc, "freeze"):
            self._before = Thresholds(*gc.get_threshold())
            gc.collect()
            gc.freeze()
            gc.set_threshold(*_THRESHOLDS)

    def stopService(self) -> None:
        """Restore the thresholds of the collector."""
        super().stopService()
        if self._before is not None:
            gc.set_threshold(*self._before)
