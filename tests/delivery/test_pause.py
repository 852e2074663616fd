"""
Tests of `sseserver.delivery.producer`: viewers whose transport is full.
"""

from __future__ import annotations

from typing import Any

from twisted.protocols.policies import WrappingFactory

from sseserver.delivery.readings import READ_BYTES
from sseserver.formats import OpenAIFormat
from sseserver.streams.followed import FLUSH_TICK
from sseserver.streams.ids import makeEpoch
from sseserver.streams.log import StreamLog
from sseserver.values import Kind
from tests.delivery.cases import HEARTBEAT, LARGE, SLOT, ProducerTestCase
from tests.wires import soon


class PauseTests(ProducerTestCase):
    """A viewer whose transport is full."""

    def test_pausedProducerKeepsItsPlace(self) -> None:
        """A paused producer keeps its place; resumed, it joins the entries that came meanwhile."""
        wire = self.pausedViewer()
        producer = self.producers[0]
        written = producer.written
        self.append("a", "b", "c")
        self.assertEqual((producer.cursor, producer.written), (1, written))
        wire.take()
        self.assertEqual(wire.response.events[1:], [self.token(1, LARGE), self.token(4, "abc")])
        self.append("d", "e")
        self.assertEqual(wire.response.events[3:], [self.token(5, "d"), self.token(6, "e")])

    def test_retiredAfterTheEnd(self) -> None:
        """
        A viewer whose transport still holds the end of the stream is not told to return when the server stops: nothing
        follows the end. Seed 16986 of the simulation found it.
        """
        self.form = OpenAIFormat("parrot")
        self.append("x" * 60_000, "x" * 60_000)
        wire = self.follow(room=0)
        producer = self.producers[0]
        self.append("y" * 60_000)
        wire.take()
        self.after["write"] = producer.pauseProducing
        self.end()
        self.assertEqual(producer.cursor, self.streamLog.last)
        producer.retire(1000)
        self.after.clear()
        wire.take()
        self.assertEqual(wire.response.events[-1].data, "[DONE]")

    def test_pauseInsideAWrite(self) -> None:
        """
        A viewer that takes nothing is sent what its transport queues and one more read, not the
        whole log.
        """
        text = [f"{number:06}," * 150 for number in range(4000)]
        for token in text:
            self.streamLog.append(Kind.TOKEN, token.encode())
        wire = self.follow(room=0)
        self.assertLess(self.producers[0].written, 2 * READ_BYTES + 65536)
        self.assertLess(self.producers[0].cursor, 4000)
        for _ in soon(lambda: self.producers[0].cursor == 4000):
            wire.take(50_000)
            self.assertLess(self.producers[0].written - len(wire.response.body), 2 * READ_BYTES + 65536)
        wire.take()
        self.assertEqual("".join(wire.response.texts), "".join(text))

    def test_pauseAtTheFirstWrite(self) -> None:
        """A transport that is full from the first write pauses the producer before it reads."""
        self.append("a")
        self.after["write"] = lambda: self.producers[0].pauseProducing()
        self.follow()
        self.assertEqual(self.producers[0].cursor, 0)
        self.after.clear()
        self.producers[0].resumeProducing()
        self.reactor.turn()
        self.assertEqual(self.wires[0].response.texts, ["a"])

    def test_pauseAndResumeAgainAndAgain(self) -> None:
        """Only the first of several pauses counts, and only the first resumption after it."""
        wire = self.follow()
        producer = self.producers[0]
        for _ in range(3):
            producer.pauseProducing()
        self.append("a", "b")
        self.assertEqual(wire.response.texts, [])
        producer.resumeProducing()
        self.append("c", "d")
        producer.resumeProducing()
        self.append("e")
        self.assertEqual(wire.response.texts, ["ab", "c", "d", "e"])

    def test_resumeWithoutAPause(self) -> None:
        """
        A resumption without a pause changes nothing: tokens that come together are not joined.
        """
        wire = self.follow()
        for token in (b"a", b"b", b"c"):
            self.streamLog.append(Kind.TOKEN, token)
        self.reactor.turn()
        self.assertEqual(wire.response.texts, ["a"])
        self.producers[0].resumeProducing()
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(wire.response.texts, ["a", "b", "c"])

    def test_readingPausesToo(self) -> None:
        """While the viewer takes nothing its requests are not read, and take no memory."""
        wire = self.pausedViewer()
        wire.send(b"x" * 300_000)
        self.assertEqual(wire.unread, 300_000)
        self.assertEqual(self.reactor.getReaders(), [])
        wire.take()
        self.assertLess(wire.unread, 300_000)
        # It has read enough and is paused again, so that only the next write finds out that the
        # client is gone.
        wire.breakDown()
        self.reactor.run(HEARTBEAT + SLOT)
        self.assertEqual(self.ended, self.producers)

    def test_F23_eachReasonToStopReadingHolds(self) -> None:
        """F23: a channel that has enough input reads no more when its viewer is resumed, as often as that happens."""
        wire = self.follow()
        wire.send(b"x" * 100_000)
        unread = wire.unread
        self.assertGreater(unread, 0)
        for _ in range(5):
            wire.stall()
            self.append(LARGE)
            self.assertTrue(self.producers[0].isPaused)
            wire.take()
            self.assertFalse(self.producers[0].isPaused)
            wire.send(b"x" * 65_536)
            unread += 65_536
            self.assertEqual(wire.unread, unread)
        self.end()
        self.assertEqual(self.producers[0].reason, "complete")

    def test_readingGoesOn(self) -> None:
        """After a pause, a client that closes is noticed at once."""
        wire = self.pausedViewer()
        wire.take()
        wire.close()
        self.assertEqual(self.ended, self.producers)

    def test_resetWhilePaused(self) -> None:
        """A connection that breaks during a pause is noticed at the transport's next write."""
        wire = self.pausedViewer()
        wire.breakDown()
        self.reactor.turn()
        self.assertEqual([producer.reason for producer in self.ended], ["left"])

    def test_gapWhileSlow(self) -> None:
        """A viewer whose entries were trimmed during its pause is told how many it missed."""
        self.streamLog = StreamLog("name", makeEpoch(), self.flush, 200_000)
        wire = self.pausedViewer()
        self.append(*[letter * 1000 for letter in "abcdefghijklmnopqrstuvwxyz" * 8])
        first = self.streamLog.buffer.first
        self.assertGreater(first, 2)
        wire.take()
        _, large, gap, *rest = wire.response.events
        self.assertEqual(large, self.token(1, LARGE))
        self.assertEqual((gap.type, gap.id), ("gap", self.entry(first - 1)))
        self.assertIn(f'"after":"{self.entry(1)}"', gap.data)
        self.assertIn(f'"missed":{first - 2},"reason":"trimmed"', gap.data)
        self.assertEqual("".join(event.data for event in rest), b"".join(self.streamLog.buffer.entries).decode())
        self.assertEqual(rest[-1].id, self.entry(209))

    def test_pausedViewerHoldsUpNobody(self) -> None:
        """Other viewers of the same log get their tokens meanwhile."""
        slow, fast = self.follow(), self.follow()
        slow.stall()
        self.append(LARGE, "a", "b")
        self.assertEqual(fast.response.texts, [LARGE, "a", "b"])
        slow.take()
        self.assertEqual(slow.response.texts, [LARGE, "ab"])

    def test_endWhilePaused(self) -> None:
        """A paused viewer gets the end of the stream; its response ends after it."""
        wire = self.pausedViewer()
        self.end()
        self.assertEqual(self.ended, [])
        wire.take()
        self.assertEqual(wire.response.types, ["stream", "message", "done"])
        self.assertTrue(wire.response.complete)

    def test_noTransportOfItsOwn(self) -> None:
        """A request without a transport, as on HTTP/2, is paused and resumed too."""
        wire = self.follow()
        self.spies[0].request.transport = None
        self.producers[0].pauseProducing()
        self.append("a", "b")
        self.producers[0].resumeProducing()
        self.reactor.turn()
        self.assertEqual(wire.response.texts, ["ab"])


class QueuedPauseTests(PauseTests):
    """The same on a transport whose queue cannot be bypassed."""

    def makeFactory(self) -> Any:
        return WrappingFactory(super().makeFactory())
