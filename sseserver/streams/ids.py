"""
Epochs and IDs: `<epoch>-<n>`.
"""

from __future__ import annotations

import os
import re
import secrets
import string

_ALPHABET = string.ascii_letters + string.digits
# Two at a time: half the divisions.
_PAIRS = [first + second for second in _ALPHABET for first in _ALPHABET]
_EPOCH_LENGTH = 22  # 62 ** 22 > 2 ** 128

# Epochs in stock, so many made at once: the kernel's random numbers and what writes them cost five times as much when
# they are called for one, from caches that are full of something else.
_AT_ONCE = 32
_ready: list[str] = []
# No process has what another one may give away too.
os.register_at_fork(after_in_child=_ready.clear)

# No sign, no leading zero, ASCII digits only: one number has one ID.
_LAST_EVENT_ID = re.compile(r"([A-Za-z0-9]{22})-(0|[1-9][0-9]{0,18})")


def makeEpoch() -> str:
    """Make a new epoch: 128 random bits, written as 22 letters and digits."""
    if not _ready:
        _ready.extend([_write(secrets.randbits(128)) for _ in range(_AT_ONCE)])
    return _ready.pop()


def _write(number: int) -> str:
    pairs = []
    for _ in range(_EPOCH_LENGTH // 2):
        number, pair = divmod(number, len(_PAIRS))
        pairs.append(_PAIRS[pair])
    return "".join(pairs)


def parseID(lastEventID: str) -> tuple[str, int] | None:
    """
    Read an ID of ours.

    Returns:
        The epoch and the number, or `None` for what cannot be an ID of ours.
    """
    match = _LAST_EVENT_ID.fullmatch(lastEventID)
    return (match[1], int(match[2])) if match else None
