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
    """Standard error in the log."""

    def said(self, events: list[dict[str, Any]]) -> list[tuple[int, str]]:
        """Return the number of bytes left out and the text of each log event."""
        return [(event["left"], event["text"]) for event in events if "left" in event]

    def test_logged(self) -> None:
        """Standard error is logged, is no part of the text, and need not be UTF-8."""
        with logged() as events:
            sink = self.run_(["sh", "-c", r"printf 'no\377 ä' >&2; exit 1"])
        self.assertEqual((sink.tokens, self.said(events)), ([], [(0, "no\ufffd ä")]))
        self.assertNotIn("no", str(self.problem(sink)))

    def test_rate(self) -> None:
        """
        The first bytes are logged at once, then those of an interval together, the rest at the end.
        """
        # Two turns: the second read may come before the writer is gone.
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
        Of endless output the newest bytes are kept, in little memory; then the pipe blocks the
        program.
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
