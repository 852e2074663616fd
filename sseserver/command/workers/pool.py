"""
The pool: the process that twistd runs with `--workers`. It serves no clients itself.

It opens the listening sockets, starts the workers, starts those again that end before they should, and passes on what
operators tell it. Its admin endpoint answers for all workers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList, fail
from twisted.internet.interfaces import IDelayedCall, IProtocolFactory
from twisted.logger import ILogObserver, Logger
from twisted.python import usage
from twisted.python.components import Componentized

from sseserver.apis.admin.workers import Answers, WorkerCounts
from sseserver.command.listening import BadEndpoint, makeURL
from sseserver.command.logs import ProcessLog
from sseserver.command.starting import endStart, makeExit
from sseserver.command.tlsport import TLSReactor
from sseserver.command.workers.channel import Gone, Order, Question
from sseserver.command.workers.process import Hooks, Program, Worker, WorkerState
from sseserver.command.workers.sockets import SharedSocket, makeHost

#: Seconds. A worker that has not answered after this time is left out.
ANSWER_AFTER = 2.0


class WorkerFailed(Exception):
    """A worker has found that it cannot start."""


class Pool(MultiService):
    """
    The workers of a server.

    Args:
        reactor: Starts and times everything.
        sockets: Sockets for the endpoints of `--listen`.
        count: Number of workers.
        describe: Returns the program of a worker by its number. The sockets are open then.
        patience: Seconds. Workers that have not ended after an order to stop are killed this much later.

    Attributes:
        control: Handles signals and tells the service manager; `None` for none.
        log: The log of the process; `None` leaves it to the runner.
        summary: Follows the URLs in the log.
        workers: The workers.
        tlsPorts: Ports of the pool itself whose certificates are read again with those of the workers.
        reads: Read other files of the pool itself again.
        nameOperators: Returns the URL for operators, once it listens; `None` for no URL.
        onReady: Called when all workers listen for the first time.
        isReady: Whether they did.
        fail: Ends a server that cannot start.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        sockets: Sequence[SharedSocket],
        count: int,
        describe: Callable[[int], Program],
        patience: float,
    ) -> None:
        super().__init__()
        self.control: Any = None
        self.log: ProcessLog | None = None
        self.summary = ""
        self.onReady: Callable[[], object] = lambda: None
        self.fail: Callable[[Any, Exception], object] = endStart
        self.tlsPorts: list[TLSReactor] = []
        self.reads: list[Callable[[], object]] = []
        self.nameOperators: Callable[[], str | None] = lambda: None
        self._reactor = reactor
        self._sockets = sockets
        self._patience = patience
        hooks = Hooks(describe, self._noteChange, self._noteFailure, self._noteDeath, self._relay)
        self.workers = [Worker(reactor, number, hooks) for number in range(1, count + 1)]
        self.isReady = False
        self._hasFailed = False
        # While it stops: the order to give, who waits for the end, and when workers are killed.
        self._order = Order.INTERRUPT
        self._stopped: Deferred[None] | None = None
        self._kill: IDelayedCall | None = None

    def setServiceParent(self, parent: Any) -> None:
        """See `IService.setServiceParent`. twistd asks the application for the observer of the log."""
        if self.log is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self.log)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """
        Open the listening sockets.

        Raises:
            SystemExit: An address cannot be bound. It ends the process with one line.
        """
        self._open()
        try:
            super().privilegedStartService()
        except (BadEndpoint, OSError) as error:
            raise makeExit(error) from None

    def startService(self) -> None:
        """
        Start the workers.

        Raises:
            SystemExit: See `privilegedStartService`, which not every runner calls; or a worker cannot be started.
        """
        self._open()
        super().startService()
        if self.control is not None:
            self.control.start()
        try:
            for worker in self.workers:
                worker.start()
        except OSError as error:
            raise makeExit(WorkerFailed(f"a worker cannot be started: {error}")) from None

    def stopService(self) -> Deferred[Any]:
        """
        Let all workers stop, and wait for them. The admin endpoint answers meanwhile.

        Returns:
            Fires when no worker is left.
        """
        if self.control is not None:
            self.control.begin()
        stopped: Deferred[None] = Deferred()
        self._stopped = stopped
        self._kill = self._reactor.callLater(self._patience, self._killAll)
        for worker in self.workers:
            worker.stop(self._order)
        self._noteChange()
        return stopped.addCallback(lambda _: self._close())

    def order(self, order: Order) -> None:
        """Give an order to all workers that run."""
        for worker in self.workers:
            worker.order(order)

    def reload(self) -> None:
        """Let all workers read their files again."""
        self.order(Order.RELOAD)
        for read in (*(port.reload for port in self.tlsPorts), *self.reads):
            try:
                read()
            except (BadEndpoint, usage.UsageError) as error:
                self._log.error("Not reloaded: {error}", error=error)

    def choose(self, order: Order) -> None:
        """Choose how the workers are stopped by `stopService`: `TERMINATE` or `INTERRUPT`."""
        self._order = order

    def hurry(self) -> None:
        """Let workers that are being stopped end at once."""
        for worker in self.workers:
            worker.stop(self._order)

    def ask(self, question: Question) -> Deferred[Answers]:
        """
        Ask all workers.

        Returns:
            A Deferred that fires with the answers by the numbers of the workers: `None` for those that run and do not
            answer. Those that do not run are missing.
        """
        running = {worker.number: worker for worker in self.workers if worker.isRunning}
        answers: dict[int, Any] = dict.fromkeys(running)
        asking = []
        for number, worker in running.items():
            each = worker.ask(question).addTimeout(ANSWER_AFTER, self._reactor)
            asking.append(each.addCallbacks(partial(answers.__setitem__, number), lambda _: None))
        return DeferredList(asking).addCallback(lambda _: answers)

    def connect(self, factory: IProtocolFactory, number: int | None = None) -> Deferred[Any]:
        """
        Connect to the site for operators of a worker.

        Args:
            factory: Makes the protocol.
            number: Number of the worker; `None` for the first that runs.

        Returns:
            A Deferred that fires with the protocol, which is connected.

        Raises:
            Gone: (errback) There is no such worker.
            TimeoutError: (errback) It does not answer.
        """
        wanted = [worker for worker in self.workers if worker.isRunning and number in {None, worker.number}]
        connected: Deferred[Any] = Deferred()
        # The question itself lasts: its descriptor may wait to be sent.
        (wanted[0].connect(factory) if wanted else fail(Gone())).chainDeferred(connected)
        return connected.addTimeout(ANSWER_AFTER, self._reactor)

    def count(self) -> dict[int, WorkerCounts]:
        """Return the state of each worker, by their numbers."""
        return {
            worker.number: WorkerCounts(worker.state is WorkerState.READY, worker.restarts) for worker in self.workers
        }

    def _open(self) -> None:
        try:
            for each in self._sockets:
                each.open()
        except (BadEndpoint, OSError) as error:
            raise makeExit(error) from None

    def _noteChange(self) -> None:
        states = [worker.state for worker in self.workers]
        if self._stopped is not None:
            if all(state is WorkerState.ENDED for state in states):
                stopped, self._stopped = self._stopped, None
                stopped.callback(None)
        elif not self.isReady and all(state is WorkerState.READY for state in states):
            self.isReady = True
            for each in self._sockets:
                url = makeURL(each.description, makeHost(each.find(1)))
                if url is not None:
                    self._log.info("Open {url} ({about})", url=url, about=self.summary)
            url = self.nameOperators()
            if url is not None:
                self._log.info("Open {url} (for operators)", url=url)
            self.onReady()

    def _noteFailure(self, number: int) -> None:
        if not self._hasFailed:
            self._hasFailed = True
            self.fail(self._reactor, WorkerFailed(f"worker {number} has ended with exit code 1"))

    def _noteDeath(self, number: int) -> None:
        for each in self._sockets:
            each.pause(number)

    def _relay(self, line: str) -> None:
        if self.log is not None:
            self.log.relay(line)
        elif line:
            # Without its time, which this log adds.
            self._log.info("{line}", line=line.partition(" ")[2])

    def _killAll(self) -> None:
        self._kill = None
        for worker in self.workers:
            if worker.state is not WorkerState.ENDED:
                self._log.error("Worker {number} does not end, and is killed.", number=worker.number)
                worker.kill()

    def _close(self) -> Deferred[Any]:
        kill, self._kill = self._kill, None
        if kill is not None:
            kill.cancel()
        closing = DeferredList([each.close() for each in self._sockets])
        closing.addCallback(lambda _: MultiService.stopService(self))
        return closing.addBoth(self._endControl)

    def _endControl(self, result: Any) -> Any:
        if self.control is not None:
            self.control.end()
        return result
