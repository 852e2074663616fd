"""
Tests of `sseserver.sources.pipes`: the pipes of a program.
"""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.sources.pipes import ERROR_INTERVAL, ERROR_KEPT, PipeReader, PipeWriter
from tests.fakes import logged
from tests.programs import PipeReactor
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

    def test_F76_controls(self) -> None:
        """F76: a program cannot forge lines of the log: control characters in its standard error are escaped."""
        with logged() as events:
            self.run_(["sh", "-c", r"printf 'a\r2026 [-] b\033[2J\007\tc\nd' >&2; exit 1"])
        self.assertEqual(self.said(events), [(0, r"a\x0d2026 [-] b\x1b[2J\x07" + "\tc\nd")])

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


class PipeTests(SynchronousTestCase):
    """Both ends of a pipe."""

    def setUp(self) -> None:
        self.reactor = PipeReactor()
        self.addCleanup(lambda: self.assertTrue(self.reactor.idle))
        readable, writable = os.pipe()
        self.readable, self.writable = FileIO(readable, "r"), FileIO(writable, "w")
        self.addCleanup(self.writable.close)
        self.addCleanup(self.readable.close)
        self.received: list[bytes] = []
        self.closed = 0

    def read(self) -> bool:
        """Read from the pipe."""
        self.received.append(self.readable.read(100) or b"")
        return self.received[-1] != b""

    def close(self) -> None:
        """Count the closed pipes."""
        self.closed += 1

    def makeReader(self) -> PipeReader:
        """Watch the pipe."""
        reader = PipeReader(self.reactor, self.readable, self.read, self.close)
        reader.start()
        return reader

    def test_reader(self) -> None:
        """A reader reads while it is started, and is closed once, when the writer is gone."""
        reader = self.makeReader()
        self.writable.write(b"a")
        self.reactor.turn()
        reader.stop()
        self.writable.write(b"b")
        self.reactor.turn()
        self.assertEqual((self.received, reader.open), ([b"a"], True))
        reader.start()
        self.writable.close()
        self.reactor.until(lambda: self.closed)
        self.assertEqual((self.received, reader.open, reader.fileno()), ([b"a", b"b", b""], False, -1))
        reader.close()
        reader.start()
        self.assertEqual(self.closed, 1)

    def test_closedReader(self) -> None:
        """A reader that is closed reads nothing more."""
        self.makeReader().close()
        self.assertEqual((self.received, self.closed, self.reactor.idle), ([], 1, True))

    def test_writer(self) -> None:
        """A writer writes all of its bytes, more than the pipe holds, and closes the pipe."""
        data = b"x" * 200_000
        PipeWriter(self.reactor, self.writable, data)
        self.makeReader()
        self.reactor.until(lambda: self.closed)
        self.assertEqual(b"".join(self.received), data)
        self.assertTrue(self.writable.closed)

    def test_emptyWriter(self) -> None:
        """A writer without bytes closes the pipe."""
        PipeWriter(self.reactor, self.writable, b"")
        self.reactor.until(lambda: self.writable.closed)
        self.assertEqual(self.readable.read(), b"")

    def test_closedWriter(self) -> None:
        """A writer that is closed drops the rest of its bytes."""
        writer = PipeWriter(self.reactor, self.writable, b"x" * 200_000)
        self.reactor.turn()
        writer.close()
        writer.close()
        self.assertTrue(self.writable.closed)
        self.assertLess(len(self.readable.readall() or b""), 200_000)
