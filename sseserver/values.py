"""
The values that pass between packages: kinds, states and entries, reasons, prompts, changes of a store.

Every package may use them; they know none.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum, StrEnum
from typing import Any, NamedTuple, overload


class Kind(IntEnum):
    """
    The kinds of entries. The numbers are stored: they never change.

    The data of an entry is UTF-8:

    - `TOKEN`: the text of the token, never empty.
    - `EVENT`: a published event: its type, LF, its data.
    - `CHUNK`: a chunk of a chat completion that has text: its JSON in one line, LF, the text.
    - `SILENT_CHUNK`: a chunk without text: its JSON in one line.
    - `RESTART`: the run was interrupted and has begun anew, so that the text before it is void: a JSON object with a
      `reason` and `restarts`, the number of times so far.
    - `INPUT`: what the run answers, as its API keeps it for later requests; the first entry, if there is one: a JSON
      object in one line, LF, a JSON array in one line. No viewer gets it as it is.
    - `RESPONSE_EVENT`: an event of OpenAI's Responses as an upstream sent it: its JSON in one line. The chunks that it
      became follow. Only the format `responses` writes it.
    - `DONE`, `FAILED`, `CANCELLED`: the terminal entry: a JSON object with a `reason`, see `Reason`.
    """

    TOKEN = 0
    EVENT = 1
    CHUNK = 2
    SILENT_CHUNK = 3
    RESTART = 4
    INPUT = 5
    RESPONSE_EVENT = 6
    DONE = 8
    FAILED = 9
    CANCELLED = 10


class State(Enum):
    """The life of a stream: OPEN, then one of the others, for ever."""

    OPEN = "open"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


#: The state of a stream after each terminal kind. All other kinds leave it open.
TERMINAL = {Kind.DONE: State.DONE, Kind.FAILED: State.FAILED, Kind.CANCELLED: State.CANCELLED}


class StartingPlace(NamedTuple):
    """
    The place in a stream at which a viewer starts to read.

    Attributes:
        lastEventID: The last event ID that the client has sent; `None` for a new viewer.
        fromNow: Whether a new viewer starts at the end instead of at the first entry that is kept.
        events: Number of events that the viewer has, in a format whose viewers count them; otherwise `None`.
    """

    lastEventID: str | None = None
    fromNow: bool = False
    events: int | None = None


class NewEntry(NamedTuple):
    """
    An entry that has no number yet.

    Attributes:
        kind: What the entry is.
        data: Its content, as `Kind` defines it.
    """

    kind: Kind
    data: bytes


class PackedEntries(Sequence[NewEntry]):
    """
    Many new entries, packed into three buffers: appending them to a stream takes nanoseconds for each.

    Args:
        entries: The first ones; see `add`.

    Attributes:
        kinds: The kind of each entry, a byte each.
        ends: End of each entry's data, in bytes from the beginning of `data`.
        data: The data of all entries.
    """

    __slots__ = ("data", "ends", "kinds")

    def __init__(self, entries: Iterable[NewEntry] = ()) -> None:
        self.kinds = bytearray()
        self.ends = array("Q")
        self.data = bytearray()
        self.add(entries)

    def add(self, entries: Iterable[NewEntry]) -> None:
        """Add entries after the others."""
        for kind, data in entries:
            self.kinds.append(kind)
            self.data += data
            self.ends.append(len(self.data))

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self.kinds)

    @overload
    def __getitem__(self, index: int) -> NewEntry: ...
    @overload
    def __getitem__(self, index: slice) -> list[NewEntry]: ...
    def __getitem__(self, index: int | slice) -> NewEntry | list[NewEntry]:
        """Return an entry, or a list of several."""
        places = range(len(self))[index]
        if isinstance(places, range):
            return [self[place] for place in places]
        start = self.ends[places - 1] if places else 0
        return NewEntry(Kind(self.kinds[places]), bytes(self.data[start : self.ends[places]]))


class Entry(NamedTuple):
    """
    One place in a stream log.

    Attributes:
        number: Position in the stream, counted from 1 without holes.
        kind: What the entry is.
        data: Its content, as `Kind` defines it.
    """

    number: int
    kind: Kind
    data: bytes


class EndedStream(NamedTuple):
    """
    A stream that has its terminal entry. Sorts by the time of the end.

    Attributes:
        ended: When the stream ended, in seconds since 1970.
        name: The stream's name in URLs.
        epoch: The stream's epoch, which tells it from others of the same name.
        published: Whether entries were published into the stream; otherwise a run wrote it.
    """

    ended: float
    name: str
    epoch: str
    published: bool = False


class ListedPlace(NamedTuple):
    """
    A place in the list of all streams.

    Attributes:
        created: When the stream at this place was made, in seconds since 1970.
        name: Its name.
    """

    created: float
    name: str


class ListedStream(NamedTuple):
    """
    One stream in the list of all streams.

    Attributes:
        name: The stream's name in URLs.
        epoch: The stream's epoch.
        published: Whether entries are published into the stream; otherwise a run writes it.
        created: When the stream was made, in seconds since 1970.
        ended: When it ended, in seconds since 1970; `None` while it is open.
        size: Bytes that it takes: see `IStreamLog.size`.
    """

    name: str
    epoch: str
    published: bool
    created: float
    ended: float | None
    size: int


class KeyUse(NamedTuple):
    """
    One publish that was made with an idempotency key.

    Attributes:
        digest: Hash of the published entries; a repeat must have the same.
        first: Number of the first entry of the publish.
        last: Number of the last entry of the publish.
    """

    digest: bytes
    first: int
    last: int


class Reason(StrEnum):
    """
    Reason of a terminal entry. The values are stored and published: they never change.

    A token source may give a word of its own instead, as a reason of `done` or in a `SourceError`.
    So a reason that is read from an entry can be any `str`.
    """

    # `done`: OpenAI's `finish_reason`.
    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    TOOL_CALLS = "tool_calls"
    FUNCTION_CALL = "function_call"

    # `cancelled`.
    ASKED = "asked"  # a client called `cancel`
    DELETED = "deleted"  # the stream was deleted while it was open
    LINGER = "linger"  # no viewer for too long
    IDLE = "idle"  # a published stream had neither publishes nor viewers for too long

    # `failed`, by the server.
    SHUTDOWN = "shutdown"  # the server was stopped
    INTERRUPTED = "interrupted"  # the server crashed
    ERROR = "error"  # a bug in the source
    TOO_LONG = "too_long"  # longer than one event of this format may be; never stored

    # `failed`, by a token source.
    SOURCE = "source"  # the source gave no reason
    PROMPT = "prompt"  # the source cannot take this prompt
    ASYNCIO = "asyncio"  # the source needs the asyncio reactor
    START = "start"  # the program could not be started
    EXIT = "exit"  # the program ended with an exit status
    SIGNAL = "signal"  # the program was ended by a signal
    UNREACHABLE = "unreachable"  # no connection to the upstream
    REFUSED = "refused"  # the upstream answered with an error status
    UPSTREAM = "upstream"  # the upstream reported an error in its stream
    MALFORMED = "malformed"  # the upstream's answer cannot be parsed
    TRUNCATED = "truncated"  # the upstream's answer ended too early
    TIMEOUT = "timeout"  # the upstream was silent for too long


#: Reasons of runs that failed because their server ended: a client may soon retry.
STOPPED_REASONS = frozenset({Reason.SHUTDOWN, Reason.INTERRUPTED})


class StoredStream(NamedTuple):
    """
    One stream as a persistence has it: see `IPersistence.start`.

    Attributes:
        name: The stream's name in URLs.
        epoch: The stream's epoch, by which a persistence knows it.
        published: Whether entries are published into the stream; otherwise a run wrote it.
        created: When the stream was made, in seconds since 1970.
        ended: When it got its terminal entry, in seconds since 1970; `None` if it is open.
        first: Number of the oldest entry kept; of the next entry, if none is kept.
        last: Number of the newest entry.
        size: Bytes of the data of all entries kept.
        tokensBefore: Number of tokens among the entries before `first`.
        trimmedCR: Whether the text of the entries before `first` ends with CR.
        keyBytes: Bytes that its idempotency keys take, by `sseserver.streams.cost.measureKeys`; 0 if that is not known
            before they are read.
        question: Question that the stream answers, as its state shows it; empty if there is none.
    """

    name: str
    epoch: str
    published: bool
    created: float
    ended: float | None
    first: int
    last: int
    size: int
    tokensBefore: int
    trimmedCR: bool = False
    keyBytes: int = 0
    question: str = ""


class StoredEntries(NamedTuple):
    """
    Entries of one stream, read from a persistence.

    Attributes:
        entries: The entries, by number, without holes.
        keys: Uses of idempotency keys whose last entry is kept.
    """

    entries: Iterable[Entry]
    keys: Mapping[str, KeyUse]


class Creation(NamedTuple):
    """A change to be written: a new stream, which has no entries. The attributes are those of `StoredStream`."""

    name: str
    epoch: str
    published: bool
    created: float
    question: str = ""


class Addition(NamedTuple):
    """
    A change to be written: entries at the end of a stream.

    Attributes:
        epoch: Epoch of the stream.
        entries: The entries, by number; the first follows the newest that is stored. They are copied when they are
            iterated over, which is for the reactor's thread only.
        keys: Uses of idempotency keys to be kept as long as the last of their entries.
        ended: When the stream ended, in seconds since 1970, if the last entry is terminal; otherwise `None`.
    """

    epoch: str
    entries: Iterable[Entry]
    keys: Mapping[str, KeyUse]
    ended: float | None


class Trim(NamedTuple):
    """
    A change to be written: the oldest entries of a stream are deleted, and the keys whose last entry is among them.

    Attributes:
        epoch: Epoch of the stream.
        first: Number of the oldest entry to keep.
        tokensBefore: Number of tokens among all entries before that one.
        trimmedCR: Whether the text of these entries ends with CR: a LF at the start of the next text belongs to it.
    """

    epoch: str
    first: int
    tokensBefore: int
    trimmedCR: bool = False


class Deletion(NamedTuple):
    """
    A change to be written: a stream is deleted, with its entries and keys.

    Attributes:
        epoch: Epoch of the stream.
    """

    epoch: str


#: One change of what is stored.
Change = Creation | Addition | Trim | Deletion


@dataclass(frozen=True, slots=True)
class Prompt:
    """
    The input of a run.

    Attributes:
        text: The last message of the user; a program gets this text.
        messages: The conversation, as the `messages` of OpenAI's chat completions. Empty if only a text was sent.
        options: All other members of the request for a chat completion, unchanged (`model`, `temperature`, `tools` …).
    """

    text: str
    messages: Sequence[Mapping[str, Any]] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LargePrompt(Prompt):
    """A prompt that takes more than a turn of the reactor to encode: its request had a large body."""


#: Version of the package.
VERSION = "0.1.0"

#: Name of a source as a model, by default.
MODEL = "sseserver"
