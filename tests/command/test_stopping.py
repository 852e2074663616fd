"""
Tests for `sseserver.command.stopping` and `sseserver.command.control`: the steps of a stop, on a fake clock.
"""

from __future__ import annotations

import signal
from itertools import product
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.command.control import Control
from sseserver.command.signals import Signals
from sseserver.command.stopping import END_AFTER, STOP_STEPS, Stop, StopState
from sseserver.command.supervisor import Supervisor
from sseserver.service.service import StreamService
from sseserver.service.states import ServiceState
from sseserver.settings import Settings
from sseserver.steps import step
from sseserver.tap import Server
from sseserver.testing.storecase import NoFormat, RecordingViewer
from sseserver.values import State
from tests.served import ScriptedSource

#: Seconds.
WAIT = 5
DRAIN = 30


class Reactor(Clock):
    """
    A reactor that stops a server as the real one does.

    Attributes:
        server: The server.
        stopped: Fires when the server has stopped; `None` before the reactor was stopped.
    """

    server: Server
    stopped: Deferred[Any] | None = None

    def stop(self) -> None:
        """See `IReactorCore.stop`: the services are told in the next turn."""
        assert self.stopped is None, "F110: the reactor is stopped twice"
        self.stopped = Deferred()
        self.callLater(0, self._fire)

    def _fire(self) -> None:
        assert self.stopped is not None
        self.server.stopService().chainDeferred(self.stopped)

    def callFromThread(self, function: Any, *arguments: Any) -> None:
        """See `IReactorFromThreads.callFromThread`."""
        self.callLater(0, function, *arguments)

    def callWhenRunning(self, function: Any) -> None:
        """See `IReactorCore.callWhenRunning`."""
        function()


class Manager(Supervisor):
    """A service manager that notes what it is told."""

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor, {})
        self.told: list[str] = []

    def ready(self) -> None:
        """See `Supervisor.ready`."""
        self.told.append("ready")

    def stopping(self, seconds: float) -> None:
        """See `Supervisor.stopping`."""
        self.told.append(f"stopping {seconds:g}")

    def close(self) -> None:
        """See `Supervisor.close`."""
        self.told.append("closed")


class StateTests(SynchronousTestCase):
    """The table of the states of a stop."""

    def test_steps(self) -> None:
        """Each state can be reached; a step that is not in the table raises."""
        self.assertEqual(set(STOP_STEPS), set(StopState))
        self.assertEqual({StopState.NONE}.union(*STOP_STEPS.values()), set(StopState))
        for old, new in product(StopState, repeat=2):
            if new in STOP_STEPS[old]:
                self.assertIs(step(STOP_STEPS, old, new), new)
            else:
                self.assertRaises(RuntimeError, step, STOP_STEPS, old, new)


class StopTests(SynchronousTestCase):
    """A server with a run under way, and the signals that stop it."""

    def setUp(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.reactor = reactor = Reactor()
        self.source = ScriptedSource()
        self.service = StreamService(reactor, self.source, Settings(drain=DRAIN))
        self.killed: list[float] = []
        self.exits: list[float] = []
        self.manager = Manager(reactor)
        reactor.server = server = Server()
        self.service.setServiceParent(server)
        kill, exit_ = (lambda: self.killed.append(reactor.seconds())), (lambda: self.exits.append(reactor.seconds()))
        self.stop = Stop(reactor, self.service, WAIT, self.manager, kill, exit_)
        server.control = Control(reactor, Signals(reactor, {}), self.stop, self.manager)
        server.startService()
        self.log = self.successResultOf(self.service.startRun())

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this process, and turn the reactor."""
        signal.raise_signal(number)
        self.reactor.pump([0] * 4)

    def wait(self, seconds: int) -> None:
        """Let seconds pass."""
        self.reactor.pump([0.25] * 4 * seconds)

    def test_terminate(self) -> None:
        """SIGTERM: readiness ends at once, the drain begins after the wait, and runs end after the drain."""
        self.send(signal.SIGTERM)
        self.assertIs(self.service.state, ServiceState.LEAVING)
        self.wait(WAIT - 1)
        self.assertIsNone(self.reactor.stopped)
        self.wait(2)
        self.assertIs(self.service.state, ServiceState.DRAINING)
        self.assertIs(self.log.state, State.OPEN)
        self.wait(DRAIN - 2)
        self.assertIs(self.log.state, State.OPEN)
        self.wait(2)
        self.assertIs(self.log.state, State.FAILED)
        assert self.reactor.stopped is not None
        self.successResultOf(self.reactor.stopped)
        self.assertEqual(self.manager.told, ["ready", f"stopping {WAIT + DRAIN + END_AFTER:g}", "closed"])
        self.assertEqual((self.killed, len(self.exits)), ([], 1))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_interrupt(self) -> None:
        """SIGINT skips the wait, not the drain. A run that nobody watches ends at once."""
        self.log.follow(RecordingViewer(self.log), NoFormat())
        unwatched = self.successResultOf(self.service.startRun())
        run = self.source.runs[0]
        self.send(signal.SIGINT)
        self.assertIs(self.service.state, ServiceState.DRAINING)
        self.assertEqual((self.log.state, unwatched.state), (State.OPEN, State.FAILED))
        run.end()
        self.wait(1)
        self.assertIs(self.log.state, State.DONE)
        assert self.reactor.stopped is not None
        self.successResultOf(self.reactor.stopped)
        self.assertEqual(self.manager.told, ["ready", f"stopping {DRAIN + END_AFTER:g}", "closed"])

    def test_F110_again(self) -> None:
        """F110: a second signal stops at once, in the wait and in the drain; further ones change nothing."""
        for seconds in (1, WAIT + 1):
            for numbers in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT, signal.SIGTERM)):
                self.setUp()
                self.send(numbers[0])
                self.wait(seconds)
                self.assertEqual(self.killed, [])
                for number in numbers[1:]:
                    self.send(number)
                self.assertIs(self.log.state, State.FAILED)
                self.assertTrue(self.source.run.cancelled)
                self.assertNotEqual(self.killed, [])
                assert self.reactor.stopped is not None
                self.successResultOf(self.reactor.stopped)
                self.assertIs(self.stop.state, StopState.HURRIED)
                self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_noSignal(self) -> None:
        """A server that is stopped by a program drains, and its process goes on; its signals are as before."""
        before = signal.getsignal(signal.SIGTERM)
        stopped = self.reactor.server.stopService()
        self.source.run.end()
        self.wait(1)
        self.successResultOf(stopped)
        self.assertEqual(self.exits, [])
        self.assertNotEqual(signal.getsignal(signal.SIGTERM), before)
        self.assertEqual(self.manager.told[-1], "closed")

    def test_signalWhileItStops(self) -> None:
        """F110: the first signal during a stop that a program began stops at once."""
        stopped = self.reactor.server.stopService()
        self.reactor.stopped = stopped
        self.send(signal.SIGTERM)
        self.assertIs(self.log.state, State.FAILED)
        self.successResultOf(stopped)
