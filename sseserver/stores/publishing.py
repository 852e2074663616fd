"""
Publishing into a stream log that this process numbers, as all stores of this package do.

A store that gives numbers elsewhere has its own way to publish and does not use this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from twisted.internet.defer import Deferred

from sseserver.errors import KeyReused, StreamEnded, StreamExists
from sseserver.interfaces import IStreamLog
from sseserver.streams.terminal import packDone
from sseserver.values import KeyUse, NewEntry, PackedEntries, Reason, State

#: Version of the form of digests.
_FORM = b"\x01"


def publish(
    streamLog: IStreamLog, entries: Sequence[NewEntry], close: bool, key: str | None
) -> Deferred[tuple[int, int]]:
    """
    Append entries to a log, or find that they were appended with the same key before.

    See `IStreamStore.publish`.
    """
    if key is None:
        first, last = _append(streamLog, entries, close)
        return streamLog.awaitStored().addCallback(lambda _: (first, last))
    digest = _makeDigest(entries, close)
    use = streamLog.keys.get(key)
    if use is None:
        first, last = _append(streamLog, entries, close)
        use = KeyUse(digest, first, last)
        streamLog.remember(key, digest, first)
    elif use.digest != digest and len(use.digest) == len(digest):
        # A digest of another length is one of an earlier version, which tells nothing about this body.
        raise KeyReused("This idempotency key was used with another body.")
    return streamLog.awaitStored().addCallback(lambda _: (use.first, use.last))


def checkOpen(streamLog: IStreamLog) -> None:
    """
    Check that a stream can be published into.

    Raises:
        StreamExists: A run writes the stream.
        StreamEnded: The stream has ended.
    """
    if not streamLog.published:
        raise StreamExists(f"A run writes the stream {streamLog.name}; nothing can be published into it.")
    if streamLog.state is not State.OPEN:
        raise StreamEnded(f"The stream {streamLog.name} has ended ({streamLog.state.value}).")


def _append(streamLog: IStreamLog, entries: Sequence[NewEntry], close: bool) -> tuple[int, int]:
    checkOpen(streamLog)
    if isinstance(entries, PackedEntries) and entries:
        last = streamLog.extend(entries)
        numbers = [last - len(entries) + 1, last]
    else:
        numbers = [streamLog.append(kind, data) for kind, data in entries]
    if close:
        numbers.append(streamLog.append(*packDone(Reason.STOP, streamLog.buffer.tokens)))
    return numbers[0], numbers[-1]


def _makeDigest(entries: Sequence[NewEntry], close: bool) -> bytes:
    """
    Hash what is published: the number of entries, their kinds, the ends of their data, and the data.

    Digests are stored, and begin with the version of this form. Those of earlier versions have no such byte.
    """
    packed = entries if isinstance(entries, PackedEntries) else PackedEntries(entries)
    digest = sha256(b"%s:%d:" % (b"close" if close else b"open", len(packed)))
    digest.update(packed.kinds)
    digest.update(packed.ends)
    digest.update(packed.data)
    return _FORM + digest.digest()
