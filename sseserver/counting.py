"""
Counting: how often things happen, and how long they take. `sseserver.apis.admin.families` makes metrics of it.

Whatever is counted costs the path of a token nothing: it is counted where a response or a run ends, where a group is
written, or at heartbeats.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

#: The word for all things whose own word is not among those that are counted.
OTHER = "other"


class Tally:
    """
    Counts things by a word, of which there are a few.

    Args:
        words: The words. Any other word counts as `OTHER`, so that no client can add one.

    Attributes:
        counts: The numbers so far, by the words.
    """

    __slots__ = ("counts",)

    def __init__(self, words: Iterable[str]) -> None:
        self.counts = dict.fromkeys((*words, OTHER), 0)

    def add(self, word: str) -> None:
        """Count one thing."""
        counts = self.counts
        counts[word if word in counts else OTHER] += 1


class Durations:
    """
    A histogram of durations.

    Args:
        bounds: Seconds. The longest duration of each bucket, the shortest first. Longer ones have a bucket, too.

    Attributes:
        bounds: See above.
        counts: The number of durations in each bucket.
        total: Seconds of all together.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def note(self, seconds: float) -> None:
        """Count a duration. A negative one, which a clock that was set back has measured, is 0."""
        seconds = max(seconds, 0.0)
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds
