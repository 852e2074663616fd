"""
Tests for `sseserver.formats.messages`; those of the translator show the events.
"""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import GapError
from sseserver.formats.messages import MessagesFormat, nameMessage
from sseserver.interfaces import IFormat
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.entries import packChunk
from sseserver.streams.terminal import packRestart
from sseserver.testing import FormatContract
from sseserver.values import Kind
from tests.formats.cases import ALL, EPOCH, decode, makeLog
from tests.readers import readAll, readRefusal


class MessagesContractTests(FormatContract, SynchronousTestCase):
    """The contract of formats."""

    def makeFormat(self) -> IFormat:
        return MessagesFormat("parrot")


class MessagesTests(SynchronousTestCase):
    """The format `messages`."""

    def test_resumed(self) -> None:
        """A viewer that returns with any ID gets the rest of the same events."""
        streamLog = makeLog("a", "b")
        streamLog.append(*packChunk(b'{"choices":[{"delta":{"reasoning":"r"}}]}', ""))
        streamLog.append(*packChunk(b'{"choices":[{"delta":{"content":"c"}}]}', "c"))
        streamLog.append(Kind.DONE, b'{"reason":"stop","tokens":3}')
        form = MessagesFormat("parrot")
        whole = readAll(form.render(streamLog), 0, ALL, True)[1]
        for place in range(1, streamLog.last + 1):
            rest = readAll(form.render(streamLog), place, ALL, True)[1]
            self.assertTrue(whole.endswith(rest))
            before = decode(whole[: len(whole) - len(rest)])
            self.assertEqual(before[-1].id, f"{EPOCH}-{place}")

    def test_names(self) -> None:
        """The message has the ID of the stream, and the model of the source."""
        streamLog = makeLog("a")
        self.assertEqual(nameMessage(streamLog), f"msg_{EPOCH}")
        (start, *_) = decode(readAll(MessagesFormat("parrot").render(streamLog), 0, ALL, True)[1])
        message = json.loads(start.data)["message"]
        self.assertEqual((message["id"], message["model"]), (f"msg_{EPOCH}", "parrot"))

    def test_failures(self) -> None:
        """The early end of a response is an error of Anthropic's; one that is worth a retry says so."""
        streamLog = makeLog("a")
        streamLog.append(*packRestart(1))
        rendering = MessagesFormat("parrot").render(streamLog)
        trimmed = makeLog(*"abcdef", window=2 * (ENTRY_COST + 1))
        for events, type in (
            (readRefusal(rendering, 1), "overloaded_error"),
            (rendering.retire(1000), "overloaded_error"),
            (rendering.gap("x", GapError("unknown", 0, None)), "invalid_request_error"),
            (readRefusal(MessagesFormat("parrot").render(trimmed), 0), "invalid_request_error"),
        ):
            (event,) = decode(events)
            self.assertEqual((event.type, json.loads(event.data)["error"]["type"]), ("error", type))
