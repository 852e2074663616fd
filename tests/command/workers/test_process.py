"""
Tests for `sseserver.command.workers.process`: one worker, on a reactor whose processes the test plays.
"""

from __future__ import annotations

import signal
from typing import Any
from unittest.mock import patch

from twisted.internet.testing import EventLoggingObserver
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from sseserver.command.workers.channel import Gone, Order, Question
from sseserver.command.workers.process import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    PROVEN,
    Hooks,
    Program,
    Worker,
    WorkerState,
    makeEnvironment,
)
from tests.command.workers.processes import Process, ProcessReactor, refuseProcess


class WorkerTests(SynchronousTestCase):
    """`Worker`."""

    def setUp(self) -> None:
        """Start a worker."""
        self.reactor = ProcessReactor()
        self.lines: list[str] = []
        self.failed: list[int] = []
        self.deaths: list[int] = []
        self.changes: list[WorkerState] = []
        program = Program(("python", "-m", "x", "--a"), 3, {"A": "b"}, "/", {0: "w", 1: 1, 2: 2, 5: 0}, b"first")
        changed: Any = lambda: self.changes.append(self.worker.state)  # noqa: E731
        hooks = Hooks(lambda _: program, changed, self.failed.append, self.deaths.append, self.lines.append)
        self.worker = Worker(self.reactor, 3, hooks)
        self.worker.start()
        self.log = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)

    @property
    def process(self) -> Process:
        """The newest process."""
        return self.reactor.processes[-1]

    def test_start(self) -> None:
        """The process gets its command line, with the descriptor of the channel, and is ready when it says so."""
        self.assertEqual(self.process.words, ["python", "-m", "x", "6", "--a"])
        self.assertEqual(sorted(self.process.descriptors), [0, 1, 2, 5, 6])
        self.assertEqual(self.process.environment, {"A": "b"})
        self.assertEqual((self.worker.state, self.worker.isRunning), (WorkerState.STARTING, False))
        self.process.say(ready=True)
        self.assertEqual((self.changes, self.worker.isRunning), ([WorkerState.READY], True))

    def test_restart(self) -> None:
        """A worker that ends is started again after a pause, which doubles while it does not prove itself."""
        pause = FIRST_PAUSE
        for number in range(1, 12):
            self.process.end(9)
            self.assertEqual(self.worker.state, WorkerState.PAUSING)
            self.assertEqual(self.deaths, [3] * number)
            self.reactor.advance(pause * 0.99)
            self.assertEqual(len(self.reactor.processes), number)
            self.reactor.advance(pause * 0.01)
            self.assertEqual((len(self.reactor.processes), self.worker.restarts), (number + 1, number))
            pause = min(2 * pause, LONGEST_PAUSE)
        self.process.say(ready=True)
        self.reactor.advance(PROVEN)
        self.process.end(9)
        self.reactor.advance(FIRST_PAUSE)
        self.assertEqual(self.worker.state, WorkerState.STARTING)
        self.assertEqual(len(self.log), 12)

    def test_notStarted(self) -> None:
        """A worker that cannot be started again is tried later; the first one is an error."""
        self.reactor.processes[0].end(9)
        with patch.object(self.reactor, "spawnProcess", refuseProcess):
            self.reactor.advance(FIRST_PAUSE)
        self.assertEqual((self.worker.state, self.worker.isRunning), (WorkerState.PAUSING, False))
        self.reactor.advance(2 * FIRST_PAUSE)
        self.assertEqual((self.worker.state, len(self.reactor.processes)), (WorkerState.STARTING, 2))

    def test_refusal(self) -> None:
        """A worker that ends with status 1 at the start has found that it cannot start: it is not tried again."""
        self.process.end(1)
        self.assertEqual((self.failed, self.deaths, self.worker.state), ([3], [], WorkerState.ENDED))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_lateRefusal(self) -> None:
        """Later, or after a crash, the same status is a crash like any other."""
        self.reactor.advance(PROVEN)
        self.process.end(1)
        self.assertEqual((self.failed, self.deaths), ([], [3]))
        self.worker.stop(Order.INTERRUPT)

    def test_status(self) -> None:
        """The log names the worker, and how it has ended."""
        self.process.end()
        self.assertEqual((self.log[0]["number"], self.log[0]["status"]), (3, "status 0"))

    def test_stop(self) -> None:
        """A worker that is told to stop is not started again; a second order follows the first one."""
        self.process.say(ready=True)
        self.worker.stop(Order.TERMINATE)
        self.worker.stop(Order.TERMINATE)
        self.process.read()
        self.assertEqual(self.process.orders, ["terminate", "terminate"])
        self.process.end()
        self.assertEqual(self.changes[-1], WorkerState.ENDED)
        self.worker.stop(Order.TERMINATE)
        self.worker.kill()
        self.assertEqual((self.reactor.getDelayedCalls(), self.deaths), ([], []))

    def test_stopWhileItPauses(self) -> None:
        """A worker that is not there need not be awaited."""
        self.process.end(9)
        self.worker.stop(Order.INTERRUPT)
        self.assertEqual((self.changes, self.reactor.getDelayedCalls()), ([WorkerState.ENDED], []))

    def test_kill(self) -> None:
        """A worker can be killed."""
        self.worker.kill()
        self.assertEqual(self.process.signals, [signal.SIGKILL])

    def test_ask(self) -> None:
        """Only a worker that runs can be asked; its end answers what is open."""
        self.failureResultOf(self.worker.ask(Question.METRICS), Gone)
        self.process.say(ready=True)
        asked = self.worker.ask(Question.READINESS)
        self.process.read()
        self.process.say(number=self.process.questions[0], answer={})
        self.assertEqual(self.successResultOf(asked), {})
        asked = self.worker.ask(Question.METRICS)
        self.process.end(9)
        self.failureResultOf(asked, Gone)
        self.failureResultOf(self.worker.ask(Question.METRICS), Gone)

    def test_lines(self) -> None:
        """The output of a worker is passed on by lines, the last one at its end, and very long ones in pieces."""
        self.process.write(b"a\nb")
        self.process.write(b"c\n\xff")
        self.assertEqual(self.lines, ["a", "bc"])
        self.process.end(9)
        self.assertEqual(self.lines[2:], ["\\xff"])
        self.reactor.advance(FIRST_PAUSE)
        self.process.write(b"x" * 70_000)
        self.assertEqual(len(self.lines[3]), 70_000)

    def test_environment(self) -> None:
        """A worker finds the modules of its pool, keeps secrets, and does not know the service manager."""
        before = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1", "SECRET": "s", "PYTHONPATH": "/old"}
        self.assertEqual(makeEnvironment(before, ["/a", "/b"]), {"SECRET": "s", "PYTHONPATH": "/a:/b"})
        self.assertTrue(makeEnvironment({}, [""])["PYTHONPATH"].startswith("/"))
