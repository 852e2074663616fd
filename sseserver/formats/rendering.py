"""
Formats: how the entries of a stream log look to a viewer.

A format is stateless. What is kept for one log in one format, above all the
encoded frames that all its viewers share, is in a rendering.
"""

from __future__ import annotations

import re
from typing import ClassVar

from sseserver.errors import GapError
from sseserver.interfaces import IStreamLog
from sseserver.jsontext import toJSON
from sseserver.streams.entries import TEXT_PIECES, TEXT_ROW, onlyTokens, textOf
from sseserver.values import TERMINAL, Kind, State

#: The number in the ID of the event that refuses a text in this format. No entry ever has it: whoever comes back with
#: it was told so, by this run of the server or an earlier one.
REFUSED = 10**18

#: Bytes of encoded frames that one rendering keeps for viewers that are behind.
MEMO_BYTES = 1024 * 1024

#: The event types of the terminal entries.
TERMINAL_TYPES = {kind: state.value.encode("ascii") for kind, state in TERMINAL.items()}

_TOKEN = Kind.TOKEN.value


def gapFrame(epoch: str, asked: str, gap: GapError) -> bytes:
    """
    Make the event that tells of a gap. Its own ID is the one just before what
    follows: a viewer that has it resumes there, and is not told twice.
    """
    data = {
        "after": asked,
        "from": f"{epoch}-{gap.cursor + 1}",
        "missed": gap.missed,
        "reason": gap.reason,
    }
    return b"event: gap\nid: %b-%d\ndata: %b\n\n" % (epoch.encode("ascii"), gap.cursor, toJSON(data))


class EntryRendering:
    """
    What renderings have in common that write entry by entry: encoded frames
    are shared by all viewers, and text that a viewer is behind is joined.

    Whoever derives from it writes the heads and the gaps, and says how entries
    look: L{piece} and L{single}.

    Attributes:
        pieces: The kinds whose text L{piece} writes; tokens are among them.
        row: Matches these kinds, as many as stand in a row.
    """

    __slots__ = ("_buffer", "_epoch", "_frame", "_log", "_memo", "_memoLast", "_memoSize", "_newest")

    pieces: ClassVar[bytes] = TEXT_PIECES
    row: ClassVar[re.Pattern[bytes]] = TEXT_ROW

    def __init__(self, streamLog: IStreamLog) -> None:
        self._log = streamLog
        self._buffer = streamLog.buffer
        self._epoch = streamLog.epoch.encode("ascii")
        # The frame of the newest entry: what all viewers want that are not behind.
        self._newest = 0
        self._frame = b""
        # What the viewers that are behind were given, as long as no entry comes.
        self._memo: dict[tuple[int, int, bool], tuple[int, bytes]] = {}
        self._memoLast = 0
        self._memoSize = 0

    def start(self, fromNow: bool) -> int:
        """See L{IRendering.start}."""
        return self._log.last if fromNow else self._buffer.first - 1

    def read(self, cursor: int, maxBytes: int, joined: bool) -> tuple[int, bytes]:
        """See L{IRendering.read}."""
        last = self._log.last
        if cursor + 1 == last:
            if self._newest == last:
                return last, self._frame
            frame = self._encode(last)
            # For a single viewer it would be one more thing to put away.
            if self._log.sole is None:
                self._frame = frame
                self._newest = last
            return last, frame
        if cursor >= last:
            return cursor, b""
        if self._memoLast != last:
            self._memo.clear()
            self._memoSize = 0
            self._memoLast = last
        key = (cursor, maxBytes, joined)
        found = self._memo.get(key)
        if found is None:
            found = self._join(cursor, maxBytes) if joined else self._list(cursor, maxBytes)
            # For a single viewer it would be a second copy of what it reads.
            if self._log.sole is None:
                self._remember(key, found)
        return found

    def complete(self, cursor: int) -> bool:
        """See L{IRendering.complete}."""
        return self._log.state is not State.OPEN and cursor == self._log.last

    def _remember(self, key: tuple[int, int, bool], found: tuple[int, bytes]) -> None:
        """Share what was encoded with the viewers that come by the same place; not more than is worth it."""
        self._memoSize += len(found[1])
        if self._memoSize > MEMO_BYTES:
            self._memo.clear()
            self._memoSize = len(found[1])
        self._memo[key] = found

    def _index(self, number: int) -> int:
        """Find an entry's place in the log's lists."""
        index = number - self._buffer.first
        if index < 0:
            raise GapError("trimmed", self._buffer.first - 1, -index)
        return index

    def piece(self, number: int, text: bytes, index: int) -> bytes:
        """
        Write text.

        Args:
            number: Of the last entry in it.
            text: Of one entry, or of many in a row; empty when they have none.
            index: The place of its first entry in the log's lists.
        """
        raise NotImplementedError("Say how text looks.")

    def single(self, number: int, kind: Kind, data: bytes) -> bytes:
        """Write an entry of a kind that is not in L{row}."""
        raise NotImplementedError("Say how the other entries look.")

    def _encode(self, number: int) -> bytes:
        index = self._index(number)
        kind, data = self._buffer.kind(number), self._buffer.entry(number)
        if kind == _TOKEN:
            return self.piece(number, data, index)
        if kind in self.pieces:
            return self.piece(number, textOf(kind, data), index)
        return self.single(number, Kind(kind), data)

    def _list(self, cursor: int, maxBytes: int) -> tuple[int, bytes]:
        """Encode entry by entry."""
        frames: list[bytes] = []
        size = 0
        while cursor < self._log.last and size < maxBytes:
            cursor += 1
            frames.append(self._encode(cursor))
            size += len(frames[-1])
        return cursor, b"".join(frames)

    def _join(self, cursor: int, maxBytes: int) -> tuple[int, bytes]:
        """Encode the text of each row as one piece, with the last entry's ID; other entries one by one."""
        frames: list[bytes] = []
        size = 0
        while cursor < self._log.last and size < maxBytes:
            first = cursor + 1
            start = self._index(first)
            # No further than it matters: the log may be long.
            last = self._buffer.fit(first, self._log.last, maxBytes - size)
            count = self._inRow(start, last + 1 - self._buffer.first)
            if count:
                cursor += count
                frames.append(self.piece(cursor, self._buffer.text(first, cursor), start))
            else:
                cursor += 1
                frames.append(self._encode(cursor))
            size += len(frames[-1])
        return cursor, b"".join(frames)

    def _inRow(self, start: int, end: int) -> int:
        """Count the entries from one index on, and before another, whose text makes one piece."""
        if onlyTokens(self._buffer.kinds[start:end]):
            return end - start
        row = self.row.match(self._buffer.kinds, start, end)
        return row.end() - start if row else 0


def gapMessage(gap: GapError) -> str:
    """Say in words what L{gapFrame} says in members."""
    if gap.reason == "trimmed":
        return f"{gap.missed} entries are no longer kept (trimmed): what follows goes on after them."
    return f"The last event ID is none of this stream ({gap.reason}): what follows replaces what came before."


def failureMessage(kind: Kind, terminal: dict[str, object]) -> str:
    """Say why a stream did not come to its end."""
    if kind == Kind.CANCELLED:
        return f"The answer was cancelled ({terminal.get('reason')})."
    return str(terminal.get("message") or f"The answer failed ({terminal.get('reason')}).")
