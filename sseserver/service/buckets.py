"""
Token buckets: how often each client may do something.

A client's bucket holds a period's worth of permits. Each use takes one, and they come back evenly. So a client may do
everything of a period at once, and then goes on at the rate of the limit.

`sseserver.service.clients` has the buckets.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from zope.interface import implementer

from sseserver.interfaces import IRate

#: Number of buckets that are kept. Beyond it the oldest are forgotten, which fills them.
MAX_BUCKETS = 65_536


@implementer(IRate)
class Buckets:
    """
    The buckets of all clients for one limit.

    A bucket is one number, the time at which it will be full again. One that nobody has used for a period is full, and
    forgotten.

    Args:
        period: Seconds after which an empty bucket is full.
        seconds: Returns the time in seconds. It may jump: a client never waits longer than a period.

    Attributes:
        refused: Number of uses that were refused.
    """

    def __init__(self, period: float, seconds: Callable[[], float]) -> None:
        self.refused = 0
        self._period = period
        self._seconds = seconds
        # Buckets that were used since the last turn, and those of the turn before.
        self._new: dict[Hashable, float] = {}
        self._old: dict[Hashable, float] = {}
        self._turned = 0.0

    @property
    def count(self) -> int:
        """Number of buckets that are kept."""
        return len(self._new) + len(self._old)

    def take(self, client: Hashable, size: float) -> float:
        """
        Take a permit.

        Args:
            client: The client.
            size: Number of permits of a full bucket.

        Returns:
            0 if there was one; otherwise the seconds until there is one.
        """
        now, period = self._seconds(), self._period
        new, turned, each = self._new, self._turned, period / size
        if now >= turned + period or now < turned or len(new) >= MAX_BUCKETS // 2:
            self._old, self._new, self._turned = new, {}, now
            new = self._new
        full = new.get(client)
        if full is None:
            full = self._old.pop(client, now)
        # Comparisons, since each publish comes through here: `min` and `max` would cost more.
        if full < now:
            full = now
        elif full > now + period + each:
            # The clock was set back.
            full = now + period + each
        wait = full + each - now - period
        # Sums of fractions are not exact: a permit comes back early by half of the time of one.
        if wait > each / 2:
            new[client] = full
            self.refused += 1
            return wait
        new[client] = full + each
        return 0.0

    def giveBack(self, client: Hashable, size: float) -> None:
        """
        Give back a permit that was taken.

        Args:
            client: The client.
            size: See `take`.
        """
        # A bucket that is forgotten meanwhile is full.
        for buckets in (self._new, self._old):
            if client in buckets:
                buckets[client] -= self._period / size
