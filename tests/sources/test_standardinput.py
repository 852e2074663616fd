"""
Tests of `sseserver.sources.standardinput`.
"""

from __future__ import annotations

import os
from io import FileIO
from itertools import pairwise

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IPushProducer, IReadDescriptor
from twisted.internet.main import CONNECTION_DONE
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sseserver.errors import SourceError
from sseserver.interfaces import ITokenSource
from sseserver.sources.standardinput import BEHIND, READ, InputSource
from sseserver.testing import RecordingSink, SourceContract
from tests.programs import PipeReactor


class ContractTests(SourceContract, SynchronousTestCase):
    """A source whose input has arrived and ended."""

    def makeSource(self) -> ITokenSource:
        """See `SourceContract.makeSource`."""
        reactor = PipeReactor()
        reading, writing = os.pipe()
        os.write(writing, b"one two three " * 2000)
        os.close(writing)
        source = InputSource(reactor, FileIO(reading))
        source.startService()
        while reactor.readers:
            reactor.turn()
        # The clock of the test from here on.
        source.clock = self.clock
        return source


class InputTests(SynchronousTestCase):
    """F98: standard input, which arrives while runs read it."""

    def setUp(self) -> None:
        """Make a source with a pipe."""
        super().setUp()
        self.reactor = PipeReactor()
        self.start()

    def start(self, window: int = 1 << 20) -> None:
        """Start a source with a new pipe, in place of the one before."""
        for reader in tuple(self.reactor.readers):
            reader.connectionLost(Failure(CONNECTION_DONE))
        reading, writing = os.pipe()
        self.pipe = FileIO(writing, "wb")
        self.addCleanup(self.pipe.close)
        self.source = InputSource(self.reactor, FileIO(reading), window, "model")
        self.source.startService()

    def tearDown(self) -> None:
        """Check that nothing is left."""
        self.pipe.close()
        self.turn()
        self.assertTrue(self.reactor.idle)

    def turn(self) -> None:
        """Read and write everything there is."""
        for _ in range(20):
            self.reactor.turn(0)
            self.reactor.advance(0)

    def feed(self, data: bytes) -> None:
        """Let data arrive."""
        self.pipe.write(data)
        self.turn()

    def run_(self) -> RecordingSink:
        """Start a run."""
        sink = RecordingSink()
        sink.start(self.source)
        self.turn()
        return sink

    def test_interfaces(self) -> None:
        """The source is a token source, its reader a descriptor, its producers are push producers."""
        verifyObject(ITokenSource, self.source)
        verifyObject(IPushProducer, self.run_().producer)
        [reader] = self.reactor.readers
        verifyObject(IReadDescriptor, reader)
        self.assertEqual((self.source.model, self.source.takesPrompt), ("model", False))

    def test_F98_asItArrives(self) -> None:
        """F98: each run gets at once what has arrived, then the rest as it arrives, and ends with the input."""
        early = self.run_()
        self.assertEqual((early.tokens, early.ended), ([], False))
        self.feed(b"Hello ")
        late = self.run_()
        self.assertEqual((early.tokens, late.tokens), (["Hello "], ["Hello "]))
        self.feed(b"big world")
        for sink in (early, late):
            self.assertEqual((sink.tokens, sink.ended), (["Hello ", "big ", "world"], False))
        self.pipe.close()
        self.turn()
        last = self.run_()
        for sink in (early, late, last):
            self.assertEqual((sink.tokens, sink.ended, sink.result), (["Hello ", "big ", "world"], True, None))
            self.assertIsNone(sink.producer)

    def test_emptyInput(self) -> None:
        """An input without a byte gives empty runs."""
        self.pipe.close()
        self.turn()
        sink = self.run_()
        self.assertEqual((sink.tokens, sink.ended, sink.result), ([], True, None))

    def test_charactersInPieces(self) -> None:
        """A character that arrives in pieces is whole; bytes that are not UTF-8 become U+FFFD."""
        sink = self.run_()
        for byte in "ä📖".encode():
            self.feed(bytes([byte]))
        self.assertEqual(sink.tokens, ["ä", "📖"])
        self.feed(b"\xff \xc3")
        self.pipe.close()
        self.turn()
        self.assertEqual("".join(sink.tokens), "ä📖\ufffd \ufffd")

    def test_order(self) -> None:
        """New input is written in the order in which the runs were started: seed 61 of the simulation."""
        written: list[int] = []
        for number in range(20):
            sink = self.run_()
            self.patch(sink, "write", lambda token, number=number: written.append(number))
        self.feed(b"a")
        self.assertEqual(written, list(range(20)))

    def test_pause(self) -> None:
        """A paused run writes nothing, and the others go on. Resumed, it writes everything that it missed."""
        paused, other = self.run_(), self.run_()
        self.feed(b"a ")
        paused.pause()
        self.feed(b"b ")
        self.assertEqual((paused.tokens, other.tokens), (["a "], ["a ", "b "]))
        paused.resume()
        self.turn()
        self.assertEqual(paused.tokens, ["a ", "b "])

    def test_turns(self) -> None:
        """A run that starts late gets a long text in turns: a few KiB in each."""
        for _ in range(8):
            self.feed(b"word " * (READ // 5))
        sink = RecordingSink()
        sink.start(self.source)
        lengths = []
        while not lengths or lengths[-1] < 8 * (READ // 5) * 5:
            # One turn: `advance` would make the calls that this one schedules, too.
            call = self.reactor.calls.pop()
            call.called = 1
            call.func(*call.args)
            lengths.append(len("".join(sink.tokens)))
        self.assertGreaterEqual(len(lengths), 8)
        self.assertLessEqual(max(after - before for before, after in pairwise(lengths)), READ)

    def test_cancelled(self) -> None:
        """A cancelled run is woken no more."""
        sink = self.run_()
        self.feed(b"a")
        sink.cancel()
        assert isinstance(sink.result, Failure)
        self.assertTrue(sink.result.check(CancelledError))
        self.feed(b"b")
        self.assertEqual((sink.tokens, sink.late), (["a"], []))

    def test_bound(self) -> None:
        """Of an endless input the end is kept for new runs, in bounded memory."""
        self.start(window=4 * READ)
        for number in range(100):
            self.feed(b"%02d" % number + b"x" * (READ - 2))
        text = "".join(self.run_().tokens)
        self.assertLessEqual(len(text), 4 * READ)
        self.assertGreaterEqual(len(text), 3 * READ)
        self.assertTrue(text.endswith("99" + "x" * (READ - 2)))

    def test_behind(self) -> None:
        """A run that was paused until its place is no longer kept fails: it never leaves out a part in silence."""
        self.start(window=4 * READ)
        sink = self.run_()
        self.feed(b"a ")
        sink.pause()
        for _ in range(5):
            self.feed(b"x" * READ)
        sink.resume()
        self.turn()
        assert isinstance(sink.result, Failure)
        self.assertTrue(sink.result.check(SourceError))
        self.assertEqual((sink.tokens, sink.result.value.reason, sink.producer), (["a "], BEHIND, None))

    def test_smallPieces(self) -> None:
        """The memory of very small pieces counts, too."""
        self.start(window=1000)
        for _ in range(100):
            self.feed(b"x")
        self.assertLess(len("".join(self.run_().tokens)), 20)

    def test_stopped(self) -> None:
        """A stopped service reads no more, and goes on when it is started again."""
        self.feed(b"a")
        self.source.stopService()
        self.assertEqual(self.reactor.readers, {})
        self.pipe.write(b"b")
        self.turn()
        sink = self.run_()
        self.assertEqual(sink.tokens, ["a"])
        self.source.startService()
        self.turn()
        self.assertEqual(sink.tokens, ["a", "b"])

    def test_staysBlocking(self) -> None:
        """The descriptor stays blocking: a terminal shares that flag with the output of the server."""
        [fd] = self.reactor.readers.values()
        self.assertTrue(os.get_blocking(fd))
