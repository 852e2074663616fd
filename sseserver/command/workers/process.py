"""
One worker, as its pool sees it: a process that is started again when it ends before it should.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IDelayedCall, IProtocolFactory
from twisted.internet.protocol import Factory, ProcessProtocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from sseserver.command.workers.channel import Asking, Channel, Gone, Order, Question
from sseserver.steps import StateEnum, step

#: Seconds until a worker is started again: the first time, and at most. It doubles with each worker that ends early.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0

#: Seconds. A worker that was ready for this long has not ended early.
PROVEN = 60.0

#: Bytes. Longest line of a worker; a longer one is logged in pieces.
_MAX_LINE = 1 << 16


class WorkerState(StateEnum):
    """State of a worker."""

    ENDED = "ended"
    STARTING = "starting"
    READY = "ready"  # it listens
    PAUSING = "pausing"  # until it is started again
    STOPPING = "stopping"  # it was told to stop


#: Legal steps of a worker.
WORKER_STEPS = {
    WorkerState.ENDED: frozenset({WorkerState.STARTING}),
    WorkerState.STARTING: frozenset({WorkerState.READY, WorkerState.PAUSING, WorkerState.STOPPING, WorkerState.ENDED}),
    WorkerState.READY: frozenset({WorkerState.PAUSING, WorkerState.STOPPING, WorkerState.ENDED}),
    WorkerState.PAUSING: frozenset({WorkerState.STARTING, WorkerState.ENDED}),
    WorkerState.STOPPING: frozenset({WorkerState.STOPPING, WorkerState.ENDED}),
}


@dataclass(frozen=True, slots=True)
class Program:
    """
    The program of a worker.

    Attributes:
        arguments: Its command line, but for the descriptor of the channel, which follows the first `leading` words.
        leading: Number of words before that.
        environment: Its variables.
        folder: Its working directory.
        descriptors: Descriptors of the pool by their numbers in the worker; text for pipes that the pool reads.
        first: The first message to it.
    """

    arguments: tuple[str, ...]
    leading: int
    environment: Mapping[str, str]
    folder: str
    descriptors: Mapping[int, int | str]
    first: bytes


@dataclass(frozen=True, slots=True)
class Hooks:
    """
    The calls of a worker to its pool.

    Attributes:
        describe: Returns the program of a worker by its number.
        changed: Called when a worker is ready, and when one has ended for good.
        failed: Called with the number of a worker that cannot start, and says so: the others could not either.
        died: Called with the number of a worker that has ended before it should.
        relay: Called with each line that a worker writes, if the pool reads its output.
    """

    describe: Callable[[int], Program]
    changed: Callable[[], object]
    failed: Callable[[int], object]
    died: Callable[[int], object]
    relay: Callable[[str], object]


class Worker:
    """
    A worker. Its process changes, its number stays.

    Args:
        reactor: Starts the process, and times its restart.
        number: Number of the worker, from 1 on.
        hooks: See `Hooks`.

    Attributes:
        number: See above.
        state: See `WorkerState`.
        restarts: How often it was started again.
    """

    _log = Logger()

    def __init__(self, reactor: Any, number: int, hooks: Hooks) -> None:
        self.number = number
        self.state = WorkerState.ENDED
        self.restarts = 0
        self._reactor = reactor
        self._hooks = hooks
        self._asking = Asking()
        self._channel: Channel | None = None
        self._process: Any = None
        self._pause: IDelayedCall | None = None
        self._started = 0.0
        # Seconds until the next restart, and when the worker became ready.
        self._seconds = FIRST_PAUSE
        self._readySince: float | None = None

    @property
    def isRunning(self) -> bool:
        """Whether the process has been ready and has not ended."""
        return self.state in {WorkerState.READY, WorkerState.STOPPING} and self._process is not None

    def start(self) -> None:
        """
        Start the process.

        Raises:
            OSError: It cannot be started.
        """
        self._enter(WorkerState.STARTING)
        self._pause = None
        self._started = self._reactor.seconds()
        program = self._hooks.describe(self.number)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            number = max(program.descriptors) + 1
            words = [*program.arguments[: program.leading], str(number), *program.arguments[program.leading :]]
            self._process = self._reactor.spawnProcess(
                _Output(self), words[0], words, dict(program.environment), program.folder,
                childFDs={**program.descriptors, number: theirs.fileno()},
            )  # fmt: skip
            self._channel = Channel(self._receive, self._lose)
            factory = Factory.forProtocol(partial(_give, self._channel))
            # The transport has a duplicate.
            self._reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, factory)
        self._channel.sendFirst(program.first)

    def order(self, order: Order) -> None:
        """Send an order to a worker that runs."""
        if self._channel is not None:
            self._channel.send(order=order)

    def stop(self, order: Order) -> None:
        """
        Let the worker stop, and start it no more.

        Args:
            order: Says how. A second order hurries it.
        """
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.cancel()
            self._enter(WorkerState.ENDED)
            self._hooks.changed()
        elif self.state is not WorkerState.ENDED:
            self._enter(WorkerState.STOPPING)
            self.order(order)

    def kill(self) -> None:
        """End the process at once, if there is one."""
        if self._process is not None:
            try:
                self._process.signalProcess(signal.SIGKILL)
            except ProcessExitedAlready:
                return

    def ask(self, question: Question) -> Deferred[Any]:
        """
        Ask the worker a question.

        Raises:
            Gone: (errback) It does not run, or has ended.
        """
        if self._channel is None or not self.isRunning:
            return fail(Gone())
        return self._asking.ask(self._channel, question)

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        """
        Connect to the site for operators that the worker has.

        Args:
            factory: Makes the protocol.

        Returns:
            A Deferred that fires with the protocol, which is connected.

        Raises:
            Gone: (errback) The worker does not run, or has ended.
        """
        if self._channel is None or not self.isRunning:
            return fail(Gone())
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        asking = self._asking.ask(self._channel, Question.CONNECT, theirs.fileno())
        asking.addBoth(_close, theirs)
        asking.addCallback(lambda _: self._adopt(ours, factory))
        return asking.addBoth(_close, ours)

    def _adopt(self, ours: socket.socket, factory: IProtocolFactory) -> Any:
        """Let a protocol have a socket: its transport has a duplicate. Return the protocol."""
        protocol: Any = factory.buildProtocol(UNIXAddress(None))
        giving = Factory.forProtocol(partial(_give, protocol))
        self._reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, giving)
        return protocol

    def relay(self, line: str) -> None:
        """Pass on a line of its output."""
        self._hooks.relay(line)

    def end(self, reason: Failure) -> None:
        """Note that the process has ended."""
        self._process = None
        if self.state is WorkerState.STOPPING:
            self._enter(WorkerState.ENDED)
            self._hooks.changed()
            return
        if self.restarts == 0 and self._reactor.seconds() - self._started < PROVEN and isRefusal(reason):
            self._enter(WorkerState.ENDED)
            self._hooks.failed(self.number)
            return
        status = "status 0" if reason.check(ProcessDone) else str(reason.value)
        since, self._readySince = self._readySince, None
        if since is not None and self._reactor.seconds() - since >= PROVEN:
            self._seconds = FIRST_PAUSE
        self._log.error(
            "Worker {number} has ended ({status}); it is started again in {seconds:g} seconds",
            number=self.number,
            status=status,
            seconds=self._seconds,
        )
        self._enter(WorkerState.PAUSING)
        self._hooks.died(self.number)
        self._pause = self._reactor.callLater(self._seconds, self._restart)
        self._seconds = min(2 * self._seconds, LONGEST_PAUSE)

    def _restart(self) -> None:
        self.restarts += 1
        try:
            self.start()
        except OSError:
            # Perhaps there are too many processes.
            self.end(Failure())

    def _receive(self, message: dict[str, Any]) -> None:
        if "answer" in message:
            self._asking.take(message)
        elif self.state is WorkerState.STARTING:
            self._readySince = self._reactor.seconds()
            self._enter(WorkerState.READY)
            self._hooks.changed()

    def _lose(self, channel: Channel) -> None:
        # By now the next process may have a channel.
        if channel is self._channel:
            self._channel = None
            self._asking.end()

    def _enter(self, state: WorkerState) -> None:
        self.state = step(WORKER_STEPS, self.state, state)


def _give(protocol: Any) -> Any:
    return protocol


def _close(result: Any, given: socket.socket) -> Any:
    """Close a socket, and return the result. A descriptor was sent, or never will be, when its question is answered."""
    given.close()
    return result


class _Output(ProcessProtocol):
    """Reads the lines that a worker writes, if its pool has pipes for them, and notices its end."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._rests: dict[int, bytes] = {}

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """See `IProcessProtocol.childDataReceived`."""
        *lines, rest = (self._rests.get(childFD, b"") + data).split(b"\n")
        if len(rest) > _MAX_LINE:
            lines, rest = [*lines, rest], b""
        self._rests[childFD] = rest
        for line in lines:
            self._worker.relay(line.decode("utf-8", "backslashreplace"))

    def processEnded(self, reason: Failure = connectionDone) -> None:
        """See `IProcessProtocol.processEnded`."""
        for rest in filter(None, self._rests.values()):
            self._worker.relay(rest.decode("utf-8", "backslashreplace"))
        self._worker.end(reason)


def isRefusal(reason: Failure) -> bool:
    """Tell whether a process has ended with status 1: it has found that it cannot start."""
    return bool(reason.check(ProcessTerminated)) and getattr(reason.value, "exitCode", None) == 1


def makeEnvironment(environment: Mapping[str, str], path: list[str]) -> dict[str, str]:
    """
    Return the variables of a worker: it finds the same modules, and tells the service manager nothing.

    Args:
        environment: Variables of this process.
        path: Where this process finds its modules.
    """
    hidden = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID"}
    kept = {name: value for name, value in environment.items() if name not in hidden}
    return {**kept, "PYTHONPATH": os.pathsep.join(each or str(Path.cwd()) for each in path)}
