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
from sseserver.service.service import Settings, StreamService
from sseserver.streams.log import FLUSH_TICK
from sseserver.values import State
from sseserver.wire import Event
from tests.served import ServedTestCase
from tests.service.cases import ServiceTestCase
from tests.wires import Wire


class StopTests(ServiceTestCase):
    """Stopping the service."""

    settings = Settings(drain=5)

    def assertShutDown(self, wire: Wire) -> None:
        """Check that a viewer was told the end."""
        self.assertEqual(wire.response.types[-1], "failed")
        self.assertEqual(json.loads(wire.response.events[-1].data)["reason"], "shutdown")
        self.assertTrue(wire.response.complete)

    def test_nobodyThere(self) -> None:
        """
        Without viewers it is stopped at once, and the runs have ended.
        """
        streamLog = self.startLog()
        self.successResultOf(self.service.stopService())
        self.assertEqual(streamLog.state, State.FAILED)
        self.assertEqual(self.terminal(streamLog)[1]["reason"], "shutdown")
        self.assertTrue(self.source.run.cancelled)
        self.assertFalse(self.service.running)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_viewersAreToldTheEnd(self) -> None:
        """
        Viewers get the end of their streams, which have failed because of the
        shutdown; when they have it the service is stopped.
        """
        wires = [self.view(), self.view(), self.view("/streams/" + self.startLog().name)]
        stopped = self.service.stopService()
        self.reactor.run(0.5)
        self.successResultOf(stopped)
        for wire in wires:
            self.assertShutDown(wire)

    def test_inTheMidst(self) -> None:
        """
        The same when tokens have just come and wait for the end of their tick.
        """
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
        """Check that all is with the client when the service says that it has stopped."""
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
        When it says that it has stopped the last byte of each response has
        left: a reactor that stops then throws away what is still queued.
        """
        self.assertOnTheWire(self.view())

    def test_endIsOnTheWireOfOtherTransports(self) -> None:
        """
        The same where everything is queued first, as under TLS.
        """
        self.factory = WrappingFactory(self.factory)
        self.assertOnTheWire(self.view())

    def test_endIsOnTheWireOfTheSlow(self) -> None:
        """
        The same for a viewer that takes nothing for a while, though its
        transport is not full.
        """
        wire = self.view()
        wire.stall()
        self.write("x" * 1000)
        self.assertOnTheWire(wire, meanwhile=wire.take)

    def test_severalRuns(self) -> None:
        """
        The same with a run whose viewer has its end before the other runs are
        stopped.
        """
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
        A viewer that does not take the end of its stream in time is cut; then
        the service is stopped.
        """
        quick, slow = self.view(), self.view(room=0)
        self.source.run.write("x" * 500_000)
        stopped = self.service.stopService()
        self.reactor.run(4.9)
        self.assertShutDown(quick)
        self.assertNoResult(stopped)
        self.assertFalse(slow.closed)
        self.reactor.run(0.1)
        self.successResultOf(stopped)
        self.reactor.advance(0)
        self.assertTrue(slow.socket.reset)
        quick.close()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_slowOneTakesItInTime(self) -> None:
        """
        One that takes it in time is not cut, and nobody waits longer.
        """
        slow = self.view(room=0)
        self.source.run.write("x" * 500_000)
        stopped = self.service.stopService()
        self.reactor.run(3)
        slow.take()
        self.reactor.run(0.5)
        self.successResultOf(stopped)
        self.assertShutDown(slow)
        self.reactor.run(5)
        self.assertFalse(slow.socket.reset)

    def test_slowOneLeaves(self) -> None:
        """
        Nor is one waited for that goes by itself.
        """
        slow = self.view(room=0)
        self.source.run.write("x" * 500_000)
        stopped = self.service.stopService()
        slow.breakDown()
        self.reactor.run(0.5)
        self.successResultOf(stopped)

    def test_whileItStops(self) -> None:
        """
        While it drains, viewers are turned away, and no run is started.
        """
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
        """
        Nor is anything started on a connection that is still open when the
        service has stopped.
        """
        self.successResultOf(self.service.stopService())
        late = self.view()
        self.assertEqual(self.source.runs, [])
        self.assertTrue(late.response.complete)
        self.assertEqual(self.ask("/streams", method="POST").status, 503)
        self.assertEqual(self.source.runs, [])
        for wire in self.wires:
            wire.close()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_again(self) -> None:
        """
        After C{startService} all is as it was: runs, viewers, lingers, and the
        ages of the streams that had ended before.
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
        """
        The same when nothing was there before.
        """
        self.successResultOf(self.service.stopService())
        self.service.startService()
        streamLog = self.startLog()
        self.source.run.end()
        self.reactor.run(601, 1)
        self.failureResultOf(self.service.find(streamLog.name), StreamNotFound)

    def test_stoppedTwice(self) -> None:
        """
        To stop what is being stopped is harmless: both are told when it has.
        """
        self.view(room=0)
        self.source.run.write("x" * 500_000)
        both = [self.service.stopService(), self.service.stopService()]
        self.reactor.run(6)
        for stopped in both:
            self.successResultOf(stopped)

    def test_cleanClock(self) -> None:
        """
        When it says that it has stopped, nothing is left on the clock: not
        the tick of tokens that nobody follows any more either.
        """
        wire = self.view()
        self.source.run.write("a")
        self.source.run.write("b")
        wire.close()
        self.successResultOf(self.service.stopService())
        self.assertEqual([str(call) for call in self.reactor.getDelayedCalls()], [])

    def test_restartOfKeptStreamsIsNotDoubled(self) -> None:
        """
        A service that is started with streams that have ended before forgets
        each once.
        """
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
    """What an embedder may do."""

    def test_interface(self) -> None:
        """It is a service of Twisted's."""
        self.assertTrue(verifyObject(IService, self.service))

    def test_defaults(self) -> None:
        """
        A reactor and a source are enough.
        """
        service = StreamService(self.reactor, self.source)
        self.assertEqual(service.settings, Settings())
        self.assertIs(service.source, self.source)

    def test_neverStarted(self) -> None:
        """
        A service that nobody started serves all the same.
        """
        self.service = StreamService(self.reactor, self.source)
        self.services.append(self.service)
        streamLog = self.successResultOf(self.service.startRun())
        self.source.run.write("a")
        self.assertEqual((streamLog.last, self.service.viewers.count), (1, 0))

    def test_slowStore(self) -> None:
        """
        With a store that takes its time a run starts when the store has its
        stream.
        """
        waiting: Deferred[Any] = Deferred()
        store = self.service.store
        create = store.create
        self.patch(store, "create", lambda name, published: waiting)
        started = self.service.startRun()
        self.assertNoResult(started)
        self.assertEqual(self.source.runs, [])
        create(None, published=False).chainDeferred(waiting)
        streamLog = self.successResultOf(started)
        self.source.run.write("a")
        self.assertEqual(streamLog.last, 1)

    def test_storeThatIsReadyAfterTheStop(self) -> None:
        """
        A run whose stream the store has only when the service is stopped does
        not begin.
        """
        waiting: Deferred[Any] = Deferred()
        store = self.service.store
        create = store.create
        self.patch(store, "create", lambda name, published: waiting)
        started = self.service.startRun()
        self.successResultOf(self.service.stopService())
        create(None, published=False).chainDeferred(waiting)
        self.failureResultOf(started, Overloaded)
        self.assertEqual(self.source.runs, [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_eventsOfBothFormats(self) -> None:
        """
        Viewers of different formats of one stream see the same text.
        """
        path = self.startRun()
        events, text = self.view(path), self.view(f"{path}?format=text")
        for token in ("a", "b"):
            self.source.run.write(token)
            self.reactor.advance(FLUSH_TICK)
        self.assertEqual("".join(events.response.texts), text.response.texts[-1])
        self.assertEqual(text.response.events[-1], Event("ab", id=events.response.events[-1].id))
