"""
The bodies of requests that have not arrived completely: their bytes are bounded.

A client may send a body as slowly as its deadline allows. Without a limit for all of them, many clients could fill the
memory, each with a body that is allowed.

`BodyLimit` counts each request in it.
"""

from __future__ import annotations

#: Bytes. A smaller part of a body is not counted.
SMALL_BODY = 64 * 1024


class ArrivingBodies:
    """
    Counts the bodies of a site that have more than `SMALL_BODY` bytes so far.

    Args:
        limit: Bytes of all together.

    Attributes:
        limit: See above. A body that begins, or goes on, above it is refused.
        used: Bytes of these bodies.
        count: Number of these bodies.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.count = 0

    def grow(self, counted: int, size: int) -> bool:
        """
        Count more bytes of a body.

        Args:
            counted: Bytes of it that are counted; 0 if none are.
            size: Bytes of it now.

        Returns:
            Whether there is room. If not, nothing was counted.
        """
        if self.used >= self.limit:
            return False
        self.used += size - counted
        self.count += not counted
        return True

    def remove(self, counted: int) -> None:
        """Count a body no longer: it is complete, refused or lost."""
        self.used -= counted
        self.count -= 1
