"""
Tests of the read-ahead of a run: how it pauses and resumes its source.
"""

from __future__ import annotations

import gc
import weakref

from sseserver.errors import SourceError
from sseserver.interfaces import ITokenSink
from sseserver.service.service import Settings
from sseserver.sources.function import FunctionSource
from sseserver.sources.text import BATCH, packWords
from sseserver.streams.followed import FLUSH_TICK
from sseserver.values import Prompt, State
from tests.fakes import RecordingProducer
from tests.service.cases import LARGE, ServiceTestCase
from tests.wires import soon


class ReadAheadTests(ServiceTestCase):
    """How far a run gets ahead of its viewers."""

    readAhead = 256 * 1024

    settings = Settings(readAhead=readAhead, linger=1000, heartbeat=1000)

    def setUp(self) -> None:
        super().setUp()
        self.streamLog = self.startLog()
        self.producer = RecordingProducer()
        self.sink = self.source.run.sink
        self.sink.registerProducer(self.producer, True)

    def fill(self, size: int) -> None:
        """Let the run write this many bytes, costs included, in flush ticks of 16 KiB."""
        for _ in range(size // (16 * 1024)):
            self.sink.write(LARGE)
            self.reactor.advance(FLUSH_TICK)

    def test_nobodyReads(self) -> None:
        """
        A run without viewers is paused once, when it is ahead of its start by the read-ahead. It
        resumes when a viewer comes.
        """
        self.fill(self.readAhead)
        self.assertEqual(self.producer.told, [])
        self.fill(64 * 1024)
        self.assertEqual(self.producer.told, ["pause"])
        self.fill(128 * 1024)
        self.assertEqual(self.producer.told, ["pause"])
        self.watch(self.streamLog)
        self.assertEqual(self.producer.told, ["pause", "resume"])

    def test_manyTokens(self) -> None:
        """#16: a run pauses after tokens that are written at once, also if other entries came before them."""
        self.sink.write("first")
        (batch,) = packWords(["ab"] * BATCH)
        for _ in soon(lambda: self.producer.told):
            self.sink.writeTokens(batch)
        self.assertEqual(self.producer.told, ["pause"])
        self.assertLess(self.streamLog.measureAhead(), self.readAhead + 2048)

    def test_slowViewer(self) -> None:
        """
        A viewer that reads nothing pauses the run. The run resumes when the viewer has read half of
        the read-ahead, not before.
        """
        wire = self.watch(self.streamLog)
        wire.stall()
        self.fill(512 * 1024)
        self.assertEqual(self.producer.told, ["pause"])
        for _ in soon(lambda: "resume" in self.producer.told, 1000):
            self.assertGreater(self.streamLog.measureAhead(), self.readAhead // 2)
            wire.take(16 * 1024)
        self.assertEqual(self.producer.told, ["pause", "resume"])
        self.assertLessEqual(self.streamLog.measureAhead(), self.readAhead // 2)
        wire.take()
        self.fill(1024 * 1024)
        self.assertEqual(self.producer.told, ["pause", "resume"])
        self.assertEqual("".join(wire.response.texts), self.text(self.streamLog))

    def test_fastestCounts(self) -> None:
        """
        A slow viewer beside a fast one does not pause the run. When the fast one has left, the
        place of the slow one counts.
        """
        slow, fast = self.watch(self.streamLog), self.watch(self.streamLog)
        slow.stall()
        self.fill(1024 * 1024)
        self.assertEqual(self.producer.told, [])
        fast.close()
        self.fill(64 * 1024)
        self.assertEqual(self.producer.told, ["pause"])
        slow.take()
        self.assertEqual(self.producer.told, ["pause", "resume"])

    def test_placeOfTheLastViewer(self) -> None:
        """Without viewers, the place of the last one counts."""
        wire = self.watch(self.streamLog)
        self.fill(1024 * 1024)
        wire.close()
        self.fill(self.readAhead)
        self.assertEqual(self.producer.told, [])
        self.fill(64 * 1024)
        self.assertEqual(self.producer.told, ["pause"])

    def test_lostViewerOfAPausedRun(self) -> None:
        """A paused run whose slow viewer has left resumes when another viewer comes."""
        slow = self.watch(self.streamLog)
        slow.stall()
        self.fill(512 * 1024)
        slow.breakDown()
        self.reactor.turn()
        self.assertEqual(self.streamLog.viewers, 0)
        wire = self.watch(self.streamLog)
        self.assertEqual(self.producer.told, ["pause", "resume"])
        self.assertEqual("".join(wire.response.texts), self.text(self.streamLog))

    def test_ready(self) -> None:
        """
        `ready` fires at once while the run is not paused, otherwise when it resumes, for all who
        await it.
        """
        self.successResultOf(self.sink.ready())
        self.fill(512 * 1024)
        waiting = [self.sink.ready(), self.sink.ready()]
        for deferred in waiting:
            self.assertNoResult(deferred)
        self.watch(self.streamLog)
        for deferred in waiting:
            self.assertIsNone(self.successResultOf(deferred))
        self.successResultOf(self.sink.ready())

    def test_readyAtTheEnd(self) -> None:
        """`ready` of a paused run fires when the run ends."""
        self.fill(512 * 1024)
        waiting = self.sink.ready()
        self.successResultOf(self.service.cancel(self.streamLog.name))
        self.successResultOf(waiting)
        self.successResultOf(self.sink.ready())
        self.assertEqual(self.producer.told, ["pause", "stop"])

    def test_readyThatNobodyWaitsFor(self) -> None:
        """A cancelled Deferred of `ready` is not kept; the others fire as usual."""
        self.fill(512 * 1024)
        given, kept = self.sink.ready(), self.sink.ready()
        given.addErrback(lambda failure: None).cancel()
        gone = weakref.ref(given)
        del given
        gc.collect()
        self.assertIsNone(gone())
        self.watch(self.streamLog)
        self.successResultOf(kept)

    def test_coroutineThatWaits(self) -> None:
        """
        A source that awaits `ready` before each token is held up by a viewer that reads nothing,
        and continues as it reads: memory is bounded, and the viewer gets every token.
        """

        async def produce(sink: ITokenSink, prompt: Prompt | None) -> None:
            for number in range(512):
                await sink.ready()
                sink.write(f"{number:06}{LARGE}")

        self.serve(FunctionSource(produce), self.settings)
        streamLog = self.startLog()
        wire = self.watch(streamLog, room=0)
        most = 0
        for _ in soon(lambda: streamLog.state is not State.OPEN):
            most = max(most, streamLog.measureAhead())
            self.assertLess(streamLog.measureAhead(), self.readAhead + 128 * 1024)
            wire.take(100_000)
            self.reactor.advance(FLUSH_TICK)
        self.assertGreater(most, self.readAhead)
        wire.take()
        self.assertEqual("".join(wire.response.texts), "".join(f"{number:06}{LARGE}" for number in range(512)))
        self.assertEqual(wire.response.types[-1], "done")

    def test_stoppedWhileItWaits(self) -> None:
        """
        `ready` fires when the run is stopped. The source may then write, end or fail: the stream
        does not change.
        """

        async def writesOn(sink: ITokenSink) -> None:
            # With an end: a source that never waited again would never return.
            for _ in range(10_000):
                sink.write(LARGE)
                await sink.ready()

        async def ends(sink: ITokenSink) -> None:
            await self.fillAndWait(sink)

        async def fails(sink: ITokenSink) -> None:
            await self.fillAndWait(sink)
            raise SourceError("Too late.")

        for act in (writesOn, ends, fails):
            with self.subTest(act.__name__):
                self.serve(FunctionSource(lambda sink, prompt: act(sink)), self.settings)  # noqa: B023
                streamLog = self.startLog()
                last = streamLog.last
                self.successResultOf(self.service.cancel(streamLog.name))
                self.assertEqual(self.terminal(streamLog), ("cancelled", {"reason": "asked"}))
                self.assertEqual(streamLog.last, last + 1)

    async def fillAndWait(self, sink: ITokenSink) -> None:
        """Write until the run is paused, then wait until it resumes."""
        for _ in soon(lambda: not sink.ready().called, 1000):
            sink.write(LARGE)
        await sink.ready()

    def test_drainWhileItWaits(self) -> None:
        """
        When the service stops while a source awaits `ready`, the run ends `failed` and the service
        stops.
        """

        async def produce(sink: ITokenSink, prompt: Prompt | None) -> None:
            await self.fillAndWait(sink)

        self.serve(FunctionSource(produce), self.settings)
        streamLog = self.startLog()
        stopped = self.service.stopService()
        self.service.hurry()
        self.successResultOf(stopped)
        self.assertEqual(self.terminal(streamLog)[1]["reason"], "shutdown")
        self.service.startService()

    def test_pauseOnceMoreWhenResumed(self) -> None:
        """
        A producer that writes while it is resumed is paused again at the read-ahead, and is not
        resumed while it is paused.
        """
        sink = self.sink
        sink.unregisterProducer()

        class Eager(RecordingProducer):
            left = 200

            def resumeProducing(self) -> None:
                super().resumeProducing()
                while self.told[-1] == "resume" and self.left:
                    self.left -= 1
                    sink.write(LARGE)

        eager = Eager()
        sink.registerProducer(eager, True)
        wire = self.watch(self.streamLog)
        wire.stall()
        eager.resumeProducing()
        self.assertEqual(eager.told, ["resume", "pause"])
        for _ in soon(lambda: not eager.left):
            wire.take(100_000)
            self.reactor.advance(FLUSH_TICK)
            self.assertLess(self.streamLog.measureAhead(), self.readAhead + 128 * 1024)
        self.assertGreater(len(eager.told), 6)
        self.assertEqual(eager.told[::2], ["resume"] * len(eager.told[::2]))
        self.assertEqual(eager.told[1::2], ["pause"] * len(eager.told[1::2]))

    def test_producerThatBreaksWhenResumed(self) -> None:
        """
        An exception of `resumeProducing` fails the run; the viewer whose read resumed it is not
        cut.
        """
        self.sink.unregisterProducer()

        class Broken(RecordingProducer):
            def resumeProducing(self) -> None:
                raise KeyError("bug")

        self.sink.registerProducer(Broken(), True)
        self.fill(512 * 1024)
        wire = self.watch(self.streamLog)
        self.reactor.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertFalse(wire.socket.reset)
        self.assertEqual("".join(wire.response.texts), self.text(self.streamLog))
        self.assertEqual(self.streamLog.state, State.FAILED)
        self.assertTrue(self.source.run.cancelled)
