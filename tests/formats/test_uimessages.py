"""
Tests for `sseserver.formats.uimessages`.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.formats import UIFormat
from sseserver.interfaces import IFormat
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.entries import packEvent
from sseserver.streams.log import StreamLog
from sseserver.testing import FormatContract
from sseserver.values import Kind
from tests.formats.chatcases import ALL, CHUNKS, EPOCH, TOKENS, chunkLog, decode, makeLog, parts
from tests.readers import readAll, readRefusal


class UIContractTests(FormatContract, SynchronousTestCase):
    """The contract of formats."""

    def makeFormat(self) -> IFormat:
        return UIFormat()


class UITests(SynchronousTestCase):
    """The format `ui`."""

    BEGIN = ({"type": "start", "messageId": f"msg-{EPOCH}"}, {"type": "start-step"})

    START = (*BEGIN, {"type": "text-start", "id": "0"})

    FINISH = ({"type": "finish-step"}, {"type": "finish"}, "[DONE]")

    END = ({"type": "text-end", "id": "0"}, *FINISH)

    def read(self, streamLog: StreamLog, cursor: int = 0, maxBytes: int = ALL, joined: bool = False) -> list[Any]:
        """Read a log to its end; no part has an ID."""
        events = decode(readAll(UIFormat().render(streamLog), cursor, maxBytes, joined)[1])
        self.assertEqual({event.id for event in events}, {None} if events else set())
        return parts(events)

    def delta(self, text: str) -> dict[str, str]:
        """Make a piece of text as the format should."""
        return {"type": "text-delta", "id": "0", "delta": text}

    def test_tokens(self) -> None:
        """
        Parts open the message, carry the text, and close it. They have only the members of the
        SDK's first versions.
        """
        streamLog = makeLog("One", " two", terminal=(Kind.DONE, {"reason": "stop"}))
        told = [*self.START, self.delta("One"), self.delta(" two"), *self.END]
        for joined in (False, True):
            self.assertEqual(self.read(streamLog, joined=joined), told)
        self.assertEqual(self.read(makeLog(terminal=(Kind.DONE, {"reason": "stop"}))), [*self.BEGIN, *self.FINISH])

    @given(TOKENS, st.integers(1, 400), st.booleans())
    def test_anyText(self, tokens: list[str], maxBytes: int, joined: bool) -> None:
        """
        Whatever the tokens are, and however they are read, the deltas together are the text, and
        the message is opened once.
        """
        told = self.read(makeLog(*tokens), maxBytes=maxBytes, joined=joined)
        self.assertEqual(told[:3], list(self.START) if tokens else [])
        self.assertEqual("".join(part["delta"] for part in told[3:]), "".join(tokens))

    def test_chunks(self) -> None:
        """
        The text in an upstream's chunks is written; a message that begins with a chunk without text
        is opened as well.
        """
        told = [*self.START, self.delta("One "), self.delta("\u00e9\u2028")]
        for joined in (False, True):
            self.assertEqual(self.read(chunkLog(), joined=joined), told)
        silent = makeLog()
        silent.append(*CHUNKS[0])
        silent.append(*CHUNKS[3])
        self.assertEqual(self.read(silent), list(self.BEGIN))

    def test_failed(self) -> None:
        """
        A failed stream ends with an error, a cancelled one with `abort`.
        """
        failed = (Kind.FAILED, {"reason": "error", "message": "It broke."})
        broke = {"type": "error", "errorText": "It broke."}
        self.assertEqual(self.read(makeLog("a", terminal=failed), 1), [broke, "[DONE]"])
        self.assertEqual(self.read(makeLog(terminal=failed)), [*self.BEGIN, broke, "[DONE]"])
        cancelled = makeLog("a", terminal=(Kind.CANCELLED, {"reason": "asked"}))
        self.assertEqual(self.read(cancelled, 1), [{"type": "abort"}, "[DONE]"])

    def test_numbers(self) -> None:
        """
        Parts have numbers, which `[DONE]` has not: a viewer that has some of them gets the others.
        """
        streamLog = makeLog("a", "b", terminal=(Kind.DONE, {"reason": "stop"}))
        rendering = UIFormat().render(streamLog)
        told = parts(decode(readAll(rendering, 0, ALL, False)[1]))
        self.assertEqual(rendering.countEvents(), len(told) - 1)
        for number in range(len(told)):
            cursor, rest = rendering.findEvent(number)
            self.assertEqual(
                parts(decode(rest + readAll(rendering, cursor, ALL, False)[1])),
                told[number:] if number < len(told) - 1 else [],
            )

    def test_publishedEvents(self) -> None:
        """
        Published events are left out.
        """
        streamLog = makeLog()
        streamLog.append(Kind.EVENT, packEvent(b"custom", b"data"))
        streamLog.append(Kind.TOKEN, b"a")
        streamLog.append(Kind.EVENT, packEvent(b"custom", b"data"))
        self.assertEqual(self.read(streamLog), [*self.START, self.delta("a")])

    def test_head(self) -> None:
        """
        The first bytes are sent at once. Each viewer starts at the beginning.
        """
        rendering = UIFormat().render(makeLog("a", "b"))
        self.assertEqual(rendering.head(rendering.start(False), 3000, "/"), b":\n")
        self.assertEqual(rendering.start(True), 0)

    def test_trimmed(self) -> None:
        """
        If the beginning is missing, the message ends with an error. A viewer that has it goes on.
        """
        streamLog = makeLog(*"abcdefgh", window=4 * (ENTRY_COST + 1))
        self.assertGreater(streamLog.buffer.first, 2)
        rendering = UIFormat().render(streamLog)
        cursor = rendering.start(False)
        self.assertFalse(rendering.complete(cursor))
        [problem, done] = parts(decode(readRefusal(rendering, cursor)))
        text = f"{streamLog.buffer.first - 1} entries are no longer kept (trimmed): the answer cannot be whole."
        self.assertEqual((problem, done), ({"type": "error", "errorText": text}, "[DONE]"))

    def test_retire(self) -> None:
        """
        A response that ends before its stream says so in an error.
        """
        told = parts(decode(UIFormat().render(makeLog("a")).retire(2500)))
        self.assertEqual([told[0]["type"], told[1]], ["error", "[DONE]"])
