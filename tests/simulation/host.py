"""
Host: the machine of the server. It starts the whole server as a process, and stops, kills or powers it off.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from sseserver.errors import StoreUnavailable
from sseserver.interfaces import IStreamStore, ITokenSource
from sseserver.service.service import StreamService
from sseserver.stores.memory import MemoryStore
from sseserver.stores.sqlite import SQLiteStore
from sseserver.tap import Options, Server
from tests.simulation.commandline import ACCESS_LOG, Plan, writeOptions
from tests.simulation.disk import Disk
from tests.simulation.gate import Gate
from tests.simulation.history import History
from tests.simulation.inputs import Feeder
from tests.simulation.launch import Parts, launch
from tests.simulation.manager import ServiceManager
from tests.simulation.network import Network
from tests.simulation.programs import Programs
from tests.simulation.reactor import SimReactor
from tests.simulation.secure import writeCertificate
from tests.simulation.sources import Scripts, ScriptSource
from tests.simulation.truth import Truth
from tests.simulation.world import World


class Host:
    """
    Args:
        world: Schedules everything.
        network: Connects the server to the others.
        plan: How the server is set up.
        scripts: Of the runs.
        disk: Files of the store; used with `sqlite` only.
        history: Of the simulation.
        chance: Decides how long transactions take.

    Attributes:
        onCommit: Called after each commit that the server knows of.
        onDown: Called when the server begins to refuse everything, or is gone.
        onUp: Called when a server has started.
        programs: Processes that the server has started.
        feeder: Writes to the standard input of the server.
        manager: Sends signals to the server.
        truth: Is told what a restart may lose.
        running: Whether the server answers.
        network: See above.
        killed: Whether a process of the server has ended with work under way.
        full: Whether the disk is full.
    """

    def __init__(
        self, world: World, network: Network, plan: Plan, scripts: Scripts, disk: Disk, history: History
    ) -> None:
        self.truth: Truth = scripts.truth
        self.running = False
        self.killed = False
        self.full = False
        self.plan = plan
        self.disk = disk
        self.onCommit: Callable[[], object] = lambda: None
        self.onDown: Callable[[], object] = lambda: None
        self.onUp: Callable[[], object] = lambda: None
        self.programs = Programs(world, scripts, world.chance)
        self._world = world
        self.network = network
        self._scripts = scripts
        self._history = history
        self.chance: Random = world.chance
        self._reactor: SimReactor | None = None
        self._server: Server | None = None
        self._service: StreamService
        self._gate = Gate(disk.folder, plan)
        # Fires when the process that stops has ended.
        self._ending: Deferred[None] | None = None
        self.manager = ServiceManager(world, history)
        self.feeder = Feeder(world, scripts, plan.settings.window)

    @property
    def reactor(self) -> SimReactor:
        """Reactor of the server's process, dead or alive."""
        assert self._reactor is not None
        return self._reactor

    @property
    def service(self) -> StreamService:
        """Service of the running server."""
        return self._service

    def start(self) -> None:
        """Start the server's process."""
        self._reactor = reactor = SimReactor(self._world, self.network, self.plan.bufferSize)
        reactor.onStop = self._stopServices
        self.manager.reset()
        options = writeOptions(self.plan, self.disk.folder, self.disk.path, self.disk.full)
        parts = Parts(self._makeStore, self._makeSource)
        server = self._server = launch(reactor, options, self.plan, parts)
        self._service = next(service for service in server if isinstance(service, StreamService))
        self._gate.open(reactor, server, self._service)
        server.privilegedStartService()
        server.startService()
        if self.plan.store == "sqlite":
            # The recovery ends with a checkpoint.
            self.disk.started()
            self.truth.keep()
        self.running = True
        self.truth.lives += 1
        self.onUp()
        self._history.add("host", "the server runs")

    def rotate(self) -> None:
        """Rename the access log, and send USR1."""
        if self.plan.accessLog == "file":
            path = self.disk.folder / ACCESS_LOG
            path.replace(path.with_suffix(".1"))
        self.manager.signal(signal.SIGUSR1)

    def reload(self) -> None:
        """Send HUP. If there is a certificate, it is another one from now on."""
        if self.plan.isSecure:
            writeCertificate(self.disk.folder, 1)
        self.manager.signal(signal.SIGHUP)
        self._gate.reload()

    def stop(self, number: signal.Signals | None = None) -> Deferred[None]:
        """
        Stop the server's process in good order.

        Args:
            number: The signal that stops it; `None` stops its services, as an embedding program does.

        Returns:
            A Deferred that fires when the process has ended.
        """
        self._history.add("host", f"the server stops, {'asked' if number is None else number.name}")
        ending = self._ending = Deferred()
        if number is None:
            self._stopServices()
        else:
            self.manager.signal(number)
        return ending

    def hurry(self) -> None:
        """Send another signal to a process that stops."""
        self._history.add("host", "the server stops at once")
        self.manager.signal(signal.SIGINT)

    def _stopServices(self) -> None:
        """Stop the services, and then the process, as a reactor does that is stopped."""
        assert self._server is not None
        self.running = False
        self.onDown()
        stopping: Deferred[Any] = self._server.stopService()
        stopping.addBoth(self._stopped)

    def stopListening(self) -> Deferred[None]:
        """
        Stop the server as `stop` does, but let its process live: what is left of the server shows there.

        Returns:
            A Deferred that fires when the server has stopped.
        """
        assert self._server is not None
        self.running = False
        self.onDown()
        stopping: Deferred[Any] = self._server.stopService()
        return stopping.addBoth(lambda _: self._checkStopped())

    def kill(self) -> None:
        """End the server's process at once, as SIGKILL does."""
        self._history.add("host", "the server is killed")
        self._die(reset=False)
        self.disk.kill()

    def losePower(self) -> None:
        """Switch the machine off."""
        self._history.add("host", "the machine loses power")
        self._die(reset=True)
        # Streams that are open get another epoch, unless nothing can be lost.
        self.truth.losePower(self.disk.full)
        self.disk.losePower()

    def _stopped(self, result: object) -> None:
        if isinstance(result, Failure):
            self._history.blame("stop", f"stopService failed: {result.value!r}")
        self._checkStopped()
        self.manager.watch()
        self._die(reset=False)
        if self.plan.store == "sqlite":
            self.disk.kill()
        self._history.add("host", "the server has stopped")
        ending, self._ending = self._ending, None
        if ending is not None:
            ending.callback(None)

    def _checkStopped(self) -> None:
        """Check that a stopped service has let go of everything."""
        service = self._service
        # A request that came after the drain may still be told so: it is refused, and no viewer.
        self.manager.reset()
        kept = {"viewers": len(tuple(service.viewers)), "runs": service.runs.held, "programs": self.programs.left}
        if any(kept.values()):
            self._history.blame("stop", f"a stopped service has {kept}")

    def _die(self, reset: bool) -> None:
        self.running = False
        self.onDown()
        self.manager.reset()
        self.killed = True
        self.reactor.die(reset)
        self.programs.abandon()
        self.feeder.abandon()
        if self.plan.store == "memory":
            self.truth.forgetAll()

    def _makeStore(self, turnEnd: Any) -> IStreamStore:
        window, reactor = self.plan.settings.kept, self.reactor
        if self.plan.store == "memory":
            return MemoryStore(reactor, window, turnEnd=turnEnd)
        thread = Thread(self, reactor)
        return SQLiteStore(reactor, self.disk.path, window, thread.call, turnEnd=turnEnd, full=self.disk.full)

    def _makeSource(self, options: Options, turnEnd: Any, make: Callable[..., ITokenSource]) -> ITokenSource:
        if self.plan.source == "input":
            return self.feeder.makeSource(self.reactor, options, make)
        if self.plan.source in ("upstream", "exec"):
            return make(self.reactor, options, turnEnd)
        return ScriptSource(self.reactor, self._scripts, self.plan.source == "script")


class Thread:
    """
    The thread of the SQLite store: makes one call after the other, each in the reactor's thread, at a time that the
    seed chooses.

    Args:
        host: Has the disk.
        reactor: Of the process that has the thread.
    """

    def __init__(self, host: Host, reactor: SimReactor) -> None:
        self._host = host
        self._reactor = reactor
        self._calls: deque[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = deque()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """Make a call in the thread."""
        done: Deferred[Any] = Deferred()
        self._calls.append((done, function, arguments))
        if len(self._calls) == 1:
            self._reactor.callLater(self._delay(), self._make)
        return done

    def _delay(self) -> float:
        chance, most = self._host.chance, self._host.plan.diskDelay
        return round(chance.random() * most, 5) if most and chance.random() < 0.7 else 0.0

    def _make(self) -> None:
        """Make the first call; its result is known a little later."""
        done, function, arguments = self._calls[0]
        host = self._host
        commits = function.__name__ == "commit"
        result: Any
        try:
            if host.full and commits:
                raise StoreUnavailable("The disk is full.")
            result = function(*arguments)
        except Exception:
            result = Failure()
        if commits and host.disk.written():
            host.truth.keep()
        self._reactor.callLater(self._delay(), self._tell, done, result, commits)

    def _tell(self, done: Deferred[Any], result: Any, commits: bool) -> None:
        self._calls.popleft()
        if commits:
            self._host.disk.acknowledged()
        if self._calls:
            self._reactor.callLater(self._delay(), self._make)
        if isinstance(result, Failure):
            done.errback(result)
        else:
            done.callback(result)
        if commits:
            self._host.onCommit()
