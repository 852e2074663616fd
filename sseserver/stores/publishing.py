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
from sseserver.values import KeyUse, NewEntry, Reason, State


def publish(
    streamLog: IStreamLog, entries: Sequence[NewEntry], close: bool, key: str | None
) -> Deferred[tuple[int, int]]:
    """
    Append entries to a log, or find that they were appended with the same key before.

    See `IStreamStore.publish`.
    """
    digest = _makeDigest(entries, close)
    use = None if key is None else streamLog.recall(key)
    if use is None:
        use = _append(streamLog, entries, close, digest)
        if key is not None:
            streamLog.remember(key, digest, use.first)
    elif use.digest != digest:
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


def _append(streamLog: IStreamLog, entries: Sequence[NewEntry], close: bool, digest: bytes) -> KeyUse:
    checkOpen(streamLog)
    numbers = [streamLog.append(kind, data) for kind, data in entries]
    if close:
        numbers.append(streamLog.append(*packDone(Reason.STOP, streamLog.buffer.tokens)))
    return KeyUse(digest, numbers[0], numbers[-1])


def _makeDigest(entries: Sequence[NewEntry], close: bool) -> bytes:
    """
    Hash what is published.

    Digests are stored. They are made of plain tuples so that they equal those of earlier versions.
    """
    return sha256(repr(([tuple(entry) for entry in entries], close)).encode()).digest()
