"""
The checker: reads the journal of a run, and reports every broken promise. Nothing here comes from sseserver.

    python -m tests.reliability.checker FILE
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.reliability.facts import Facts, Record, collectFacts
from tests.reliability.restarts import Place, Restarts

#: Types of the last event of a stream.
TERMINAL = {"done", "failed", "cancelled"}

#: Seconds. Nobody waits for so long for the end of a stream that its writers have left.
LONGEST = 300.0

#: Number. Words of a run.
WORDS = 120

_TOKEN = re.compile(r"⟦[^⟧]*⟧")
_WORD = re.compile(r"w\d+ ?")

#: Statuses that a viewer may be refused with; the last two end a view.
_REFUSALS = {429, 503, 404, 204}


@dataclass
class View:
    """
    One viewer of one stream.

    Attributes:
        stream: Name of the stream.
        place: Epoch and number of the last event; `None` before the first.
        begins: Whether the next event is the first one of a response.
        jumped: Whether a gap was just told.
        ended: Type of the terminal event; empty before.
        left: How it has ended; empty before.
        whole: Whether it has read everything from the first entry without a gap.
        read: The contents that an auditor has read.
        began: When it began.
        refused: Status of the last refusal.
        restarts: Number of restarts that it was told of; `None` if it may have missed some.
        base: Number of the last restart: the words of a run count from there. `None` if it is not known.
    """

    stream: str
    place: Place | None = None
    begins: bool = True
    jumped: bool = False
    ended: str = ""
    left: str = ""
    whole: bool = True
    read: list[str] = field(default_factory=list)
    began: float = 0.0
    refused: int = 0
    restarts: int | None = 0
    base: int | None = 0

    def restart(self, number: int, count: int) -> None:
        """Begin anew with the text."""
        self.base, self.restarts, self.read = number, count, []

    def jump(self, place: Place, keeps: bool) -> None:
        """Go on at another place; what was read may still be true."""
        self.whole = not keeps and place[1] == 0
        self.base = self.restarts = None if place[1] else 0
        if not keeps:
            self.read = []


class Checker:
    """
    Compares what was seen with what is promised.

    Args:
        records: The journal, which is read several times.
        facts: What is known beside it; `None` collects that from the journal.
        words: Number of words of a run.

    Attributes:
        problems: The broken promises, each with its kind.
        counts: What was looked at, by kind.
    """

    def __init__(self, records: Iterable[Record], facts: Facts | None = None, words: int = WORDS) -> None:
        self.problems: list[tuple[str, str]] = []
        self.counts: Counter[str] = Counter()
        self._records = records
        self._facts: Facts = facts or collectFacts(records)
        self._restarts = Restarts(self._facts)
        self._words = words
        self._views: dict[str, View] = {}
        # The content of each number in each epoch, and who has seen it first.
        self._content: dict[str, dict[int, tuple[str, str]]] = defaultdict(dict)
        self._sends: dict[str, Record] = {}
        # When somebody has published into each stream last.
        self._sent: dict[str, float] = defaultdict(float)
        # All contents that were ever published into each stream.
        self._published: dict[str, set[str]] = defaultdict(set)
        self._answered: dict[str, list[tuple[Record, Record]]] = defaultdict(list)
        # The same place in two epochs.
        self._same: set[tuple[Place, str]] = set()
        self._started: dict[str, list[str]] = defaultdict(list)
        self._ends: dict[str, set[str]] = defaultdict(set)

    def check(self) -> list[tuple[str, str]]:
        """Return the broken promises."""
        self._collectSeen()
        for record in self._records:
            self._take(record)
        for name, view in self._views.items():
            self._checkLeft(name, view)
        self._checkEpochs()
        self._checkAnswers()
        self._checkKeys()
        return self.problems

    def _blame(self, kind: str, text: str, now: float) -> None:
        self.problems.append((kind, f"{now:.2f}: {text}"))

    def _blameIf(self, kind: str, text: str, record: Record) -> None:
        if text:
            self._blame(kind, f"{record['viewer']}: {text}", record["t"])

    def _collectSeen(self) -> None:
        """Note when each event ID was seen first."""
        seen = self._facts.firstSeen
        for record in self._records:
            if record["do"] == "event" and record["id"] and record["type"] != "gap":
                epoch, number = parse(record["id"])
                seen.setdefault((epoch, number), record["t"])
                # A joined event has the IDs of all its entries.
                last = number - 1
                while record["type"] == "message" and last > 0 and (epoch, last) not in seen and number - last < 2000:
                    seen[epoch, last] = record["t"]
                    last -= 1
            elif record["do"] == "sent" and record["ids"]:
                for identifier in record["ids"]:
                    seen.setdefault(parse(identifier), record["t"])

    def _take(self, record: Record) -> None:
        self.counts[record["do"]] += 1
        match record["do"]:
            case "view":
                self._views[record["viewer"]] = View(record["stream"], began=record["t"])
            case "open":
                self._views[record["viewer"]].begins = True
            case "event":
                self._takeEvent(self._views[record["viewer"]], record)
            case "left":
                self._takeLeft(self._views[record["viewer"]], record)
            case "refused":
                self._takeRefusal(self._views[record["viewer"]], record)
            case "send":
                self._sends[record["attempt"]] = record
                self._sent[record["stream"]] = record["t"]
                self._published[record["stream"]].update(map(describe, record["entries"]))
            case "sent":
                self._takeAnswer(self._sends.pop(record["attempt"]), record)
            case "started" if record["stream"] and record["stream"] not in self._started[record["key"]]:
                self._started[record["key"]].append(record["stream"])
            case "log":
                self._blame("log", f"server {record['server']}: {record['line']}", record["t"])

    def _takeRefusal(self, view: View, record: Record) -> None:
        status, now = record["status"], record["t"]
        view.refused = status
        if status not in _REFUSALS:
            self._blame("status", f"{record['viewer']} got {status}", now)
        elif status == 404 and not self._facts.mayBeMissing(view.stream, now):
            self._blame("missing", f"{record['viewer']}: 404 for {view.stream}", now)
        elif status == 204 and not (view.place and self._findContent(view.place)[:5] == "end: "):
            self._blame("end", f"{record['viewer']}: 204 at {view.place}", now)

    def _takeLeft(self, view: View, record: Record) -> None:
        view.left = record["how"]
        lasted = record["t"] - max(view.began, self._sent[view.stream])
        if lasted > LONGEST:
            self._blame("no end", f"{record['viewer']} of {view.stream} had to wait {lasted:.0f} s", record["t"])

    def _takeAnswer(self, sent: Record, record: Record) -> None:
        stream, status, now = sent["stream"], record["status"], record["t"]
        if status == 200:
            self.counts["publishes"] += 1
            self._answered[stream].append((sent, record))
            for identifier, entry in zip(record["ids"], sent["entries"], strict=False):
                self._observe(parse(identifier), describe(entry), f"publish {sent['attempt']}", now)
            if len(record["ids"]) != len(sent["entries"]) + sent["close"]:
                self._blame("answer", f"{sent['attempt']}: {record['ids']}", now)
        elif status == 404 and not self._facts.mayBeMissing(stream, now):
            self._blame("missing", f"{sent['attempt']}: 404 for {stream}", now)
        elif status == 409 and stream not in self._facts.closed and not self._facts.mayBeMissing(stream, now):
            self._blame("status", f"{sent['attempt']}: 409 for {stream}", now)
        elif status not in {0, 404, 409, 429, 503}:
            self._blame("status", f"{sent['attempt']}: {status}", now)

    def _observe(self, place: Place, content: str, who: str, now: float) -> None:
        epoch, number = place
        known, first = self._content[epoch].setdefault(number, (content, who))
        if known != content:
            self._blame("altered", f"{place}: {known[:80]!r} for {first}, {content[:80]!r} for {who}", now)

    def _findContent(self, place: Place) -> str:
        epoch, number = place
        return self._content[epoch].get(number, ("", ""))[0]

    def _takeEvent(self, view: View, record: Record) -> None:
        kind, now, who = record["type"], record["t"], record["viewer"]
        self.counts[kind] += 1
        place = parse(record["id"])
        if kind == "gap":
            self._takeGap(view, record, place)
        elif view.ended and kind != "stream":
            self._blame("end", f"{who}: {kind} after {view.ended}", now)
        elif kind == "stream":
            self._takeBegin(view, record, place)
        else:
            self._takeEntries(view, record, place)
        view.begins, view.jumped = False, kind == "gap"
        view.place = place

    def _takeBegin(self, view: View, record: Record, place: Place) -> None:
        """Check the place at which a response begins."""
        who, now = record["viewer"], record["t"]
        if json.loads(record["data"])["epoch"] != place[0]:
            self._blame("altered", f"{who}: {record['data']} at {place}", now)
        if view.place is None:
            if place[1] and not self._facts.harmed.get(view.stream):
                self._blame("gap", f"{who} begins at {place} without a reason", now)
            view.jump(place, keeps=False)
            return
        if view.ended and not view.jumped:
            self._blame("end", f"{who} goes on at {place} after {view.ended}", now)
        if place[1] != view.place[1]:
            kind = "lost" if place[1] > view.place[1] else "repeated"
            self._blame(kind, f"{who} was at {view.place} and goes on at {place}", now)
        elif place[0] != view.place[0]:
            self._same.add((view.place, place[0]))

    def _takeGap(self, view: View, record: Record, place: Place) -> None:
        """Check that something explains a gap."""
        data, now, who = json.loads(record["data"]), record["t"], record["viewer"]
        self.counts[f"gap {data['reason']}"] += 1
        before = view.place
        if before is None or not view.begins:
            self._blame("gap", f"{who}: gap {data} without a place", now)
        elif data["after"] != f"{before[0]}-{before[1]}":
            self._blame("gap", f"{who}: gap {data} at {before}", now)
        elif data["reason"] == "trimmed":
            if not self._facts.harmed.get(view.stream) or place[1] <= before[1]:
                self._blame("gap", f"{who}: gap {data} at {before}", now)
        elif data["reason"] != "lost" or not self._facts.mayBeLost(view.stream, before, now):
            self._blame("gap", f"{who}: gap {data} at {before}", now)
        view.jump(place, keeps=data["reason"] != "lost")
        view.ended = ""

    def _takeEntries(self, view: View, record: Record, place: Place) -> None:
        """Check the entries of an event."""
        who, now = record["viewer"], record["t"]
        contents = self._split(view.stream, record)
        if not contents:
            self._blame("altered", f"{who}: {record['data'][:200]!r} at {place}", now)
            return
        epoch, last = place
        first = last - len(contents) + 1
        before = view.place
        if before is None or view.begins:
            self._blame("order", f"{who}: {record['type']} at {place} before the event `stream`", now)
        else:
            if first != before[1] + 1:
                kind = "lost" if first > before[1] + 1 else "repeated"
                self._blame(kind, f"{who} was at {before}, then came {first} to {last}", now)
            if epoch != before[0]:
                self._same.add((before, epoch))
        for number, content in enumerate(contents, first):
            self._observe((epoch, number), content, who, now)
            self._checkContent(view, number, content, who, now)
        if record["type"] == "restart":
            self._blameIf("restart", self._restarts.judge(view.stream, record, place, view.restarts), record)
            view.restart(last, json.loads(record["data"])["restarts"])
        elif isAuditor(who):
            view.read += contents
        if record["type"] in TERMINAL:
            view.ended = record["type"]
            self._ends[view.stream].add(record["type"])
            self._checkEnd(view, record, last)

    def _split(self, stream: str, record: Record) -> list[str]:
        """Return the entries of an event; none if they are not as they were written."""
        data = record["data"]
        if record["type"] in TERMINAL:
            return [f"end: {record['type']} {data}"]
        if record["type"] in {"note", "restart"}:
            return [f"{record['type']}: {data}"]
        parts = (_TOKEN if stream in self._published or stream.startswith("pub") else _WORD).findall(data)
        return [f"token: {part}" for part in parts] if "".join(parts) == data else []

    def _checkContent(self, view: View, number: int, content: str, who: str, now: float) -> None:
        """Check that an entry was written by somebody."""
        stream, (kind, _, text) = view.stream, content.partition(": ")
        if kind in {"end", "restart"}:
            return
        if stream.startswith("pub"):
            if content not in self._published[stream]:
                self._blame("altered", f"{who}: {text[:80]!r} was not published into {stream}", now)
            return
        word = text.rstrip(" ")
        if view.base is None and word[1:].isdecimal():
            view.base = number - int(word[1:])
        if view.base is None or word != f"w{number - view.base}":
            self._blame("altered", f"{who}: {text!r} at {number} of {stream}", now)

    def _checkEnd(self, view: View, record: Record, last: int) -> None:
        """Check that something explains how a stream has ended."""
        stream, kind, now, facts = view.stream, record["type"], record["t"], self._facts
        data = json.loads(record["data"])
        reason = data["reason"]
        published = stream.startswith("pub")
        if kind == "done":
            whole = view.base is None or last == view.base + self._words + 1
            fine = stream in facts.closed if published else (whole and data["tokens"] == self._words)
        elif kind == "failed":
            again = view.restarts != 0
            # A run that has ended, and whose end is lost, has nobody who goes on with it.
            away = facts.mayBeInterrupted(stream, now, again) or facts.mayHaveLostEnd(stream, now)
            interrupted = reason == "interrupted" and away
            if interrupted and not again and facts.retries and not facts.mayEndAtOnce(stream):
                self._blame("restart", f"{record['viewer']}: {stream} was not begun anew", now)
            fine = not published and (interrupted or (reason == "shutdown" and facts.wasTerminated(stream, now, again)))
        else:
            # A stream that was to be deleted while the store was away is cancelled.
            asked = reason == "asked" and not facts.asked.get(stream, set()).isdisjoint(("cancel", "delete"))
            fine = asked or (reason == "deleted" and facts.mayBeMissing(stream, now))
        if not fine:
            self._blame("end", f"{record['viewer']}: {stream} ended {kind} {data}", now)
        if reason != "deleted":
            # A server tells the end of a stream that was deleted wherever its viewers are.
            self._blameIf("end", self._restarts.judgeEnd(stream, parse(record["id"]), now), record)

    def _checkLeft(self, name: str, view: View) -> None:
        """Check that a view has ended."""
        if view.left not in {"end", "missing", "complete"}:
            where = f"at {view.place}, refused with {view.refused}"
            self._blame("no end", f"{name} of {view.stream} {view.left or 'follows'} {where}", self._facts.end)

    def _checkEpochs(self) -> None:
        """Check that two epochs have the same entries up to the place where one replaced the other."""
        for (epoch, number), later in self._same:
            replaced = self._content[later]
            for each, (old, _) in self._content[epoch].items():
                new, _ = replaced.get(each, (old, ""))
                if each <= number and old != new:
                    self._blame("altered", f"{epoch}-{each} is {old[:80]!r}, {later}-{each} {new[:80]!r}", 0)

    def _checkAnswers(self) -> None:
        """Check that what was answered with 200 is there in the end, once and in order."""
        for name, view in self._views.items():
            if not isAuditor(name) or not view.whole or not view.ended:
                continue
            if "delete" in self._facts.asked.get(view.stream, ()):
                # A server without its Redis may tell of the end without the last entries.
                continue
            self.counts["audits"] += 1
            places: dict[str, int] = {}
            for number, content in enumerate(view.read):
                if content in places and "delete keys" not in self._facts.harmed.get(view.stream, ()):
                    self._blame("repeated", f"{content[:80]!r} stands twice in {view.stream}", self._facts.end)
                places[content] = number
            self._checkOrder(view, places)

    def _checkOrder(self, view: View, places: dict[str, int]) -> None:
        before: dict[str, int] = {}
        for sent, answer in self._answered[view.stream]:
            publisher = sent["attempt"].partition("/")[0]
            for content in map(describe, sent["entries"]):
                place = places.get(content)
                if place is None:
                    if not self._facts.mayHaveBeenLost(view.stream, sent["t"], answer["t"]):
                        self._blame(
                            "lost", f"{content[:80]!r} was answered 200, and is not in {view.stream}", answer["t"]
                        )
                    continue
                if place <= before.get(publisher, -1):
                    self._blame("order", f"{content[:80]!r} stands too early in {view.stream}", answer["t"])
                before[publisher] = place

    def _checkKeys(self) -> None:
        """Check that an idempotency key has started one run, unless that has failed or was lost."""
        for key, streams in self._started.items():
            for stream in streams[:-1]:
                facts, now = self._facts, self._facts.end
                gone = facts.mayBeMissing(stream, now) or facts.mayHaveBeenLost(stream, facts.created[stream], now)
                if not gone and not self._ends[stream] & {"failed", "cancelled"}:
                    self._blame("repeated", f"{key} has started {streams}", self._facts.end)


def parse(identifier: str) -> Place:
    """Return the epoch and the number of an event ID."""
    epoch, _, number = identifier.rpartition("-")
    return sys.intern(epoch), int(number)


def isAuditor(viewer: str) -> bool:
    """Return whether a viewer reads a whole stream to compare it with what was published."""
    return viewer.startswith("audit")


def describe(entry: dict[str, Any]) -> str:
    """Return the content of an entry that was published."""
    return f"token: {entry['token']}" if "token" in entry else f"{entry['event']}: {entry['data']}"


class JournalFile:
    """
    The records in a file, which is read again for each look at them: those of an hour are too many for the memory.

    Args:
        path: Path of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Record]:
        with self._path.open(encoding="utf-8") as file:
            yield from map(json.loads, file)


def checkFile(path: Path) -> Checker:
    """Check the journal in a file."""
    checker = Checker(JournalFile(path))
    checker.check()
    return checker


def report(checker: Checker) -> str:
    """Return the broken promises and the counts as text."""
    lines = [f"{kind}: {text}" for kind, text in checker.problems[:50]]
    counts = ", ".join(f"{count} {name}" for name, count in sorted(checker.counts.items()))
    kinds = Counter(kind for kind, _ in checker.problems)
    return "\n".join([*lines, counts, f"broken promises: {dict(kinds) or 'none'}"])


if __name__ == "__main__":
    found = checkFile(Path(sys.argv[1]))
    print(report(found))  # noqa: T201
    sys.exit(bool(found.problems))
