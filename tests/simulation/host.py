"""
Host: the machine of the server. It starts the whole server as a process, and stops, kills or powers it off.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from sseserver.apis.admin.families import Measured
from sseserver.command.sites import makeAdminSite, makeSite
from sseserver.errors import StoreUnavailable
from sseserver.interfaces import IStreamStore, ITokenSource
from sseserver.options import OPTIONS
from sseserver.service.service import StreamService
from sseserver.settings import Settings
from sseserver.sources.standardinput import InputSource
from sseserver.stores.memory import MemoryStore
from sseserver.stores.sqlite import SQLiteStore
from sseserver.tap import Options, Server, makeSettings, makeSource
from sseserver.timing.reactorlag import ReactorLag
from sseserver.timing.turnend import TurnEnd
from sseserver.web.site import StreamSite
from tests.simulation.disk import Disk
from tests.simulation.guests import guard
from tests.simulation.history import History
from tests.simulation.inputs import Feeder
from tests.simulation.network import Network
from tests.simulation.programs import Programs
from tests.simulation.reactor import SimReactor
from tests.simulation.sources import Scripts, ScriptSource
from tests.simulation.truth import Truth
from tests.simulation.upstream import CONNECT_TIMEOUT, PROXY_PORT, SECRET, UPSTREAM_PORT
from tests.simulation.wire import ADMIN_PORT, PORT
from tests.simulation.world import World

#: Name of the access log.
_ACCESS_LOG = "access.log"


@dataclass(frozen=True, slots=True)
class Plan:
    """
    How a server is set up.

    Attributes:
        settings: Limits and intervals.
        store: `memory` or `sqlite`.
        source: `script`, `silent` (takes no prompt), `input`, `upstream` or `exec`.
        prompt: Prompt of the page's visitors.
        bufferSize: Bytes that a transport queues before its producer is paused.
        diskDelay: Seconds that a transaction takes at most.
        model: Whether the model of an upstream is given; otherwise the upstream is asked for it.
        proxy: Whether the upstream is reached through a proxy.
        accessLog: `none`, `log` or `file`.
        connections: Most connections at a time; `None` for the default.
    """

    settings: Settings
    store: str
    source: str
    prompt: str | None
    bufferSize: int
    diskDelay: float
    model: bool
    proxy: bool
    accessLog: str
    connections: int | None


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
        programs: Processes that the server has started.
        feeder: Writes to the standard input of the server.
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
        self.programs = Programs(world, scripts, world.chance)
        self._world = world
        self.network = network
        self._scripts = scripts
        self._history = history
        self.chance: Random = world.chance
        self._reactor: SimReactor | None = None
        self._server: Server | None = None
        self._service: StreamService
        self._site: StreamSite
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
        turnEnd = TurnEnd(reactor)
        options = writeOptions(self.plan, self.disk.folder)
        # Some sizes are too small for an option; the environment turns the speedups off.
        settings = replace(makeSettings(options), **findTooSmall(self.plan))
        planned = replace(self.plan.settings, plain=settings.plain)
        assert settings == planned, f"{settings} of the command line, {planned} of the plan"
        store = self._makeStore(reactor, turnEnd)
        source = self._makeSource(reactor, options, turnEnd)
        self._service = StreamService(reactor, source, settings, store, turnEnd=turnEnd)
        server = self._server = Server()
        self._service.setServiceParent(server)
        if isinstance(source, InputSource):
            source.setServiceParent(server)
        self._site = makeSite(reactor, self._service, options)
        guard(self._site.resource, self._service)
        server.listen(reactor, f"tcp:{PORT}:interface=127.0.0.1", self._site)
        admin = makeAdminSite(reactor, Measured(self._service, self._site, ReactorLag(reactor)), options)
        server.listen(reactor, f"tcp:{ADMIN_PORT}:interface=127.0.0.1", admin)
        server.privilegedStartService()
        server.startService()
        if self.plan.store == "sqlite":
            # The recovery ends with a checkpoint.
            self.disk.started()
            self.truth.keep()
        self.running = True
        self.truth.lives += 1
        self._history.add("host", "the server runs")

    def rotate(self) -> None:
        """Rename the access log, and send USR1."""
        if self.plan.accessLog == "file":
            path = self.disk.folder / _ACCESS_LOG
            path.replace(path.with_suffix(".1"))
        self._site.reopenLog()

    def stop(self) -> Deferred[None]:
        """
        Stop the server's process in good order, as SIGTERM does.

        Returns:
            A Deferred that fires when the process has ended.
        """
        assert self._server is not None
        self._history.add("host", "the server stops")
        self.running = False
        stopping: Deferred[Any] = self._server.stopService()
        return stopping.addBoth(self._stopped)

    def stopListening(self) -> Deferred[None]:
        """
        Stop the server as `stop` does, but let its process live: what is left of the server shows there.

        Returns:
            A Deferred that fires when the server has stopped.
        """
        assert self._server is not None
        self.running = False
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
        self._die(reset=False)
        if self.plan.store == "sqlite":
            self.disk.kill()
        self._history.add("host", "the server has stopped")

    def _checkStopped(self) -> None:
        """Check that a stopped service has let go of everything."""
        service = self._service
        # A request that came after the drain may still be told so: it is refused, and no viewer.
        kept = {"viewers": len(tuple(service.viewers)), "runs": service.runs.held, "programs": self.programs.left}
        if any(kept.values()):
            self._history.blame("stop", f"a stopped service has {kept}")

    def _die(self, reset: bool) -> None:
        self.running = False
        self.killed = True
        self.reactor.die(reset)
        self.programs.abandon()
        self.feeder.abandon()
        if self.plan.store == "memory":
            self.truth.forgetAll()

    def _makeStore(self, reactor: SimReactor, turnEnd: TurnEnd) -> IStreamStore:
        window = self.plan.settings.kept
        if self.plan.store == "memory":
            return MemoryStore(reactor, window, turnEnd=turnEnd)
        thread = Thread(self, reactor)
        return SQLiteStore(reactor, self.disk.path, window, thread.call, turnEnd=turnEnd, full=self.disk.full)

    def _makeSource(self, reactor: SimReactor, options: Options, turnEnd: TurnEnd) -> ITokenSource:
        if self.plan.source == "input":
            return self.feeder.makeSource(reactor, options)
        if self.plan.source in ("upstream", "exec"):
            return makeSource(reactor, options, turnEnd)
        return ScriptSource(reactor, self._scripts, self.plan.source == "script")


def findTooSmall(plan: Plan) -> dict[str, int]:
    """Return the settings of a plan that are below the minimum of their options."""
    values = {str(option.setting): option.minimum for option in OPTIONS if option.setting and option.minimum}
    found = {name: getattr(plan.settings, name) for name in values}
    return {name: value for name, value in found.items() if value is not None and value < values[name]}


def writeOptions(plan: Plan, folder: Path) -> Options:
    """
    Write the command line of a plan, and parse it.

    Args:
        plan: The plan.
        folder: Folder of the access log, and of the key of an upstream.
    """
    line = [f"--access-log={folder / _ACCESS_LOG if plan.accessLog == 'file' else plan.accessLog}"]
    if plan.connections is not None:
        line.append(f"--max-connections={plan.connections}")
    tooSmall = findTooSmall(plan)
    for option in OPTIONS:
        if option.setting and option.setting not in tooSmall:
            value = getattr(plan.settings, str(option.setting))
            if value is True:
                line.append(f"--{option.name}")
            elif value is not False and value is not None:
                line.append(f"--{option.name}={value}")
    if plan.source == "upstream":
        line += [f"--upstream=http://127.0.0.1:{UPSTREAM_PORT}/v1", f"--connect-timeout={CONNECT_TIMEOUT}"]
        if plan.model:
            line.append("--model=simulated")
        line += ["--first-token-timeout=5", "--token-timeout=5"]
        key = folder / "key"
        key.write_text(f"{SECRET}\n", "ascii")
        line += [f"--upstream-key-file={key}", f"--upstream-header=X-Tenant: @{key}"]
        line.append(
            f"--upstream-proxy=http://user:{SECRET}@127.0.0.1:{PROXY_PORT}" if plan.proxy else "--upstream-proxy=none"
        )
    elif plan.source == "exec":
        line += ["--exec=cat {prompt}", "--model=simulated"]
    options = Options()
    options.parseOptions(line)
    # The option is for some sources only.
    options["prompt"] = plan.prompt
    return options


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
