"""Tests for `sseserver.sources.upstreamrelay`: chunks on their way, the end of the choices, and what follows it."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import SourceError
from sseserver.sources.upstreamrelay import GRACE_SECONDS, ChunkRelay
from sseserver.sources.upstreamsilence import SilenceTimer
from sseserver.testing import RecordingSink
from sseserver.wire import Decoder
from tests.upstreamscripts import CHUNKS, HELLO, KEY, ROLE, STOP, USAGE, chunk, event, failing


class RelayTests(SynchronousTestCase):
    """A relay for an answer with two choices, whose chunks follow within 20 seconds, the first within 60."""

    def setUp(self) -> None:
        """Make the relay and its timer, which the tests advance."""
        self.clock = Clock()
        self.sink = RecordingSink()
        self.reports: list[object] = []
        self.silence = SilenceTimer(self.clock, 60.0, self.reports.append)
        self.relay = ChunkRelay(self.sink, self.silence, 20.0, 2, (KEY,), lambda: self.reports.append("done"))
        self.silence.start()
        self.addCleanup(self.silence.stop)

    def advance(self, seconds: float) -> None:
        """Let time pass in small steps."""
        self.clock.pump([0.1] * round(seconds * 10))

    def test_chunks(self) -> None:
        """Chunks reach the sink unchanged; events without data do not."""
        for data in (ROLE, b" ", HELLO, USAGE):
            self.relay.take(data)
        self.assertEqual((self.sink.chunks, self.sink.tokens), ([ROLE, HELLO, USAGE], ["Hello"]))

    def test_limits(self) -> None:
        """The first chunk ends its own limit; the last finish reason begins a short one."""
        self.advance(30)
        self.relay.take(ROLE)
        self.advance(19.8)
        self.relay.take(STOP)
        self.assertEqual((self.relay.isComplete(), self.relay.finishReason), (False, "stop"))
        self.advance(19.8)
        self.relay.take(chunk({}, "length", 1))
        self.assertEqual((self.relay.isComplete(), self.relay.finishReason), (True, "stop"))
        self.advance(GRACE_SECONDS - 0.2)
        self.assertEqual(self.reports, [])
        self.advance(0.4)
        self.assertEqual(self.reports, [GRACE_SECONDS])

    def test_done(self) -> None:
        """`[DONE]` is reported after chunks, and refused before them."""
        self.assertRaises(SourceError, self.relay.take, b"[DONE]")
        self.assertEqual(self.reports, [])
        self.relay.take(ROLE)
        self.relay.take(b"[DONE]")
        self.assertEqual(self.reports, ["done"])

    def test_stop(self) -> None:
        """A stopped relay takes neither chunks nor errors, in whichever way they come."""
        self.relay.take(HELLO)
        self.relay.stop()
        for data in (*CHUNKS, b"[DONE]", failing("overloaded"), b"garbage"):
            self.relay.take(data)
        decoder = Decoder()
        decoder.feed(event(HELLO)[:-1])
        self.relay.takeRest(decoder)
        self.assertEqual((self.sink.chunks, self.reports), ([HELLO], []))

    def test_error(self) -> None:
        """An error of the upstream is raised, without the key in it."""
        error = self.assertRaises(SourceError, self.relay.take, failing(f"The key {KEY} is wrong."))
        self.assertIn("is wrong.", str(error))
        self.assertNotIn(KEY, str(error))

    def test_rest(self) -> None:
        """A last event without its empty line is taken if it is complete: a chunk, or an error."""
        for cut, chunks in ((-1, [HELLO]), (-10, [])):
            del self.sink.chunks[:]
            decoder = Decoder()
            decoder.feed(event(HELLO)[:cut])
            self.relay.takeRest(decoder)
            self.assertEqual(self.sink.chunks, chunks)
        decoder = Decoder()
        decoder.feed(event(failing("overloaded"))[:-1])
        self.assertRaises(SourceError, self.relay.takeRest, decoder)
