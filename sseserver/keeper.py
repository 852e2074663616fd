"""
Keeper: what a stream log knows of its store.
"""

from __future__ import annotations

from typing import Any, Protocol


class Keeper(Protocol):
    """
    Keeps the entries of stream logs.

    Attributes:
        used: Bytes that all its logs take, what entries cost beside their
            data included; the logs count here.
    """

    used: int

    def write(self, streamLog: Any) -> None:
        """The log has entries that the store does not have; its C{commit} or C{refuse} answers."""

    def trimmed(self, streamLog: Any) -> None:
        """The log has dropped entries: the store can, too."""


class Nobody:
    """The keeper of a log that no store has."""

    used = 0

    def write(self, streamLog: Any) -> None:
        """Nobody is to write it."""

    def trimmed(self, streamLog: Any) -> None:
        """Nobody is to trim it."""
