"""
The messages on the tail of a stream: new entries, and changes of the stream itself.

The scripts write them, followers read them. A message begins with one character:

- `+epoch first sizes ended LF kinds data`: entries. The sizes of their data are separated by commas; `ended` is empty,
  or the time of the end in seconds since 1970; a kind is a byte.
- `*epoch last`: entries that are too large for a message.
- `-epoch`: the stream was deleted.
- `=old new last`: the stream has a new epoch; up to `last` its entries are the same in both.
"""

from __future__ import annotations

from math import isfinite
from typing import NamedTuple


class TailEntries(NamedTuple):
    """
    New entries.

    Attributes:
        epoch: Epoch of the stream.
        first: Number of the first entry.
        kinds: The kind of each entry, a byte each.
        data: The data of each entry.
        ended: When the stream ended, in seconds since 1970; `None` while it is open.
    """

    epoch: str
    first: int
    kinds: bytes
    data: list[bytes]
    ended: float | None


def parseEntries(message: bytes) -> TailEntries:
    """
    Parse a message with entries.

    Args:
        message: The message; it begins with `+`.

    Raises:
        ValueError: It is not such a message.
    """
    head, _, rest = message.partition(b"\n")
    epoch, first, sizes, ended = head.split(b" ")
    time = _readTime(ended) if ended else None
    if b"," not in sizes:
        return TailEntries(epoch[1:].decode("ascii"), int(first), rest[:1], [rest[1:]], time)
    lengths = list(map(int, sizes.split(b",")))
    at, data = len(lengths), []
    for length in lengths:
        data.append(rest[at : at + length])
        at += length
    if at != len(rest) or min(lengths) < 0:
        raise ValueError("The sizes are not those of the data.")
    return TailEntries(epoch[1:].decode("ascii"), int(first), rest[: len(lengths)], data, time)


def _readTime(written: bytes) -> float:
    time = float(written)
    if not isfinite(time):
        raise ValueError("The time is not finite.")
    return time


class TailChange(NamedTuple):
    """
    A change of a stream that has no entries.

    Attributes:
        epoch: Epoch of the stream until now.
        isDeleted: Whether the stream was deleted.
        renewed: Its new epoch; empty if it has none.
        last: Number of the last entry that is the same in both epochs.
    """

    epoch: str
    isDeleted: bool
    renewed: str = ""
    last: int = 0


def parseChange(message: bytes) -> TailChange:
    """
    Parse a message without entries.

    Args:
        message: The message.

    Raises:
        ValueError: It is not such a message.
    """
    epoch, *words = message[1:].decode("ascii").split(" ")
    if message[:1] == b"-" and not words:
        return TailChange(epoch, isDeleted=True)
    if message[:1] == b"=" and len(words) == 2 and len(words[0]) == len(epoch):
        return TailChange(epoch, False, words[0], int(words[1]))
    if message[:1] == b"*" and len(words) == 1:
        return TailChange(epoch, isDeleted=False)
    raise ValueError("It is no message of a stream.")
