"""
Tests for `sseserver.command.workers.watch`: workers that hang.
"""

from __future__ import annotations

import signal

from twisted.trial.unittest import SynchronousTestCase

from sseserver.command.workers.channel import Order
from sseserver.command.workers.process import FIRST_PAUSE, Hooks, Program, Worker, WorkerState
from sseserver.command.workers.watch import INTERVAL, SILENCE, Watch
from tests.command.workers.processes import ProcessReactor


class WatchTests(SynchronousTestCase):
    """`Watch` over one worker."""

    def setUp(self) -> None:
        """Watch a worker that is ready."""
        self.reactor = ProcessReactor()
        program = Program(("python",), 1, {}, "/", {0: "w"}, b"first")
        hooks = Hooks(lambda _: program, lambda: None, print, lambda _: None, print)
        self.worker = Worker(self.reactor, 1, hooks)
        self.worker.start()
        self.watch = Watch(self.reactor, [self.worker])
        self.watch.startService()
        self.reactor.processes[0].say(ready=True)
        self.addCleanup(self.finish)

    def finish(self) -> None:
        """Stop everything."""
        self.watch.stopService()
        self.worker.stop(Order.INTERRUPT)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def wait(self, seconds: float, answers: bool = False) -> None:
        """Let time go by. The worker answers each question, or none."""
        process = self.reactor.processes[-1]
        for _ in range(int(seconds / INTERVAL)):
            self.reactor.advance(INTERVAL)
            process.read()
            while answers and process.questions:
                process.say(number=process.questions.pop(0), answer={})

    def test_alive(self) -> None:
        """A worker that answers is asked again and again."""
        self.wait(5 * SILENCE, answers=True)
        self.assertEqual(self.reactor.processes[0].signals, [])

    def test_hangs(self) -> None:
        """A worker that has not answered for long is killed, once, and started again."""
        self.wait(SILENCE)
        self.assertEqual(self.reactor.processes[0].signals, [])
        self.wait(INTERVAL)
        self.assertEqual(self.reactor.processes[0].signals, [signal.SIGKILL])
        self.reactor.processes[0].end(9)
        self.reactor.advance(FIRST_PAUSE)
        self.assertEqual(self.worker.state, WorkerState.STARTING)
        # One that starts is not asked.
        self.wait(2 * SILENCE)
        self.assertEqual(self.reactor.processes[1].signals, [])

    def test_paused(self) -> None:
        """A pause of the pool, in which it could read no answers, does not count."""
        self.wait(INTERVAL)
        self.reactor.advance(10 * SILENCE)
        self.assertEqual(self.reactor.processes[0].signals, [])
        self.wait(SILENCE)
        self.assertEqual(self.reactor.processes[0].signals, [signal.SIGKILL])

    def test_stops(self) -> None:
        """A worker that is told to stop has its own limit."""
        self.wait(INTERVAL)
        self.worker.stop(Order.TERMINATE)
        self.wait(2 * SILENCE)
        self.assertEqual(self.reactor.processes[0].signals, [])
