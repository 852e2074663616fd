"""
Tests of `sseserver.service.run`: the life of a run, its tokens, its end and its producer.
"""

from __future__ import annotations

import gc
import weakref
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from sseserver.errors import SourceError, StreamNotFound
from sseserver.interfaces import IPackedSink, ITokenSink
from sseserver.service.run import Run
from sseserver.service.runcounts import RunCounts
from sseserver.service.service import Settings
from sseserver.sources.function import FunctionSource
from sseserver.sources.text import TextSource, packWords
from sseserver.stores.memory import MemoryStore
from sseserver.streams.followed import FLUSH_TICK
from sseserver.streams.terminal import packCancelled
from sseserver.timing.ticker import Ticker
from sseserver.values import Prompt, Reason, State
from tests.fakes import RecordingProducer, logged
from tests.service.cases import SLOT, ServiceTestCase


class RunTests(ServiceTestCase):
    """The life of a run."""

    def test_interface(self) -> None:
        """A run is a token sink, also for many tokens at once."""
        self.startLog()
        self.assertTrue(verifyObject(IPackedSink, self.source.run.sink))

    def test_done(self) -> None:
        """
        When the source has written its last token, the stream ends `done` with the number of
        tokens, and so does each viewer's response.
        """
        streamLog = self.startLog()
        wire = self.watch(streamLog)
        self.write("Hello", " world")
        self.assertEqual(streamLog.state, State.OPEN)
        self.source.run.end()
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(self.terminal(streamLog), ("done", {"reason": "stop", "tokens": 2}))
        self.assertEqual(wire.response.types, ["stream", "message", "message", "done"])
        self.assertTrue(wire.response.complete)

    def test_reasonOfTheSource(self) -> None:
        """The reason is the result of the source's Deferred if it is a `str`, otherwise `stop`."""
        for result, reason in (("length", "length"), (None, "stop"), (7, "stop"), (b"length", "stop")):
            streamLog = self.startLog()
            self.source.run.end(result)
            self.assertEqual(self.terminal(streamLog)[1]["reason"], reason)

    def test_prompt(self) -> None:
        """The source gets the prompt, or `None`."""
        self.startLog(Prompt("Why?"))
        self.startLog()
        self.assertEqual([run.prompt for run in self.source.runs], [Prompt("Why?"), None])

    def test_sourceThatIsDoneAtOnce(self) -> None:
        """A source that writes everything before it returns `None` is done."""
        self.serve(FunctionSource(lambda sink, prompt: sink.write("all")))
        streamLog = self.startLog()
        self.assertEqual(self.terminal(streamLog), ("done", {"reason": "stop", "tokens": 1}))
        self.assertEqual(self.watch(streamLog).response.texts, ["all"])

    def test_coroutine(self) -> None:
        """A source can be a coroutine."""
        going: Deferred[str] = Deferred()

        async def produce(sink: ITokenSink, prompt: Prompt | None) -> str:
            sink.write("one")
            sink.write(await going)
            return "length"

        self.serve(FunctionSource(produce))
        streamLog = self.startLog()
        going.callback("two")
        self.assertEqual(self.terminal(streamLog), ("done", {"reason": "length", "tokens": 2}))

    def test_sourceError(self) -> None:
        """
        A `SourceError` ends the stream `failed` with its reason and message. It is not logged.
        """
        streamLog = self.startLog()
        wire = self.watch(streamLog)
        self.write("half")
        with logged() as events:
            self.source.run.fail(SourceError("The model is asleep.", "asleep"))
            self.reactor.advance(FLUSH_TICK)
        self.assertEqual(self.terminal(streamLog), ("failed", {"reason": "asleep", "message": "The model is asleep."}))
        self.assertEqual(wire.response.types[-1], "failed")
        self.assertEqual(wire.response.texts, ["half"])
        self.assertTrue(wire.response.complete)
        self.assertEqual([event for event in events if "log_failure" in event], [])

    def test_sourceErrorHasAReason(self) -> None:
        """The reason of a `SourceError` is `source` unless another is given."""
        streamLog = self.startLog()
        self.source.run.fail(SourceError("No."))
        self.assertEqual(self.terminal(streamLog)[1]["reason"], "source")

    def test_anyOtherException(self) -> None:
        """
        Any other exception ends the stream `failed`, too. It is logged, and viewers see nothing of
        it.
        """
        streamLog = self.startLog()
        wire = self.watch(streamLog)
        self.source.run.fail(KeyError("the password is swordfish"))
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        kind, told = self.terminal(streamLog)
        self.assertEqual((kind, told["reason"]), ("failed", "error"))
        self.assertEqual(wire.response.types[-1], "failed")
        self.assertNotIn("swordfish", wire.received.decode())
        self.assertNotIn("KeyError", wire.received.decode())

    def test_sourceThatRaisesAtOnce(self) -> None:
        """A source that raises before it returns anything fails its stream, which can be viewed."""
        self.serve(FunctionSource(lambda sink, prompt: 1 // 0))
        streamLog = self.startLog()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.terminal(streamLog)[0], "failed")
        self.assertEqual(self.watch(streamLog).response.types, ["stream", "failed"])

    def test_manyRuns(self) -> None:
        """Each run has its own stream, named by its epoch."""
        first, second = self.startLog(), self.startLog()
        self.source.runs[0].write("one")
        self.source.runs[1].write("two")
        self.source.runs[0].end()
        self.assertEqual((self.text(first), self.text(second)), ("one", "two"))
        self.assertEqual((first.state, second.state), (State.DONE, State.OPEN))
        self.assertNotEqual(first.name, second.name)
        self.assertEqual(first.name, first.epoch)
        self.assertIs(self.successResultOf(self.service.find(first.name)), first)

    def test_freed(self) -> None:
        """An ended run holds itself by no cycle of references: it is freed without the garbage collector."""
        store = MemoryStore(self.reactor, self.settings.kept)
        streamLog = self.successResultOf(store.create("freed", False))
        run = Run(streamLog, self.settings, Ticker(self.reactor, SLOT), lambda: True, lambda run: None)
        run.start(lambda run: Deferred(), lambda run: None, RunCounts())
        run.stop(packCancelled(Reason.ASKED))
        self.reactor.run(1)
        self.successResultOf(store.delete("freed"))
        gone = weakref.ref(streamLog)
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        del streamLog, run
        self.assertIsNone(gone())

    def test_findsOnlyWhatIsThere(self) -> None:
        """An unknown name raises `StreamNotFound` in `find` and `cancel`."""
        self.failureResultOf(self.service.find("nobody"), StreamNotFound)
        self.failureResultOf(self.service.cancel("nobody"), StreamNotFound)

    def test_textSourceStops(self) -> None:
        """
        A cancelled run of the built-in source leaves nothing on the clock.
        """
        for interval in (0.1, 0):
            self.serve(TextSource(self.reactor, "word " * 10_000, interval), Settings(readAhead=2048))
            streamLog = self.startLog()
            self.reactor.run(1)
            self.successResultOf(self.service.cancel(streamLog.name))
            self.assertGreater(streamLog.last, 2)
            self.successResultOf(self.service.stopService())
            self.reactor.advance(FLUSH_TICK)
            self.assertEqual(self.reactor.getDelayedCalls(), [])


class Text(str):
    """A subclass of `str`, as an embedder may have one: StrEnum, markup."""

    __slots__ = ()


class WriteTests(ServiceTestCase):
    """The tokens of a source."""

    def setUp(self) -> None:
        super().setUp()
        self.streamLog = self.startLog()

    def entries(self) -> list[bytes]:
        """Return the data of all entries."""
        return list(self.streamLog.buffer.entries)

    def test_emptyToken(self) -> None:
        """An empty token is ignored and not counted."""
        self.source.run.write("", "a", "")
        self.source.run.end()
        self.assertEqual(self.entries()[:1], [b"a"])
        self.assertEqual(self.terminal(self.streamLog)[1]["tokens"], 1)

    def test_manyTokens(self) -> None:
        """#16: tokens that are written at once are entries of their own, and leave in one write."""
        streamLog = self.startLog()
        wire = self.watch(streamLog)
        wire.socket.sends.clear()
        self.source.run.sink.writeTokens(packWords(["a ", "b ", "c"])[0])
        self.reactor.turn()
        self.assertEqual(len(wire.socket.sends), 1)
        self.assertEqual((streamLog.last, wire.response.texts), (3, ["a ", "b ", "c"]))
        self.source.run.end()
        self.assertEqual(self.terminal(streamLog), ("done", {"reason": "stop", "tokens": 3}))
        self.source.run.sink.writeTokens(packWords(["late"])[0])
        self.assertEqual(streamLog.last, 4)

    def test_derivedText(self) -> None:
        """A token, and the name of a stream, can be of a subclass of `str`."""
        self.source.run.write(Text("a"))
        self.assertEqual(self.entries(), [b"a"])
        stream, _ = self.successResultOf(self.service.open(Text("news")))
        self.assertEqual(self.successResultOf(self.service.find("news")).epoch, stream.epoch)

    def test_lineEndOverTwoTokens(self) -> None:
        """CR LF over two tokens is one line end, for a live viewer and a late one."""
        wire = self.watch(self.streamLog)
        self.write("a\r", "\nb")
        late = self.watch(self.streamLog)
        self.assertEqual("".join(wire.response.texts), "a\nb")
        self.assertEqual("".join(late.response.texts), "a\nb")

    def test_asWritten(self) -> None:
        """
        Entries are the tokens as written, each at once: a CR at the end of a token delays nothing.
        """
        for token in ("a\r", "b", "\r", "\r", "c", "\r\n", "d\r", "\n"):
            self.source.run.write(token)
            self.assertEqual(self.entries()[-1], token.encode())

    def test_lineEndsHoweverCut(self) -> None:
        """
        However a text is cut into tokens, viewers assemble the same text in both formats, live and
        late; `text/plain` is the original.
        """
        shown = "a\n\n\nb\nc\n\n\n\n"
        for cut in (1, 2, 3, 5, 100):
            streamLog = self.startLog()
            whole = "a\r\n\r\rb\nc\r\n\r\n\r\n\r"
            events, text = self.watch(streamLog), self.view(f"/streams/{streamLog.name}?format=text")
            self.write(*(whole[start : start + cut] for start in range(0, len(whole), cut)))
            for wire in (events, self.watch(streamLog)):
                self.assertEqual("".join(wire.response.texts), shown, cut)
            for wire in (text, self.view(f"/streams/{streamLog.name}?format=text")):
                self.assertEqual(wire.response.texts[-1], shown, cut)
            self.assertEqual(self.ask(f"/streams/{streamLog.name}", "text/plain").body, whole.encode())

    def test_CRThatWasSeen(self) -> None:
        """A viewer that returns between CR and LF does not get the LF as another line end."""
        self.write("a\r")
        streamLog = self.streamLog
        wire = self.view(f"/streams/{streamLog.name}", lastEventID=f"{streamLog.epoch}-1")
        self.write("\nb", "c")
        late = self.view(f"/streams/{streamLog.name}", lastEventID=f"{streamLog.epoch}-1")
        self.assertEqual("".join(wire.response.texts), "bc")
        self.assertEqual("".join(late.response.texts), "bc")

    def test_lastCR(self) -> None:
        """
        A CR at the end of the last token is in the text, however the run ends, and is not a token
        of its own.
        """
        self.source.run.write("a\r")
        self.source.run.end()
        self.assertEqual(self.terminal(self.streamLog), ("done", {"reason": "stop", "tokens": 1}))
        self.assertEqual(self.watch(self.streamLog).response.texts, ["a\n"])
        failing = self.startLog()
        self.source.run.write("b\r")
        self.source.run.fail(SourceError("No."))
        self.assertEqual(failing.buffer.entries[0], b"b\r")

    def test_countIsThatOfTheEntries(self) -> None:
        """
        The number of tokens in `done` is the number of entries before it, and of tokens written
        that are not empty.
        """
        self.source.run.write("a\r", "\n", "\r", "\r", "b\r", "", "c", "\r")
        self.source.run.end()
        self.assertEqual(self.terminal(self.streamLog)[1]["tokens"], 7)
        self.assertEqual((self.streamLog.buffer.tokens, self.streamLog.last), (7, 8))
        self.assertEqual(self.text(self.streamLog), "a\r\n\r\rb\rc\r")

    def test_loneSurrogate(self) -> None:
        """
        A token that cannot be encoded as UTF-8 raises in the source. None of it is written, and the
        stream continues.
        """
        self.source.run.write("a")
        self.assertRaises(UnicodeEncodeError, self.source.run.write, "\ud83d")
        self.source.run.write("b")
        self.source.run.end()
        self.assertEqual(self.text(self.streamLog), "ab")
        self.assertEqual(self.terminal(self.streamLog)[1]["tokens"], 2)

    def test_refusedTokenLeavesNothing(self) -> None:
        """
        A refused token leaves no trace, not even a CR before or after the surrogate, and removes
        nothing.
        """
        self.source.run.write("a\r")
        for token in ("\ud83d", "\ud83d\r", "\n\ud83d"):
            self.assertRaises(UnicodeEncodeError, self.source.run.write, token)
        self.source.run.write("\nb")
        self.assertEqual(self.entries(), [b"a\r", b"\nb"])
        self.assertEqual(self.streamLog.buffer.tokens, 2)

    def test_loneSurrogateThatNobodyCaught(self) -> None:
        """A source that does not catch the exception has a bug: its stream ends `failed`."""
        self.serve(FunctionSource(lambda sink, prompt: sink.write("\udc00")))
        streamLog = self.startLog()
        self.assertEqual(len(self.flushLoggedErrors(UnicodeEncodeError)), 1)
        self.assertEqual(self.terminal(streamLog)[0], "failed")

    def test_afterTheEnd(self) -> None:
        """
        Tokens written after the end are dropped, and so is the line end that a last CR would have
        begun.
        """
        self.source.run.write("a")
        self.source.run.end()
        before = self.entries()
        self.source.run.write("b\r", "c", "\r")
        self.assertEqual(self.entries(), before)


class CancelTests(ServiceTestCase):
    """How a run is stopped."""

    def setUp(self) -> None:
        super().setUp()
        self.streamLog = self.startLog()

    def cancel(self) -> Any:
        """Cancel the run."""
        return self.successResultOf(self.service.cancel(self.streamLog.name))

    def test_cancel(self) -> None:
        """
        A cancelled run keeps its entries. Its stream ends `cancelled`, and its source is stopped.
        """
        wire = self.watch(self.streamLog)
        producer = RecordingProducer()
        self.source.run.sink.registerProducer(producer, True)
        self.write("a", "b")
        self.assertEqual(self.cancel()[:6], (*[self.streamLog.epoch] * 2, False, "", State.CANCELLED, 1))
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(self.terminal(self.streamLog), ("cancelled", {"reason": "asked"}))
        self.assertEqual(wire.response.types, ["stream", "message", "message", "cancelled"])
        self.assertTrue(wire.response.complete)
        self.assertTrue(self.source.run.cancelled)
        self.assertEqual(producer.told, ["stop"])

    def test_again(self) -> None:
        """Cancelling again changes nothing, and neither does it after any other end."""
        self.cancel()
        entries = list(self.streamLog.buffer.entries)
        self.assertIs(self.cancel().state, State.CANCELLED)
        self.assertEqual(list(self.streamLog.buffer.entries), entries)
        done = self.startLog()
        self.source.run.end()
        self.successResultOf(self.service.cancel(done.name))
        run: Any = self.source.run.sink
        run.stop(packCancelled(Reason.ASKED))
        run.stop(None)
        self.assertEqual((done.state, done.last), (State.DONE, 1))

    def test_whileItBegins(self) -> None:
        """
        A source that cancels its own run while it is called is stopped as soon as it has returned.
        """
        stopped: list[Any] = []

        def produce(sink: Any, prompt: Prompt | None) -> Deferred[None]:
            self.successResultOf(self.service.cancel(sink.streamLog.name))
            return Deferred(stopped.append)

        self.serve(FunctionSource(produce))
        streamLog = self.startLog()
        self.assertEqual(streamLog.state, State.CANCELLED)
        self.assertEqual(len(stopped), 1)

    def test_lastWords(self) -> None:
        """Tokens that a source writes while it is stopped are dropped."""
        self.assertSilenced(byProducer=True)
        self.assertSilenced(byProducer=False)

    def assertSilenced(self, byProducer: bool) -> None:
        """
        Stop a source that writes when its producer is stopped, or its Deferred is cancelled; check
        that the tokens are dropped.
        """
        sinks: list[ITokenSink] = []

        class Talker(RecordingProducer):
            def stopProducing(self) -> None:
                sinks[0].write("more")

        def produce(sink: ITokenSink, prompt: Prompt | None) -> Deferred[None]:
            sinks.append(sink)
            if byProducer:
                sink.registerProducer(Talker(), True)
            return Deferred(lambda _: sink.write("more"))

        self.serve(FunctionSource(produce))
        streamLog = self.startLog()
        sinks[0].write("a")
        self.successResultOf(self.service.cancel(streamLog.name))
        self.assertEqual(self.text(streamLog), "a")
        self.assertEqual(streamLog.state, State.CANCELLED)

    def test_sourceThatEndsWhenStopped(self) -> None:
        """
        The stream is cancelled once, whether the source ends as usual, fails with a `SourceError`,
        or ignores the cancellation.
        """
        answers = (
            lambda done: done.callback("stop"),
            lambda done: done.errback(SourceError("Stopped.")),
            lambda done: None,
        )
        for answer in answers:
            self.serve(FunctionSource(lambda sink, prompt: Deferred(answer)))  # noqa: B023  (is called at once)
            streamLog = self.startLog()
            self.successResultOf(self.service.cancel(streamLog.name))
            self.assertEqual(self.terminal(streamLog), ("cancelled", {"reason": "asked"}))
            self.assertEqual(streamLog.last, 1)

    def test_sourceThatBreaksWhenStopped(self) -> None:
        """A bug in a source's clean-up is logged; the stream is cancelled."""
        self.serve(FunctionSource(lambda sink, prompt: Deferred(lambda done: done.errback(KeyError("bug")))))
        streamLog = self.startLog()
        self.successResultOf(self.service.cancel(streamLog.name))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(self.terminal(streamLog), ("cancelled", {"reason": "asked"}))

    def test_producerThatBreaksWhenStopped(self) -> None:
        """
        An exception of `stopProducing` neither keeps the source's Deferred from being cancelled nor
        reaches the caller of `cancel`.
        """

        class Broken(RecordingProducer):
            def stopProducing(self) -> None:
                raise KeyError("bug")

        self.source.run.sink.registerProducer(Broken(), True)
        self.cancel()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertTrue(self.source.run.cancelled)
        self.assertEqual(self.streamLog.state, State.CANCELLED)

    def test_sourceThatIgnoresIt(self) -> None:
        """
        Tokens of a source that ignores the cancellation are dropped, and its later result changes
        nothing.
        """
        later: Deferred[None] = Deferred()

        async def produce(sink: ITokenSink, prompt: Prompt | None) -> str:
            try:
                await Deferred()
            except CancelledError:
                await later
            sink.write("more")
            await sink.ready()
            return "length"

        self.serve(FunctionSource(produce))
        streamLog = self.startLog()
        self.successResultOf(self.service.cancel(streamLog.name))
        later.callback(None)
        self.assertEqual(self.terminal(streamLog), ("cancelled", {"reason": "asked"}))
        self.assertEqual(streamLog.last, 1)


class ProducerRulesTests(ServiceTestCase):
    """Registration of producers."""

    settings = Settings(readAhead=1024)

    def setUp(self) -> None:
        super().setUp()
        self.streamLog = self.startLog()
        self.sink = self.source.run.sink
        self.producer = RecordingProducer()

    def test_pullProducer(self) -> None:
        """A pull producer is refused."""
        self.assertRaises(ValueError, self.sink.registerProducer, self.producer, False)
        self.sink.registerProducer(self.producer, True)

    def test_second(self) -> None:
        """A second producer is refused until the first is unregistered."""
        self.sink.registerProducer(self.producer, True)
        self.assertRaises(RuntimeError, self.sink.registerProducer, RecordingProducer(), True)
        self.sink.unregisterProducer()
        self.sink.registerProducer(RecordingProducer(), True)

    def test_unregistered(self) -> None:
        """No method of an unregistered producer is called."""
        self.sink.registerProducer(self.producer, True)
        self.sink.unregisterProducer()
        self.sink.unregisterProducer()
        self.sink.write("x" * 100_000)
        self.successResultOf(self.service.cancel(self.streamLog.name))
        self.assertEqual(self.producer.told, [])

    def test_whilePaused(self) -> None:
        """A producer registered while the run is paused is paused at once."""
        self.sink.write("x" * 100_000)
        self.sink.registerProducer(self.producer, True)
        self.assertEqual(self.producer.told, ["pause"])
        self.watch(self.streamLog)
        self.assertEqual(self.producer.told, ["pause", "resume"])

    def test_afterTheEnd(self) -> None:
        """A producer registered after the end is stopped at once."""
        self.source.run.end()
        self.sink.registerProducer(self.producer, True)
        self.assertEqual(self.producer.told, ["stop"])

    def test_notStoppedAtTheUsualEnd(self) -> None:
        """The producer of a source that ends by itself is not stopped."""
        self.sink.registerProducer(self.producer, True)
        self.source.run.end()
        self.assertEqual(self.producer.told, [])
