"""
Publishing into a stream log that this process numbers, and ending it: for stores that no other process shares.

A store that gives numbers elsewhere has its own way to do both; it uses `checkOpen` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from twisted.internet.defer import Deferred

from sseserver.errors import KeyReused, Overloaded, StreamEnded, StreamExists, StreamNotFound
from sseserver.interfaces import IStreamLog, Publication
from sseserver.streams.terminal import packDone
from sseserver.values import NewEntry, PackedEntries, Reason, State

#: Version of the form of digests.
_FORM = b"\x01"


def publish(
    streamLog: IStreamLog, entries: Sequence[NewEntry], close: bool, key: str | None, room: bool = True
) -> Deferred[Publication]:
    """
    Append entries to a log, or find that they were appended with the same key before.

    See `IStreamStore.publish`.
    """
    publication = publishInto(streamLog, entries, close, key, room)
    return streamLog.awaitStored().addCallback(lambda _: publication)


def publishInto(
    streamLog: IStreamLog, entries: Sequence[NewEntry], close: bool, key: str | None, room: bool = True
) -> Publication:
    """
    Do the same, but return before the store has the entries: see `IStreamLog.awaitStored`.

    Args:
        streamLog: The log.
        entries: See `IStreamStore.publish`, as for the others.
        close: See there.
        key: See there.
        room: See there.

    Raises:
        StreamExists: See `IStreamStore.publish`, as for the others; nothing is appended.
        StreamEnded: See there.
        KeyReused: See there.
        Overloaded: See there.
    """
    repeated = False
    if key is None:
        first, last = _append(streamLog, entries, close, room)
    else:
        digest = makeDigest(entries, close)
        use = streamLog.keys.get(key)
        if use is None:
            first, last = _append(streamLog, entries, close, room)
            streamLog.remember(key, digest, first)
        elif use.digest != digest and len(use.digest) == len(digest):
            # A digest of another length is one of an earlier version, which tells nothing about this body.
            raise KeyReused("This idempotency key was used with another body.")
        else:
            repeated, first, last = True, use.first, use.last
    return Publication(streamLog.epoch, first, last, repeated)


def end(streamLog: IStreamLog, entry: NewEntry, epoch: str | None) -> Deferred[bool]:
    """
    Append a terminal entry to a log, unless there is one.

    See `IStreamStore.end`.
    """
    if epoch not in {None, streamLog.epoch}:
        raise StreamNotFound(streamLog.name)
    ends = not streamLog.sealed
    if ends:
        streamLog.append(entry.kind, entry.data)
    return streamLog.awaitStored().addCallback(lambda _: ends)


def checkOpen(name: str, published: bool, state: State) -> None:
    """
    Check that a stream can be published into.

    Args:
        name: Name of the stream.
        published: Whether entries are published into it.
        state: Its state.

    Raises:
        StreamExists: A run writes the stream.
        StreamEnded: The stream has ended.
    """
    if not published:
        raise StreamExists(f"The stream {name} is written by a run; publish into another one.")
    if state is not State.OPEN:
        raise StreamEnded(f"The stream {name} has ended ({state.value}).")


def _append(streamLog: IStreamLog, entries: Sequence[NewEntry], close: bool, room: bool) -> tuple[int, int]:
    checkOpen(streamLog.name, streamLog.published, streamLog.state)
    if not room:
        raise Overloaded("The limit of bytes of published streams is reached; retry later.")
    if isinstance(entries, PackedEntries) and entries:
        last = streamLog.extend(entries)
        numbers = [last - len(entries) + 1, last]
    else:
        numbers = [streamLog.append(kind, data) for kind, data in entries]
    if close:
        numbers.append(streamLog.append(*packDone(Reason.STOP, streamLog.buffer.tokens)))
    return numbers[0], numbers[-1]


def makeDigest(entries: Sequence[NewEntry], close: bool) -> bytes:
    """
    Hash what is published: the number of entries, their kinds, the ends of their data, and the data.

    Digests are stored, and begin with the version of this form. Those of earlier versions have no such byte.

    Args:
        entries: The entries.
        close: Whether the publish closes the stream.
    """
    packed = entries if isinstance(entries, PackedEntries) else PackedEntries(entries)
    digest = sha256(b"%s:%d:" % (b"close" if close else b"open", len(packed)))
    digest.update(packed.kinds)
    digest.update(packed.ends)
    digest.update(packed.data)
    return _FORM + digest.digest()
