"""
The counts of runs: tokens, ends and times of all runs of a service.

A `Run` adds its own with its first token, every 64 entries, and at its end.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from sseserver.counting import OTHER, Durations, Tally
from sseserver.interfaces import IEntryBuffer, IStreamLog
from sseserver.streams.entries import countTokens
from sseserver.values import NewEntry, Reason

#: Seconds.
_FIRST_TOKENS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

#: Seconds.
_TOKENS = (0.0001, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class _Terminal(msgspec.Struct):
    """The members of a terminal entry that are counted. Only `done` has a number of tokens."""

    reason: str
    tokens: int | None = None


_DELETED = _Terminal(Reason.DELETED)
_readTerminal = msgspec.json.Decoder(_Terminal).decode


def _readEnd(entry: NewEntry) -> _Terminal:
    """Read a terminal entry. The word of a source may be one that cannot be decoded, such as a lone surrogate."""
    try:
        return _readTerminal(entry.data)
    except (msgspec.MsgspecError, UnicodeError):
        return _Terminal(OTHER)


class Counted(Protocol):
    """
    A run, as far as it is counted.

    Attributes:
        firstToken: When its first token came, in seconds since 1970; negative before.
        counted: Number of its last entry that was counted.
        tokens: Number of its tokens that were counted.
    """

    firstToken: float
    counted: int
    tokens: int


class RunCounts:
    """
    The counts of the runs of one service, since its start.

    Attributes:
        started: Runs that were started.
        restarted: Those among them that had begun in another process, which is gone.
        tokens: Tokens that they have produced. Those of a run that goes on are counted every 64 entries.
        ends: Runs that have ended, by reason.
        firstTokens: Seconds from the start of a run to its first token.
        tokenTimes: Seconds between two tokens, the average of each run that has ended `done`.
    """

    __slots__ = ("ends", "firstTokens", "restarted", "started", "tokenTimes", "tokens")

    def __init__(self) -> None:
        self.started = self.restarted = 0
        self.tokens = 0
        self.ends = Tally(Reason)
        self.firstTokens = Durations(_FIRST_TOKENS)
        self.tokenTimes = Durations(_TOKENS)

    def noteRestart(self, run: Counted, last: int, now: float) -> None:
        """
        Note that a run begins anew. It counts no entry that another process has written.

        Args:
            run: The run.
            last: Number of the last entry of its stream.
            now: The time. That to its first token is not measured: it is not that of the source.
        """
        self.restarted += 1
        run.counted = last
        run.firstToken = now

    def noteFirst(self, run: Counted, created: float, now: float) -> None:
        """
        Note that a run has its first token.

        Args:
            run: The run.
            created: When its stream was made, in seconds since 1970.
            now: The time. The wall clock is cheap; a jump of it makes one wrong sample.
        """
        run.firstToken = now
        self.firstTokens.note(now - created)

    def noteEntries(self, run: Counted, buffer: IEntryBuffer, number: int) -> None:
        """
        Count the tokens of a run that goes on.

        Args:
            run: The run.
            buffer: Its entries.
            number: Number of its last entry.
        """
        tokens = countTokens(buffer.kinds, max(run.counted + 1 - buffer.first, 0))
        run.counted = number
        run.tokens += tokens
        self.tokens += tokens

    def noteEnd(self, run: Counted, streamLog: IStreamLog, entry: NewEntry | None, now: float) -> None:
        """
        Count the end of a run, and the tokens that are not counted yet.

        Args:
            run: The run.
            streamLog: Its stream.
            entry: The terminal entry; `None` if the stream is deleted.
            now: The time, in seconds since 1970.
        """
        end = _DELETED if entry is None else _readEnd(entry)
        self.ends.add(end.reason)
        tokens = end.tokens
        if tokens is None:
            tokens = streamLog.answered
        elif tokens > 1:
            self.tokenTimes.note((now - run.firstToken) / (tokens - 1))
        self.tokens += tokens - run.tokens
        run.tokens = tokens
