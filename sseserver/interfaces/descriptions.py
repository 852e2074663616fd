"""
Descriptions: a stream and a publish without their entries, which a store elsewhere then need not send.

An `IStreamStore` returns them.
"""

from __future__ import annotations

from typing import NamedTuple

from sseserver.values import State


class StreamDescription(NamedTuple):
    """
    One stream without its entries.

    Attributes:
        name: The stream's name in URLs.
        epoch: The stream's epoch.
        published: Whether entries are published into the stream; otherwise a run writes it.
        question: Question that the stream answers; empty if there is none.
        state: State of the stream, as far as it is visible.
        first: Number of the oldest entry kept; of the next entry, if none is kept.
        last: Number of the last visible entry; 0 if there was none yet.
        size: Bytes of the visible entries and of the idempotency keys, with their costs.
        viewers: Number of viewers that follow in this process.
        created: When the stream was made, in seconds since 1970.
        ended: When it ended, in seconds since 1970; `None` while it is open.
        keyUsed: Whether entries were published with the idempotency key that was asked for.
    """

    name: str
    epoch: str
    published: bool
    question: str
    state: State
    first: int
    last: int
    size: int
    viewers: int
    created: float
    ended: float | None
    keyUsed: bool = False


class Publication(NamedTuple):
    """
    Entries that were published together.

    Attributes:
        epoch: Epoch of the stream.
        first: Number of the first of the entries.
        last: Number of the last.
        repeated: Whether they were in the stream already, published with the same idempotency key.
    """

    epoch: str
    first: int
    last: int
    repeated: bool = False
