"""
Tests of `sseserver.service.service`: start, stop and embedding of the service.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred, succeed
from twisted.protocols.policies import WrappingFactory
from zope.interface.verify import verifyObject

from sseserver.errors import Overloaded, StreamNotFound
from sseserver.service.drain import CUT_AFTER, RETIRE_AFTER
from sseserver.service.service import Settings, StreamService
from sseserver.streams.followed import FLUSH_TICK
from sseserver.values import State
from sseserver.wire import Event
from tests.served import ServedTestCase
from tests.service.cases import ServiceTestCase
from tests.wires import Wire


class StopTests(ServiceTestCase):
    """Stopping the service."""

    settings = Settings(drain=0)

    def assertShutDown(self, wire: Wire) -> None:
        """Check that a viewer received the end."""
        self.assertEqual(wire.response.types[-1], "failed")
        self.assertEqual(json.loads(wire.response.events[-1].data)["reason"], "shutdown")
        self.assertTrue(wire.response.complete)

    def test_nobodyThere(self) -> None:
        """Without time for its runs the service stops at once, and they have ended."""
        streamLog = self.startLog()
        stopped = self.service.stopService()
        self.reactor.advance(0)
        self.successResultOf(stopped)
        self.assertEqual(streamLog.state, State.FAILED)
        self.assertEqual(self.terminal(streamLog)[1]["reason"], "shutdown")
        self.assertTrue(self.source.run.cancelled)
        self.assertFalse(self.service.running)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_viewersAreToldTheEnd(self) -> None:
        """
        Viewers get the end of their streams, `failed` with the reason `shutdown`. The service has
        stopped when they have it.
        """
        wires = [self.view(), self.view(), self.view("/streams/" + self.startLog().name)]
        stopped = self.service.stopService()
        self.reactor.run(0.5)
        self.successResultOf(stopped)
        for wire in wires:
            self.assertShutDown(wire)

    def test_inTheMidst(self) -> None:
        """Tokens that wait for the end of their flush tick are sent before the end."""
        wire = self.view()
        self.source.run.write("a")
        self.source.run.write("b")
        stopped = self.service.stopService()
        self.assertNoResult(stopped)
        self.reactor.run(0.5)
        self.successResultOf(stopped)
        self.assertShutDown(wire)
        self.assertEqual(wire.response.texts[-1], "ab")

    def assertOnTheWire(self, wire: Wire, meanwhile: Any = None) -> None:
        """Check that the client has everything when the service has stopped."""
        then: list[bytes] = []
        stopped = self.service.stopService().addCallback(lambda _: then.append(wire.received))
        self.reactor.run(0.5)
        if meanwhile is not None:
            meanwhile()
            self.reactor.run(0.5)
        self.successResultOf(stopped)
        self.assertShutDown(wire)
        self.assertEqual(then, [wire.received])

    def test_endIsOnTheWire(self) -> None:
        """
        The last byte of each response is sent when the service has stopped: a reactor that stops
        then drops queued bytes.
        """
        self.assertOnTheWire(self.view())

    def test_endIsOnTheWireOfOtherTransports(self) -> None:
        """The same holds for transports that queue everything first, such as TLS."""
        self.factory = WrappingFactory(self.factory)
        self.assertOnTheWire(self.view())

    def test_endIsOnTheWireOfTheSlow(self) -> None:
        """
        The same holds for a viewer that reads nothing for a while, although its transport is not
        full.
        """
        wire = self.view()
        wire.stall()
        self.write("x" * 1000)
        self.assertOnTheWire(wire, meanwhile=wire.take)

    def test_severalRuns(self) -> None:
        """The same holds for a run whose viewer has its end before the other runs are stopped."""
        first = self.view()
        other = self.startLog()
        stopped = self.service.stopService()
        self.reactor.run(0.5)
        self.successResultOf(stopped)
        self.assertShutDown(first)
        self.assertEqual(other.state, State.FAILED)
        self.assertFalse([run for run in self.source.runs if not run.cancelled])

    def test_cutsTheSlow(self) -> None:
        """
        A viewer that does not read the end of its stream in time is cut; then the service has
        stopped.
        """
        quick, slow = self.view(), self.view(room=0)
        self.source.run.write("x" * 500_000)
        stopped = self.service.stopService()
        self.reactor.run(RETIRE_AFTER + CUT_AFTER - 0.1)
        self.assertShutDown(quick)
        self.assertNoResult(stopped)
        self.assertFalse(slow.closed)
        self.reactor.run(0.3)
        self.successResultOf(stopped)
        self.reactor.advance(0)
        self.assertTrue(slow.socket.reset)
        quick.close()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_slowOneTakesItInTime(self) -> None:
        """
        A viewer that reads the end in time is not cut, and the service does not wait any longer.
        """
        slow = self.view(room=0)
        self.source.run.write("x" * 500_000)
        stopped = self.service.stopService()
        self.reactor.run(RETIRE_AFTER - 0.1)
        slow.take()
        self.reactor.run(0.5)
        self.successResultOf(stopped)
        self.assertShutDown(slow)
        self.reactor.run(5)
        self.assertFalse(slow.socket.reset)

    def test_slowOneLeaves(self) -> None:
        """The service does not wait for a viewer that leaves by itself."""
        slow = self.view(room=0)
        self.source.run.write("x" * 500_000)
        stopped = self.service.stopService()
        slow.breakDown()
        self.reactor.run(0.5)
        self.successResultOf(stopped)

    def test_whileItStops(self) -> None:
        """While the service drains, viewers are turned away and no run is started."""
        self.view(room=0)
        self.source.run.write("x" * 500_000)
        stopped = self.service.stopService()
        self.assertNoResult(stopped)
        late = self.view()
        self.assertEqual((late.response.status, late.response.types), (200, []))
        self.assertTrue(late.response.body.startswith(b"retry: "))
        self.assertTrue(late.response.complete)
        self.assertEqual(self.ask("/streams", method="POST").status, 503)
        self.assertEqual(len(self.source.runs), 1)
        self.reactor.run(6)
        self.successResultOf(stopped)

    def test_afterItHasStopped(self) -> None:
        """Nothing is started on a connection that is still open when the service has stopped."""
        self.successResultOf(self.service.stopService())
        late = self.view()
        self.assertEqual(self.source.runs, [])
        self.assertTrue(late.response.complete)
        self.assertEqual(self.ask("/streams", method="POST").status, 503)
        self.assertEqual(self.source.runs, [])
        for wire in self.wires:
            wire.close()
        self.reactor.run(0.1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_again(self) -> None:
        """
        After `startService` everything works as before: runs, viewers, lingers, and the ages of
        older streams.
        """
        old = self.startLog()
        self.source.run.end()
        self.reactor.run(300, 1)
        self.successResultOf(self.service.stopService())
        self.reactor.run(10)
        self.service.startService()
        wire = self.view()
        self.write("a", "b")
        self.assertEqual(wire.response.texts, ["", "a", "ab"])
        self.reactor.run(280, 1)
        self.successResultOf(self.service.find(old.name))
        self.reactor.run(20, 1)
        self.failureResultOf(self.service.find(old.name), StreamNotFound)

    def test_againWithNothingKept(self) -> None:
        """A service without streams can be stopped and started, too."""
        self.successResultOf(self.service.stopService())
        self.service.startService()
        streamLog = self.startLog()
        self.source.run.end()
        self.reactor.run(601, 1)
        self.failureResultOf(self.service.find(streamLog.name), StreamNotFound)

    def test_stoppedTwice(self) -> None:
        """A second `stopService` is harmless: both Deferreds fire when the service has stopped."""
        self.view(room=0)
        self.source.run.write("x" * 500_000)
        both = [self.service.stopService(), self.service.stopService()]
        self.reactor.run(6)
        for stopped in both:
            self.successResultOf(stopped)

    def test_cleanClock(self) -> None:
        """
        Nothing is left on the clock when the service has stopped, not even the flush tick of tokens
        without viewers.
        """
        wire = self.view()
        self.source.run.write("a")
        self.source.run.write("b")
        wire.close()
        stopped = self.service.stopService()
        self.reactor.advance(0)
        self.successResultOf(stopped)
        self.assertEqual([str(call) for call in self.reactor.getDelayedCalls()], [])

    def test_restartOfKeptStreamsIsNotDoubled(self) -> None:
        """A service that is restarted deletes each of its ended streams once."""
        self.startLog()
        self.source.run.end()
        deleted = []
        store = self.service.store
        self.patch(store, "delete", lambda name, epoch: succeed(deleted.append(name)))
        for _ in range(3):
            self.successResultOf(self.service.stopService())
            self.service.startService()
        self.reactor.run(700, 1)
        self.assertEqual(len(deleted), 1)


class EmbeddingTests(ServedTestCase):
    """Uses of the service in a program."""

    def test_interface(self) -> None:
        """A `StreamService` is a Twisted service."""
        self.assertTrue(verifyObject(IService, self.service))

    def test_defaults(self) -> None:
        """A reactor and a source suffice."""
        service = StreamService(self.reactor, self.source)
        self.assertEqual(service.settings, Settings())
        self.assertIs(service.source, self.source)

    def test_neverStarted(self) -> None:
        """A service that was never started serves requests."""
        self.service = StreamService(self.reactor, self.source)
        self.services.append(self.service)
        streamLog = self.successResultOf(self.service.startRun())
        self.source.run.write("a")
        self.assertEqual((streamLog.last, self.service.viewers.count), (1, 0))

    def test_slowStore(self) -> None:
        """With a slow store, a run starts when the store has its stream."""
        waiting: Deferred[Any] = Deferred()
        store = self.service.store
        create = store.create
        self.patch(store, "create", lambda *arguments: waiting)
        started = self.service.startRun()
        self.assertNoResult(started)
        self.assertEqual(self.source.runs, [])
        create(None, published=False).chainDeferred(waiting)
        streamLog = self.successResultOf(started)
        self.source.run.write("a")
        self.assertEqual(streamLog.last, 1)

    def test_storeThatIsReadyAfterTheStop(self) -> None:
        """A run does not begin if the store has its stream after the service was stopped."""
        waiting: Deferred[Any] = Deferred()
        store = self.service.store
        create = store.create
        self.patch(store, "create", lambda *arguments: waiting)
        started = self.service.startRun()
        self.successResultOf(self.service.stopService())
        create(None, published=False).chainDeferred(waiting)
        self.failureResultOf(started, Overloaded)
        self.assertEqual(self.source.runs, [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_eventsOfBothFormats(self) -> None:
        """Viewers of one stream in different formats see the same text."""
        path = self.startRun()
        events, text = self.view(path), self.view(f"{path}?format=text")
        for token in ("a", "b"):
            self.source.run.write(token)
            self.reactor.advance(FLUSH_TICK)
        self.assertEqual("".join(events.response.texts), text.response.texts[-1])
        self.assertEqual(text.response.events[-1], Event("ab", id=events.response.events[-1].id))
