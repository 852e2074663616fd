"""
Gathering: the readings that a viewer is sent together while it is far behind.

A `send` costs as much for a byte as for a megabyte, nearly. Events that are not joined are many bytes.
"""

from __future__ import annotations

from collections.abc import Callable

from sseserver.errors import GapError, ReadingUnfinished, ViewerRefused
from sseserver.interfaces import IRendering
from sseserver.interfaces.reading import Reading

#: Bytes. Limit of the readings that are sent together, but for the last of them.
MOST_BYTES = 2 * 1024 * 1024


def gather(
    rendering: IRendering, first: Reading, last: int, most: int, maxBytes: int, hasTime: Callable[[], bool]
) -> list[Reading]:
    """
    Read on after a reading.

    Args:
        rendering: The rendering of the viewer.
        first: The reading.
        last: Number of the last entry.
        most: Number of readings, that one included.
        maxBytes: See `IRendering.read`.
        hasTime: Returns whether there is time for another reading.

    Returns:
        The readings, the first one included.
    """
    readings, size = [first], len(first.data)
    while readings[-1].cursor < last and len(readings) < most and size < MOST_BYTES and hasTime():
        try:
            reading = rendering.read(readings[-1].cursor, maxBytes, True)
        except (GapError, ReadingUnfinished, ViewerRefused):
            # The viewer comes to it from its new cursor.
            break
        readings.append(reading)
        size += len(reading.data)
    return readings
