"""
Tests for `sseserver.wire.decoder`.
"""

from __future__ import annotations

import dataclasses
import re
import time
import tracemalloc
from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import EventTooLarge
from sseserver.wire import (
    MAX_EVENT_BYTES,
    MAX_RECONNECTION_TIME,
    Decoder,
    Event,
)
from tests.vectors import CHROMIUM, DECODED, ENCODED, OWN
from tests.wire.cases import bytewise, decode, reference


class VectorTests(SynchronousTestCase):
    """The vectors, as they are read."""

    def test_tableIsComplete(self) -> None:
        """
        The table has all 25 vectors that were checked in Chromium.
        """
        self.assertEqual(len(CHROMIUM), 25)
        self.assertEqual(DECODED, CHROMIUM + OWN)

    def test_reference(self) -> None:
        """
        The reference decoder, with which other tests compare, agrees with the vectors.
        """
        for vector in DECODED:
            if vector.property not in {"leading zeros are digits", "endless retry is the longest"}:
                self.assertEqual(reference(vector.stream).events, vector.events, vector.property)

    def test_whole(self) -> None:
        """
        Each stream, fed at once, gives its events.
        """
        for vector in DECODED:
            self.assertEqual(decode([vector.stream]).events, vector.events, vector.property)

    def test_byteByByte(self) -> None:
        """
        Each stream gives its events byte by byte, with empty feeds between, and
        leaves the decoder as the whole stream does.
        """
        for vector in DECODED:
            whole = decode([vector.stream])
            self.assertEqual(decode(bytewise(vector.stream)), whole, vector.property)
            between = [piece for byte in bytewise(vector.stream) for piece in (byte, b"")]
            self.assertEqual(decode(between), whole, vector.property)

    def test_splitAtEveryPosition(self) -> None:
        """
        Each stream gives its events, and leaves the decoder in the same state,
        wherever it is cut in two.
        """
        for vector in DECODED:
            whole = decode([vector.stream])
            for i in range(len(vector.stream)):
                self.assertEqual(decode([vector.stream[:i], vector.stream[i:]]), whole, (vector.property, i))

    def test_unfinishedAfter(self) -> None:
        """
        An unfinished block after each stream adds no event, is pending, and does not set the ID.
        """
        for vector in DECODED:
            before = decode([vector.stream])
            after = decode([vector.stream + b"id: torn\nevent: torn\ndata: torn"])
            self.assertEqual((after.events, after.lastEventID), (vector.events, before.lastEventID), vector.property)
            self.assertTrue(after.pending, vector.property)

    def test_eventAfter(self) -> None:
        """
        An event after each finished stream has the last event ID and nothing else of the blocks
        before, in the same feed or a later one.
        """
        for vector in DECODED:
            before = decode([vector.stream])
            if not before.pending and vector.stream != b"\xef\xbb\xbf":
                events = [*vector.events, Event("z", "after", before.lastEventID)]
                block = b"event: after\ndata: z\n\n"
                self.assertEqual(decode([vector.stream + block]).events, events, vector.property)
                self.assertEqual(decode([vector.stream, block]).events, events, vector.property)

    def test_encodedIsReadBack(self) -> None:
        """
        Each written block, however it is cut, is read back as the event, with LF for its line ends.
        """
        for vector in ENCODED:
            event = dataclasses.replace(vector.event, data=vector.data, id=vector.event.id or "")
            for pieces in ([vector.block], bytewise(vector.block)):
                self.assertEqual(decode(pieces).events, [event], vector.property)


class DecoderTests(SynchronousTestCase):
    """The state of a `Decoder` between events, and its limits."""

    def test_crEndsTheLineAtOnce(self) -> None:
        """
        A CR that ends an empty line dispatches the event at once; a LF that completes it in a later
        feed is no line end of its own.
        """
        decoder = Decoder()
        self.assertEqual(decoder.feed(b"data: a\r\n\r"), [Event("a", id="")])
        self.assertFalse(decoder.pending)
        self.assertEqual(decoder.feed(b""), [])
        self.assertEqual(decoder.feed(b"\n"), [])
        self.assertEqual(decoder.feed(b"data: b\r"), [])
        self.assertEqual(decoder.feed(b"\ndata: c\r"), [])
        self.assertEqual(decoder.feed(b"\r"), [Event("b\nc", id="")])

    def test_onlyOneLFIsSwallowed(self) -> None:
        """
        After a CR at the end of a feed one LF belongs to it; another one is an empty line.
        """
        decoder = Decoder()
        self.assertEqual(decoder.feed(b"data: a\r"), [])
        self.assertEqual(decoder.feed(b"\n"), [])
        self.assertEqual(decoder.feed(b"\n"), [Event("a", id="")])

    def test_eventsComeWithTheirFeed(self) -> None:
        """
        Each feed returns exactly the events that it completes.
        """
        decoder = Decoder()
        self.assertEqual(decoder.feed(b"data: a\n\ndata: b\n\nda"), [Event("a", id=""), Event("b", id="")])
        self.assertEqual(decoder.feed(b"ta: c\n"), [])
        self.assertEqual(decoder.feed(b"\n"), [Event("c", id="")])

    def test_eventAlone(self) -> None:
        """
        An event alone in a feed is read like any other: after an ID, a type, a BOM, a CR, half a
        line, half a block, and at the limit.
        """
        befores = b"|\xef\xbb\xbf|:|:\n|id: 7\n\n|id: 7\n|event: t\n|data: a\n|retry: 1\n|d|id\n\n|a\r\r|\xef"
        alones = b"data: b\n\n|data: \n\n|data: b\r\n|data: b\n\r|data: b\r\n\n|data: \xff\n\n|data: b\nx|id: b\n\n"
        for before, alone, limit in product(befores.split(b"|"), alones.split(b"|"), (7, 8, 9, 1000)):
            expected = decode(bytewise(before + alone + b"\n"), limit)
            outcome = decode([before, alone, b"\n"], limit)
            self.assertEqual(outcome.dead, expected.dead, (before, alone, limit))
            if not expected.dead:
                self.assertEqual(outcome, expected, (before, alone))

    def test_lastEventID(self) -> None:
        """
        The last event ID string changes when a block ends, with or without
        data, and not before; an empty ID resets it.
        """
        decoder = Decoder()
        seen = [decoder.lastEventID]
        for piece in (b"id: 1\n", b"data: a\n", b"\n", b"id: 2\n", b"\n", b"data: b\n\n", b"id\n", b"\n"):
            decoder.feed(piece)
            seen.append(decoder.lastEventID)
        self.assertEqual(seen, ["", "", "", "1", "1", "2", "2", "2", ""])

    def test_lastEventIDGoesOn(self) -> None:
        """
        A decoder for a new connection that was given the last event ID keeps
        it until the stream sets another.
        """
        decoder = Decoder(lastEventID="7")
        self.assertEqual(decoder.lastEventID, "7")
        self.assertEqual(decoder.feed(b"\ndata: a\n\n"), [Event("a", id="7")])
        self.assertEqual(decoder.feed(b"id: 8\ndata: b\n\n"), [Event("b", id="8")])
        self.assertEqual(decoder.lastEventID, "8")

    def test_reconnectionTime(self) -> None:
        """
        The reconnection time is that of the last valid `retry` line, from the
        end of this line on, even if its block never ends.
        """
        decoder = Decoder()
        seen = [decoder.reconnectionTime]
        for piece in (b"retry: 5", b"\n", b"\n", b"retry: 6\nretry: -1\n", b"retry: " + b"9" * 9999 + b"\n"):
            decoder.feed(piece)
            seen.append(decoder.reconnectionTime)
        self.assertEqual(seen, [None, None, 5, 5, 6, MAX_RECONNECTION_TIME])

    def test_pending(self) -> None:
        """
        A decoder is pending while a line or a block is unfinished. A finished comment or a BOM is
        not pending.
        """
        for stream, pending in (
            (b"", False),
            (b"\xef", True),
            (b"\xef\xbb\xbf", False),
            (b"d", True),
            (b"data: a\n", True),
            (b"data: a\r", True),
            (b"data: a\n\n", False),
            (b"data: a\r\n\r", False),
            (b"event: t\n", True),
            (b"id: 1\n", True),
            (b"retry: 1\n", True),
            (b"unknown\n", True),
            (b"unknown\n\n", False),
            (b":", True),
            (b": comment\n", False),
            (b"data: a\n\n:\n", False),
            (b"data: a\n:\n", True),
            (b"data: a\n\n ", True),
        ):
            self.assertEqual(decode([stream]).pending, pending, stream)
            self.assertEqual(decode(bytewise(stream)).pending, pending, stream)

    def test_limit(self) -> None:
        """
        A block of exactly the limit, with one byte for each line end, is read; one byte more is
        refused, however it is cut, and stays pending. The error names the limit.
        """
        for stream in (
            b"data: 3456789\n\n",
            b"data:3456789\r\n:comment\r\n\r\n",
            b"id: 1\rdata: 9\r\r",
            b"unknown 3456789\n\n",
        ):
            block = re.sub(b"\r\n?", b"\n", stream.replace(b":comment\r\n", b""))
            limit = len(block) - 1
            for pieces in ([stream], bytewise(stream), [b"\n", stream], [b"data: a\n\n", stream]):
                self.assertFalse(decode(pieces, limit).dead, stream)
                refused = decode(pieces, limit - 1)
                self.assertEqual((refused.dead, refused.pending), (True, True), stream)
        refusal = self.assertRaises(EventTooLarge, Decoder(14).feed, b"data: 3456789+\n\n")
        self.assertEqual(str(refusal), "An event is larger than 14 bytes.")

    def test_limitOfTheDefault(self) -> None:
        """
        The default limit is 1 MiB.
        """
        decoder = Decoder()
        self.assertEqual(MAX_EVENT_BYTES, 1024 * 1024)
        decoder.feed(b"data: " + b"a" * (MAX_EVENT_BYTES - 6))
        self.assertRaises(EventTooLarge, decoder.feed, b"a")

    def test_limitIsForEachBlock(self) -> None:
        """
        The limit applies to each block: any number of smaller ones is read.
        """
        stream = (b"data: 3456\n\n" + b"id: 12345\n\n") * 100
        for pieces in ([stream], bytewise(stream)):
            self.assertEqual(len(decode(pieces, 11).events), 100)

    def test_limitIsForTheUnfinished(self) -> None:
        """
        An unfinished line or block over the limit is refused at once.
        """
        for endless in (b"x", b"data: x\n", b"data\r\n", b"event: t\n", b"id:1\n", b"retry: 1\n", b"unknown\n", b" "):
            self.assertFalse(decode([endless] * (900 // len(endless)), 1000).dead, endless)
            self.assertTrue(decode([endless] * (1300 // len(endless)), 1000).dead, endless)

    def test_deadStaysDead(self) -> None:
        """
        A decoder that has refused an event refuses every later feed, stays pending, and drops its
        bytes.
        """
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        decoder = Decoder(1_000_000)
        decoder.feed(b"data: " + b"a" * 500_000 + b"\n")
        decoder.feed(b"data: " + b"a" * 400_000)
        self.assertRaises(EventTooLarge, decoder.feed, b"a" * 100_000)
        self.assertLess(tracemalloc.get_traced_memory()[0], 300_000)
        for data in (b"", b"\n\n", b"data: a\n\n"):
            self.assertRaises(EventTooLarge, decoder.feed, data)
        self.assertTrue(decoder.pending)

    def test_refusedFeedKeepsTheID(self) -> None:
        """
        A refused feed leaves the last event ID before the events that it did not return, so a
        client that resumes has no gap; for a finished event, an unfinished block and a line.
        """
        for large in (b"data: 0123456789\n\n", b"data: 0123456789\n", b"data: 0123456789+"):
            decoder = Decoder(15)
            decoder.feed(b"id: 1\ndata: a\n\n")
            self.assertRaises(EventTooLarge, decoder.feed, b"id: 2\ndata: b\n\n" + large)
            self.assertEqual(decoder.lastEventID, "1", large)

    def test_endlessComment(self) -> None:
        """
        A comment of any length takes no memory, does not count, and hides nothing of its block.
        """
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        decoder = Decoder(1000)
        piece = b"data: " * 10_000
        decoder.feed(b"data: a\n:")
        tracemalloc.reset_peak()
        for _ in range(100):
            self.assertEqual(decoder.feed(piece), [])
        self.assertEqual(decoder.feed(b"end\n" + b":" + piece + b"\ndata: b\n\n"), [Event("a\nb", id="")])
        self.assertLess(tracemalloc.get_traced_memory()[1], 10 * len(piece))

    def test_timeIsLinear(self) -> None:
        """
        Feeds of one byte take the same time at the end of a stream as at its start, in one line,
        one block of many lines, or one comment. (If the time were quadratic, the last quarter would
        take seven times as long; the test allows three.)
        """
        for stream in (b"data: " + b"x" * 600_000, b"data:\n" * 33_000, b":" + b"x" * 200_000):
            decoder = Decoder()
            quarter = len(stream) // 4
            times = []
            for start in range(0, 4 * quarter, quarter):
                before = time.process_time()
                for byte in bytewise(stream[start : start + quarter]):
                    decoder.feed(byte)
                times.append(time.process_time() - before)
            self.assertLess(times[3], 3 * times[0], stream[:10])
