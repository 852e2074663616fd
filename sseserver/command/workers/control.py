"""
The control of a pool from outside: its signals, and its service manager. Both are passed on to the workers.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from sseserver.command.signals import Signals
from sseserver.command.stopping import END_AFTER, exitSoon
from sseserver.command.supervisor import Supervisor
from sseserver.command.workers.channel import Order
from sseserver.command.workers.pool import Pool
from sseserver.steps import StateEnum, step


class PoolState(StateEnum):
    """State of a `PoolControl`."""

    NONE = "none"
    STOPPING = "stopping"  # the workers are told to stop, in peace
    HURRIED = "hurried"  # they were told again


#: Legal steps of a pool. A second signal hurries the workers, further ones change nothing.
POOL_STEPS = {
    PoolState.NONE: frozenset({PoolState.STOPPING}),
    PoolState.STOPPING: frozenset({PoolState.HURRIED}),
    PoolState.HURRIED: frozenset({PoolState.HURRIED}),
}


class PoolControl:
    """
    Handles signals and tells the service manager, from the start of a pool to its end.

    Args:
        reactor: Tells when it runs, and is stopped by the first signal, which stops the services.
        pool: The pool.
        supervisor: The service manager.
        wait: Seconds. The time for load balancers that SIGTERM leaves.
        drain: Seconds. The time for runs and viewers.
        exit: Called when all services have stopped after a signal.

    Attributes:
        state: See `PoolState`.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        pool: Pool,
        supervisor: Supervisor,
        wait: float,
        drain: float,
        exit: Callable[[], object] = exitSoon,
    ) -> None:
        self.state = PoolState.NONE
        self._reactor = reactor
        self._pool = pool
        self._supervisor = supervisor
        self._wait = wait
        self._drain = drain
        self._exit = exit
        self._isSignalled = False
        self._stops = Signals(reactor, {signal.SIGTERM: self.terminate, signal.SIGINT: self.interrupt}, adds=False)
        others = {signal.SIGHUP: self.reload, signal.SIGUSR1: self.reopen, signal.SIGUSR2: lambda: None}
        self._others = Signals(reactor, others)

    def start(self) -> None:
        """Handle signals from now on."""
        self._others.install()
        self._pool.onReady = self._supervisor.ready
        # The reactor installs its own handlers when it begins to run.
        self._reactor.callWhenRunning(self._stops.install)

    def begin(self) -> None:
        """Note that the pool is being stopped, by a signal or in another way."""
        if self.state is PoolState.NONE:
            self._enter(PoolState.STOPPING)
            self._supervisor.stopping(self._drain + END_AFTER)

    def end(self) -> None:
        """Note that all workers and services have stopped. After a signal the process ends now."""
        self._others.restore()
        self._supervisor.close()
        if self._isSignalled:
            self._exit()
        else:
            self._stops.restore()

    def terminate(self) -> None:
        """Handle SIGTERM: each worker leaves some time for load balancers, then stops."""
        self._stop(Order.TERMINATE, self._wait)

    def interrupt(self) -> None:
        """Handle SIGINT: each worker stops without that time."""
        self._stop(Order.INTERRUPT, 0)

    def reload(self) -> None:
        """Handle SIGHUP: each worker reads its files again."""
        self._supervisor.reloading()
        self._pool.reload()
        if self._pool.isReady:
            self._supervisor.ready()

    def reopen(self) -> None:
        """Handle SIGUSR1: each worker opens its access log again."""
        self._pool.order(Order.REOPEN)

    def _stop(self, order: Order, wait: float) -> None:
        self._isSignalled = True
        if self.state is not PoolState.NONE:
            self._enter(PoolState.HURRIED)
            self._pool.hurry()
            return
        self._enter(PoolState.STOPPING)
        self._supervisor.stopping(wait + self._drain + END_AFTER)
        self._log.info("The workers stop; another signal stops them at once")
        self._pool.choose(order)
        self._reactor.stop()

    def _enter(self, state: PoolState) -> None:
        self.state = step(POOL_STEPS, self.state, state)
