"""
Facts of a run that explain what viewers see: faults, losses of data, and who has ended what. Nothing here comes from
sseserver.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Record = dict[str, Any]

#: Seconds. A Redis that synchronizes its file each second loses at most so much when it is killed.
EVERYSEC = 3.0

#: Seconds. What was stored may be seen so much later, where everything is slow.
LATE = 20.0

#: Seconds. A server that was away from Redis for less keeps its lease: it renews it every 3 seconds for 10.
LEASE = 6.0

#: Seconds. Redis deletes a stream so long after its end.
KEEP = 600.0

#: Seconds. Two times away with so little between them are one: connections come back later than they could.
BETWEEN = 6.0


@dataclass(slots=True)
class Fault:
    """
    Something that the nemesis has done.

    Attributes:
        name: Its kind.
        begin: When it began.
        end: When it was over.
        record: Everything else about it.
    """

    name: str
    begin: float
    end: float
    record: Record


@dataclass(slots=True)
class Loss:
    """
    A time whose writes may be lost.

    Attributes:
        begin: Its begin.
        end: Its end.
        stream: The only stream that has lost something; `None` for all.
    """

    begin: float
    end: float
    stream: str | None = None


@dataclass
class Facts:
    """
    Everything that is known before the events of the viewers are looked at.

    Attributes:
        faults: All faults.
        losses: Times whose writes may be lost.
        harmed: Streams that a foreign hand has changed, each with the ways.
        asked: Streams that were cancelled or deleted by request, each with the ways.
        closed: Streams that a publisher has closed, or has tried to.
        created: When each stream was made, at the latest.
        owners: Servers that may have started each run.
        servers: All servers.
        firstSeen: When each event ID was seen first, by epoch and number.
        retries: Number of times that a run may be begun anew.
        end: Time of the last record.
    """

    faults: dict[int, Fault] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)
    harmed: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    asked: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    closed: set[str] = field(default_factory=set)
    created: dict[str, float] = field(default_factory=dict)
    owners: dict[str, set[int]] = field(default_factory=dict)
    servers: set[int] = field(default_factory=lambda: {0, 1})
    firstSeen: dict[tuple[str, int], float] = field(default_factory=dict)
    retries: int = 0
    end: float = 0.0

    def mayBeLost(self, stream: str, place: tuple[str, int], now: float) -> bool:
        """
        Return whether an entry that was seen may be lost.

        Args:
            stream: Name of its stream.
            place: Its epoch and number.
            now: When it was missed.
        """
        seen = self.firstSeen.get(place, self.created.get(stream, now))
        return self._isIn(stream, seen, now)

    def mayBeMissing(self, stream: str, now: float) -> bool:
        """Return whether a stream may be gone."""
        if "delete" in self.asked.get(stream, ()) or "delete stream" in self.harmed.get(stream, ()):
            return True
        created = self.created.get(stream, now)
        return now - created > KEEP or self._isIn(stream, created, now)

    def mayHaveBeenLost(self, stream: str, sent: float, answered: float) -> bool:
        """Return whether what was stored at some time between two may be lost at the end."""
        losses = [loss for loss in self.losses if loss.stream in {None, stream}]
        return any(loss.begin <= answered and sent <= loss.end for loss in losses)

    def mayHaveLostEnd(self, stream: str, now: float) -> bool:
        """Return whether the end of a run may be lost."""
        return self.mayHaveBeenLost(stream, self.created.get(stream, now), now)

    def mayBeInterrupted(self, stream: str, now: float, again: bool = False) -> bool:
        """
        Return whether a run may have lost its server.

        Args:
            stream: Name of its stream.
            now: When that was seen.
            again: Whether it was begun anew before, at any server.
        """
        born = self.created.get(stream, 0.0) - LATE
        owners = self._findOwners(stream, again)
        dead = [fault for fault in self.faults.values() if fault.name == "end server" and born <= fault.end]
        if any(fault.record["server"] in owners and fault.begin <= now for fault in dead):
            return True
        return any(self._wasAway(owner, born, now) for owner in owners)

    def mayEndAtOnce(self, stream: str) -> bool:
        """Return whether a run that was interrupted need not be begun anew: its prompt, or its end, may be lost."""
        return True

    def wasTerminated(self, stream: str, now: float, again: bool = False) -> bool:
        """Return whether the server of a run may have been asked to end; see `mayBeInterrupted`."""
        born = self.created.get(stream, 0.0) - LATE
        owners = self._findOwners(stream, again)
        ended = [fault for fault in self.faults.values() if fault.name == "end server"]
        asked = [fault for fault in ended if fault.record["signal"] == "SIGTERM" and born <= fault.end]
        return any(fault.record["server"] in owners and fault.begin <= now for fault in asked)

    def _findOwners(self, stream: str, again: bool) -> set[int]:
        return self.servers if again else self.owners.get(stream, self.servers)

    def _isIn(self, stream: str, seen: float, now: float) -> bool:
        losses = [loss for loss in self.losses if loss.stream in {None, stream}]
        return any(loss.begin <= min(seen, now) + 0.5 and seen <= loss.end + LATE for loss in losses)

    def _wasAway(self, server: int, born: float, now: float) -> bool:
        """Return whether a server may have lost its lease while the others have kept theirs."""
        own = [fault for fault in self.faults.values() if fault.record.get("server") == server or fault.name == "slow"]
        common = [fault for fault in self.faults.values() if "redis" in fault.name or fault.name == "fail-over"]
        begin = end = -1e9
        mine = False
        for fault in sorted([*own, *common], key=lambda fault: fault.begin):
            if fault.begin > end + BETWEEN:
                begin, end, mine = fault.begin, fault.end, False
            end = max(end, fault.end)
            mine = mine or fault in own
            if mine and end - begin >= LEASE and end >= born and begin <= now:
                return True
        return False


def collectFacts(records: Iterable[Record]) -> Facts:
    """Read everything but the events of viewers."""
    facts = Facts()
    keys: dict[str, set[int]] = defaultdict(set)
    for record in records:
        now = facts.end = record["t"]
        match record["do"]:
            case "fault":
                facts.faults[record["number"]] = Fault(record["name"], now, math.inf, record)
            case "healed":
                facts.faults[record["number"]].end = now
            case "slow":
                facts.faults[record["number"]] = Fault("slow", record["begin"], now, record)
            case "end":
                facts.asked[record["stream"]].add(record["how"])
            case "plan":
                facts.retries = record["retries"]
            case "made":
                facts.created.setdefault(record["stream"], now)
            case "start":
                keys[record["key"]].add(record["front"])
            case "started" if record["stream"]:
                facts.created.setdefault(record["stream"], now)
                facts.owners.setdefault(record["stream"], keys[record["key"]] | set())
            case "send" if record["close"]:
                facts.closed.add(record["stream"])
    for fault in facts.faults.values():
        _noteLoss(facts, fault)
    return facts


def _noteLoss(facts: Facts, fault: Fault) -> None:
    """Note what a fault may have lost: see docs/scaling.md."""
    if fault.name == "flush":
        facts.losses.append(Loss(-1e9, fault.end))
    elif fault.name == "fail-over" and fault.record["loses"]:
        facts.losses.append(Loss(fault.begin - 1, fault.end + 1))
    elif fault.name == "kill redis" and fault.record["sync"] == "everysec":
        facts.losses.append(Loss(fault.begin - EVERYSEC, fault.end))
    elif fault.name == "harm":
        facts.harmed[fault.record["stream"]].add(fault.record["how"])
        if fault.record["how"] != "delete keys":
            facts.losses.append(Loss(-1e9, fault.end, fault.record["stream"]))
