"""
The control of a worker: it obeys its pool, and ignores the signals that other processes send to it.

A terminal sends SIGINT to every process in the foreground, and systemd may send SIGTERM to every process of a service.
The pool gets them as well, and its orders would look like second signals.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory

from sseserver.command.signals import Signals
from sseserver.command.stopping import Stop, StopState
from sseserver.command.workers.channel import Channel, Order, Question, answer

#: Signals that the pool handles.
_IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class Obedience:
    """
    Handles the orders of a pool, from the start of a worker to its end. It takes the place of `Control`.

    Args:
        reactor: Tells when it runs, and reads the channel.
        socket: The worker's end of the channel.
        stop: Stops the worker.
        actions: What to call at the other orders.
        find: Returns the answer to a question, or a Deferred that fires with it.

    Attributes:
        stop: See above.
    """

    def __init__(
        self,
        reactor: Any,
        socket: socket.socket,
        stop: Stop,
        actions: dict[Order, Callable[[], object]],
        find: Callable[[Question], Any],
    ) -> None:
        self.stop = stop
        self._reactor = reactor
        self._socket = socket
        self._actions = {Order.TERMINATE: stop.terminate, Order.INTERRUPT: stop.interrupt, **actions}
        self._find = find
        self._channel = Channel(self._receive, self._lose)
        self._signals = Signals(reactor, dict.fromkeys(_IGNORED, _ignore), adds=False)

    def start(self) -> None:
        """Obey. The worker listens already."""
        # The reactor installs its own handlers when it begins to run.
        self._reactor.callWhenRunning(self._run)

    def end(self) -> None:
        """Obey no longer: the worker has stopped."""
        self.stop.end()

    def accept(self, site: IProtocolFactory) -> bool:
        """
        Serve the connection that has come with a question, and return true.

        Args:
            site: Serves it.
        """
        with socket.socket(fileno=self._channel.takeDescriptor()) as given:
            given.setblocking(False)
            self._reactor.adoptStreamConnection(given.fileno(), socket.AF_UNIX, site)
        return True

    def _run(self) -> None:
        self._signals.install()
        with self._socket:
            self._socket.setblocking(False)
            factory = Factory.forProtocol(partial(getattr, self, "_channel"))
            self._reactor.adoptStreamConnection(self._socket.fileno(), socket.AF_UNIX, factory)
        self._channel.send(ready=True)

    def _receive(self, message: dict[str, Any]) -> None:
        if "order" in message:
            self._actions[Order(message["order"])]()
        else:
            answer(self._channel, message, self._find)

    def _lose(self, _: Channel) -> None:
        """Stop: the pool has ended, and nobody else would."""
        if self.stop.state is StopState.NONE:
            self.stop.terminate()


def _ignore() -> None:
    """Do nothing."""
