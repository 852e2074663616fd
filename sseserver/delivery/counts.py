"""
The counts of deliveries: bytes, ends, resumes, gaps and lags of all responses of a service.

A `ResponseProducer` adds its own at each beat and at its end.
"""

from __future__ import annotations

from sseserver.counting import Durations, Tally

#: Reasons for the end of a response: see `ResponseProducer.reason`. `limit` is a viewer that was turned away.
ENDS = (
    "complete",
    "left",
    "stalled",
    "shutdown",
    "retired",
    "expired",
    "refused",
    "trimmed",
    "broken",
    "limit",
)

#: Reasons of a gap: see `GapError`.
GAPS = ("trimmed", "lost", "unknown")

#: Results of a last event ID: the viewer goes on, there is a gap, the ID is none of ours, or the answer is 204.
CONTINUED, GAP, UNKNOWN, FINISHED = RESUMES = ("continued", "gap", "unknown", "finished")

#: Seconds.
_LAGS = (0.0, 0.005, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class DeliveryCounts:
    """
    The counts of the responses of one service, since its start.

    Attributes:
        bytes: Bytes of bodies that were written.
        entries: Entries that viewers were sent, those of each viewer.
        ends: Responses that have ended, by reason.
        gaps: Gaps that viewers were told of, by reason.
        resumes: Last event IDs that clients have sent, by result.
        lags: Seconds by which viewers are behind: a sample of each viewer at each of its beats.
    """

    __slots__ = ("bytes", "ends", "entries", "gaps", "lags", "resumes")

    def __init__(self) -> None:
        self.bytes = 0
        self.entries = 0
        self.ends = Tally(ENDS)
        self.gaps = Tally(GAPS)
        self.resumes = Tally(RESUMES)
        self.lags = Durations(_LAGS)
