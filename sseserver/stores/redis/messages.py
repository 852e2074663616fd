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
    time = float(ended) if ended else None
    if b"," not in sizes:
        return TailEntries(epoch[1:].decode("ascii"), int(first), rest[:1], [rest[1:]], time)
    lengths = list(map(int, sizes.split(b",")))
    at, data = len(lengths), []
    for length in lengths:
        data.append(rest[at : at + length])
        at += length
    return TailEntries(epoch[1:].decode("ascii"), int(first), rest[: len(lengths)], data, time)
