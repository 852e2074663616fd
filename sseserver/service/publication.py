"""
Publication: what a publish has appended to a stream.
"""

from __future__ import annotations

from typing import NamedTuple

from sseserver.interfaces import IStreamLog


class Publication(NamedTuple):
    """
    Entries that were published together.

    Attributes:
        streamLog: The stream.
        first: Number of the first of the entries.
        last: Number of the last.
    """

    streamLog: IStreamLog
    first: int
    last: int
