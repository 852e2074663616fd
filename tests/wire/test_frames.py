"""`sseserver.wire.frames`, and the functions of the compiled build that stand in its place."""

from __future__ import annotations

from itertools import accumulate

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.formats.events import EventsFormat
from sseserver.formats.responses import ResponsesFormat
from sseserver.protocols.chatcompletions import TextFrame
from sseserver.speedups.body import Outbox
from sseserver.streams.ids import makeEpoch
from sseserver.streams.log import StreamLog
from sseserver.timing.ticker import Ticker
from sseserver.timing.turnend import TurnEnd
from sseserver.values import Kind
from sseserver.wire import frames
from tests.protocols.responses.judge import readEvents

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

    def test_writeNumbered(self) -> None:
        """Number and text stand between the constant bytes; of several events each has the next number."""
        self.assertEqual(frames.writeNumbered(b"%d", 0, b"%b", b"", b"c%"), b"%d0%bc%")
        numbered = [frames.writeNumbered(b"a%", number, b"%b", b"x" * number, b"%") for number in range(9, 111)]
        texts = [b"x" * number for number in range(9, 111)]
        self.assertEqual(frames.writeAllNumbered(b"a%", 9, b"%b", texts, b"%"), numbered)

    def test_eventsOfResponses(self) -> None:
        """The format `responses` writes the same, one by one and together."""
        log = StreamLog("a", makeEpoch(), Ticker(Clock(), 0.01), 1 << 20)
        form, alone = ResponsesFormat("m"), []
        rendering = form.render(log)
        for number in range(1200):
            log.append(Kind.TOKEN, b"%d" % number if number % 100 else '"%d\n\u00e9'.encode())
            alone.append(rendering.read(number, 1 << 20, True).data)
        self.assertEqual(ResponsesFormat("m").render(log).read(0, 1 << 20, True).data, b"".join(alone))
        event = alone[1].replace(b":5,", b":%d,").replace(b'"1"', b'"%d"')
        self.assertEqual(
            [alone[number] for number in (7, 1199)], [event % (number + 4, number) for number in (7, 1199)]
        )

    def test_findFramed(self) -> None:
        """Texts are found between their frame and a second copy, up to a piece that is anything else."""
        pieces = [b"<" + text + b">" + text for text in (b"a", b"<>", "\u00e9".encode(), b"b" * 300)]
        bounds = [0, *accumulate(map(len, pieces))]
        texts = [piece[len(piece) // 2 + 1 :] for piece in pieces]
        self.assertEqual(frames.findFramed(b"".join(pieces), bounds, b"<", b">"), texts)
        for other in (b"", b"<", b"<>", b"<a>b", b"(a>a", b"<a)a", b"<a>ba", b"<aa>a", b"<a>aa"):
            data = b"".join([*pieces, other, pieces[0]])
            ends = [*bounds, bounds[-1] + len(other), len(data)]
            self.assertEqual(frames.findFramed(data, ends, b"<", b">"), texts, other)

    def test_textsOfChunks(self) -> None:
        """A frame finds the texts as `findFramed` does."""
        frame = TextFrame()
        entries = [b'{"a":"%d"}\n%d' % (number, number if number % 300 else 0) for number in range(1, 1001)]
        frame.learn(entries[0])
        at, found = 1, [b"1"]
        while at < len(entries):
            bounds = [0, *accumulate(map(len, entries[at:]))]
            data = b"".join(entries[at:])
            texts = frame.findAll(data, bounds)
            self.assertEqual(texts, frames.findFramed(data, bounds, b'{"a":"', b'"}\n')[: len(texts)])
            found += texts or [b"?"]
            at += len(texts) or 1
        self.assertEqual(found, [b"%d" % number if number % 300 else b"?" for number in range(1, 1001)])

    def test_isPlain(self) -> None:
        """Text is plain if JSON has it unchanged between quotes, and if it is in ASCII."""
        plain = [byte for byte in range(256) if frames.isPlain(b"a" + bytes((byte,)) + b"b")]
        self.assertEqual(plain, [byte for byte in range(32, 127) if byte not in b'"\\'])
        self.assertTrue(frames.isPlain(b""))

    def test_plainTexts(self) -> None:
        """Texts that are plain stand in events as JSON has them; so do the others."""
        for byte in range(128):
            log = StreamLog("a", makeEpoch(), Ticker(Clock(), 0.01), 1 << 20)
            texts = [chr(byte) * count for count in range(1, 5)]
            for text in texts:
                log.append(Kind.TOKEN, text.encode())
            events = readEvents(ResponsesFormat("m").render(log).read(0, 1 << 20, True).data)
            self.assertEqual([event["delta"] for event in events[4:]], texts)

    def test_hasLineEnd(self) -> None:
        """LF and CR are line ends, and nothing else is."""
        found = [byte for byte in range(256) if frames.hasLineEnd(b"a" + bytes((byte,)) + b"b")]
        self.assertEqual(found, [10, 13])
        self.assertFalse(frames.hasLineEnd(b""))

    def test_encodeText(self) -> None:
        """Text becomes UTF-8; a lone surrogate has no encoding."""
        self.assertEqual(frames.encodeText("é\0"), b"\xc3\xa9\0")
        self.assertRaises(UnicodeEncodeError, frames.encodeText, "\ud800")
