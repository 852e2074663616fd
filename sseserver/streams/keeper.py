"""
Keeper: what a stream log knows of its store.
"""

from __future__ import annotations

from typing import Any


class Keeper:
    """
    Keeps the entries of stream logs; every store is one. As it is here it is
    the keeper of a log that no store has.

    Attributes:
        used: Bytes that all its logs take, what entries cost beside their
            data included; the logs count here.
    """

    def __init__(self) -> None:
        self.used = 0

    def write(self, streamLog: Any) -> None:
        """The log has entries that the store does not have; its C{commit} or C{refuse} answers."""

    def trimmed(self, streamLog: Any) -> None:
        """The log has dropped entries: the store can, too."""
