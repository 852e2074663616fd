"""
Named cases that the run in Jepsen's manner has found (`tests.reliability`).

Tests of `sseserver.stores.redis.owners` and `sseserver.stores.redis.patientscript`.
"""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred, fail

from sseserver.errors import GapError, KeyReused, StoreUnavailable, StreamNotFound
from sseserver.interfaces import IStreamLog, KeyedStream
from sseserver.stores.redis import directory, patientscript, writer
from sseserver.stores.redis.connection import Disconnected
from sseserver.stores.redis.keyscripts import BIND
from sseserver.stores.redis.layout import SHARDS, Layout
from sseserver.stores.redis.nodescripts import FORGET
from sseserver.stores.redis.owners import LOOK
from sseserver.stores.redis.script import Script
from sseserver.stores.redis.scripts import APPEND
from sseserver.stores.redis.sweeper import SWEEP
from sseserver.streams.terminal import INTERRUPTED, packDone
from sseserver.values import Kind, NewEntry, Reason, State
from tests.stores.redis.test_processes import ProcessCase


class BehindTests(ProcessCase):
    """A viewer has read more at another process than this one knows."""

    def setUp(self) -> None:
        super().setUp()
        self.log = self.pump.result(self.first.create("a", True))
        self.publish(b"1")
        self.behind = self.pump.result(self.second.find("a"))
        self.held: list[tuple[bytes, bytes]] = []
        self.receive = self.second.client.onMessage
        self.second.client.onMessage = lambda *message: self.held.append(message)
        self.publish(b"2")
        self.pump.until(lambda: self.held)
        self.assertEqual((self.log.last, self.behind.last), (2, 1))

    def publish(self, data: bytes) -> None:
        """Publish one token at the first process."""
        self.pump.result(self.first.publish("a", [NewEntry(Kind.TOKEN, data)], False))

    def test_waits(self) -> None:
        """A viewer that returns to a process that is behind waits until it is not; no entry is taken for lost."""
        found = self.second.findFor("a", f"{self.log.epoch}-2")
        self.pump.run(0.1)
        self.assertNoResult(found)
        for message in self.held:
            self.receive(*message)
        self.assertIs(self.pump.result(found), self.behind)
        self.assertEqual(self.behind.locate(f"{self.log.epoch}-2"), 2)

    def test_caughtUp(self) -> None:
        """A viewer that knows no more than the process is served at once; an ID of another stream does not wait."""
        self.assertIs(self.successResultOf(self.second.findFor("a", f"{self.log.epoch}-1")), self.behind)
        for message in self.held:
            self.receive(*message)
        self.assertIs(self.pump.result(self.second.findFor("a", f"{'x' * 22}-1")), self.behind)

    def test_away(self) -> None:
        """Without Redis the viewer is told to return later, not that it has lost something."""
        self.second.client.stop()
        self.pump.until(lambda: not self.second.client.up)
        self.assertIsInstance(
            self.failureResultOf(self.second.findFor("a", f"{self.log.epoch}-2")).value, StoreUnavailable
        )
        self.assertIs(self.successResultOf(self.second.findFor("a", f"{self.log.epoch}-1")), self.behind)

    def test_newEpoch(self) -> None:
        """A process that is behind when the stream gets a new epoch knows how far both are the same."""
        stream, before = self.second.session.table.find("a"), self.log.epoch
        assert stream is not None
        self.assertTrue(self.second.session.follower.keepsEpoch(stream, "F" * 22, {before: 2}))
        self.assertEqual((self.behind.last, self.behind.earlier), (1, {before: 2}))
        self.assertEqual(self.behind.locate(f"{before}-1"), 1)
        # The process has to get the entry first: see `findFor`.
        self.assertRaises(GapError, self.behind.locate, f"{before}-2")

    def test_own(self) -> None:
        """The process of a run waits for its own reply when others have seen more of the run."""
        run = self.pump.result(self.first.create(None, False))
        run.append(Kind.TOKEN, b"1")
        found = self.first.findFor(run.name, f"{run.epoch}-1")
        self.pump.result(found)
        self.assertEqual(run.last, 1)


class KeyTests(ProcessCase):
    """The connection is lost while a key is being stored."""

    def test_bound(self) -> None:
        """The key is stored later. Its request had started a second run."""
        here, there = (store.makeDirectory("starts") for store in self.stores)
        self.patch(patientscript, "PAUSE", 0.01)
        self.assertIsNone(self.pump.result(here.claim("k", b"d")))
        stream, client = KeyedStream("name", "epoch"), self.first.client
        with patch.object(client, "run", lambda *_: fail(Disconnected("It is lost."))):
            self.failureResultOf(here.bind("k", stream), StoreUnavailable)
        self.assertEqual(self.pump.result(there.claim("k", b"d")), stream)
        with self.assertRaises(KeyReused):
            self.pump.result(there.claim("k", b"other"))

    def test_late(self) -> None:
        """A key whose claim is over is stored when the Redis is back, with the digest of its request."""
        here, there = (store.makeDirectory("starts") for store in self.stores)
        self.patch(patientscript, "PAUSE", 0.01)
        self.assertIsNone(self.pump.result(here.claim("k", b"d")))
        stream, client = KeyedStream("name", "epoch"), self.first.client
        with patch.object(client, "run", lambda *_: fail(Disconnected("It is lost."))):
            self.failureResultOf(here.bind("k", stream), StoreUnavailable)
            self.server.command("DEL", Layout().nameKey("starts", "k"))
        self.pump.until(lambda: self.server.call("EXISTS", Layout().nameKey("starts", "k")))
        self.assertEqual(self.pump.result(there.claim("k", b"d")), stream)
        with self.assertRaises(KeyReused):
            self.pump.result(there.claim("k", b"other"))

    def test_dropped(self) -> None:
        """A key that could not be stored is not tried again when its stream is gone."""
        here = self.stores[0].makeDirectory("starts")
        self.patch(patientscript, "PAUSE", 0.01)
        attempts: list[object] = []

        def lose(script: object, *_: object) -> Deferred[Any]:
            """Lose the connection."""
            attempts.extend([script] if script is BIND else [])
            return fail(Disconnected("It is lost."))

        with patch.object(self.first.client, "run", lose):
            self.failureResultOf(here.bind("k", KeyedStream("name", "epoch")), StoreUnavailable)
            self.pump.until(lambda: len(attempts) > 2)
            here.forget("epoch")
            self.pump.run(0.5)
            count = len(attempts)
            self.pump.run(0.5)
        self.assertEqual(len(attempts), count)

    def test_taken(self) -> None:
        """A key that another process has claimed meanwhile is left alone."""
        here, there = (store.makeDirectory("starts") for store in self.stores)
        self.patch(patientscript, "PAUSE", 0.01)
        self.assertIsNone(self.pump.result(here.claim("k", b"d")))
        place = Layout().nameKey("starts", "k")
        self.server.command("DEL", place)
        self.assertIsNone(self.pump.result(there.claim("k", b"d")))
        again = ("name", "epoch", self.first.session.node.id, directory.BOUND_TIME, 1, "")
        self.assertEqual(self.pump.result(self.first.client.run(BIND, [place], again)), 0)
        with self.assertRaises(StreamNotFound):
            self.pump.result(there.find("k"))


class LeaseTests(ProcessCase):
    """A node comes back while another one ends its runs."""

    def test_forgotten(self) -> None:
        """A node that has renewed its lease meanwhile is not forgotten: nobody would end its next runs."""
        client, nodes = self.first.client, Layout().nodes
        for score, kept in (("inf", 1), ("1", 0)):
            self.pump.result(client.ask("ZADD", nodes, score, "n"))
            self.pump.result(client.run(FORGET, [nodes], ("n",)))
            self.assertEqual(self.pump.result(client.ask("ZCARD", nodes)), 2 + kept)

    def test_ownerWithoutLease(self) -> None:
        """A run ends whose owner was forgotten before it made the run, and has died since."""
        run = self.startRun(b"1")
        self.first.client.stop()
        self.server.command("ZREM", Layout().nodes, self.first.session.node.id)
        # Each sweep looks at a part of the shards.
        self.pump.clock.pump([SWEEP] * (SHARDS // LOOK))
        place = Layout().locate(run.name)
        self.pump.until(lambda: b"failed" in self.server.command("HGET", place.stream, "state"))
        self.assertIn(b'"interrupted"', self.pump.result(self.second.find(run.name)).buffer.entries[-1])


class PartlyTests(ProcessCase):
    """Redis has lost entries of a run, whose owner appends them again."""

    def test_partly(self) -> None:
        """If the owner dies before it has appended all of them, the run ends with a new epoch."""
        run = self.startRun(*[b"%d" % number for number in range(60)])
        place, client, sent = Layout().locate(run.name), self.first.client, []
        # A server that has taken over has the first entry only.
        self.server.command("DEL", place.entries)
        self.server.command("XADD", place.entries, "1-0", "kind", "0", "data", "0")
        self.server.command("HSET", place.stream, "last", "1", "size", "1", "tokens", "1")
        self.patch(writer, "GROUP_ENTRIES", 20)
        append = client.run

        def send(script: Script, *arguments: Any) -> Deferred[Any]:
            """Send a command, unless it is the third group: the owner has died."""
            sent.extend([script] * (script is APPEND))
            return append(script, *arguments) if len(sent) < 3 else Deferred()

        client.run = send  # type: ignore[method-assign]
        run.append(Kind.TOKEN, b"60")
        self.pump.until(lambda: len(sent) == 3)
        self.pump.result(self.second.end(run.name, INTERRUPTED))
        found = self.pump.result(self.second.find(run.name))
        self.assertEqual((found.last, found.state), (22, State.FAILED))
        self.assertEqual(found.locate(f"{run.epoch}-21"), 21)
        self.assertRaises(GapError, found.locate, f"{run.epoch}-22")


class ClosedTests(ProcessCase):
    """Redis has lost the end of a published stream, which was answered."""

    def test_again(self) -> None:
        """The stream is open again. Its publisher closes it once more with the same key, which adds nothing else."""
        place, token = Layout().locate("a"), [NewEntry(Kind.TOKEN, b"1")]
        before = self.pump.result(self.first.create("a", True)).epoch
        self.pump.result(self.first.publish("a", token, False, "1"))
        dumps = [(key, self.server.call("DUMP", key)) for key in (place.stream, place.entries, place.keys)]
        self.pump.result(self.first.publish("a", [], True, "end"))
        # A replica becomes the master.
        for key, dump in dumps:
            self.server.call("RESTORE", key, 0, dump, "REPLACE")
        self.server.call("SET", place.generation, "that of another server")
        self.assertIs(self.pump.result(self.second.find("a")).state, State.OPEN)
        self.assertTrue(self.pump.result(self.second.publish("a", token, False, "1")).repeated)
        for repeated in (False, True):
            self.assertIs(self.pump.result(self.second.publish("a", [], True, "end")).repeated, repeated)
        found = self.pump.result(self.second.find("a"))
        self.assertEqual((found.state, found.last), (State.DONE, 2))
        self.assertNotEqual(found.epoch, before)
        self.assertEqual(found.locate(f"{before}-1"), 1)
        self.assertRaises(GapError, found.locate, f"{before}-2")


class EndedTests(ProcessCase):
    """Another process has ended a run, whose own end is not stored yet."""

    def setUp(self) -> None:
        super().setUp()
        self.ended: list[IStreamLog] = []
        self.first.onEnded = self.ended.append
        self.run = self.startRun(b"1", b"2")
        self.epoch = self.run.epoch

    def endElsewhere(self) -> None:
        """Let another process end the run; the process of the run does not hear of it."""
        self.first.client.onMessage = max
        self.pump.result(self.second.end(self.run.name, INTERRUPTED))

    def test_newEpoch(self) -> None:
        """The viewers of a run that was ended with a new epoch get that end. It had waited for ever."""
        before = self.run.epoch
        self.endElsewhere()
        done = packDone(Reason.STOP, 2)
        self.run.append(done.kind, done.data)
        self.pump.until(lambda: self.run.state is State.FAILED)
        self.assertNotEqual(self.run.epoch, before)
        self.assertEqual((self.run.last, self.run.earlier), (3, {before: 2}))
        self.assertEqual(self.ended, [self.run])

    def test_deleted(self) -> None:
        """The viewers of a run that was deleted get an end, though the run had written another one."""
        self.first.client.onMessage = max
        self.pump.result(self.second.delete(self.run.name))
        done = packDone(Reason.STOP, 2)
        self.run.append(done.kind, done.data)
        stored = self.run.awaitStored()
        self.pump.until(lambda: self.run.state is not State.OPEN)
        self.assertIs(self.run.state, State.CANCELLED)
        self.assertEqual(self.run.earlier, {self.epoch: 2})
        self.failureResultOf(stored, StoreUnavailable)


class ForeignTests(ProcessCase):
    """A foreign hand changes the entries of a stream."""

    def publish(self, count: int, close: bool = False) -> None:
        """Publish tokens into the stream `a`."""
        entries = [NewEntry(Kind.TOKEN, b"%d" % number) for number in range(count)]
        self.pump.result(self.first.publish("a", entries, close))

    def change(self, *words: str) -> None:
        """Send a command for the entries of the stream `a`."""
        place = Layout().locate("a")
        self.server.command(words[0], place.entries.decode(), *words[1:])

    def test_trimmed(self) -> None:
        """Entries that were trimmed are a gap for viewers that lack them, also after the end."""
        log = self.pump.result(self.first.create("a", True))
        self.publish(9, close=True)
        self.change("XTRIM", "MAXLEN", "3")
        found = self.pump.result(self.second.find("a"))
        self.assertEqual((found.buffer.first, found.last, found.state), (8, 10, State.DONE))
        self.assertEqual(found.locate(f"{log.epoch}-8"), 8)

    def test_end(self) -> None:
        """Viewers get the end of a stream whose entries were deleted, the same as before. They had waited for ever."""
        log = self.pump.result(self.first.create("a", True))
        self.publish(3, close=True)
        end = packDone(Reason.STOP, 3)
        for words, first in ((("XDEL", "4-0"), 1), (("XDEL", "2-0"), 3), (("DEL",), 4)):
            self.change(*words)
            found = self.pump.result(self.second.find("a"))
            self.assertEqual((found.buffer.first, found.last, found.epoch), (first, 4, log.epoch))
            self.assertEqual((found.state, found.buffer.entries[-1]), (State.DONE, end.data))
            self.pump.result(self.second.find("a"))
            self.second.shed(True)

    def test_hole(self) -> None:
        """An open stream with a hole goes on after it, and one whose last entry is gone with the next one."""
        self.pump.result(self.first.create("a", True))
        self.publish(5)
        for number, first in ((3, 4), (5, 6)):
            self.change("XDEL", f"{number}-0")
            found = self.pump.result(self.second.find("a"))
            self.assertEqual((found.buffer.first, found.last), (first, 5))
            self.second.shed(True)

    def test_run(self) -> None:
        """The viewers of a run that another process has ended get its end if the entries before were deleted."""
        run, taken = self.startRun(b"1"), []
        self.first.onEnded = taken.append
        self.first.client.onMessage = max
        place = Layout().locate(run.name)
        self.server.command("HINCRBY", place.stream, "last", "1")
        self.server.command("XADD", place.entries, "2-0", "kind", "0", "data", "x")
        self.pump.result(self.second.end(run.name, INTERRUPTED))
        self.server.command("DEL", place.entries)
        run.append(Kind.TOKEN, b"2")
        self.pump.until(lambda: taken)
        self.assertIsNot(run.state, State.OPEN)
        found = self.pump.result(self.first.find(run.name))
        self.assertEqual((found.buffer.first, found.last, found.state), (3, 3, State.FAILED))

    def test_deleted(self) -> None:
        """A stream without its entries goes on with the next one."""
        self.pump.result(self.first.create("a", True))
        self.publish(3)
        self.change("DEL")
        found = self.pump.result(self.second.find("a"))
        self.assertEqual((found.buffer.first, found.last), (4, 3))
        self.publish(1)
        self.pump.until(lambda: found.last == 4)
