"""
Runs whose process is gone go on in another one.

Tests of `sseserver.stores.redis.takeover` and `sseserver.stores.redis.restartscripts`.
"""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import GapError, StoreUnavailable
from sseserver.interfaces import IStreamLog
from sseserver.streams.terminal import packCancelled, packDone, packRestart
from sseserver.testing.storecase import NoFormat, RecordingViewer
from sseserver.values import Kind, Reason, State
from tests.redisservers import findMissing

if findMissing() is None:
    from sseserver.stores.redis import patientscript
    from sseserver.stores.redis.connection import Disconnected
    from sseserver.stores.redis.layout import Layout
    from sseserver.stores.redis.script import Script
    from sseserver.stores.redis.scripts import APPEND
    from sseserver.stores.redis.store import RedisStore
    from sseserver.stores.redis.takeover import RETRY
    from tests.stores.redis.cases import Pump, sharedServer

ORDER = b"{}\nthe prompt"


class FakeRestarter:
    """
    Notes the runs that it should begin.

    Attributes:
        begun: Their logs and orders.
        room: What `hasRoom` returns.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.begun: list[tuple[Any, bytes]] = []
        self.room = True

    def hasRoom(self) -> bool:
        """See `Restarter`."""
        return self.room

    def restart(self, streamLog: IStreamLog, order: bytes) -> None:
        """See `Restarter`."""
        self.begun.append((streamLog, order))


class TakeoverCase(SynchronousTestCase):
    """Three stores; the first has a run, and is about to die."""

    skip = findMissing()
    limit = 1

    def setUp(self) -> None:
        self.server = sharedServer()
        self.pump = Pump(Clock())
        self.stores: list[RedisStore] = []
        self.restarters: list[FakeRestarter] = []
        self.ended: list[IStreamLog] = []
        for _ in range(3):
            self.addStore()
        self.run = self.startRun(b"a", b"b")

    def addStore(self) -> RedisStore:
        """Start one more store."""
        store = self.pump.makeStore(self.server)
        self.restarters.append(FakeRestarter(self.limit))
        store.takeover.restarter = self.restarters[-1]
        store.onEnded = self.ended.append
        store.start()
        self.stores.append(store)
        self.pump.until(lambda: store.findProblem() is None)
        return store

    def tearDown(self) -> None:
        for store in self.stores:
            self.pump.result(store.stop())
        self.assertEqual(self.pump.clock.getDelayedCalls(), [])

    def startRun(self, *tokens: bytes, order: bytes | None = ORDER) -> Any:
        """Start a run in the first store."""
        run = self.pump.result(self.stores[0].create(None, published=False))
        if order is not None:
            self.stores[0].takeover.keep(run, order)
        for token in tokens:
            run.append(Kind.TOKEN, token)
        self.pump.until(lambda: run.last == len(tokens) and self.stores[0].client.awaiting == 0)
        return run

    def kill(self, number: int) -> None:
        """End a store as the end of its process would."""
        self.stores[number].client.stop()
        self.pump.result(self.stores[number].stop())

    def awaitBegun(self, count: int = 1) -> int:
        """Wait until the run is begun anew, and return the number of the store that has begun it last."""
        self.pump.until(lambda: sum(len(each.begun) for each in self.restarters) == count)
        return next(number for number, each in enumerate(self.restarters) if each.begun and not each.begun.clear())

    def follow(self, number: int) -> tuple[Any, RecordingViewer]:
        """Follow the run at a store."""
        streamLog: Any = self.pump.result(self.stores[number].find(self.run.name))
        viewer = RecordingViewer(streamLog)
        streamLog.follow(viewer, NoFormat())
        return streamLog, viewer

    def field(self, name: str) -> Any:
        """Return a field of the run in the Redis."""
        return self.server.call("HGET", Layout().locate(self.run.name).stream, name)


class TakeoverTests(TakeoverCase):
    """One of the others begins the run anew."""

    def test_dead(self) -> None:
        """A run whose process is dead is begun once; viewers of all processes see one stream, with its end."""
        logs = [self.follow(1)[0]]
        self.kill(0)
        self.pump.until(lambda: any(each.begun for each in self.restarters))
        (begun,) = [each for each in self.restarters if each.begun]
        ((streamLog, order),) = begun.begun
        logs.append(self.follow(2)[0])
        self.assertEqual(order, ORDER)
        self.assertEqual((streamLog.earlier, streamLog.last), ({self.run.epoch: 2}, 3))
        streamLog.append(Kind.TOKEN, b"A")
        streamLog.append(*packDone("stop", 1))
        for each in logs:
            self.pump.until(lambda each=each: each.state is State.DONE)  # type: ignore[misc]
            entries = [b"a", b"b", packRestart(1).data, b"A", packDone("stop", 1).data]
            self.assertEqual(each.buffer.entries, entries)
            self.assertEqual(each.buffer.kind(3), Kind.RESTART)
            # No viewer had a gap, nor has one that returns.
            self.assertEqual((each.epoch, each.locate(f"{self.run.epoch}-2")), (streamLog.epoch, 2))
        # Nothing of the order is left.
        self.assertEqual((self.field("state"), self.field("order")), (b"done", None))
        self.pump.run(1.0)
        self.assertEqual(sum(len(each.begun) for each in self.restarters), 1)

    def test_unread(self) -> None:
        """A process that did not follow the run reads what it has."""
        self.restarters[2].room = False
        self.kill(0)
        self.pump.until(lambda: self.restarters[1].begun)
        streamLog = self.restarters[1].begun[0][0]
        self.assertEqual(streamLog.buffer.entries, [b"a", b"b", packRestart(1).data])

    def test_spent(self) -> None:
        """A run that was begun anew as often as allowed ends `failed`."""
        self.kill(0)
        number = self.awaitBegun()
        streamLog, _ = self.follow(3 - number)
        self.kill(number)
        self.pump.until(lambda: streamLog.state is State.FAILED)
        self.assertIn(b'"interrupted"', streamLog.buffer.entry(streamLog.last))
        self.assertEqual(sum(len(each.begun) for each in self.restarters), 0)
        self.assertEqual(self.field("order"), None)

    def test_withoutOrder(self) -> None:
        """A run without an order ends `failed`."""
        self.run = self.startRun(b"x", order=None)
        streamLog, _ = self.follow(1)
        self.kill(0)
        self.pump.until(lambda: streamLog.state is State.FAILED)

    def test_noRoom(self) -> None:
        """While no process has room the run waits, even for a process that comes later."""
        for each in self.restarters:
            each.room = False
        streamLog, _ = self.follow(1)
        self.kill(0)
        self.pump.run(3.0)
        self.assertIs(streamLog.state, State.OPEN)
        self.kill(1)
        self.kill(2)
        late = self.addStore()
        self.pump.until(lambda: self.restarters[3].begun)
        self.assertEqual(late.session.takeover.names, set())

    def test_unwanted(self) -> None:
        """A process without the option ends the run."""
        for store in self.stores:
            store.takeover.restarter = None
        streamLog, _ = self.follow(1)
        self.kill(0)
        self.pump.until(lambda: streamLog.state is State.FAILED)

    def test_cancelled(self) -> None:
        """A cancel at any process ends the run that was begun anew, and tells its process."""
        self.kill(0)
        number = self.awaitBegun()
        self.assertTrue(self.pump.result(self.stores[3 - number].end(self.run.name, packCancelled(Reason.ASKED))))
        self.pump.until(lambda: self.ended)
        self.assertIs(self.ended[0].state, State.CANCELLED)
        self.assertEqual(self.ended[0].last, 4)

    def test_cancelledBeforeReply(self) -> None:
        """A cancel is not missed while entries are on their way that Redis has stored before."""
        client, held = self.stores[0].client, []
        asked = client.run

        def hold(script: Script, *arguments: Any) -> Any:
            """Hold the answer of an append back."""
            if script is not APPEND:
                return asked(script, *arguments)
            answered: Deferred[Any] = Deferred()
            asked(script, *arguments).addBoth(lambda reply: held.append(lambda: answered.callback(reply)))
            return answered

        self.patch(client, "run", hold)
        self.run.append(Kind.TOKEN, b"c")
        self.pump.until(lambda: held)
        self.patch(client, "run", asked)
        self.pump.result(self.stores[1].end(self.run.name, packCancelled(Reason.ASKED)))
        self.pump.run(0.5)
        for answer in held:
            answer()
        self.pump.until(lambda: self.ended)
        self.assertIs(self.run.state, State.CANCELLED)

    def test_cancelledMeanwhile(self) -> None:
        """A cancel between the takeover and the restart is not missed."""
        for change in (
            lambda: self.stores[2].end(self.run.name, packCancelled(Reason.ASKED)),
            lambda: self.stores[2].delete(self.run.name),
        ):
            self.run = self.startRun(b"a")
            self.restarters[2].room = False
            taking = self.stores[1].session.takeover.take(self.run.name, self.stores[0].session.node.id)
            changing: Deferred[Any] = change()
            self.assertIs(self.pump.result(taking), True)
            self.pump.result(changing)
            self.pump.until(lambda: not self.stores[1].session.takeover.names)
            self.pump.run(0.5)
            begun = [streamLog for streamLog, _ in self.restarters[1].begun]
            self.assertIn(begun, ([], self.ended))
            self.ended.clear()
            self.restarters[1].begun.clear()

    def test_lostOrder(self) -> None:
        """An order is kept later if the connection is lost; not one of a run that has ended meanwhile."""
        self.patch(patientscript, "PAUSE", 0.01)
        lost = fail(Disconnected("The connection to the store was lost."))
        for ends in (False, True):
            self.run = self.startRun(b"a", order=None)
            with patch.object(self.stores[0].client, "run", lambda *_: lost):
                self.successResultOf(self.stores[0].takeover.keep(self.run, ORDER))
            if ends:
                self.run.append(*packDone("stop", 1))
                self.pump.until(lambda: self.run.state is State.DONE)
                self.pump.run(0.2)
            else:
                self.pump.until(lambda: self.field("order"))
            self.assertEqual(self.field("order"), None if ends else ORDER)

    def test_order(self) -> None:
        """Only the owner of an open run keeps an order for it."""
        self.stores[1].takeover.keep(self.follow(1)[0], b"other")
        self.pump.run(0.2)
        self.assertEqual(self.field("order"), ORDER)


class ReturnTests(TakeoverCase):
    """The old owner was only stopped for long, and returns."""

    limit = 2

    def takeOver(self) -> Any:
        """Let the second store take the run from the first, which lives; return the log there."""
        owner = self.stores[0].session.node.id
        self.assertIs(self.pump.result(self.stores[1].session.takeover.take(self.run.name, owner)), True)
        self.pump.until(lambda: self.restarters[1].begun)
        return self.restarters[1].begun[0][0]

    def test_refused(self) -> None:
        """It is refused, and its run stops. Its viewers see what the new owner writes, and nothing else."""
        viewer = RecordingViewer(self.run)
        self.run.follow(viewer, NoFormat())
        there = self.takeOver()
        self.run.append(Kind.TOKEN, b"lost")
        stored = self.run.awaitStored()
        self.assertRaises(StoreUnavailable, self.pump.result, stored)
        self.assertEqual(self.ended, [self.run])
        self.assertFalse(self.run.sealed)
        there.append(Kind.TOKEN, b"A")
        there.append(*packDone("stop", 1))
        self.pump.until(lambda: self.run.state is State.DONE)
        self.assertEqual(self.run.buffer.entries, there.buffer.entries)
        self.assertEqual(self.run.buffer.entries[3:], [b"A", packDone("stop", 1).data])

    def test_ended(self) -> None:
        """An end that it had not stored does not count."""
        there = self.takeOver()
        self.run.append(*packDone("stop", 2))
        self.pump.until(lambda: self.run.last == 3)
        self.assertIs(self.run.state, State.OPEN)
        there.append(*packDone("stop", 0))
        self.pump.until(lambda: self.run.state is State.DONE)

    def test_again(self) -> None:
        """It may take the same run later."""
        there = self.takeOver()
        self.run.append(Kind.TOKEN, b"lost")
        self.pump.until(lambda: self.run.last == 3)
        owner = self.stores[1].session.node.id
        self.assertIs(self.pump.result(self.stores[0].session.takeover.take(self.run.name, owner)), True)
        self.pump.until(lambda: self.restarters[0].begun)
        self.assertIs(self.restarters[0].begun[0][0], self.run)
        self.run.append(Kind.TOKEN, b"again")
        self.pump.until(lambda: self.run.last == 5)
        there.append(Kind.TOKEN, b"lost")
        self.pump.until(lambda: there.last == 5)
        self.assertEqual(there.buffer.entries, self.run.buffer.entries)
        self.assertEqual(self.ended, [self.run, there])

    def test_twice(self) -> None:
        """Of two processes that want a run one gets it; the other one leaves it alone."""
        owner = self.stores[0].session.node.id
        taking = [self.stores[number].session.takeover.take(self.run.name, owner) for number in (1, 2)]
        self.assertEqual([self.pump.result(each) for each in taking], [True, True])
        self.pump.until(lambda: self.restarters[1].begun or self.restarters[2].begun)
        self.pump.run(2 * RETRY)
        self.assertEqual(len(self.restarters[1].begun) + len(self.restarters[2].begun), 1)
        self.assertEqual(self.field("restarts"), b"1")

    def test_readAgain(self) -> None:
        """A process takes a run whose log it is just reading again."""
        self.follow(1)
        self.stores[1].session.follower.noteDropped(Layout().locate(self.run.name).tail)
        there = self.takeOver()
        self.assertEqual(there.buffer.entries, [b"a", b"b", packRestart(1).data])
        there.append(Kind.TOKEN, b"A")
        self.pump.until(lambda: there.last == 4)

    def test_lostByRedis(self) -> None:
        """If Redis loses the takeover, and the old owner goes on, it uses no event ID that the new one has used."""
        place = Layout().locate(self.run.name)
        dumps = [(key, self.server.call("DUMP", key)) for key in (place.stream, place.entries, place.runs)]
        there = self.takeOver()
        there.append(Kind.TOKEN, b"A")
        self.pump.until(lambda: there.last == 4)
        epoch = there.epoch
        # A replica becomes the master.
        for key, dump in dumps:
            self.server.call("RESTORE", key, 0, dump, "REPLACE")
        self.server.call("SET", place.generation, "that of another server")
        self.run.append(Kind.TOKEN, b"c")
        self.run.append(Kind.TOKEN, b"d")
        self.pump.until(lambda: self.run.last == 4)
        there.append(Kind.TOKEN, b"B")
        self.pump.until(lambda: self.ended == [there])
        found = self.pump.result(self.stores[1].find(self.run.name))
        self.assertEqual(found.buffer.entries, [b"a", b"b", b"c", b"d"])
        self.assertEqual(found.locate(f"{self.run.epoch}-4"), 4)
        self.assertRaises(GapError, found.locate, f"{epoch}-4")

    def test_taken(self) -> None:
        """A process does not begin a run whose takeover Redis has lost."""
        place, finding = Layout().locate(self.run.name), self.stores[1].session.opener
        dumps = [(key, self.server.call("DUMP", key)) for key in (place.stream, place.entries, place.runs)]
        find, self.stores[1].session.opener.find = finding.find, lambda _: fail(StoreUnavailable("Not now."))
        owner = self.stores[0].session.node.id
        self.assertIs(self.pump.result(self.stores[1].session.takeover.take(self.run.name, owner)), True)
        for key, dump in dumps:
            self.server.call("RESTORE", key, 0, dump, "REPLACE")
        self.stores[1].session.opener.find = find
        self.run.append(Kind.TOKEN, b"c")
        self.run.append(*packDone("stop", 3))
        self.pump.until(lambda: self.run.state is State.DONE)
        self.pump.until(lambda: not self.stores[1].session.takeover.names)
        self.assertEqual((self.restarters[1].begun, self.ended), ([], []))

    def test_lostAnswer(self) -> None:
        """A run ends whose new owner has not learned that it is: the answer was lost."""
        streamLog, _ = self.follow(2)
        shards = self.stores[1].session.shards
        asked = shards.run

        def lose(*arguments: Any) -> Any:
            """Lose the next answer."""
            self.patch(shards, "run", asked)
            return asked(*arguments).addCallback(lambda _: fail(Disconnected("The connection to the store was lost.")))

        self.patch(shards, "run", lose)
        self.restarters[2].room = False
        self.kill(0)
        self.pump.until(lambda: streamLog.state is State.FAILED)
        self.assertEqual(streamLog.buffer.kind(3), Kind.RESTART)
