"""
Tests for `sseserver.command.workers.obeying`: a worker does what its pool says, and nobody else.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from sseserver.command.stopping import StopState
from sseserver.command.workers.channel import Order, Question
from sseserver.command.workers.obeying import Obedience
from tests.command.workers.test_messages import makeNetstring


class _Stop:
    """Notes how it is told to stop."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.state = StopState.NONE

    def terminate(self) -> None:
        """See `Stop.terminate`."""
        self.calls.append("terminate")

    def interrupt(self) -> None:
        """See `Stop.interrupt`."""
        self.calls.append("interrupt")

    def end(self) -> None:
        """See `Stop.end`."""
        self.calls.append("end")


class _Reactor:
    """A reactor that runs at once, with a wire in place of the socket."""

    def callWhenRunning(self, function: Any) -> None:
        """See `IReactorCore.callWhenRunning`."""
        function()

    def callFromThread(self, function: Any, *arguments: Any) -> None:
        """See `IReactorFromThreads.callFromThread`."""
        function(*arguments)

    def adoptStreamConnection(self, descriptor: int, family: int, factory: Any) -> None:
        """See `IReactorSocket.adoptStreamConnection`."""
        self.channel = factory.buildProtocol(None)
        self.wire = StringTransport()
        self.channel.makeConnection(self.wire)


class ObedienceTests(SynchronousTestCase):
    """`Obedience`."""

    def setUp(self) -> None:
        """Start to obey."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            self.addCleanup(signal.signal, number, signal.signal(number, signal.SIG_IGN))
        self.reactor, self.done = _Reactor(), []
        self.stop: Any = _Stop()
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        actions: Any = {order: lambda order=order: self.done.append(order) for order in (Order.RELOAD, Order.REOPEN)}
        answers = {Question.METRICS: {"a": 1}, Question.READINESS: {}}
        self.obedience = Obedience(self.reactor, ours, self.stop, actions, answers.__getitem__)
        self.obedience.start()

    def tell(self, **members: Any) -> None:
        """Send a message as the pool."""
        self.reactor.channel.dataReceived(makeNetstring(json.dumps(members).encode()))

    def test_ready(self) -> None:
        """A worker that listens says so."""
        self.assertEqual(self.reactor.wire.value(), makeNetstring(b'{"ready": true}'))

    def test_orders(self) -> None:
        """Each order is carried out."""
        for order in ("terminate", "interrupt", "reload", "reopen", "terminate"):
            self.tell(order=order)
        self.assertEqual(self.stop.calls, ["terminate", "interrupt", "terminate"])
        self.assertEqual(self.done, ["reload", "reopen"])

    def test_questions(self) -> None:
        """A question is answered."""
        self.reactor.wire.clear()
        self.tell(ask="metrics", number=7)
        self.assertEqual(self.reactor.wire.value(), makeNetstring(b'{"number": 7, "answer": {"a": 1}}'))

    def test_accept(self) -> None:
        """A connection that has come with a question is served by a duplicate of its descriptor."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.reactor.channel.fileDescriptorReceived(theirs.detach())
        served: Any = Protocol()
        self.assertTrue(self.obedience.accept(Factory.forProtocol(lambda: served)))
        self.assertIs(self.reactor.channel, served)
        self.assertEqual(ours.recv(1), b"")

    def test_signals(self) -> None:
        """Signals of others do nothing: the pool gets them, too, and passes them on."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            os.kill(os.getpid(), number)
        self.assertEqual((self.stop.calls, self.done), ([], []))

    def test_orphan(self) -> None:
        """A worker whose pool is gone stops, once."""
        self.reactor.channel.connectionLost()
        self.assertEqual(self.stop.calls, ["terminate"])

    def test_orphanThatStops(self) -> None:
        """A worker that stops already is not hurried by the end of its pool."""
        self.stop.state = StopState.STOPPING
        self.reactor.channel.connectionLost()
        self.obedience.end()
        self.assertEqual(self.stop.calls, ["end"])
