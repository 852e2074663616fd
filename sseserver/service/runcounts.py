"""
The counts of runs: tokens, ends and times of all runs of a service.

A `Run` adds its own with its first token, every 64 entries, and at its end.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from sseserver.counting import Durations, Tally
from sseserver.interfaces import IEntryBuffer
from sseserver.streams.entries import countTokens
from sseserver.values import Kind, NewEntry, Reason

#: Seconds.
_FIRST_TOKENS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

#: Seconds.
_TOKENS = (0.0001, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class _Terminal(msgspec.Struct):
    """The member of a terminal entry that is counted."""

    reason: str


_readTerminal = msgspec.json.Decoder(_Terminal).decode


class Counted(Protocol):
    """
    A run, as far as it is counted.

    Attributes:
        started: When it was started, in seconds on the ticker's clock.
        firstToken: When its first token came; negative before.
        counted: Number of its last entry that was counted.
        tokens: Number of its tokens that were counted.
    """

    started: float
    firstToken: float
    counted: int
    tokens: int


class RunCounts:
    """
    The counts of the runs of one service, since its start.

    Attributes:
        started: Runs that were started.
        tokens: Tokens that they have produced. Those of a run that goes on are counted every 64 entries.
        ends: Runs that have ended, by reason.
        firstTokens: Seconds from the start of a run to its first token.
        tokenTimes: Seconds between two tokens, the average of each run that has ended `done`.
    """

    __slots__ = ("ends", "firstTokens", "started", "tokenTimes", "tokens")

    def __init__(self) -> None:
        self.started = 0
        self.tokens = 0
        self.ends = Tally(Reason)
        self.firstTokens = Durations(_FIRST_TOKENS)
        self.tokenTimes = Durations(_TOKENS)

    def noteFirst(self, run: Counted, now: float) -> None:
        """Note that a run has its first token."""
        run.firstToken = now
        self.firstTokens.note(now - run.started)

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

    def noteEnd(self, run: Counted, buffer: IEntryBuffer, entry: NewEntry | None, now: float) -> None:
        """
        Count the end of a run, and the tokens that are not counted yet.

        Args:
            run: The run.
            buffer: Its entries.
            entry: The terminal entry; `None` if the stream is deleted.
            now: The time, in seconds on the ticker's clock.
        """
        tokens = buffer.tokens
        self.tokens += tokens - run.tokens
        run.tokens = tokens
        if entry is None:
            self.ends.add(Reason.DELETED)
            return
        self.ends.add(_readTerminal(entry.data).reason)
        if entry.kind is Kind.DONE and tokens > 1 and run.firstToken >= 0:
            self.tokenTimes.note((now - run.firstToken) / (tokens - 1))
