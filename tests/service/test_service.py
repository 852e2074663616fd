"""
Tests for L{sseserver.service.service}: viewers come over wires, sources are written by
hand.
"""

from __future__ import annotations

import gc
import json
import re
import weakref
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.protocols.policies import WrappingFactory
from zope.interface.verify import verifyObject

from sseserver.errors import Overloaded, SourceError, StoreUnavailable, StreamNotFound
from sseserver.interfaces import ITokenSink
from sseserver.service.service import Settings, StreamService
from sseserver.sources.function import FunctionSource
from sseserver.sources.text import TextSource
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.log import FLUSH_TICK
from sseserver.streams.terminal import packCancelled
from sseserver.values import Kind, Prompt, Reason, State
from sseserver.wire import Event
from tests.fakes import RecordingProducer, logged
from tests.served import ServedTestCase
from tests.wires import Wire, soon

#: The width of the ticker's slots in seconds: so much late a linger or an age may be.
SLOT = 0.25

#: A token of 16 KiB with its cost, four of which make the run look how far it is ahead.
LARGE = "x" * (16 * 1024 - ENTRY_COST)


class ServiceTestCase(ServedTestCase):
    """A service, and shortcuts to what it keeps."""

    def startLog(self, prompt: Prompt | None = None) -> Any:
        """Start a run; give its log."""
        return self.successResultOf(self.service.startRun(prompt))

    def watch(self, streamLog: Any, room: int | None = None) -> Wire:
        """Follow a log in the format `events`."""
        return self.view(f"/streams/{streamLog.name}", room=room)

    def terminal(self, streamLog: Any) -> tuple[str, dict[str, Any]]:
        """Give a log's terminal entry: its kind's name and what it tells."""
        kind = Kind(streamLog.buffer.kinds[-1])
        return kind.name.lower(), json.loads(streamLog.buffer.entries[-1])

    def text(self, streamLog: Any) -> str:
        """Give the text of a log."""
        pairs = zip(streamLog.buffer.kinds, streamLog.buffer.entries, strict=True)
        return b"".join(data for kind, data in pairs if kind == Kind.TOKEN).decode()

    def write(self, *tokens: str) -> None:
        """Let the newest run write tokens, each in a flush tick of its own."""
        for token in tokens:
            self.source.run.write(token)
            self.reactor.advance(FLUSH_TICK)


class RunTests(ServiceTestCase):
    """The life of a run."""

    def test_interface(self) -> None:
        """
        It is a service of Twisted's.
        """
        self.assertTrue(verifyObject(IService, self.service))

    def test_done(self) -> None:
        """
        When the source has written all the stream ends `done`, with the count
        of its tokens; so does each viewer's response.
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
        """
        The reason is what the source's Deferred fires with when that is a
        `str`, and `stop` for anything else.
        """
        for result, reason in (("length", "length"), (None, "stop"), (7, "stop"), (b"length", "stop")):
            streamLog = self.startLog()
            self.source.run.end(result)
            self.assertEqual(self.terminal(streamLog)[1]["reason"], reason)

    def test_prompt(self) -> None:
        """
        The source is given the prompt, or `None`.
        """
        self.startLog(Prompt("Why?"))
        self.startLog()
        self.assertEqual([run.prompt for run in self.source.runs], [Prompt("Why?"), None])

    def test_sourceThatIsDoneAtOnce(self) -> None:
        """
        A source that writes all before it returns, and returns nothing, is
        done.
        """
        self.serve(FunctionSource(lambda sink, prompt: sink.write("all")))
        streamLog = self.startLog()
        self.assertEqual(self.terminal(streamLog), ("done", {"reason": "stop", "tokens": 1}))
        self.assertEqual(self.watch(streamLog).response.texts, ["all"])

    def test_coroutine(self) -> None:
        """
        A source may be a coroutine.
        """
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
        A L{SourceError} ends the stream `failed` with its reason and text, and
        is no news for the log.
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
        """
        A L{SourceError} without a reason of its own says `source`.
        """
        streamLog = self.startLog()
        self.source.run.fail(SourceError("No."))
        self.assertEqual(self.terminal(streamLog)[1]["reason"], "source")

    def test_anyOtherException(self) -> None:
        """
        Any other exception ends the stream `failed` as well; what it says is
        for the log, and no viewer sees any of it.
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
        """
        A source that raises before it returns anything ends its stream, too,
        and the stream is there to be looked at.
        """
        self.serve(FunctionSource(lambda sink, prompt: 1 // 0))
        streamLog = self.startLog()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.terminal(streamLog)[0], "failed")
        self.assertEqual(self.watch(streamLog).response.types, ["stream", "failed"])

    def test_manyRuns(self) -> None:
        """
        Runs are apart: each has its stream, named by its epoch.
        """
        first, second = self.startLog(), self.startLog()
        self.source.runs[0].write("one")
        self.source.runs[1].write("two")
        self.source.runs[0].end()
        self.assertEqual((self.text(first), self.text(second)), ("one", "two"))
        self.assertEqual((first.state, second.state), (State.DONE, State.OPEN))
        self.assertNotEqual(first.name, second.name)
        self.assertEqual(first.name, first.epoch)
        self.assertIs(self.successResultOf(self.service.find(first.name)), first)

    def test_findsOnlyWhatIsThere(self) -> None:
        """
        A name that nothing has is a L{StreamNotFound}, for C{find} and
        C{cancel}.
        """
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
    """Text as an embedder may have it: a StrEnum is such a class, markup another."""

    __slots__ = ()


class WriteTests(ServiceTestCase):
    """What a source may write."""

    def setUp(self) -> None:
        super().setUp()
        self.streamLog = self.startLog()

    def entries(self) -> list[bytes]:
        """Give the data of all entries."""
        return list(self.streamLog.buffer.entries)

    def test_emptyToken(self) -> None:
        """
        An empty token is passed over, and not counted.
        """
        self.source.run.write("", "a", "")
        self.source.run.end()
        self.assertEqual(self.entries()[:1], [b"a"])
        self.assertEqual(self.terminal(self.streamLog)[1]["tokens"], 1)

    def test_derivedText(self) -> None:
        """
        A token, and the name of a stream, may be of a class that derives from
        C{str}.
        """
        self.source.run.write(Text("a"))
        self.assertEqual(self.entries(), [b"a"])
        streamLog, _ = self.successResultOf(self.service.open(Text("news")))
        self.assertIs(self.successResultOf(self.service.find("news")), streamLog)

    def test_lineEndOverTwoTokens(self) -> None:
        """
        CR LF over two tokens is one line end, for the viewer that follows and
        for the one that comes later.
        """
        wire = self.watch(self.streamLog)
        self.write("a\r", "\nb")
        late = self.watch(self.streamLog)
        self.assertEqual("".join(wire.response.texts), "a\nb")
        self.assertEqual("".join(late.response.texts), "a\nb")

    def test_asWritten(self) -> None:
        """
        Entries are the tokens as they were written, each at once: a CR at the
        end of one waits for nothing.
        """
        for token in ("a\r", "b", "\r", "\r", "c", "\r\n", "d\r", "\n"):
            self.source.run.write(token)
            self.assertEqual(self.entries()[-1], token.encode())

    def test_lineEndsHoweverCut(self) -> None:
        """
        However a text is cut into tokens, viewers put the same together in
        either format, live and late; `text/plain` is the text itself.
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
        """
        Who comes back between the two halves of a line end is not given the
        second half as a line end of its own.
        """
        self.write("a\r")
        streamLog = self.streamLog
        wire = self.view(f"/streams/{streamLog.name}", lastEventID=f"{streamLog.epoch}-1")
        self.write("\nb", "c")
        late = self.view(f"/streams/{streamLog.name}", lastEventID=f"{streamLog.epoch}-1")
        self.assertEqual("".join(wire.response.texts), "bc")
        self.assertEqual("".join(late.response.texts), "bc")

    def test_lastCR(self) -> None:
        """
        A CR at the end of the last token is in the text, however the run
        ends; it is no token of its own.
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
        The number of tokens that `done` tells is the number of the entries
        before it, and that of the tokens written that are not empty.
        """
        self.source.run.write("a\r", "\n", "\r", "\r", "b\r", "", "c", "\r")
        self.source.run.end()
        self.assertEqual(self.terminal(self.streamLog)[1]["tokens"], 7)
        self.assertEqual((self.streamLog.buffer.tokens, self.streamLog.last), (7, 8))
        self.assertEqual(self.text(self.streamLog), "a\r\n\r\rb\rc\r")

    def test_loneSurrogate(self) -> None:
        """
        A token that has no UTF-8 is refused to the source that writes it;
        nothing of it gets in, and the stream goes on.
        """
        self.source.run.write("a")
        self.assertRaises(UnicodeEncodeError, self.source.run.write, "\ud83d")
        self.source.run.write("b")
        self.source.run.end()
        self.assertEqual(self.text(self.streamLog), "ab")
        self.assertEqual(self.terminal(self.streamLog)[1]["tokens"], 2)

    def test_refusedTokenLeavesNothing(self) -> None:
        """
        A token that is refused leaves nothing of it, be it a CR before or
        behind what has no UTF-8, and takes nothing away.
        """
        self.source.run.write("a\r")
        for token in ("\ud83d", "\ud83d\r", "\n\ud83d"):
            self.assertRaises(UnicodeEncodeError, self.source.run.write, token)
        self.source.run.write("\nb")
        self.assertEqual(self.entries(), [b"a\r", b"\nb"])
        self.assertEqual(self.streamLog.buffer.tokens, 2)

    def test_loneSurrogateThatNobodyCaught(self) -> None:
        """
        A source that does not catch it has a bug: its stream ends `failed`.
        """
        self.serve(FunctionSource(lambda sink, prompt: sink.write("\udc00")))
        streamLog = self.startLog()
        self.assertEqual(len(self.flushLoggedErrors(UnicodeEncodeError)), 1)
        self.assertEqual(self.terminal(streamLog)[0], "failed")

    def test_afterTheEnd(self) -> None:
        """
        What a source writes after the end is dropped, a CR before it too.
        """
        self.source.run.write("a")
        self.source.run.end()
        before = self.entries()
        self.source.run.write("b\r", "c", "\r")
        self.assertEqual(self.entries(), before)


class CancelTests(ServiceTestCase):
    """Stopping a run."""

    def setUp(self) -> None:
        super().setUp()
        self.streamLog = self.startLog()

    def cancel(self) -> Any:
        """Cancel the run."""
        return self.successResultOf(self.service.cancel(self.streamLog.name))

    def test_cancel(self) -> None:
        """
        A run that is cancelled keeps what it has produced; its stream ends
        `cancelled`, its source is really stopped.
        """
        wire = self.watch(self.streamLog)
        producer = RecordingProducer()
        self.source.run.sink.registerProducer(producer, True)
        self.write("a", "b")
        self.assertIs(self.cancel(), self.streamLog)
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(self.terminal(self.streamLog), ("cancelled", {"reason": "asked"}))
        self.assertEqual(wire.response.types, ["stream", "message", "message", "cancelled"])
        self.assertTrue(wire.response.complete)
        self.assertTrue(self.source.run.cancelled)
        self.assertEqual(producer.told, ["stop"])

    def test_again(self) -> None:
        """
        To cancel again changes nothing, nor does it after any other end.
        """
        self.cancel()
        entries = list(self.streamLog.buffer.entries)
        self.assertIs(self.cancel(), self.streamLog)
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
        A run that is cancelled while its source only begins is stopped as soon
        as there is something to stop.
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
        """
        What a source writes while it is stopped does not get in.
        """
        self.assertSilenced(byProducer=True)
        self.assertSilenced(byProducer=False)

    def assertSilenced(self, byProducer: bool) -> None:
        """Stop a source that writes when its producer is stopped, or its Deferred cancelled; check that it is late."""
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
        However a source answers to being stopped, with its usual end, with a
        L{SourceError} or not at all, the stream is cancelled once.
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
        """
        A bug in a source's cleaning up goes to the log; the stream is
        cancelled.
        """
        self.serve(FunctionSource(lambda sink, prompt: Deferred(lambda done: done.errback(KeyError("bug")))))
        streamLog = self.startLog()
        self.successResultOf(self.service.cancel(streamLog.name))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(self.terminal(streamLog), ("cancelled", {"reason": "asked"}))

    def test_producerThatBreaksWhenStopped(self) -> None:
        """
        A bug in a producer's C{stopProducing} does not keep the source's
        Deferred from being cancelled, nor does it reach whoever cancels.
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
        A source that goes on all the same writes into nothing, and what it
        returns later changes nothing.
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


class LingerTests(ServiceTestCase):
    """How long a run goes on without viewers."""

    settings = Settings(linger=60, heartbeat=1000, stall=1000)

    def assertLingersUntil(self, streamLog: Any, end: float) -> None:
        """Check that a run goes on until a time and is cancelled then."""
        self.reactor.run(end - self.reactor.seconds() - 0.01)
        self.assertEqual(streamLog.state, State.OPEN)
        self.reactor.run(0.01 + SLOT)
        self.assertEqual(self.terminal(streamLog), ("cancelled", {"reason": "linger"}))
        self.assertTrue(self.source.run.cancelled)

    def test_nobodyComes(self) -> None:
        """
        A run that nobody views is cancelled after the linger, counted from its
        start.
        """
        self.assertLingersUntil(self.startLog(), 60)

    def test_viewerLeaves(self) -> None:
        """
        The linger counts from the last viewer's leaving.
        """
        streamLog = self.startLog()
        self.reactor.run(50)
        wire = self.watch(streamLog)
        self.reactor.run(100)
        wire.close()
        self.assertLingersUntil(streamLog, 210)

    def test_anyViewerIsEnough(self) -> None:
        """
        While one of several viewers is left the run goes on, and one that
        takes nothing is a viewer, too.
        """
        streamLog = self.startLog()
        wires = [self.watch(streamLog), self.watch(streamLog), self.watch(streamLog, room=0)]
        for wire in wires[:2]:
            self.reactor.run(70)
            wire.close()
        self.reactor.run(70)
        self.assertEqual(streamLog.state, State.OPEN)
        wires[2].take()
        wires[2].close()
        self.assertLingersUntil(streamLog, 270)

    def test_comesBack(self) -> None:
        """
        A viewer that comes back in time stops the linger; when it goes once
        more, all of it begins anew.
        """
        streamLog = self.startLog()
        self.watch(streamLog).close()
        self.reactor.run(30)
        wire = self.watch(streamLog)
        self.reactor.run(20)
        wire.close()
        self.assertLingersUntil(streamLog, 110)

    def test_comesBackAndStays(self) -> None:
        """
        A viewer that is there again when the linger would be over keeps the
        run going.
        """
        streamLog = self.startLog()
        self.watch(streamLog).close()
        self.reactor.run(59)
        wire = self.watch(streamLog)
        self.reactor.run(100)
        self.assertEqual(streamLog.state, State.OPEN)
        wire.close()
        self.assertLingersUntil(streamLog, 219)

    def test_looksAreNoViewers(self) -> None:
        """
        Who asks for the state, the text so far or the headers is no viewer.
        """
        streamLog = self.startLog()
        self.reactor.run(55)
        for accept, method in (("application/json", "GET"), ("text/plain", "GET"), ("text/event-stream", "HEAD")):
            self.assertEqual(self.ask(f"/streams/{streamLog.name}", accept, method).status, 200)
        self.assertLingersUntil(streamLog, 60)

    def test_endEndsTheLinger(self) -> None:
        """
        When a run ends its linger does, too: nothing is left on the clock but
        the age of the stream.
        """
        streamLog = self.startLog()
        self.watch(streamLog).close()
        self.source.run.end()
        self.reactor.run(70)
        self.assertEqual(streamLog.state, State.DONE)
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_viewerAfterTheLinger(self) -> None:
        """
        Who comes too late is told that it was the linger.
        """
        streamLog = self.startLog()
        self.write("half")
        self.reactor.run(61)
        wire = self.watch(streamLog)
        self.assertEqual(
            [(event.type, event.data) for event in wire.response.events[1:]],
            [("message", "half"), ("cancelled", '{"reason":"linger"}')],
        )


class ShortLingerTests(ServiceTestCase):
    """Lingers shorter than it takes to follow what was started."""

    settings = Settings(linger=0)

    def test_atOnce(self) -> None:
        """
        Without linger a run ends when its last viewer leaves, in that moment.
        """
        streamLog = self.startLog()
        first, second = self.watch(streamLog), self.watch(streamLog)
        first.close()
        self.assertEqual(streamLog.state, State.OPEN)
        second.close()
        self.assertEqual(self.terminal(streamLog), ("cancelled", {"reason": "linger"}))
        self.assertTrue(self.source.run.cancelled)

    def test_firstViewerHasTime(self) -> None:
        """
        Whoever starts a run has 5 s to follow it, however short the linger.
        """
        for linger in (0, 1):
            self.serve(self.source, Settings(linger=linger))
            streamLog = self.startLog()
            self.reactor.run(4.9)
            self.assertEqual(streamLog.state, State.OPEN)
            self.reactor.run(0.1 + SLOT)
            self.assertEqual(self.terminal(streamLog), ("cancelled", {"reason": "linger"}))

    def test_shortLinger(self) -> None:
        """
        After its first viewer a run lingers as long as was set, not 5 s.
        """
        self.serve(self.source, Settings(linger=1))
        streamLog = self.startLog()
        self.watch(streamLog).close()
        self.reactor.run(0.9)
        self.assertEqual(streamLog.state, State.OPEN)
        self.reactor.run(0.1 + SLOT)
        self.assertEqual(streamLog.state, State.CANCELLED)

    def test_viewerStaysPastTheFirstSeconds(self) -> None:
        """
        A viewer that came in time keeps the run going.
        """
        streamLog = self.startLog()
        self.reactor.run(4)
        self.watch(streamLog)
        self.reactor.run(60)
        self.assertEqual(streamLog.state, State.OPEN)


class ReadAheadTests(ServiceTestCase):
    """How far a run goes ahead of its viewers."""

    readAhead = 256 * 1024

    settings = Settings(readAhead=readAhead, linger=1000, heartbeat=1000)

    def setUp(self) -> None:
        super().setUp()
        self.streamLog = self.startLog()
        self.producer = RecordingProducer()
        self.sink = self.source.run.sink
        self.sink.registerProducer(self.producer, True)

    def fill(self, size: int) -> None:
        """Let the run write so many bytes, costs included, in flush ticks of 16 KiB."""
        for _ in range(size // (16 * 1024)):
            self.sink.write(LARGE)
            self.reactor.advance(FLUSH_TICK)

    def test_nobodyReads(self) -> None:
        """
        A run that nobody has viewed yet is paused when it is the read-ahead
        ahead of its start, once; it goes on when a viewer has come.
        """
        self.fill(self.readAhead)
        self.assertEqual(self.producer.told, [])
        self.fill(64 * 1024)
        self.assertEqual(self.producer.told, ["pause"])
        self.fill(128 * 1024)
        self.assertEqual(self.producer.told, ["pause"])
        self.watch(self.streamLog)
        self.assertEqual(self.producer.told, ["pause", "resume"])

    def test_slowViewer(self) -> None:
        """
        A viewer that takes nothing stops the run in the end; when it has read
        half of what waits the run goes on, not before.
        """
        wire = self.watch(self.streamLog)
        wire.stall()
        self.fill(512 * 1024)
        self.assertEqual(self.producer.told, ["pause"])
        for _ in soon(lambda: "resume" in self.producer.told, 1000):
            self.assertGreater(self.streamLog.ahead(), self.readAhead // 2)
            wire.take(16 * 1024)
        self.assertEqual(self.producer.told, ["pause", "resume"])
        self.assertLessEqual(self.streamLog.ahead(), self.readAhead // 2)
        wire.take()
        self.fill(1024 * 1024)
        self.assertEqual(self.producer.told, ["pause", "resume"])
        self.assertEqual("".join(wire.response.texts), self.text(self.streamLog))

    def test_fastestCounts(self) -> None:
        """
        Beside a fast viewer a slow one holds up nobody; when the fast one is
        gone the slow one's place counts.
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
        """
        When nobody is left, the place of the last viewer counts.
        """
        wire = self.watch(self.streamLog)
        self.fill(1024 * 1024)
        wire.close()
        self.fill(self.readAhead)
        self.assertEqual(self.producer.told, [])
        self.fill(64 * 1024)
        self.assertEqual(self.producer.told, ["pause"])

    def test_lostViewerOfAPausedRun(self) -> None:
        """
        A paused run whose slow viewer is gone goes on when another comes.
        """
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
        C{ready} fires at once while the run is not paused, and else when it
        goes on; all that wait are told.
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
        """
        When a paused run ends, who waits is told, too.
        """
        self.fill(512 * 1024)
        waiting = self.sink.ready()
        self.successResultOf(self.service.cancel(self.streamLog.name))
        self.successResultOf(waiting)
        self.successResultOf(self.sink.ready())
        self.assertEqual(self.producer.told, ["pause", "stop"])

    def test_readyThatNobodyWaitsFor(self) -> None:
        """
        Who no longer wants to wait cancels the Deferred, and nothing keeps
        it; the others are told all the same.
        """
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
        A source that awaits C{ready} before each token is stopped by a viewer
        that takes nothing, and goes on as it reads: so memory is bounded, and
        the viewer gets all.
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
            most = max(most, streamLog.ahead())
            self.assertLess(streamLog.ahead(), self.readAhead + 128 * 1024)
            wire.take(100_000)
            self.reactor.advance(FLUSH_TICK)
        self.assertGreater(most, self.readAhead)
        wire.take()
        self.assertEqual("".join(wire.response.texts), "".join(f"{number:06}{LARGE}" for number in range(512)))
        self.assertEqual(wire.response.types[-1], "done")

    def test_stoppedWhileItWaits(self) -> None:
        """
        A source that waits in C{ready} while its run is stopped is told so;
        nothing that it does then gets in, whether it writes on, ends or fails.
        """

        async def writesOn(sink: ITokenSink) -> None:
            # Not for ever: who never waits any more would never come back.
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
        """Write until the run is paused, and wait until it goes on."""
        for _ in soon(lambda: not sink.ready().called, 1000):
            sink.write(LARGE)
        await sink.ready()

    def test_drainWhileItWaits(self) -> None:
        """
        The same when the service stops: the run ends `failed`, and the service
        does stop.
        """

        async def produce(sink: ITokenSink, prompt: Prompt | None) -> None:
            await self.fillAndWait(sink)

        self.serve(FunctionSource(produce), self.settings)
        streamLog = self.startLog()
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.terminal(streamLog)[1]["reason"], "shutdown")
        self.service.startService()

    def test_pauseOnceMoreWhenResumed(self) -> None:
        """
        A source that writes at once when it is resumed is paused again at
        the read-ahead, and not told `resume` while it is.
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
            self.assertLess(self.streamLog.ahead(), self.readAhead + 128 * 1024)
        self.assertGreater(len(eager.told), 6)
        self.assertEqual(eager.told[::2], ["resume"] * len(eager.told[::2]))
        self.assertEqual(eager.told[1::2], ["pause"] * len(eager.told[1::2]))

    def test_producerThatBreaksWhenResumed(self) -> None:
        """
        A bug in a producer's C{resumeProducing} is the source's, not that of
        the viewer whose reading resumed it: no viewer is cut.
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


class ProducerRulesTests(ServiceTestCase):
    """What may be registered with a run."""

    settings = Settings(readAhead=1024)

    def setUp(self) -> None:
        super().setUp()
        self.streamLog = self.startLog()
        self.sink = self.source.run.sink
        self.producer = RecordingProducer()

    def test_pullProducer(self) -> None:
        """
        A pull producer is refused.
        """
        self.assertRaises(ValueError, self.sink.registerProducer, self.producer, False)
        self.sink.registerProducer(self.producer, True)

    def test_second(self) -> None:
        """
        A second one is refused until the first is unregistered.
        """
        self.sink.registerProducer(self.producer, True)
        self.assertRaises(RuntimeError, self.sink.registerProducer, RecordingProducer(), True)
        self.sink.unregisterProducer()
        self.sink.registerProducer(RecordingProducer(), True)

    def test_unregistered(self) -> None:
        """
        Nothing is told to one that was unregistered.
        """
        self.sink.registerProducer(self.producer, True)
        self.sink.unregisterProducer()
        self.sink.unregisterProducer()
        self.sink.write("x" * 100_000)
        self.successResultOf(self.service.cancel(self.streamLog.name))
        self.assertEqual(self.producer.told, [])

    def test_whilePaused(self) -> None:
        """
        One that comes while the run is paused is paused at once.
        """
        self.sink.write("x" * 100_000)
        self.sink.registerProducer(self.producer, True)
        self.assertEqual(self.producer.told, ["pause"])
        self.watch(self.streamLog)
        self.assertEqual(self.producer.told, ["pause", "resume"])

    def test_afterTheEnd(self) -> None:
        """
        One that comes after the end is stopped at once.
        """
        self.source.run.end()
        self.sink.registerProducer(self.producer, True)
        self.assertEqual(self.producer.told, ["stop"])

    def test_notStoppedAtTheUsualEnd(self) -> None:
        """
        A source that ends by itself needs no telling.
        """
        self.sink.registerProducer(self.producer, True)
        self.source.run.end()
        self.assertEqual(self.producer.told, [])


class KeepTests(ServiceTestCase):
    """How long an ended stream is kept."""

    settings = Settings(keep=600, linger=10_000, stall=10_000)

    def kept(self, *streamLogs: Any) -> list[bool]:
        """Say which are still there."""
        found: list[Any] = []
        for streamLog in streamLogs:
            self.service.find(streamLog.name).addCallbacks(lambda _: True, lambda _: False).addCallback(found.append)
        return found

    def test_forgotten(self) -> None:
        """
        A stream is kept for so long after its end, not its start, and then
        forgotten: nothing holds it any more.
        """
        streamLog = self.startLog()
        self.reactor.run(1000, 1)
        self.source.run.end()
        self.reactor.run(599.9, 1)
        self.assertEqual(self.kept(streamLog), [True])
        self.reactor.run(0.1 + SLOT)
        self.assertEqual(self.kept(streamLog), [False])
        gone = weakref.ref(streamLog)
        self.source.runs.clear()
        del streamLog
        gc.collect()
        self.assertIsNone(gone())

    def test_eachAtItsTime(self) -> None:
        """
        Streams that ended one after another are forgotten one after another;
        one that goes on is not.
        """
        logs = [self.startLog() for _ in range(4)]
        for run in self.source.runs[:3]:
            run.end()
            self.reactor.run(100, 1)
        self.reactor.run(301, 1)
        self.assertEqual(self.kept(*logs), [False, True, True, True])
        self.reactor.run(100, 1)
        self.assertEqual(self.kept(*logs), [False, False, True, True])
        self.reactor.run(1000, 1)
        self.assertEqual(self.kept(*logs), [False, False, False, True])

    def test_afterAQuietTime(self) -> None:
        """
        When all were forgotten the next to end is forgotten in its time, too.
        """
        for _ in range(2):
            streamLog = self.startLog()
            self.source.run.end()
            self.reactor.run(601, 1)
            self.assertEqual(self.kept(streamLog), [False])

    def test_viewerOfAForgottenStream(self) -> None:
        """
        Who still reads a stream that is forgotten reads it to its end.
        """
        streamLog = self.startLog()
        wire = self.watch(streamLog)
        wire.stall()
        self.source.run.write("x" * 100_000, "end")
        self.source.run.end()
        self.reactor.run(601, 1)
        self.assertEqual(self.kept(streamLog), [False])
        wire.take()
        self.assertEqual("".join(wire.response.texts), "x" * 100_000 + "end")
        self.assertEqual(wire.response.types[-1], "done")

    def test_storeThatFails(self) -> None:
        """
        A stream that the store cannot forget now is forgotten later, and the
        others in their time.
        """
        first = self.startLog()
        self.source.run.end()
        second = self.startLog()
        self.source.run.end()
        store = self.service.store
        delete = store.delete
        full = StoreUnavailable("Full.")
        patched = self.patch(store, "delete", lambda name, *epoch: fail(full) if name == first.name else delete(name))
        self.reactor.run(601, 1)
        self.assertEqual(self.kept(first, second), [True, False])
        patched.restore()
        self.reactor.run(601, 1)
        self.assertEqual(self.kept(first), [False])


class MaxViewersTests(ServiceTestCase):
    """What happens when there is no room for one more viewer."""

    settings = Settings(maxViewers=2)

    def assertTurnedAway(self, wire: Wire) -> int:
        """Check that a viewer was told to come back later; give its reconnection time."""
        response = wire.response
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["content-type"], "text/event-stream")
        self.assertIn("no-store", response.headers["cache-control"])
        self.assertTrue(response.complete)
        match = re.fullmatch(rb"retry: (\d+)\n\n", response.body)
        self.assertIsNotNone(match, response.body)
        return int(match[1])

    def test_turnedAway(self) -> None:
        """
        One viewer too many gets a response that an EventSource obeys: 200, a
        reconnection time, and the end; no run is started for it.
        """
        self.view()
        self.view()
        runs = len(self.source.runs)
        times = [self.assertTurnedAway(self.view()) for _ in range(30)]
        self.assertEqual(len(self.source.runs), runs)
        self.assertTrue(all(2000 <= time <= 4000 for time in times), times)
        self.assertGreater(len(set(times)), 1)
        self.assertEqual(self.service.viewers.count, 2)

    def test_atAStream(self) -> None:
        """
        The same where the stream is there already.
        """
        streamLog = self.startLog()
        self.watch(streamLog)
        self.watch(streamLog)
        self.assertTurnedAway(self.watch(streamLog))
        self.assertEqual(streamLog.viewers, 2)

    def test_roomAgain(self) -> None:
        """
        When one goes, or when its stream ends, there is room for another.
        """
        wires = [self.view(), self.view()]
        wires[0].close()
        third = self.view()
        self.assertFalse(third.response.complete)
        self.assertTurnedAway(self.view())
        self.source.run.end()
        self.reactor.advance(FLUSH_TICK)
        self.assertTrue(third.response.complete)
        self.assertFalse(self.view().response.complete)

    def test_runs(self) -> None:
        """
        Nor is a run started by POST then: 503, which says when to try again.
        """
        self.view()
        self.view()
        self.failureResultOf(self.service.startRun(), Overloaded)
        response = self.ask("/streams", method="POST", body=b"{}")
        self.assertEqual(response.status, 503)
        self.assertEqual(response.error["code"], "overloaded")
        self.assertGreater(int(response.headers["retry-after"]), 0)


class ReconnectionTimeTests(ServiceTestCase):
    """What viewers are told to wait."""

    settings = Settings(reconnectionTime=9000)

    def test_eachItsOwn(self) -> None:
        """
        Every viewer is told a time of its own around the one that was set.
        """
        streamLog = self.startLog()
        times = {self.watch(streamLog).response.events[0].retry for _ in range(20)}
        self.assertGreater(len(times), 1)
        self.assertTrue(all(time is not None and 6000 <= time <= 12_000 for time in times))


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


class LogTests(ServiceTestCase):
    """What the log tells of viewers."""

    def lines(self, events: list[dict[str, Any]]) -> list[str]:
        """Give the lines about viewers."""
        formats = [event.get("log_format") or "" for event in events]
        return [text.format(**event) for text, event in zip(formats, events, strict=True) if "viewer" in text]

    def test_viewerThatLeft(self) -> None:
        """
        Of a viewer that leaves, for which twisted.web writes no line, there is
        one: its stream, why, and how many bytes it got.
        """
        streamLog = self.startLog()
        wire = self.watch(streamLog)
        self.write("a")
        size = len(wire.response.body)
        with logged() as events:
            wire.close()
        self.assertEqual(self.lines(events), [f"A viewer of {streamLog.name} went: left, {size} bytes"])

    def test_viewerThatHasAll(self) -> None:
        """
        Of one that got its stream to the end there is none: twisted.web writes
        its own.
        """
        self.watch(self.startLog())
        with logged() as events:
            self.source.run.end()
            self.reactor.advance(FLUSH_TICK)
        self.assertEqual(self.lines(events), [])


class EmbeddingTests(ServedTestCase):
    """What an embedder may do."""

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
