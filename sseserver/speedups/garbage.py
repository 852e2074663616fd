"""
Garbage: how often Python looks for it, in a process that is ours alone.

Streams that are kept are many small objects that live for minutes, and
Python's collector, with its defaults, walks over all of them again and again:
a tenth of what a short stream costs, and pauses of 30 ms. There is little to be
found: what a viewer or a run leaves behind goes by its reference counts.
"""

from __future__ import annotations

import gc

from twisted.application.service import Service

#: After so many new objects the youngest are looked through (more than 50 short streams hold between them at a time);
#: after ten times that the next generation; after five times that, at half a million, all. So what does need the
#: collector waits for some 100 MB at worst.
_THRESHOLDS = (10_000, 10, 5)


class RareCollections(Service):
    """
    While it runs, garbage is looked for seldom, and not among what was there
    when it started: modules, classes, the site.

    It is for a process of our own: an embedder's is the embedder's to set.
    """

    def __init__(self) -> None:
        self._before = gc.get_threshold()

    def startService(self) -> None:
        """Begin."""
        super().startService()
        self._before = gc.get_threshold()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_THRESHOLDS)

    def stopService(self) -> None:
        """Leave the collector as it was."""
        super().stopService()
        gc.set_threshold(*self._before)
        gc.unfreeze()
