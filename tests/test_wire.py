"""
Tests for L{sseserver.wire}.

`SSESERVER_LONG=1` tries 100,000 random splits of random streams, written events
and garbage, instead of 300, and 5,000,000 of the vectors instead of 100,000; it
takes a quarter of an hour.
"""

from __future__ import annotations

import dataclasses
import os
import random
import re
import time
import tracemalloc
from collections.abc import Iterable
from itertools import pairwise, product
from typing import Any, NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import EventTooLarge, MalformedEvent
from sseserver.wire import (
    HEARTBEAT,
    MAX_EVENT_BYTES,
    MAX_RECONNECTION_TIME,
    Decoder,
    Event,
    checkID,
    checkType,
    comment,
    dataLines,
    encode,
)
from tests.vectors import CHROMIUM, DECODED, ENCODED, OWN, REFUSED

LONG = os.environ.get("SSESERVER_LONG") == "1"
property_ = settings(max_examples=10_000 if LONG else 300, deadline=None)
anySplit = settings(max_examples=100_000 if LONG else 300, deadline=None)


class Outcome(NamedTuple):
    """What a decoder has returned and shows when all was fed."""

    events: list[Event]
    lastEventID: str
    reconnectionTime: int | None
    pending: bool
    dead: bool


def decode(pieces: Iterable[bytes], maxEventBytes: int = MAX_EVENT_BYTES) -> Outcome:
    """Feed a stream in pieces, up to the one that is refused."""
    decoder = Decoder(maxEventBytes)
    events: list[Event] = []
    dead = False
    try:
        for piece in pieces:
            events += decoder.feed(piece)
    except EventTooLarge:
        dead = True
    return Outcome(events, decoder.lastEventID, decoder.reconnectionTime, decoder.pending, dead)


def bytewise(stream: bytes) -> list[bytes]:
    """Cut a stream into its bytes."""
    return [stream[i : i + 1] for i in range(len(stream))]


def cutAt(stream: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut a stream at places, which are taken modulo its length; some pieces may be empty."""
    at = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(at)]


def reference(stream: bytes, maxEventBytes: int = MAX_EVENT_BYTES) -> Outcome:
    """
    Decode a whole stream by the letter of 9.2.6, with nothing but clarity.

    The bytes are decoded first and split then, as the standard has it; the
    lines' sizes come from splitting the bytes.
    """
    stream = stream.removeprefix(b"\xef\xbb\xbf")
    *lines, rest = re.split("\r\n|\r|\n", stream.decode("utf-8", "replace"))
    *sizes, restSize = [len(line) for line in re.split(b"\r\n|\r|\n", stream)]
    events: list[Event] = []
    data = type = idBuffer = lastEventID = ""
    retry = reconnectionTime = None
    size = 0
    for line, lineSize in zip(lines, sizes, strict=True):
        if line == "":
            lastEventID = idBuffer
            if data != "":
                events.append(Event(data[:-1], type or "message", lastEventID, retry))
            data = type = ""
            retry = None
            size = 0
            continue
        if line.startswith(":"):
            continue
        size += lineSize + 1
        if size > maxEventBytes:
            return Outcome(events, lastEventID, reconnectionTime, True, True)
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            type = value
        elif field == "data":
            data += value + "\n"
        elif field == "id" and "\0" not in value:
            idBuffer = value
        elif field == "retry" and re.fullmatch("[0-9]{1,4000}", value):
            reconnectionTime = retry = min(int(value), MAX_RECONNECTION_TIME)
    dead = not rest.startswith(":") and size + restSize > maxEventBytes
    return Outcome(events, lastEventID, reconnectionTime, bool(size or rest), dead)


class VectorTests(SynchronousTestCase):
    """The table of vectors, both ways."""

    def test_tableIsComplete(self) -> None:
        """
        All 25 vectors that were checked in Chromium are there.
        """
        self.assertEqual(len(CHROMIUM), 25)
        self.assertEqual(DECODED, CHROMIUM + OWN)

    def test_reference(self) -> None:
        """
        The decoder by the letter, with which other tests compare, gives what
        the vectors say.
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
        An unfinished block after each stream adds no event, is pending, and its
        ID is not taken.
        """
        for vector in DECODED:
            before = decode([vector.stream])
            after = decode([vector.stream + b"id: torn\nevent: torn\ndata: torn"])
            self.assertEqual((after.events, after.lastEventID), (vector.events, before.lastEventID), vector.property)
            self.assertTrue(after.pending, vector.property)

    def test_eventAfter(self) -> None:
        """
        An event after each finished stream is dispatched with the last event
        ID and nothing else of what was before, at once or in a later feed.
        """
        for vector in DECODED:
            before = decode([vector.stream])
            if not before.pending and vector.stream != b"\xef\xbb\xbf":
                events = [*vector.events, Event("z", "after", before.lastEventID)]
                block = b"event: after\ndata: z\n\n"
                self.assertEqual(decode([vector.stream + block]).events, events, vector.property)
                self.assertEqual(decode([vector.stream, block]).events, events, vector.property)

    def test_encoded(self) -> None:
        """
        Each event is written as its block, whole and in order, with LF.
        """
        for vector in ENCODED:
            self.assertEqual(encode(vector.event), vector.block, vector.property)

    def test_encodedIsReadBack(self) -> None:
        """
        Each block, however it comes, is read back as the event; only its line
        ends are now LF.
        """
        for vector in ENCODED:
            event = dataclasses.replace(vector.event, data=vector.data, id=vector.event.id or "")
            for pieces in ([vector.block], bytewise(vector.block)):
                self.assertEqual(decode(pieces).events, [event], vector.property)

    def test_refused(self) -> None:
        """
        What the format cannot carry unchanged is refused, with a sentence, and
        never repaired.
        """
        for what, event in REFUSED:
            refusal = self.assertRaises(MalformedEvent, encode, event)
            self.assertRegex(str(refusal), r"^A.* must .*\.$", what)


class EventTests(SynchronousTestCase):
    """L{Event} is a value."""

    def test_defaults(self) -> None:
        """
        An event made of data alone has the default type, no ID and no
        reconnection time.
        """
        event = Event("a")
        self.assertEqual((event.data, event.type, event.id, event.retry), ("a", "message", None, None))
        self.assertEqual(event, Event(data="a", type="message", id=None, retry=None))

    def test_frozen(self) -> None:
        """
        An event cannot be changed, carries no other attributes, and is equal
        to, and hashed like, another with the same fields only.
        """
        event = Event("a", "t", "1", 5)
        with self.assertRaises(dataclasses.FrozenInstanceError):
            event.data = "b"  # type: ignore[misc]
        self.assertFalse(hasattr(event, "__dict__"))
        self.assertEqual({event, Event("a", "t", "1", 5)}, {event})
        changes: list[dict[str, Any]] = [{"data": "b"}, {"type": "u"}, {"id": "2"}, {"id": None}, {"retry": 6}]
        for change in changes:
            self.assertNotEqual(event, dataclasses.replace(event, **change))

    def test_repr(self) -> None:
        """
        An event shows its fields by name.
        """
        self.assertEqual(repr(Event("a", id="1")), "Event(data='a', type='message', id='1', retry=None)")


class EncodingTests(SynchronousTestCase):
    """The small parts of the encoder."""

    def test_heartbeat(self) -> None:
        """
        The heartbeat is a colon and LF, without an empty line.
        """
        self.assertEqual(HEARTBEAT, b":\n")
        self.assertEqual(comment(), HEARTBEAT)

    def test_comment(self) -> None:
        """
        A comment is one line, in UTF-8, without an empty line after it.
        """
        self.assertEqual(comment("héllo\0"), ": héllo\0\n".encode())
        self.assertEqual(comment(": "), b": : \n")

    def test_commentRefused(self) -> None:
        """
        A comment that would be more than one line, or no UTF-8, is refused.
        """
        for text in ("a\nb", "a\r", "\r\ndata: a", "\ud800"):
            self.assertRaises(MalformedEvent, comment, text)

    def test_checkType(self) -> None:
        """
        A fit type is returned as it is; others are refused by what they are.
        """
        self.assertEqual(checkType("a type: é"), "a type: é")
        for type in ("", "a\n", "\ra", "\0", "\udc80"):
            self.assertIn("An event type must", str(self.assertRaises(MalformedEvent, checkType, type)))

    def test_checkID(self) -> None:
        """
        A fit ID is returned as it is; others are refused by what they are.
        """
        self.assertEqual(checkID("E-1…"), "E-1…")
        for id in ("", "1\n", "\r1", "1\0", "\ud800"):
            self.assertIn("An event ID must", str(self.assertRaises(MalformedEvent, checkID, id)))

    def test_dataLines(self) -> None:
        """
        A payload becomes `data:` lines with one space each, split at CR LF, CR
        and LF only, without an empty line.
        """
        for payload, lines in (
            (b"", b"data: \n"),
            (b"a", b"data: a\n"),
            (b" a", b"data:  a\n"),
            (b"a\nb", b"data: a\ndata: b\n"),
            (b"a\r\nb\r", b"data: a\ndata: b\ndata: \n"),
            (b"\r\r\n\n", b"data: \ndata: \ndata: \ndata: \n"),
            (b"\xe2\x80\xa8\x85\x0b\x0c\x1c\0%b", b"data: \xe2\x80\xa8\x85\x0b\x0c\x1c\0%b\n"),
        ):
            self.assertEqual(dataLines(payload), lines)

    @property_
    @given(st.binary() | st.lists(st.sampled_from([b"a", b" ", b"\r", b"\n", b"\r\n", b"%"])).map(b"".join))
    def test_dataLinesByTheLine(self, payload: bytes) -> None:
        """
        A payload's lines are those of a plain loop over its lines.
        """
        lines = re.split(b"\r\n|\r|\n", payload)
        self.assertEqual(dataLines(payload), b"".join(b"data: " + line + b"\n" for line in lines))


class DecoderTests(SynchronousTestCase):
    """What a L{Decoder} shows between the events, and its limits."""

    def test_crEndsTheLineAtOnce(self) -> None:
        """
        An event is dispatched by the CR that ends its empty line; the LF of the
        same line end, first in a later feed, is then no line end of its own.
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
        After a CR at the end of a feed one LF belongs to it; the next is an
        empty line.
        """
        decoder = Decoder()
        self.assertEqual(decoder.feed(b"data: a\r"), [])
        self.assertEqual(decoder.feed(b"\n"), [])
        self.assertEqual(decoder.feed(b"\n"), [Event("a", id="")])

    def test_eventsComeWithTheirFeed(self) -> None:
        """
        Each feed returns the events that it completes, no earlier and no later.
        """
        decoder = Decoder()
        self.assertEqual(decoder.feed(b"data: a\n\ndata: b\n\nda"), [Event("a", id=""), Event("b", id="")])
        self.assertEqual(decoder.feed(b"ta: c\n"), [])
        self.assertEqual(decoder.feed(b"\n"), [Event("c", id="")])

    def test_eventAlone(self) -> None:
        """
        An event that comes alone in a feed is the same as in company: after
        an ID, a type, a BOM, a CR, half a line, half a block, and at the limit.
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
        A decoder has something pending while a line or a block is unfinished.
        A finished comment, and a BOM, are nothing.
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
        A block of as many bytes as the limit, its line ends counted as one
        byte each, is read; one byte more is refused, however it comes, and stays
        pending. The error says the limit.
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
        Unless told otherwise a decoder holds 1 MiB of an event.
        """
        decoder = Decoder()
        self.assertEqual(MAX_EVENT_BYTES, 1024 * 1024)
        decoder.feed(b"data: " + b"a" * (MAX_EVENT_BYTES - 6))
        self.assertRaises(EventTooLarge, decoder.feed, b"a")

    def test_limitIsForEachBlock(self) -> None:
        """
        The limit is for one block: any number of smaller ones is read, with
        and without data.
        """
        stream = (b"data: 3456\n\n" + b"id: 12345\n\n") * 100
        for pieces in ([stream], bytewise(stream)):
            self.assertEqual(len(decode(pieces, 11).events), 100)

    def test_limitIsForTheUnfinished(self) -> None:
        """
        A line or a block that never ends is refused when it goes over the
        limit, not kept until its end comes.
        """
        for endless in (b"x", b"data: x\n", b"data\r\n", b"event: t\n", b"id:1\n", b"retry: 1\n", b"unknown\n", b" "):
            self.assertFalse(decode([endless] * (900 // len(endless)), 1000).dead, endless)
            self.assertTrue(decode([endless] * (1300 // len(endless)), 1000).dead, endless)

    def test_deadStaysDead(self) -> None:
        """
        A decoder that has refused an event refuses all that comes later, keeps
        it pending, and lets go of its bytes.
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
        The events that a refused feed completed were never returned, so the
        last event ID stays before them and a client that resumes with it has
        no gap; so in a finished event, an unfinished block, and a line.
        """
        for large in (b"data: 0123456789\n\n", b"data: 0123456789\n", b"data: 0123456789+"):
            decoder = Decoder(15)
            decoder.feed(b"id: 1\ndata: a\n\n")
            self.assertRaises(EventTooLarge, decoder.feed, b"id: 2\ndata: b\n\n" + large)
            self.assertEqual(decoder.lastEventID, "1", large)

    def test_endlessComment(self) -> None:
        """
        A comment takes no memory and does not count, however long it is, and
        hides nothing of the block that it stands in.
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
        A stream in feeds of one byte costs no more for being one line, one
        block of many lines, or one comment: the last quarter takes no longer
        than the first. (Were it quadratic, seven times; so three is far from
        both.)
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


# Characters at which something happens, beside arbitrary ones.
TEXT = st.text(st.sampled_from("a :\r\n\0é€𝄞\u2028\x85\x0b\ufeff")) | st.text(st.characters(exclude_categories=["Cs"]))
VALUE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), min_size=1)
EVENT = st.builds(
    Event,
    data=TEXT,
    type=st.just("message") | VALUE,
    id=st.none() | VALUE,
    retry=st.none() | st.integers(0, MAX_RECONNECTION_TIME),
)
LINE_ENDS = (b"\n", b"\r", b"\r\n")
PLACES = st.lists(st.integers(0, 10_000), max_size=20)
FRAGMENTS = "data|data: |event|id|retry|:|: | |\r|\n|\r\n|\n\n|\0|1|9|a|é|\ufeff".encode().split(b"|")
GARBAGE = st.lists(st.sampled_from([*FRAGMENTS, b"\xef", b"\xbb", b"\xbf", b"\xf0", b"\xff"])).map(b"".join)


class PropertyTests(SynchronousTestCase):
    """What holds for every stream."""

    @anySplit
    @given(st.lists(EVENT, max_size=5), PLACES, st.sampled_from([b"", HEARTBEAT, b": ping\r\n", b"\xef\xbb\xbf"]))
    @example([Event("a\r"), Event("\nb")], [7, 8, 9], b"")
    def test_roundTrip(self, events: list[Event], places: list[int], before: bytes) -> None:
        """
        Events that are written and read back, whatever they hold and however
        they are cut, are the same; line ends in data are LF, and an event
        without an ID carries the one before.
        """
        expected: list[Event] = []
        lastEventID = ""
        for event in events:
            lastEventID = event.id or lastEventID
            data = re.sub("\r\n|\r", "\n", event.data)
            expected.append(Event(data, event.type, lastEventID, event.retry))
        stream = before + b"".join(map(encode, events))
        outcome = decode(cutAt(stream, places))
        self.assertEqual(outcome.events, expected)
        self.assertEqual((outcome.lastEventID, outcome.pending), (lastEventID, False))

    def test_manySplits(self) -> None:
        """
        The vectors, and what an upstream sends, mean the same in 100,000
        random splits.
        """
        chunk = b'data: {"choices":[{"delta":{"content":"K\xc3\xa4se \xf0\x9f\x98\x80"}}]}'
        streams = [vector.stream for vector in DECODED]
        streams += [(chunk + end + end) * 3 + b": ping" + end + b"data: [DONE]" + end + end for end in LINE_ENDS]
        whole = [decode([stream]) for stream in streams]
        chance = random.Random(4)
        for number in range(5_000_000 if LONG else 100_000):
            which = number % len(streams)
            stream = streams[which]
            # Few places, near each other: the pieces in which the events of a slow stream come, and those that cut one.
            first = chance.randrange(len(stream) + 1)
            places = (first, first + chance.randrange(8), chance.randrange(len(stream) + 1))
            outcome = decode(cutAt(stream, places))
            if outcome != whole[which]:
                self.fail(f"{stream!r} cut at {places}: {outcome}")

    @property_
    @given(EVENT, st.sampled_from([HEARTBEAT, comment("data: x"), b":\r\n"]))
    def test_commentsAnywhere(self, event: Event, between: bytes) -> None:
        """
        A comment after any line of a block changes nothing.
        """
        block = encode(event)
        self.assertEqual(decode([block.replace(b"\n", b"\n" + between)]).events, decode([block]).events)

    @anySplit
    @given(GARBAGE | st.binary(max_size=200), PLACES, st.sampled_from([8, 20, 1000]))
    @example(b"data:a\r\n\r\ndata:b\r\r\n", [7, 8, 9, 10], 20)
    def test_garbage(self, stream: bytes, places: list[int], maxEventBytes: int) -> None:
        """
        Any bytes are decoded as by the letter of the standard, or refused with
        EventTooLarge and nothing else, wherever they are cut. Of a refused
        stream the events before the feed that was refused are returned.
        """
        expected = reference(stream, maxEventBytes)
        for pieces in ([stream], bytewise(stream), cutAt(stream, places)):
            outcome = decode(pieces, maxEventBytes)
            self.assertEqual(outcome.dead, expected.dead)
            if expected.dead:
                self.assertEqual(outcome.events, expected.events[: len(outcome.events)])
            else:
                self.assertEqual(outcome, expected)
        if expected.dead:
            self.assertEqual(decode(bytewise(stream), maxEventBytes).events, expected.events)
