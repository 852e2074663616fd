"""
Judgement of restarts and ends: what all viewers of a stream have seen of them together. Nothing here comes from
sseserver.
"""

from __future__ import annotations

import json
from collections import defaultdict

from tests.reliability.facts import Facts, Record

#: An epoch and a number.
Place = tuple[str, int]


class Restarts:
    """
    The restarts of all runs, and the ends of all streams.

    Args:
        facts: What is known beside the events of viewers.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        # The places of each restart and of each end that viewers have seen, by number.
        self._places: dict[tuple[str, int], dict[int, Place]] = defaultdict(dict)

    def judge(self, stream: str, record: Record, place: Place, before: int | None) -> str:
        """
        Judge an event `restart`; return what is wrong with it, or nothing.

        Args:
            stream: Name of the stream.
            record: The event.
            place: Its place.
            before: Number of the restarts that its viewer has seen; `None` if that may have missed some.
        """
        data, now = json.loads(record["data"]), record["t"]
        count = data.get("restarts")
        if data.get("reason") != "interrupted" or not isinstance(count, int) or stream.startswith("pub"):
            return f"{stream} has the restart {data}"
        if count > self._facts.retries or (before is not None and count != before + 1):
            return f"restart {count} of {stream} after {before}; {self._facts.retries} are allowed"
        if not self._facts.mayBeInterrupted(stream, now, again=count > 1):
            return f"restart {count} of {stream}, whose server was not away"
        return self._place(stream, count, place, now)

    def judgeEnd(self, stream: str, place: Place, now: float) -> str:
        """
        Judge the place of an end; return what is wrong with it, or nothing.

        Args:
            stream: Name of the stream.
            place: The place.
            now: When it was seen.
        """
        return self._place(stream, 0, place, now)

    def _place(self, stream: str, count: int, place: Place, now: float) -> str:
        """Note a place. Another one needs a loss that explains it."""
        known = self._places[stream, count]
        lost = [self._facts.mayBeLost(stream, each, now) for each in known.values()]
        isNew = place[1] not in known
        known.setdefault(place[1], place)
        if not isNew or not lost or any(lost) or self._facts.harmed.get(stream):
            return ""
        return f"{f'restart {count}' if count else 'the end'} of {stream} at {[*known.values()]}"
