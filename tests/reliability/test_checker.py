"""
The checker finds each kind of broken promise, and blames nobody for what the faults explain.

Tests of `checker`, `facts` and `restarts`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.servers import ROOT
from tests.reliability.checker import Checker, report
from tests.reliability.facts import Record

_E, _F = "E" * 22, "F" * 22


def sees(viewer: str, *events: tuple[str, int, str], epoch: str = _E) -> list[Record]:
    """Make the records of one response: type, number and data of each event."""
    begin = {"do": "open", "viewer": viewer, "after": "", "front": 0}
    return [
        begin,
        *({"do": "event", "viewer": viewer, "type": t, "id": f"{epoch}-{n}", "data": d} for t, n, d in events),
    ]


def begins(number: int, epoch: str = _E) -> tuple[str, int, str]:
    """Make the first event of a response."""
    return ("stream", number, json.dumps({"epoch": epoch}))


def publishes(attempt: str, *tokens: str, ids: list[int] | None, close: bool = False) -> list[Record]:
    """Make the records of a publish, which was answered if it has numbers."""
    entries = [{"token": token} for token in tokens]
    sent = {"do": "send", "attempt": attempt, "stream": "pub0-1", "entries": entries, "key": None, "close": close}
    names = None if ids is None else [f"{_E}-{number}" for number in ids]
    return [sent, {"do": "sent", "attempt": attempt, "status": 0 if ids is None else 200, "ids": names}]


def left(viewer: str, how: str = "end") -> Record:
    """Make the record of the end of a view."""
    return {"do": "left", "viewer": viewer, "how": how}


VIEW: Record = {"do": "view", "viewer": "v", "stream": "pub0-1"}
AUDIT: Record = {"do": "view", "viewer": "audit.0.pub0-1", "stream": "pub0-1"}
DONE = ("done", 4, '{"reason":"stop"}')
#: A stream of three tokens and its end.
PUBLISHED = [
    {"do": "made", "stream": "pub0-1", "epoch": _E},
    *publishes("p/1", "⟦a⟧", "⟦b⟧", ids=[1, 2]),
    *publishes("p/2", "⟦c⟧", ids=[3, 4], close=True),
]
FLUSH = [{"do": "fault", "name": "flush", "number": 1}, {"do": "healed", "number": 1}]
TRIM = [{"do": "fault", "name": "harm", "number": 1, "stream": "pub0-1", "how": "trim"}, {"do": "healed", "number": 1}]


def gap(number: int, after: str, reason: str) -> tuple[str, int, str]:
    """Make a gap."""
    return ("gap", number, json.dumps({"after": after, "from": "", "missed": None, "reason": reason}))


class CheckerTests(SynchronousTestCase):
    """Small journals."""

    def kinds(self, *records: Record) -> Counter[str]:
        """Check a journal, whose records get times, and count the kinds of its broken promises."""
        whole = [{"t": float(time), **record} for time, record in enumerate([*PUBLISHED, *records])]
        self.checker = Checker(whole)
        return Counter(kind for kind, _ in self.checker.check())

    def view(self, *events: Any, first: Any = None, end: bool = True) -> list[Record]:
        """Make a view from the start; without `first` it begins at 0."""
        done = [left("v")] if end else []
        return [VIEW, *sees("v", first or begins(0), *events), *done]

    def test_fine(self) -> None:
        """A view of everything breaks nothing, whether tokens are joined or not; it may be resumed."""
        one = ("message", 1, "⟦a⟧")
        rest = (("message", 3, "⟦b⟧⟦c⟧"), DONE)
        self.assertEqual(self.kinds(*self.view(one, *rest)), {})
        self.assertEqual(self.kinds(*self.view(one, end=False), *sees("v", begins(1), *rest), left("v")), {})
        self.assertIn("broken promises: none", report(self.checker))

    def test_lost(self) -> None:
        """A missing entry, also one that only its publisher knows, is lost."""
        events = (("message", 1, "⟦a⟧"), ("message", 3, "⟦c⟧"), DONE)
        self.assertEqual(self.kinds(*self.view(*events)), {"lost": 1})
        audit = sees("audit.0.pub0-1", begins(0), ("message", 2, "⟦a⟧⟦b⟧"), ("done", 3, DONE[2]))
        self.assertEqual(self.kinds(AUDIT, *audit, left("audit.0.pub0-1"))["lost"], 1)

    def test_resumedElsewhere(self) -> None:
        """A response that begins elsewhere than asked loses or repeats entries."""
        first = self.view(("message", 2, "⟦a⟧⟦b⟧"), end=False)
        self.assertEqual(self.kinds(*first, *sees("v", begins(3), DONE), left("v")), {"lost": 1})
        again = sees("v", begins(1), ("message", 3, "⟦b⟧⟦c⟧"), DONE)
        self.assertEqual(self.kinds(*first, *again, left("v")), {"repeated": 1})

    def test_repeated(self) -> None:
        """An entry that comes twice is repeated."""
        events = (("message", 2, "⟦a⟧⟦b⟧"), ("message", 2, "⟦b⟧"), ("message", 3, "⟦c⟧"), DONE)
        self.assertEqual(self.kinds(*self.view(*events))["repeated"], 1)

    def test_altered(self) -> None:
        """Two contents at one ID, a content that nobody wrote, and a torn one are altered."""
        self.assertEqual(self.kinds(*self.view(("message", 3, "⟦b⟧⟦a⟧⟦c⟧"), DONE))["altered"], 2)
        self.assertEqual(self.kinds(*self.view(("message", 1, "⟦x⟧"), end=False), left("v"))["altered"], 2)
        self.assertEqual(self.kinds(*self.view(("message", 1, "⟦a"), end=False), left("v"))["altered"], 1)

    def test_epochs(self) -> None:
        """A new epoch has the same entries up to the place where viewers were taken over."""
        first = self.view(("message", 2, "⟦a⟧⟦b⟧"), end=False)
        more = sees("v", begins(2, _F), ("message", 3, "⟦c⟧"), DONE, epoch=_F)
        other = [{**VIEW, "viewer": "w"}, *sees("w", begins(0, _F), ("message", 2, "⟦b⟧⟦a⟧"), epoch=_F), left("w")]
        self.assertEqual(self.kinds(*first, *more, left("v")), {})
        self.assertEqual(self.kinds(*first, *more, left("v"), *other), {"altered": 2})

    def test_gap(self) -> None:
        """A gap needs a fault that explains it, and tells the place where the viewer was."""
        first = self.view(("message", 2, "⟦a⟧⟦b⟧"), end=False)
        rest = (("message", 3, "⟦a⟧⟦b⟧⟦c⟧"), DONE)
        lost = sees("v", gap(0, f"{_E}-2", "lost"), begins(0), *rest)
        self.assertEqual(self.kinds(*first, *lost, left("v")), {"gap": 1})
        self.assertEqual(self.kinds(*first, *FLUSH, *lost, left("v")), {})
        wrong = sees("v", gap(0, f"{_E}-1", "lost"), begins(0), *rest)
        self.assertEqual(self.kinds(*first, *FLUSH, *wrong, left("v")), {"gap": 1})
        trimmed = sees("v", gap(3, f"{_E}-2", "trimmed"), begins(3), DONE)
        self.assertEqual(self.kinds(*first, *trimmed, left("v")), {"gap": 1})
        self.assertEqual(self.kinds(*first, *TRIM, *trimmed, left("v")), {})

    def test_end(self) -> None:
        """A view without an end, an end without a reason, and an event after the end are noticed."""
        self.assertEqual(self.kinds(*self.view(("message", 3, "⟦a⟧⟦b⟧⟦c⟧"), end=False)), {"no end": 1})
        failed = ("failed", 4, '{"reason":"interrupted"}')
        self.assertEqual(self.kinds(*self.view(("message", 3, "⟦a⟧⟦b⟧⟦c⟧"), failed)), {"end": 1})
        self.assertEqual(self.kinds(*self.view(("message", 3, "⟦a⟧⟦b⟧⟦c⟧"), DONE, DONE))["end"], 1)

    def test_waited(self) -> None:
        """A viewer that gets the end after a very long time had waited for something that did not happen."""
        seen = self.view(("message", 3, "⟦a⟧⟦b⟧⟦c⟧"), DONE)
        for late, kinds in ((200, {}), (400, {"no end": 1})):
            self.assertEqual(self.kinds(*seen[:-1], {**seen[-1], "t": late}), kinds)
        # It does not wait while somebody publishes.
        sent = [{**record, "t": 200} for record in publishes("p/9", "⟦c⟧", ids=[3])]
        self.assertEqual(self.kinds(*seen[:-1], *sent, {**seen[-1], "t": 400})["no end"], 0)

    def test_lostEnd(self) -> None:
        """A run whose end is lost is interrupted; a stream is cancelled that was to be deleted."""
        start = [{"do": "started", "key": "k", "front": 1, "status": 201, "stream": _F}]
        view = {"do": "view", "viewer": "v", "stream": _F}
        words = (begins(0, _F), ("message", 2, "w1 w2 "))
        interrupted = sees("v", *words, ("failed", 3, '{"reason":"interrupted"}'), epoch=_F)
        self.assertEqual(self.kinds(*start, view, *interrupted, left("v")), {"end": 1})
        self.assertEqual(self.kinds(*start, *FLUSH, view, *interrupted, left("v")), {})
        cancelled = sees("v", *words, ("cancelled", 3, '{"reason":"asked"}'), epoch=_F)
        self.assertEqual(self.kinds(*start, view, *cancelled, left("v")), {"end": 1})
        for how in ("cancel", "delete"):
            end = {"do": "end", "stream": _F, "how": how}
            self.assertEqual(self.kinds(*start, view, end, *cancelled, left("v")), {})

    def test_hugeNumbers(self) -> None:
        """Event IDs with the time as their number are compared in little time."""
        now = 1_700_000_000_000
        first = self.view(("message", now, "⟦a⟧"), end=False)
        again = sees("v", begins(now, _F), ("message", now + 1, "⟦b⟧"), epoch=_F)
        self.assertEqual(self.kinds(*first, *again, left("v"))["lost"], 1)

    def test_refused(self) -> None:
        """404 for a stream that is kept, and 204 without the end, are noticed."""
        refused = {"do": "refused", "viewer": "v", "status": 404}
        self.assertEqual(self.kinds(VIEW, refused, left("v", "missing")), {"missing": 1})
        self.assertEqual(self.kinds(*FLUSH, VIEW, refused, left("v", "missing")), {})
        complete = {**refused, "status": 204}
        self.assertEqual(self.kinds(VIEW, complete, left("v", "complete")), {"end": 1})

    def test_order(self) -> None:
        """Entries of one publisher stand in the order of its publishes."""
        early = publishes("p/3", "⟦d⟧", ids=[1])
        whole = sees("audit.0.pub0-1", begins(0), ("message", 4, "⟦d⟧⟦a⟧⟦b⟧⟦c⟧"), ("done", 5, DONE[2]))
        self.assertEqual(self.kinds(*early, AUDIT, *whole, left("audit.0.pub0-1"))["order"], 1)

    def test_runs(self) -> None:
        """The words of a run say their numbers; it is interrupted only if its server was."""
        view = {"do": "view", "viewer": "v", "stream": _F}
        start = [{"do": "start", "key": "k", "front": 1}]
        start += [{"do": "started", "key": "k", "front": 1, "status": 201, "stream": _F}]
        words = (begins(0, _F), ("message", 2, "w1 w2 "), ("failed", 3, '{"reason":"interrupted"}'))
        seen = [*start, view, *sees("v", *words, epoch=_F), left("v")]
        dead = {"do": "fault", "name": "end server", "number": 1, "server": 1, "signal": "SIGKILL"}
        self.assertEqual(self.kinds(*seen), {"end": 1})
        self.assertEqual(self.kinds({**dead, "server": 0}, *seen), {"end": 1})
        self.assertEqual(self.kinds(dead, *seen), {})
        swapped = (begins(0, _F), ("message", 2, "w2 w1 "))
        self.assertEqual(self.kinds(dead, *start, view, *sees("v", *swapped, epoch=_F), left("v")), {"altered": 2})

    def test_keys(self) -> None:
        """A key that has started two runs is noticed."""
        started = [{"do": "started", "key": "k", "front": 1, "status": 201, "stream": name} for name in (_E, _F)]
        self.assertEqual(self.kinds(*started), {"repeated": 1})
        later = [{**record, "t": 100} for record in started]
        self.assertEqual(self.kinds(*FLUSH, *later), {"repeated": 1})
        self.assertEqual(self.kinds(started[0], *FLUSH, started[1]), {})

    def test_foreign(self) -> None:
        """The checker imports nothing of sseserver."""
        code = "import sys, tests.reliability.checker; print([n for n in sys.modules if n.startswith('sseserver')])"
        shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        self.assertEqual(shown.stdout, "[]\n")


class RestartTests(SynchronousTestCase):
    """Journals with a run of three words that is begun anew."""

    @staticmethod
    def restart(number: int, count: int = 1) -> tuple[str, int, str]:
        """Make the event that tells of a restart."""
        return ("restart", number, json.dumps({"reason": "interrupted", "restarts": count}))

    def kinds(self, *records: Record, retries: int = 2, dead: tuple[int, ...] = (0, 1)) -> Counter[str]:
        """Check a journal after the start of a run and the ends of servers, and count its broken promises."""
        start: list[Record] = [
            {"do": "plan", "retries": retries},
            {"do": "start", "key": "k", "front": 0},
            {"do": "started", "key": "k", "front": 0, "status": 201, "stream": "run"},
        ]
        fault = {"do": "fault", "name": "end server", "signal": "SIGKILL"}
        start += [{**fault, "number": server, "server": server} for server in dead]
        whole = [{"t": float(time), **record} for time, record in enumerate([*start, *records])]
        return Counter(kind for kind, _ in Checker(whole, words=3).check())

    def view(self, *events: tuple[str, int, str], viewer: str = "v", epoch: str = _E) -> list[Record]:
        """Make a view of the run from its start."""
        begin: Record = {"do": "view", "viewer": viewer, "stream": "run"}
        return [begin, *sees(viewer, begins(0, epoch), *events, epoch=epoch), left(viewer)]

    def done(self, number: int) -> tuple[str, int, str]:
        """Make the end of the run."""
        return ("done", number, '{"reason":"stop","tokens":3}')

    def test_fine(self) -> None:
        """The text begins anew, and has its end; a viewer may return in the middle of that, with another epoch."""
        before, after = ("message", 2, "w1 w2 "), ("message", 6, "w1 w2 w3 ")
        self.assertEqual(self.kinds(*self.view(before, self.restart(3), after, self.done(7))), {})
        first = self.view(before)[:-1]
        rest = sees("v", begins(2, _F), self.restart(3), after, self.done(7), epoch=_F)
        self.assertEqual(self.kinds(*first, *rest, left("v")), {})
        twice = (before, self.restart(3), ("message", 4, "w1 "), self.restart(5, 2), ("message", 8, "w1 w2 w3 "))
        self.assertEqual(self.kinds(*self.view(*twice, self.done(9))), {})
        audit = self.view(before, self.restart(3), after, self.done(7), viewer="audit.0.run")
        self.assertEqual(self.kinds(*audit), {})

    def test_words(self) -> None:
        """Words that are lost, repeated or continued after the restart are noticed."""
        before = ("message", 2, "w1 w2 ")
        for after, kinds in (
            ((("message", 5, "w3 w4 "), self.done(6)), {"altered": 2, "end": 1}),
            ((("message", 5, "w2 w3 "), self.done(6)), {"altered": 2, "end": 1}),
            ((("message", 7, "w1 w2 w3 "), self.done(8)), {"lost": 1, "altered": 3, "end": 1}),
            ((("message", 6, "w1 w2 w3 "), ("message", 6, "w3 "), self.done(7)), {"repeated": 1}),
        ):
            self.assertEqual(self.kinds(*self.view(before, self.restart(3), *after)), kinds, after)

    def test_many(self) -> None:
        """More restarts than allowed, one that is not counted, and one without a reason are noticed."""
        seen = self.view(self.restart(1), self.restart(2, 2), ("message", 5, "w1 w2 w3 "), self.done(6))
        self.assertEqual(self.kinds(*seen), {})
        self.assertEqual(self.kinds(*seen, retries=1), {"restart": 1})
        self.assertEqual(self.kinds(*seen, dead=(1,)), {"restart": 1})
        self.assertEqual(self.kinds(*seen, dead=()), {"restart": 2})
        again = self.view(self.restart(1), self.restart(2), ("message", 5, "w1 w2 w3 "), self.done(6))
        self.assertEqual(self.kinds(*again), {"restart": 1})

    def test_places(self) -> None:
        """Two viewers see a restart, and the end, at one place, unless a loss explains another one."""
        one = self.view(self.restart(1), ("message", 4, "w1 w2 w3 "), self.done(5))
        words = (("message", 1, "w1 "), self.restart(2), ("message", 5, "w1 w2 w3 "))
        other = self.view(*words, self.done(6), viewer="w", epoch=_F)
        self.assertEqual(self.kinds(*one, *other), {"restart": 1, "end": 1})
        self.assertEqual(self.kinds(*one, {**FLUSH[0], "number": 7}, {**FLUSH[1], "number": 7}, *other), {})

    def test_forgotten(self) -> None:
        """A restart of which a viewer is not told is noticed: the text goes on with its begin."""
        seen = self.view(("message", 2, "w1 w2 "), ("message", 5, "w1 w2 w3 "), self.done(6))
        self.assertEqual(self.kinds(*seen), {"altered": 3, "end": 1})
