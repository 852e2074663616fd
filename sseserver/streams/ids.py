"""
Event IDs: an epoch and a number, `<epoch>-<n>`.

Stores make epochs. `StreamLog.locate` turns a viewer's last event ID into a cursor with `parseID`.
"""

from __future__ import annotations

import os
import re
import secrets
import string

from sseserver.interfaces import IStreamLog

_ALPHABET = string.ascii_letters + string.digits

# Two characters at a time, which halves the divisions.
_PAIRS = [first + second for second in _ALPHABET for first in _ALPHABET]
_EPOCH_LENGTH = 22  # 62 ** 22 > 2 ** 128

#: Epochs made at once, in advance. Made one by one they would take five times as long, because the code that makes them
#: has left the processor's caches each time.
STOCK = 32

#: The epochs made in advance.
stock: list[str] = []

# Two processes must not give out the same epochs. Systems without the function have no `fork`.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=stock.clear)

# No sign, no leading zero, ASCII digits only: each number has one ID.
_LAST_EVENT_ID = re.compile(r"([A-Za-z0-9]{22})-(0|[1-9][0-9]{0,18})")


def makeEpoch() -> str:
    """Return a new epoch: 128 random bits as 22 letters and digits."""
    if not stock:
        stock.extend([_write(secrets.randbits(128)) for _ in range(STOCK)])
    return stock.pop()


def _write(number: int) -> str:
    pairs = []
    for _ in range(_EPOCH_LENGTH // 2):
        number, pair = divmod(number, len(_PAIRS))
        pairs.append(_PAIRS[pair])
    return "".join(pairs)


def findFirstEpoch(streamLog: IStreamLog) -> str:
    """Return the epoch that a stream had first. Other protocols name an answer by it, so it must not change."""
    return next(iter(streamLog.earlier), streamLog.epoch)


def parseID(lastEventID: str) -> tuple[str, int] | None:
    """
    Read an event ID.

    Args:
        lastEventID: The last event ID as the client sent it.

    Returns:
        The epoch and the number, or `None` if it cannot be an ID of ours.
    """
    match = _LAST_EVENT_ID.fullmatch(lastEventID)
    return (match[1], int(match[2])) if match else None
