"""
Tests of `sseserver.sources.pipes`: the pipes of a program.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sseserver.sources.pipes import ERROR_INTERVAL, ERROR_KEPT
from tests.fakes import logged
from tests.sources.commands import ProgramTestCase, shell


class StandardErrorTests(ProgramTestCase):
    """What becomes of standard error."""

    def said(self, events: list[dict[str, Any]]) -> list[tuple[int, str]]:
        """Give what the log has of it: bytes left out, text."""
        return [(event["left"], event["text"]) for event in events if "left" in event]

    def test_logged(self) -> None:
        """
        "Only to standard error": it is in the log, and not in the text; what is no UTF-8 there as well.
        """
        with logged() as events:
            sink = self.run_(["sh", "-c", r"printf 'no\377 ä' >&2; exit 1"])
        self.assertEqual((sink.tokens, self.said(events)), ([], [(0, "no\ufffd ä")]))
        self.assertNotIn("no", str(self.problem(sink)))

    def test_rate(self) -> None:
        """
        The first words are logged at once, then those of an interval together, the rest at the end.
        """
        # Two, as a second reader may find the first writer not yet gone.
        gates = [Path(self.mktemp()), Path(self.mktemp())]
        for gate in gates:
            gate.parent.mkdir(parents=True, exist_ok=True)
            os.mkfifo(gate)
        script = 'echo a >&2; read x < "$1"; echo b >&2; echo c >&2; printf .; read x < "$2"; echo d >&2'
        with logged() as events:
            sink = self.start(shell(script, *map(str, gates)))
            self.reactor.until(lambda: self.said(events))
            gates[0].write_text("go\n")
            self.reactor.until(lambda: sink.tokens)
            self.reactor.turn()
            self.assertEqual(self.said(events), [(0, "a\n")])
            self.reactor.advance(ERROR_INTERVAL)
            self.assertEqual(self.said(events), [(0, "a\n"), (0, "b\nc\n")])
            gates[1].write_text("go\n")
            self.reactor.until(lambda: sink.ended)
            self.assertEqual(self.said(events)[2:], [(0, "d\n")])
        self.drain()

    def test_flood(self) -> None:
        """
        Of what comes without end the last is kept, in little memory; and then the pipe stops it.
        """
        with logged() as events:
            sink = self.start(["sh", "-c", "exec 3>&1; exec yes >&2"])
            self.reactor.until(lambda: len(self.reactor.readers) == 2)
            self.assertEqual(len(self.said(events)), 1)
            self.reactor.advance(ERROR_INTERVAL)
            left, text = self.said(events)[1]
            self.assertEqual((len(text), set(text)), (ERROR_KEPT, {"y", "\n"}))
            self.assertGreater(left, ERROR_KEPT)
            self.reactor.until(lambda: len(self.reactor.readers) == 2)
            self.cancel(sink)
        self.assertEqual(sink.tokens, [])
