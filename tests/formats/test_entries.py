"""
Tests for `sseserver.formats.entries`.
"""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import GapError
from sseserver.formats import EntriesFormat, EventsFormat
from sseserver.formats.rendering import JOINED_BYTES
from sseserver.interfaces import IFormat
from sseserver.streams.log import StreamLog
from sseserver.testing import FormatContract
from sseserver.values import Kind
from sseserver.wire import Event
from tests.formats.cases import ALL, EPOCH, TERMINALS, decode, makeLog, number, tokenLists
from tests.readers import readAll


def publish(log: StreamLog, type: str, data: str) -> None:
    """Append a published event."""
    log.append(Kind.EVENT, f"{type}\n{data}".encode())


class EntriesContractTests(FormatContract, SynchronousTestCase):
    """The format as the contract wants it."""

    def makeFormat(self) -> IFormat:
        """See `FormatContract.makeFormat`."""
        return EntriesFormat()


class EntriesTests(SynchronousTestCase):
    """F105: entries that a page can show without knowing their types."""

    def test_F105_entries(self) -> None:
        """Tokens and published events are JSON objects in events of the default type, with the IDs of their entries."""
        log = makeLog("Hello", " ö\r\n")
        publish(log, "headline", "It\nworks")
        publish(log, "message", "")
        log.append(Kind.DONE, b'{"reason":"stop"}')
        wanted: list[tuple[int, object]] = [
            (1, {"token": "Hello"}),
            (2, {"token": " ö\r\n"}),
            (3, {"event": "headline", "data": "It\nworks"}),
            (4, {"event": "message", "data": ""}),
        ]
        *events, end = decode(readAll(EntriesFormat().render(log), 0, ALL, False)[1])
        self.assertEqual([(number(event), json.loads(event.data)) for event in events], wanted)
        self.assertEqual({event.type for event in events}, {"message"})
        self.assertEqual(end, Event('{"reason":"stop"}', "done", f"{EPOCH}-5"))

    def test_joined(self) -> None:
        """Waiting tokens are joined, published events are not."""
        log = makeLog("a", "b")
        publish(log, "x", "1")
        publish(log, "x", "2")
        events = decode(readAll(EntriesFormat().render(log), 0, ALL, True)[1])
        self.assertEqual(events[0].data, '{"token":"ab"}')
        self.assertEqual([number(event) for event in events], [2, 3, 4])

    def test_joinedIsBounded(self) -> None:
        """A joined event has at most 32 KiB as it is written, although escapes make a text longer."""
        log = makeLog(*["é" * 100] * 300)
        events = readAll(EntriesFormat().render(log), 0, ALL, True)[1].split(b"\n\n")
        self.assertLessEqual(max(map(len, events)), JOINED_BYTES)

    def test_likeEvents(self) -> None:
        """Head, gap, reconnection time and terminal events are those of the format `events`."""
        for terminal, _ in TERMINALS:
            log = makeLog("a", terminal=terminal)
            one, other = EntriesFormat().render(log), EventsFormat().render(log)
            self.assertEqual(one.head(1, 5, "u"), other.head(1, 5, "u"))
            self.assertEqual(one.retire(5), other.retire(5))
            self.assertEqual(one.gap("x", GapError("lost", 0, None)), other.gap("x", GapError("lost", 0, None)))
            self.assertEqual(one.read(1, ALL, True).data, other.read(1, ALL, True).data)
            self.assertEqual([one.complete(cursor) for cursor in (1, 2)], [False, True])

    @given(tokenLists(), st.booleans(), st.integers(1, 60))
    def test_anyText(self, tokens: list[str], joined: bool, maxBytes: int) -> None:
        """Every text arrives unchanged, joined or not, in steps of any size."""
        events = decode(readAll(EntriesFormat().render(makeLog(*tokens)), 0, maxBytes, joined)[1])
        self.assertEqual("".join(json.loads(event.data)["token"] for event in events), "".join(tokens))
