"""`sseserver.wire.frames`, and the functions of the compiled build that stand in its place."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.formats.events import EventsFormat
from sseserver.speedups.body import Outbox
from sseserver.streams.ids import makeEpoch
from sseserver.streams.log import StreamLog
from sseserver.timing.ticker import Ticker
from sseserver.timing.turnend import TurnEnd
from sseserver.values import Kind
from sseserver.wire import frames

#: Sizes around those at which a chunk's size gets another digit.
SIZES = (1, 9, 10, 15, 16, 255, 256, 4095, 4096, 65_535, 65_536)


class FramesTests(SynchronousTestCase):
    """The results of the functions; compiled modules write the same."""

    def test_writeChunk(self) -> None:
        """A chunk is the size in hexadecimal digits, CRLF, the data, CRLF (RFC 9112, 7.1)."""
        self.assertEqual(frames.writeChunk(b"x" * 26), b"1a\r\n" + b"x" * 26 + b"\r\n")

    def test_chunksOfBodies(self) -> None:
        """The outbox frames data of every size as `writeChunk` does."""
        outbox = Outbox(TurnEnd(Clock()))
        for size in SIZES:
            data = bytes(range(256)) * (size // 256 + 1)
            self.assertEqual(outbox.frame(data[:size]), frames.writeChunk(data[:size]))

    def test_writeTextEvent(self) -> None:
        """An event has its ID in the first line, and its text in the second."""
        self.assertEqual(frames.writeTextEvent(b"epoch", 120, b"a \0"), b"id: epoch-120\ndata: a \0\n\n")

    def test_eventsOfTokens(self) -> None:
        """The format `events` writes tokens as `writeTextEvent` does, with numbers of every length."""
        epoch, tokens = makeEpoch(), ["a", "", "é\0", "x" * 5000]
        log = StreamLog("a", epoch, Ticker(Clock(), 0.01), 1 << 20)
        rendering = EventsFormat().render(log)
        for number in range(1, 1101):
            token = tokens[number % 4].encode()
            log.append(Kind.TOKEN, token)
            expected = frames.writeTextEvent(epoch.encode(), number, token) if token else b""
            self.assertEqual(rendering.read(number - 1, 1 << 20, False).data, expected)

    def test_hasLineEnd(self) -> None:
        """LF and CR are line ends, and nothing else is."""
        found = [byte for byte in range(256) if frames.hasLineEnd(b"a" + bytes((byte,)) + b"b")]
        self.assertEqual(found, [10, 13])
        self.assertFalse(frames.hasLineEnd(b""))

    def test_encodeText(self) -> None:
        """Text becomes UTF-8; a lone surrogate has no encoding."""
        self.assertEqual(frames.encodeText("é\0"), b"\xc3\xa9\0")
        self.assertRaises(UnicodeEncodeError, frames.encodeText, "\ud800")
