"""
Tests for `sseserver.command.workers.pool` and `sseserver.command.workers.control`: all workers, on played processes.
"""

from __future__ import annotations

import io
import os
import signal
import socket
import sys
from typing import Any

from twisted.application.service import Application
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from sseserver.command.listening import BadEndpoint
from sseserver.command.logs import ProcessLog
from sseserver.command.supervisor import Supervisor
from sseserver.command.workers.channel import Gone, Question
from sseserver.command.workers.control import PoolControl
from sseserver.command.workers.pool import ANSWER_AFTER, Pool
from sseserver.command.workers.process import FIRST_PAUSE, Program
from sseserver.command.workers.sockets import SharedSocket
from tests.command.workers.processes import ProcessReactor, refuseProcess

#: Seconds.
WAIT, DRAIN, PATIENCE = 5, 30, 50


class Manager(Supervisor):
    """A service manager that notes what it is told."""

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor, {})
        self.told: list[str] = []

    def ready(self) -> None:
        """See `Supervisor.ready`."""
        self.told.append("ready")

    def reloading(self) -> None:
        """See `Supervisor.reloading`."""
        self.told.append("reloading")

    def stopping(self, seconds: float) -> None:
        """See `Supervisor.stopping`."""
        self.told.append(f"stopping {seconds:g}")


class PoolTestCase(SynchronousTestCase):
    """A pool of two workers."""

    def setUp(self) -> None:
        """Start the pool."""
        # After a signal its handlers stay: the process would end.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            self.addCleanup(signal.signal, number, signal.signal(number, signal.SIG_IGN))
        self.reactor = ProcessReactor()
        self.exits: list[bool] = []
        self.shared = SharedSocket(self.reactor, "tcp:0:interface=127.0.0.1", 2)
        program = Program(("python",), 1, {}, "/", {0: "w"}, b"first")
        self.pool = Pool(self.reactor, [self.shared], 2, lambda number: program, PATIENCE)
        self.manager = Manager(self.reactor)
        self.control = PoolControl(
            self.reactor, self.pool, self.manager, WAIT, DRAIN, lambda: self.exits.append(True)
        )  # fmt: skip
        self.pool.control = self.control
        self.log = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        self.pool.privilegedStartService()
        self.pool.startService()
        self.addCleanup(self.finish)

    def finish(self) -> None:
        """Stop the pool, if the test has not."""
        if self.pool.running:
            stopping = self.pool.stopService()
            self.end()
            self.successResultOf(stopping)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def ready(self) -> None:
        """Let all workers be ready."""
        for process in self.reactor.processes:
            process.say(ready=True)

    def end(self) -> None:
        """Let all workers end."""
        for process in self.reactor.processes:
            if not process.ended:
                process.end()

    @property
    def orders(self) -> list[list[str]]:
        """The orders that each worker has got."""
        for process in self.reactor.processes:
            process.read()
        return [process.orders for process in self.reactor.processes]


class PoolTests(PoolTestCase):
    """`Pool`."""

    def test_ready(self) -> None:
        """The URL is in the log, and the service manager is told, when all workers listen; once."""
        self.reactor.processes[0].say(ready=True)
        self.assertEqual((self.manager.told, self.pool.isReady), ([], False))
        self.reactor.processes[1].say(ready=True)
        self.assertEqual((self.manager.told, self.pool.isReady), (["ready"], True))
        self.reactor.processes[1].end(9)
        self.reactor.advance(FIRST_PAUSE)
        self.reactor.processes[2].say(ready=True)
        self.assertEqual(self.manager.told, ["ready"])
        urls = [event["url"] for event in self.log if "url" in event]
        self.assertEqual(urls, [f"http://127.0.0.1:{self.shared.find(1).getsockname()[1]}/"])

    def test_died(self) -> None:
        """The socket of a worker that has died listens no more; that of the other one does."""
        for number in (1, 2):
            self.shared.find(number).listen()
        self.reactor.processes[0].end(9)
        listening = [self.shared.find(each).getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for each in (1, 2)]
        self.assertEqual(listening, [0, 1])
        self.reactor.advance(FIRST_PAUSE)
        self.assertEqual(len(self.reactor.processes), 3)

    def test_notStarted(self) -> None:
        """A pool whose workers cannot be started ends with one line, such as after a change of the user."""
        self.patch(self.reactor, "spawnProcess", refuseProcess)
        written = io.StringIO()
        self.patch(sys, "__stderr__", written)
        program = Program(("python",), 1, {}, "/", {0: "w"}, b"")
        other = Pool(self.reactor, [], 1, lambda _: program, 1.0)
        with self.assertRaises(SystemExit) as caught:
            other.startService()
        self.assertEqual(caught.exception.code, 1)
        self.assertEqual(written.getvalue(), "sseserver: a worker cannot be started: [Errno 13] Permission denied\n")

    def test_ask(self) -> None:
        """Workers that do not run are missing in the answers; one that does not answer has none."""
        self.assertEqual(self.successResultOf(self.pool.ask(Question.METRICS)), {})
        self.reactor.processes[0].say(ready=True)
        answers = self.pool.ask(Question.METRICS)
        self.reactor.processes[0].read()
        self.reactor.processes[0].say(number=1, answer="a")
        self.assertEqual(self.successResultOf(answers), {1: "a"})
        self.reactor.processes[1].say(ready=True)
        answers = self.pool.ask(Question.METRICS)
        self.reactor.processes[0].say(number=2, answer="b")
        self.reactor.advance(ANSWER_AFTER)
        self.assertEqual(self.successResultOf(answers), {1: "b", 2: None})
        self.assertEqual([(each.isReady, each.restarts) for each in self.pool.count().values()], [(True, 0)] * 2)

    def test_connect(self) -> None:
        """An operator is connected to the worker of a number, or to the first that runs; no longer after its end."""
        served: Any = Protocol()
        factory = Factory.forProtocol(lambda: served)
        self.failureResultOf(self.pool.connect(factory), Gone)
        self.reactor.processes[1].say(ready=True)
        self.failureResultOf(self.pool.connect(factory, 1), Gone)
        for number in (None, 2):
            connecting = self.pool.connect(factory, number)
            self.assertNoResult(connecting)
            self.reactor.processes[1].read()
            self.reactor.processes[1].say(number=self.reactor.processes[1].questions[-1], answer=True)
            self.assertIs(self.successResultOf(connecting), served)
        connecting = self.pool.connect(factory, 2)
        self.reactor.processes[1].end(9)
        self.failureResultOf(connecting, Gone)
        self.reactor.advance(FIRST_PAUSE)

    def test_connectToHanging(self) -> None:
        """A worker that does not answer is not awaited, and its socket stays open until it has ended."""
        self.reactor.processes[0].say(ready=True)
        connecting = self.pool.connect(Factory())
        self.reactor.advance(ANSWER_AFTER)
        self.failureResultOf(connecting, DeferredTimeout)
        [descriptor] = self.reactor.processes[0].descriptorsSent
        os.fstat(descriptor)
        self.reactor.processes[0].end(9)
        self.reactor.advance(FIRST_PAUSE)

    def test_stop(self) -> None:
        """The pool has stopped when all workers have ended, and its socket is closed then."""
        self.ready()
        stopping = self.pool.stopService()
        self.assertEqual(self.orders, [["interrupt"]] * 2)
        self.assertEqual(self.manager.told[1:], [f"stopping {DRAIN + 5}"])
        self.reactor.processes[0].end()
        self.assertNoResult(stopping)
        self.reactor.processes[1].end()
        self.successResultOf(stopping)
        self.assertEqual(self.exits, [])

    def test_stuck(self) -> None:
        """A worker that does not stop is killed."""
        self.ready()
        stopping = self.pool.stopService()
        self.reactor.processes[0].end()
        self.reactor.advance(PATIENCE)
        self.assertEqual([process.signals for process in self.reactor.processes], [[], [signal.SIGKILL]])
        self.reactor.processes[1].end(9)
        self.successResultOf(stopping)

    def test_inUse(self) -> None:
        """An address that is in use ends the process with one line."""
        taken = Pool(self.reactor, [Taken()], 2, lambda number: None, 1)  # type: ignore[list-item, arg-type, return-value]
        with self.assertRaises(SystemExit):
            taken.privilegedStartService()

    def test_failed(self) -> None:
        """If workers cannot start, the server ends, once."""
        failures: list[str] = []
        self.pool.fail = lambda reactor, error: failures.append(str(error))
        for process in self.reactor.processes:
            process.end(1)
        self.assertEqual(failures, ["worker 1 has ended with exit code 1"])

    def test_lines(self) -> None:
        """Lines of workers go into the log of the process; into a foreign log without their time."""
        self.reactor.processes[0].write(b"2026-11-29T22:00:00+0000 [worker 1] a\n\n")
        self.assertEqual([event["line"] for event in self.log if "line" in event], ["[worker 1] a"])
        file = io.StringIO()
        self.pool.log = ProcessLog(file, False, "info")
        self.reactor.processes[0].write(b"2026 [worker 1] a\n")
        self.assertEqual(file.getvalue(), "2026 [worker 1] a\n")

    def test_observer(self) -> None:
        """twistd gets the log from the application."""
        application = Application("a")
        pool = Pool(self.reactor, [], 2, lambda number: None, 1)  # type: ignore[arg-type, return-value]
        pool.log = ProcessLog(io.StringIO(), False, "info")
        pool.setServiceParent(application)
        self.assertIs(application.getComponent(ILogObserver), pool.log)


class Taken:
    """A socket whose address is in use."""

    def open(self) -> None:
        """See `SharedSocket.open`."""
        raise BadEndpoint("--listen tcp:1: Address already in use")


class ControlTests(PoolTestCase):
    """`PoolControl`."""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process, which the control handles."""
        signal.raise_signal(number)

    def test_terminate(self) -> None:
        """SIGTERM lets all workers stop with a time for load balancers; the process ends after the last one."""
        self.ready()
        self.signal(signal.SIGTERM)
        self.assertTrue(self.reactor.stopped)
        stopping = self.pool.stopService()
        self.assertEqual(self.orders, [["terminate"]] * 2)
        self.assertEqual(self.manager.told[1:], [f"stopping {WAIT + DRAIN + 5}"])
        self.assertEqual(self.exits, [])
        self.end()
        self.successResultOf(stopping)
        self.assertEqual(self.exits, [True])

    def test_interrupt(self) -> None:
        """SIGINT stops without that time; each further signal hurries the workers."""
        self.ready()
        self.signal(signal.SIGINT)
        stopping = self.pool.stopService()
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGINT)
        self.assertEqual(self.orders, [["interrupt"] * 3] * 2)
        self.end()
        self.successResultOf(stopping)

    def test_reload(self) -> None:
        """SIGHUP and SIGUSR1 are passed on. The service manager is not told of a server that is not ready."""
        self.signal(signal.SIGHUP)
        self.assertEqual(self.manager.told, ["reloading"])
        self.ready()
        self.signal(signal.SIGHUP)
        self.signal(signal.SIGUSR1)
        self.signal(signal.SIGUSR2)
        self.assertEqual(self.orders, [["reload", "reload", "reopen"]] * 2)
        self.assertEqual(self.manager.told[1:], ["ready", "reloading", "ready"])

    def test_certificates(self) -> None:
        """SIGHUP reads the certificate of the admin endpoint again; what cannot be read is logged."""
        read: list[bool] = []

        class Port:
            """A TLS port."""

            def reload(self) -> None:
                read.append(True)
                if len(read) > 1:
                    raise BadEndpoint("no key")

        self.pool.tlsPorts.append(Port())  # type: ignore[arg-type]
        self.signal(signal.SIGHUP)
        self.signal(signal.SIGHUP)
        self.assertEqual(len(read), 2)
        self.assertEqual([str(event["error"]) for event in self.log if "error" in event], ["no key"])
