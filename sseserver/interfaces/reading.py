"""
`Reading`: the result of `IRendering.read`, a cursor and the encoded events before it.

The formats make readings, and the producers write them. The module is compiled, because one is made for each token.
"""

from __future__ import annotations


class Reading:
    """
    A step of reading a stream log in a format.

    Args:
        cursor: Number of the last entry read; the same cursor as before if there is nothing more.
        data: The encoded events after the old cursor.
    """

    __slots__ = ("cursor", "data")

    def __init__(self, cursor: int, data: bytes) -> None:
        self.cursor = cursor
        self.data = data

    def __eq__(self, other: object) -> bool:
        """Compare cursors and data."""
        return isinstance(other, Reading) and (self.cursor, self.data) == (other.cursor, other.data)

    def __hash__(self) -> int:
        """Hash cursor and data."""
        return hash((self.cursor, self.data))

    def __repr__(self) -> str:
        """Show cursor and data."""
        return f"Reading(cursor={self.cursor}, data={self.data!r})"


def makeReading(cursor: int, data: bytes) -> Reading:
    """
    Make a reading.

    In the compiled build this costs a quarter of a call of the class, which packs and unpacks its arguments.

    Args:
        cursor: See `Reading`.
        data: See `Reading`.
    """
    reading = Reading.__new__(Reading)
    reading.cursor = cursor
    reading.data = data
    return reading
