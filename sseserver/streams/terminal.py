"""
Entries of the server itself, as JSON objects: the terminal one (`done`, `failed`, `cancelled`), and `restart`.

The service, runs and stores append them.
"""

from __future__ import annotations

from collections.abc import Mapping

from sseserver.errors import SourceError
from sseserver.jsontext import toJSON
from sseserver.values import Kind, NewEntry, Reason

_INTERRUPTED = Reason.INTERRUPTED.value.encode("ascii")


def packDone(reason: str, tokens: int, more: Mapping[str, object] | None = None) -> NewEntry:
    """
    Make the entry that ends a stream `done`.

    Args:
        reason: A `Reason`, or a word of the token source.
        tokens: Number of tokens that the stream ever had.
        more: Further members.
    """
    return NewEntry(Kind.DONE, toJSON({"reason": reason, "tokens": tokens, **(more or {})}))


def packFailed(error: SourceError) -> NewEntry:
    """Make the entry that ends a stream `failed`."""
    return NewEntry(Kind.FAILED, toJSON(error.toEntry()))


def packCancelled(reason: str) -> NewEntry:
    """Make the entry that ends a stream `cancelled`."""
    return NewEntry(Kind.CANCELLED, toJSON({"reason": reason}))


def packRestart(restarts: int | str) -> NewEntry:
    """
    Make the entry with which an interrupted run begins anew.

    Args:
        restarts: Number of times so far, or a text that stands for it.
    """
    return NewEntry(Kind.RESTART, b'{"reason":"%b","restarts":%b}' % (_INTERRUPTED, str(restarts).encode("ascii")))


#: The terminal entry of a run that was under way when its process ended without stopping it.
INTERRUPTED = packFailed(SourceError("The server stopped before this text was complete.", Reason.INTERRUPTED))
