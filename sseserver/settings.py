"""
Settings: the numbers of a service.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """
    The numbers of a service. Times are seconds, sizes bytes.

    Attributes:
        heartbeat: After so long without a write a viewer gets a comment.
        reconnectionTime: What viewers are told to wait before they come back,
            in milliseconds; each is told a value that differs by up to a third.
        linger: How long a run goes on when no viewer is left; counts from
            its start too. 0 ends it at once when the last viewer leaves.
        maxViewers: So many viewers are served at once.
        maxRuns: So many runs work at once; the others wait for their turn, in order.
        maxWaiting: So many may wait; who comes above that is refused.
        stall: A viewer that takes nothing for so long is cut; it resumes when it is back.
        keep: How long a stream is kept after its end.
        window: Bytes of memory that each stream takes; the oldest entries go first.
        maxBytes: Bytes that all streams keep: finished streams go first, then
            new ones and publishes are refused, and runs wait.
        maxStreams: How many streams are kept: finished ones go first, then
            new ones are refused.
        readAhead: A run waits when it is so far ahead of its fastest viewer.
        drain: How long viewers have to take the end of their streams when the service stops.
    """

    heartbeat: float = 15.0
    reconnectionTime: int = 3000
    linger: float = 60.0
    maxViewers: int = 10_000
    maxRuns: int = 10_000
    maxWaiting: int = 1000
    stall: float = 30.0
    keep: float = 600.0
    window: int = 16 * 1024 * 1024
    maxBytes: int = 512 * 1024 * 1024
    maxStreams: int = 100_000
    readAhead: int = 1024 * 1024
    drain: float = 5.0

    @property
    def kept(self) -> int:
        """Bytes of entries that each stream keeps; a sixteenth of its window is for what is on the way to a viewer."""
        return self.window - self.window // 16
