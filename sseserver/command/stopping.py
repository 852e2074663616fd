"""
The stop of a server by signals: a time for load balancers, then the drain, and no later than that the end.

`control` begins it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from sseserver.command.signals import Signals
from sseserver.command.supervisor import Supervisor
from sseserver.service.service import StreamService
from sseserver.steps import StateEnum, step

#: Seconds. The process is gone this long after the drain, whatever its peers, sources and programs do.
END_AFTER = 5.0

#: Seconds after the stop of everything until the process ends without its threads: name resolution may hang in one.
EXIT_AFTER = 0.5


class StopState(StateEnum):
    """State of a `Stop`."""

    NONE = "none"
    WAITING = "waiting"  # for load balancers, which see at `/readyz` that the server leaves
    STOPPING = "stopping"  # the services are told to stop
    HURRIED = "hurried"  # the same, without a drain


#: Legal steps of a stop. A second signal hurries it, further ones change nothing.
STOP_STEPS = {
    StopState.NONE: frozenset({StopState.WAITING, StopState.STOPPING}),
    StopState.WAITING: frozenset({StopState.STOPPING, StopState.HURRIED}),
    StopState.STOPPING: frozenset({StopState.HURRIED}),
    StopState.HURRIED: frozenset({StopState.HURRIED}),
}


def exitSoon() -> None:
    """End the process after `EXIT_AFTER`, if it has not ended by then. Everything is stored."""
    timer = threading.Timer(EXIT_AFTER, os._exit, (0,))
    timer.daemon = True
    timer.start()


class Stop:
    """
    Stops the reactor in steps. The first signal begins, the second one makes it quick.

    Args:
        reactor: Is stopped, which stops the services.
        streams: The stream service.
        wait: Seconds. The time for load balancers.
        supervisor: Is told that the server stops.
        kill: Kills the programs of all runs.
        exit: Called when all services have stopped after a signal.

    Attributes:
        signals: The handlers of the signals that stop.
        state: See `StopState`.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        streams: StreamService,
        wait: float,
        supervisor: Supervisor,
        kill: Callable[[], object],
        exit: Callable[[], object] = exitSoon,
    ) -> None:
        self.state = StopState.NONE
        actions = {signal.SIGTERM: self.terminate, signal.SIGINT: self.interrupt}
        # The reactor's own handlers would stop it at once, and fail at a second signal.
        self.signals = Signals(reactor, actions, adds=False)
        self._isSignalled = False
        self._reactor = reactor
        self._streams = streams
        self._wait = wait
        self._supervisor = supervisor
        self._kill = kill
        self._exit = exit
        self._call: IDelayedCall | None = None

    def terminate(self) -> None:
        """Handle SIGTERM: leave some time for load balancers, then stop."""
        self._begin(self._wait)

    def interrupt(self) -> None:
        """Handle SIGINT: stop without that time. Somebody waits, so runs that nobody watches end at once."""
        self._streams.abandon()
        self._begin(0)

    def begin(self) -> None:
        """Note that the services are being stopped, by a signal or in another way."""
        if self.state is StopState.NONE:
            self._supervisor.stopping(self._streams.settings.drain + END_AFTER)
        if self.state in {StopState.NONE, StopState.WAITING}:
            self._enter(StopState.STOPPING)

    def hurry(self) -> None:
        """End a drain that has begun: programs are killed, runs end, viewers are cut. What is in the log is stored."""
        self._kill()
        self._streams.hurry()

    def end(self) -> None:
        """Note that all services have stopped. After a signal the process ends now, and needs no handlers any more."""
        self._supervisor.close()
        if self._isSignalled:
            self._exit()
        else:
            self.signals.restore()

    def _begin(self, wait: float) -> None:
        self._isSignalled = True
        if self.state is not StopState.NONE:
            self._hurry()
        elif wait:
            self._supervisor.stopping(wait + self._streams.settings.drain + END_AFTER)
            self._enter(StopState.WAITING)
            self._streams.leave()
            self._log.info("Going to stop in {wait:g} seconds; another signal stops at once", wait=wait)
            self._call = self._reactor.callLater(wait, self._stop)
        else:
            self._stop()

    def _stop(self) -> None:
        self._call = None
        self.begin()
        self._reactor.stop()

    def _hurry(self) -> None:
        """Stop at once. If the drain has not begun yet, `Server.stopService` hurries it."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
            self._reactor.stop()
        self._enter(StopState.HURRIED)
        self.hurry()

    def _enter(self, state: StopState) -> None:
        self.state = step(STOP_STEPS, self.state, state)
