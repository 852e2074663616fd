"""
Publication: entries that were published together; and the check of the stream that they are for.
"""

from __future__ import annotations

from typing import NamedTuple

from sseserver.errors import StreamEnded, StreamExists
from sseserver.interfaces import IStreamLog
from sseserver.values import State


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


def checkPublished(streamLog: IStreamLog) -> IStreamLog:
    """
    Check that a stream can be published into, and return it.

    Raises:
        StreamExists: A run writes the stream.
        StreamEnded: The stream has ended.
    """
    name = streamLog.name
    if not streamLog.published:
        raise StreamExists(f"The stream {name} is written by a run; publish into another one.")
    if streamLog.state is not State.OPEN:
        raise StreamEnded(f"The stream {name} has ended ({streamLog.state.value}).")
    return streamLog
