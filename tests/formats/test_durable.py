"""
Tests for `sseserver.formats.durable`.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import GapError
from sseserver.formats import UIFormat
from sseserver.formats.durable import DurableFormat, extractMessages, findPosition
from sseserver.formats.rendering import JOINED_BYTES
from sseserver.interfaces import IFormat
from sseserver.protocols.durablestreams import CURSOR_EPOCH, parseOffset
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.ids import makeEpoch
from sseserver.streams.log import StreamLog
from sseserver.streams.terminal import packRestart
from sseserver.testing import FormatContract
from sseserver.values import Kind
from sseserver.wire import HEARTBEAT, Decoder
from tests.formats.chatcases import ALL, TOKENS, end, makeLog, parts
from tests.formats.chatcases import decode as decodeParts
from tests.readers import readAll, readRefusal

#: Messages, and the members of the event `control` after them.
Batches = list[tuple[list[Any], dict[str, Any]]]

NOW = CURSOR_EPOCH + 2.0


def makeFormat() -> DurableFormat:
    """Make a format whose time stands still."""
    return DurableFormat(UIFormat(), lambda: NOW)


class DurableContractTests(FormatContract, SynchronousTestCase):
    """The contract of formats."""

    def makeFormat(self) -> IFormat:
        return makeFormat()


class DurableTests(SynchronousTestCase):
    """The events of Durable Streams."""

    def read(self, streamLog: StreamLog, cursor: int = 0, maxBytes: int = ALL) -> Batches:
        """Read a log to its end; return the messages and the control after each batch."""
        return self.pair(readAll(makeFormat().render(streamLog), cursor, maxBytes, False)[1])

    def pair(self, data: bytes) -> Batches:
        """Return the messages and the control after each batch of an event stream."""
        read: Batches = []
        messages: list[Any] = []
        for event in Decoder(ALL).feed(data):
            if event.type == "data":
                self.assertEqual(messages, [], "Each data event is followed by its control event.")
                messages = json.loads(event.data)
            else:
                read.append((messages, json.loads(event.data)))
                messages = []
        self.assertEqual(messages, [])
        return read

    @given(TOKENS, st.integers(1, 400), st.booleans())
    def test_anyText(self, tokens: list[str], maxBytes: int, hasEnded: bool) -> None:
        """The messages are the parts of the UI message, and a reader may go on at each offset that it was told."""
        streamLog = makeLog(*tokens)
        if hasEnded:
            end(streamLog)
        told = parts(decodeParts(readAll(UIFormat().render(streamLog), 0, ALL, False)[1]))
        expected = [part for part in told if part != "[DONE]"]
        read = self.read(streamLog, maxBytes=maxBytes)
        self.assertEqual([message for messages, _ in read for message in messages], expected)
        offsets = [control["streamNextOffset"] for _, control in read]
        self.assertEqual(offsets, sorted(set(offsets)))
        for index, (_, control) in enumerate(read):
            offset = parseOffset(control["streamNextOffset"])
            assert offset is not None
            self.assertEqual(offset.epoch, streamLog.epoch)
            rest = [message for messages, _ in self.read(streamLog, offset.number) for message in messages]
            self.assertEqual(rest, [message for messages, _ in read[index + 1 :] for message in messages])
            isLast = index == len(read) - 1
            self.assertEqual(control.get("upToDate", False), isLast)
            self.assertEqual(control.get("streamClosed", False), isLast and hasEnded)
            self.assertEqual(control.get("streamCursor"), None if isLast and hasEnded else "2000000")

    def test_head(self) -> None:
        """A reader that has everything is told so at once; another one gets its messages first."""
        streamLog = makeLog()
        rendering = makeFormat().render(streamLog)
        for _ in range(2):
            [(messages, control)] = self.pair(rendering.head(streamLog.last, 0, ""))
            self.assertEqual((messages, control["upToDate"]), ([], True))
            self.assertEqual(control["streamNextOffset"], findPosition(streamLog, streamLog.last).offset)
            streamLog.append(Kind.TOKEN, b"a")
            self.assertEqual(rendering.head(0, 0, ""), HEARTBEAT)
        end(streamLog)
        [(_, control)] = self.pair(rendering.head(streamLog.last, 0, ""))
        self.assertTrue(control["streamClosed"])
        self.assertEqual((rendering.start(False), rendering.start(True)), (0, streamLog.last))

    def test_batches(self) -> None:
        """A batch is no longer than an event may be, however much a viewer would take."""
        streamLog = makeLog(*(["x" * 100] * 1000))
        for event in Decoder(ALL).feed(readAll(makeFormat().render(streamLog), 0, ALL, True)[1]):
            self.assertLessEqual(len(event.data), JOINED_BYTES)

    def test_silent(self) -> None:
        """Entries without a message move the offset alone."""
        streamLog = makeLog()
        streamLog.append(Kind.EVENT, b"custom\n{}")
        [(messages, control)] = self.read(streamLog)
        self.assertEqual((messages, control["streamNextOffset"]), ([], findPosition(streamLog, 1).offset))

    def test_refused(self) -> None:
        """A reader of void messages, or of some that are gone, is sent back without a word: its offset tells it."""
        streamLog = makeLog("a")
        rendering = makeFormat().render(streamLog)
        cursor = rendering.read(0, ALL, False).cursor
        streamLog.append(*packRestart(1))
        self.assertEqual(readRefusal(rendering, cursor), HEARTBEAT)
        trimmed = makeLog(*"abcdefghij", window=3 * (ENTRY_COST + 1))
        self.assertEqual(readRefusal(makeFormat().render(trimmed), 0), HEARTBEAT)
        self.assertEqual(rendering.retire(1), HEARTBEAT)

    def test_gap(self) -> None:
        """A gap is an error of the message."""
        data = makeFormat().render(makeLog("a")).gap("asked", GapError("trimmed", 2, 1))
        [event] = Decoder(ALL).feed(data)
        [part] = json.loads(event.data)
        self.assertEqual((part["type"], "trimmed" in part["errorText"]), ("error", True))

    def test_renewed(self) -> None:
        """Offsets have the epoch that the stream has when they are told."""
        streamLog, form = makeLog("a"), makeFormat()
        rendering = form.render(streamLog)
        rendering.read(0, ALL, False)
        streamLog.renew(makeEpoch())
        rendering.renew()
        self.assertIn(streamLog.epoch.encode(), rendering.read(0, ALL, False).data)

    def test_cursor(self) -> None:
        """A cursor from the future is exceeded, for its own reader only."""
        form = makeFormat()
        self.assertIs(form.advance(1_999_999), form)
        other = form.advance(2_000_000)
        self.assertEqual((other.makeCursor(), form.makeCursor()), (2_000_001, 2_000_000))
        self.assertNotEqual(other.name, form.name)
        self.assertIn(b'"2000001"', other.render(makeLog()).head(0, 0, ""))

    def test_extract(self) -> None:
        """The JSON of events, whatever a text in it looks like."""
        self.assertEqual(extractMessages(b""), b"")
        streamLog = makeLog("\n\ndata: ", "[DONE]")
        end(streamLog)
        text = extractMessages(readAll(UIFormat().render(streamLog), 0, ALL, False)[1])
        deltas = [part["delta"] for part in json.loads(b"[%b]" % text) if "delta" in part]
        self.assertEqual(deltas, ["\n\ndata: ", "[DONE]"])
