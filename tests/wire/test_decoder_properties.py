"""
Tests for `sseserver.wire.decoder` with random streams.
"""

from __future__ import annotations

import random
import re

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.wire import (
    HEARTBEAT,
    MAX_RECONNECTION_TIME,
    Event,
    comment,
    encode,
)
from tests.vectors import DECODED
from tests.wire.cases import LONG, anySplit, bytewise, cutAt, decode, property_, reference

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
    """Properties of every stream."""

    @anySplit
    @given(st.lists(EVENT, max_size=5), PLACES, st.sampled_from([b"", HEARTBEAT, b": ping\r\n", b"\xef\xbb\xbf"]))
    @example([Event("a\r"), Event("\nb")], [7, 8, 9], b"")
    def test_roundTrip(self, events: list[Event], places: list[int], before: bytes) -> None:
        """
        Written events are read back unchanged, whatever they contain and however they are cut,
        except that line ends become LF and an event without an ID has the ID before it.
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
        The vectors, and the stream of an upstream, mean the same in 100,000 random splits.
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
        Any bytes are decoded as by the reference decoder, or refused with `EventTooLarge`, wherever
        they are cut. The events before a refused feed are returned.
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
