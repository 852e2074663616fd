"""
Cost of a stream in memory, beside its entries: its fixed cost, name, question and idempotency keys.

`StreamLog` and the stores charge it to the accounts of the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sseserver.interfaces import IEntryBuffer
from sseserver.values import KeyUse

#: Bytes. Memory of an open stream without entries and name: its log, its places in the tables of the store and of the
#: service, and the list of its newest entries.
STREAM_COST = 2048

#: Bytes. Memory of an idempotency key beside its characters: the use of the key, and its place in the table.
KEY_COST = 320


def measureStream(name: str, question: str = "") -> int:
    """
    Return the bytes that a stream takes beside its entries and keys.

    Args:
        name: Its name, which is in two tables.
        question: The question that it answers. No character takes more than four bytes in memory.
    """
    return STREAM_COST + 2 * len(name) + len(question) * (1 if question.isascii() else 4)


def measureKey(key: str) -> int:
    """Return the bytes that an idempotency key takes."""
    return KEY_COST + len(key)


def measureKeys(keys: Iterable[str]) -> int:
    """Return the bytes that idempotency keys take together."""
    return sum(map(measureKey, keys))


def findExcess(buffer: IEntryBuffer, keys: Mapping[str, KeyUse], excess: int) -> int:
    """
    Find how many bytes of entries must be dropped, since a key goes with its last entry.

    Args:
        buffer: The entries of a stream.
        keys: The keys of the stream, the oldest first.
        excess: Bytes of entries and keys to be dropped.

    Returns:
        Bytes of entries, the fixed cost of each included.
    """
    least = freed = 0
    for key, use in keys.items():
        upTo = buffer.measure(buffer.first, use.last)
        if upTo + freed >= excess:
            break
        least, freed = upTo, freed + measureKey(key)
    return max(least, excess - freed)
