"""
The IDs of AG-UI's events: an epoch and the number of the event, `<epoch>.<number>`.

An entry can make several events, and clients drop events whose ID they have seen. So these IDs count events, and differ
from those of other formats, which count entries.
"""

from __future__ import annotations

import re

_EVENT_ID = re.compile(r"([A-Za-z0-9]{22})\.(0|[1-9][0-9]{0,17})")


def parseEventID(text: str) -> tuple[str, int] | None:
    """
    Read the ID of an event.

    Args:
        text: The last event ID as the client sent it.

    Returns:
        The epoch and the number, or `None` if it cannot be such an ID.
    """
    match = _EVENT_ID.fullmatch(text)
    return (match[1], int(match[2])) if match else None
