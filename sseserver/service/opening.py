"""
How the stream of an API begins, and how its run goes on and ends. APIs pass an `Opening` to `StreamService.startRun`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from sseserver.interfaces import IStreamLog
from sseserver.service.run import Summarize


class RunTraits(NamedTuple):
    """
    Traits of a run. They are kept with its order, so they hold in a process that begins it anew.

    Attributes:
        isDetached: Whether it goes on without viewers, however long.
        tellsEnd: Whether its entry `done` has the member `ended`: its time, in whole seconds since 1970.
        tellsDurations: Whether its entry `done` has the member `durations`: an object with the seconds from the
            creation of the stream to the first token (`first`), and to the end (`total`).
    """

    isDetached: bool = False
    tellsEnd: bool = False
    tellsDurations: bool = False


#: Traits of most runs.
ORDINARY = RunTraits()


class Opening(NamedTuple):
    """
    The begin of a stream.

    Attributes:
        data: Data of the entry `INPUT` with which it begins; `None` for no such entry.
        traits: Traits of its run.
        note: Members that the JSON object in the data begins with, with a comma behind each. They are none of the
            request, and do not count for its idempotency key.
    """

    data: bytes | None
    traits: RunTraits = ORDINARY
    note: bytes = b""

    def pack(self) -> bytes:
        """Return the data of the entry, which there is."""
        data = self.data or b""
        return b"{%b%b" % (self.note, data[1:]) if self.note else data


def addEnd(summarize: Summarize | None, wall: Callable[[], float]) -> Summarize:
    """
    Return a function that adds the time of the end to a summary.

    Args:
        summarize: Returns the rest of the summary, if any.
        wall: Returns the time, in seconds since 1970.
    """

    def addTime(streamLog: IStreamLog) -> Mapping[str, object]:
        rest = {} if summarize is None else summarize(streamLog)
        return {**rest, "ended": int(wall())}

    return addTime


def addDurations(
    summarize: Summarize | None, findFirst: Callable[[], float], seconds: Callable[[], float]
) -> Summarize:
    """
    Return a function that adds durations to a summary; see `RunTraits`.

    Args:
        summarize: See `addEnd`.
        findFirst: Returns the time of the first token; a negative one if there was none.
        seconds: Returns the time.
    """

    def addTimes(streamLog: IStreamLog) -> Mapping[str, object]:
        rest = {} if summarize is None else summarize(streamLog)
        first, now = findFirst(), seconds()
        times = {"first": now if first < 0 else first, "total": now}
        return {
            **rest,
            "durations": {name: round(max(0.0, time - streamLog.created), 6) for name, time in times.items()},
        }

    return addTimes
