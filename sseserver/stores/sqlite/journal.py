"""
Journal: which rows a group of changes becomes, and when the entries of a stream are filed.

New entries go to the table `fresh` and are filed later, as `database` describes. The journal remembers which streams
have fresh entries that are not filed, and adds some of them to each transaction, so that the table stays small and no
transaction gets large.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sseserver.stores.groups import BufferedEntries
from sseserver.stores.sqlite.database import RecoveredStream
from sseserver.stores.sqlite.rows import EndedRow, KeyRow, StreamRow, StreamSegment, Transaction, TrimmedRow
from sseserver.streams.buffer import EntryBuffer
from sseserver.values import Addition, Change, Creation, Deletion, Trim

#: Bytes, `ENTRY_COST` for each entry included. A stream with this many fresh bytes is filed. An addition of this size
#: is filed at once.
SEGMENT = 64 * 1024

#: Bytes. A stream whose oldest fresh entry has this many bytes after it in the table is filed.
FRESH = 4 * 1024 * 1024

#: Streams filed with each transaction, plus one for each stream that gets its first fresh entries in it.
FILED = 16


class JournaledStream:
    """
    One stream that this process has written to.

    Args:
        number: Number of the stream in the file.
        buffer: Its entries in memory.
        last: Number of the last entry that is filed.

    Attributes:
        number: See above.
        buffer: The entries in memory, from which they are filed; `None` after the stream has ended, when all are filed.
        written: Number of the last entry in the file, fresh or filed.
        filed: Number of the last filed entry.
        gathered: Bytes added since it was filed, `ENTRY_COST` for each entry included. A retry counts again.
        isUnfiled: Whether it has fresh entries that are not filed.
        place: Place of its last fresh entries.
        planned: Number of the last entry that was in a plan, whether or not that was committed.
    """

    __slots__ = ("buffer", "filed", "gathered", "isUnfiled", "number", "place", "planned", "written")

    def __init__(self, number: int, buffer: EntryBuffer, last: int) -> None:
        self.number = number
        self.buffer: EntryBuffer | None = buffer
        self.written = self.filed = self.planned = last
        self.gathered = 0
        self.isUnfiled = False
        self.place = -1


class Plan:
    """
    A transaction, and the state of the journal once it is committed.

    Attributes:
        transaction: The rows.
        created: Numbers of the new streams, by epoch.
        added: Streams with new entries.
        fresh: Those of them whose new entries go to the table `fresh`.
        joined: Number of the streams among these that had no entries there.
        filed: Streams that are filed, and the number of the last filed entry of each.
        ended: Streams whose terminal entry is among the entries.
        deleted: Epochs of the streams that are deleted.
    """

    __slots__ = ("added", "created", "deleted", "ended", "filed", "fresh", "joined", "transaction")

    def __init__(self) -> None:
        self.transaction = Transaction()
        self.created: dict[str, int] = {}
        self.added: list[JournaledStream] = []
        self.fresh: list[JournaledStream] = []
        self.joined = 0
        self.filed: dict[JournaledStream, int] = {}
        self.ended: list[JournaledStream] = []
        self.deleted: list[str] = []


class Journal:
    """
    Turns groups of changes into transactions, and files streams when it is time.

    Args:
        recovered: The streams in the file; all their entries are filed.
    """

    __slots__ = ("_mark", "_nextNumber", "_numbers", "_place", "_streams", "_unfiled")

    def __init__(self, recovered: Iterable[RecoveredStream]) -> None:
        self._numbers = {stream.epoch: number for number, stream in recovered}
        self._nextNumber = max(self._numbers.values(), default=0) + 1
        self._streams: dict[str, JournaledStream] = {}
        # Place of the next row of the table `fresh`: bytes of all rows before it. Rows before `_mark` are gone.
        self._place = 0
        self._mark = 0
        # The streams with fresh entries that are not filed, and the place of the first of these entries; in that order.
        self._unfiled: dict[JournaledStream, int] = {}

    def findNumber(self, epoch: str) -> int:
        """Return the number of a stream in the file."""
        return self._numbers[epoch]

    def plan(self, changes: Sequence[Change]) -> Plan:
        """Make the transaction for a group of changes. Nothing is remembered of it before `accept` is called."""
        plan = Plan()
        for change in changes:
            if isinstance(change, Addition):
                self._add(plan, change)
            elif isinstance(change, Creation):
                self._create(plan, change)
            elif isinstance(change, Trim):
                row = TrimmedRow(self._find(plan, change.epoch), *change[1:])
                plan.transaction.trimmed.append(row)
            else:
                self._delete(plan, change)
        self._fileOthers(plan)
        return plan

    def accept(self, plan: Plan) -> None:
        """Note that a transaction is committed."""
        self._numbers.update(plan.created)
        for stream in plan.added:
            stream.written = stream.planned
        for stream, last in plan.filed.items():
            stream.filed, stream.gathered, stream.isUnfiled = last, 0, False
            self._unfiled.pop(stream, None)
        for stream in plan.fresh:
            stream.place = self._place
            if not stream.isUnfiled:
                stream.isUnfiled = True
                self._unfiled[stream] = self._place
        for stream in plan.ended:
            stream.buffer = None
        for epoch in plan.deleted:
            del self._numbers[epoch]
            deleted = self._streams.pop(epoch, None)
            if deleted is not None:
                self._unfiled.pop(deleted, None)
        self._mark = plan.transaction.mark
        self._place += plan.transaction.fresh.size

    def _find(self, plan: Plan, epoch: str) -> int:
        number = self._numbers.get(epoch)
        return plan.created[epoch] if number is None else number

    def _create(self, plan: Plan, creation: Creation) -> None:
        # A number that is not used, because the transaction fails, is never used.
        number = plan.created[creation.epoch] = self._nextNumber
        self._nextNumber += 1
        name, epoch, published, created, question = creation
        plan.transaction.created.append(StreamRow(number, name, epoch, published, created, question))

    def _delete(self, plan: Plan, deletion: Deletion) -> None:
        plan.transaction.deleted.append(self._find(plan, deletion.epoch))
        plan.deleted.append(deletion.epoch)

    def _add(self, plan: Plan, addition: Addition) -> None:
        epoch, entries, keys, ended = addition
        assert isinstance(entries, BufferedEntries)
        last, transaction, stream = entries.last, plan.transaction, entries.stream.note
        if stream is None:
            stream = JournaledStream(self._find(plan, epoch), entries.buffer, entries.first - 1)
            self._streams[epoch] = entries.stream.note = stream
        if ended is not None:
            transaction.ended.append(EndedRow(ended, stream.number))
            plan.ended.append(stream)
            self._file(plan, stream, last)
        else:
            stream.gathered += entries.buffer.measure(entries.first, last)
            if stream.gathered >= SEGMENT:
                self._file(plan, stream, last)
            else:
                rows = transaction.fresh
                rows.add(stream.number, entries.buffer, entries.first, last)
                plan.fresh.append(stream)
                plan.joined += not stream.isUnfiled
        if keys:
            transaction.keys.extend([KeyRow(stream.number, key, *use) for key, use in keys.items()])
        stream.planned = last
        plan.added.append(stream)

    def _file(self, plan: Plan, stream: JournaledStream, last: int) -> None:
        """File the entries of a stream up to one; trimmed entries are skipped."""
        assert stream.buffer is not None
        first = max(stream.filed + 1, stream.buffer.first)
        if first <= last:
            plan.transaction.filed.append(StreamSegment(stream.number, stream.buffer.segment(first, last)))
        plan.filed[stream] = last

    def _fileOthers(self, plan: Plan) -> None:
        """File streams whose fresh entries are old, and find the rows of the table `fresh` that can go then."""
        transaction, unfiled = plan.transaction, self._unfiled
        leaving = {stream for epoch in plan.deleted if (stream := self._streams.get(epoch)) is not None}
        # No entry of a deleted stream may stay in the file. If the table may hold some, the whole table is emptied.
        everything = any(stream.place >= self._mark for stream in leaving)
        # More than are added, so that their number shrinks; but not all at once.
        most = FILED + plan.joined
        for stream, place in unfiled.items():
            if not everything and (most == 0 or place > self._place - FRESH):
                break
            if stream not in plan.filed and stream not in leaving:
                self._file(plan, stream, stream.written)
                most -= 1
        transaction.place = self._place
        gone = {*plan.filed, *leaving}
        mark = next((place for stream, place in unfiled.items() if stream not in gone), self._place)
        # One stream may free the whole table; its rows do not go all at once either.
        transaction.mark = mark if everything else min(mark, self._mark + 2 * transaction.fresh.size + SEGMENT)
