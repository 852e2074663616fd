"""
Tests for `sseserver.command.logs`: the log of the process.
"""

from __future__ import annotations

import io
import json
import signal
from pathlib import Path
from typing import Any

from twisted.logger import Logger, LogLevel
from twisted.trial.unittest import SynchronousTestCase

from sseserver.command.logs import ProcessLog, makeProcessLog

#: Text of a stranger who tries to forge a line.
FOREIGN = "x\r2026-11-29 [-] admin logged in\x1b[2J\x07\x9b\ud800"


class ProcessLogTests(SynchronousTestCase):
    """Lines of both formats."""

    def lines(self, asJSON: bool, level: str, *levels: str, **members: Any) -> list[str]:
        """Log a message with these levels; return the lines."""
        file = io.StringIO()
        log = Logger("some.where", observer=ProcessLog(file, asJSON, level))
        for name in levels:
            log.emit(LogLevel.lookupByName(name), "Said: {text}", **members)
        return file.getvalue().splitlines()

    def test_text(self) -> None:
        """A line of text is that of Twisted, without control characters; its own lines begin with TAB."""
        (line,) = self.lines(False, "info", "info", text=FOREIGN)
        self.assertRegex(line, r"^\d{4}-\d\d-\d\dT[^ ]* \[some\.where#info\] Said: x\\x0d2026")
        self.assertTrue(line.isprintable(), line)
        self.assertEqual(len(self.lines(False, "info", "info", text="a\n2026 b")), 2)
        self.assertTrue(self.lines(False, "info", "info", text="a\n2026 b")[1].startswith("\t"))

    def test_json(self) -> None:
        """A line of JSON is an object with the time in UTC, the level, the logger and the message."""
        (line,) = self.lines(True, "info", "warn", text=FOREIGN)
        self.assertTrue(line.isprintable(), line)
        read = json.loads(line)
        self.assertRegex(read.pop("time"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00$")
        self.assertEqual((read["level"], read["logger"]), ("warn", "some.where"))
        self.assertTrue(read["message"].startswith("Said: x\r2026"))

    def test_failure(self) -> None:
        """A failure has its traceback."""
        file = io.StringIO()
        log = Logger("some.where", observer=ProcessLog(file, True, "info"))
        try:
            raise KeyError("a")
        except KeyError:
            log.failure("Broken")
        read = json.loads(file.getvalue())
        self.assertEqual((read["level"], read["message"]), ("critical", "Broken"))
        self.assertIn("KeyError", read["traceback"])

    def test_level(self) -> None:
        """Events below the level have no line."""
        names = ("debug", "info", "warn", "error", "critical")
        for number, name in enumerate(names):
            self.assertEqual(len(self.lines(True, name, *names, text="")), len(names) - number, name)

    def test_access(self) -> None:
        """A request is an object with members of its own."""
        file = io.StringIO()
        log = Logger("sseserver.access", observer=ProcessLog(file, True, "info"))
        log.info("{target}", target="/a", status=200, time=7.0, system="-")
        read = json.loads(file.getvalue())
        self.assertEqual((read["target"], read["status"], read["time"][:2]), ("/a", 200, "20"))
        self.assertNotIn("system", read)
        self.assertNotIn("message", read)

    def test_destination(self) -> None:
        """The log goes where twistd's own would go; a file is rotated at USR1; other logs of twistd are left to it."""
        self.addCleanup(signal.signal, signal.SIGUSR1, signal.signal(signal.SIGUSR1, signal.SIG_DFL))
        for runner in (None, {}, {"nodaemon": True, "syslog": True}, {"nodaemon": True, "logger": print}):
            self.assertIsNone(makeProcessLog(None, runner, "text", "info"))
        self.assertIsNotNone(makeProcessLog(None, {"nodaemon": True, "logfile": None}, "text", "info"))
        path = Path(self.mktemp()).absolute()
        rotated: list[Any] = []

        class Reactor:
            """Notes calls."""

            def callFromThread(self, call: Any) -> None:
                """See `IReactorFromThreads.callFromThread`."""
                rotated.append(call)

        log = makeProcessLog(Reactor(), {"nodaemon": True, "logfile": str(path)}, "text", "info")
        assert log is not None
        Logger("here", observer=log).info("Hello")
        self.assertIn("Hello", path.read_text())
        signal.raise_signal(signal.SIGUSR1)
        self.assertEqual([call.__name__ for call in rotated], ["rotate"])
        rotated[0].__self__.close()
