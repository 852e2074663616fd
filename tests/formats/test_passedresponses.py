"""
Tests for all formats of a log with the events of an upstream's response.
"""

from __future__ import annotations

import json
import re
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.formats import (
    AGUIFormat,
    CompletionsFormat,
    EntriesFormat,
    EventsFormat,
    HTMLFormat,
    OpenAIFormat,
    ResponsesFormat,
    TextFormat,
    UIFormat,
)
from sseserver.formats.messages import MessagesFormat
from sseserver.formats.ollama import OllamaFormat
from sseserver.interfaces import IFormat
from sseserver.protocols.responses.passing import DONE, readEvent
from sseserver.protocols.responses.translation import NOTE
from sseserver.protocols.responses.upstream import ResponseConverter
from sseserver.streams.entries import packChunk
from sseserver.streams.log import StreamLog
from sseserver.values import Kind
from tests.formats.chatcases import ALL, end, makeLog
from tests.protocols.responses.judge import readEvents
from tests.protocols.responses.passedevents import encode, makeEvents, makeWhole, replaceIDs
from tests.readers import readAll, readRefusal

OURS = "resp_name"

#: The first entry of a run, before its source has begun.
INPUT = b'{%b"model":"m"}\n[]' % NOTE

FORMATS: list[IFormat] = [
    AGUIFormat(),
    CompletionsFormat("m"),
    EntriesFormat(),
    EventsFormat(),
    HTMLFormat(),
    MessagesFormat("m"),
    OllamaFormat("chat", "m"),
    OpenAIFormat("m"),
    TextFormat(),
    UIFormat(),
]


def add(streamLog: StreamLog, events: list[dict[str, Any]], *, passes: bool = True) -> None:
    """Add the entries that a run writes of the events of an upstream."""
    converter = ResponseConverter(True)
    for event in events:
        read = readEvent(encode(event))
        assert read is not None
        if passes:
            streamLog.append(Kind.RESPONSE_EVENT, read.line or b"")
        for chunk in converter.convert(read.members):
            if chunk != DONE and b'"error"' not in chunk:
                text = (json.loads(chunk)["choices"] or [{}])[0].get("delta", {}).get("content") or ""
                streamLog.append(*packChunk(chunk, text))


def makePassed(*last: dict[str, Any], count: int | None = None) -> StreamLog:
    """Make the log of an answer whose upstream has sent some events."""
    streamLog = makeLog()
    streamLog.append(Kind.INPUT, INPUT)
    add(streamLog, makeEvents(*last)[:count])
    return streamLog


def readWhole(streamLog: StreamLog) -> bytes:
    """Return the events of a response."""
    return readAll(ResponsesFormat("parrot").render(streamLog), 0, ALL, True)[1]


class ResponsesTests(SynchronousTestCase):
    """The format `responses`."""

    def test_events(self) -> None:
        """The events are those of the upstream; only the ID of the response is another one. Then follows the end."""
        streamLog = makePassed()
        end(streamLog)
        data = readWhole(streamLog)
        self.assertTrue(data.endswith(b"data: [DONE]\n\n"))
        self.assertEqual(
            readEvents(data), [replaceIDs(event, number, OURS) for number, event in enumerate(makeEvents())]
        )

    def test_cut(self) -> None:
        """After every event a new rendering goes on with the same bytes, now and later."""
        streamLog = makePassed()
        whole = readWhole(streamLog).split(b"\n\n")
        end(streamLog)
        self.assertEqual(readWhole(streamLog).split(b"\n\n")[: len(whole) - 1], whole[:-1])
        whole = readWhole(streamLog).split(b"\n\n")
        for number in range(len(whole)):
            rendering = ResponsesFormat("parrot").render(streamLog)
            place = rendering.findEvent(number)
            rest = place.events + readAll(rendering, place.cursor, ALL, True)[1]
            self.assertEqual(rest, b"\n\n".join(whole[number:]), number)

    def test_broken(self) -> None:
        """Wherever an upstream breaks off, a failed response follows with what has come."""
        events = makeEvents()
        for count in range(1, len(events)):
            streamLog = makePassed(count=count)
            end(streamLog, Kind.FAILED, {"reason": "truncated", "message": "It broke off."})
            *before, last = readEvents(readWhole(streamLog))
            self.assertEqual(len(before), count)
            self.assertEqual((last["type"], last["sequence_number"]), ("response.failed", count))
            response = last["response"]
            self.assertEqual((response["id"], response["status"]), (OURS, "failed"))
            self.assertEqual(response["error"], {"code": "server_error", "message": "It broke off."})
            items = sum(event["type"] == "response.output_item.added" for event in before)
            self.assertEqual(len(response["output"]), items)

    def test_cancelled(self) -> None:
        """A response that is cancelled here ends as incomplete, with that status."""
        streamLog = makePassed(count=5)
        end(streamLog, Kind.CANCELLED, {"reason": "cancelled"})
        last = readEvents(readWhole(streamLog))[-1]
        self.assertEqual((last["type"], last["response"]["status"]), ("response.incomplete", "cancelled"))

    def test_ends(self) -> None:
        """The end of the upstream is the only one, whichever it is."""
        error = {"code": "server_error", "message": "No."}
        for last, kind in (
            ({"type": "error", **error, "param": None}, Kind.FAILED),
            ({"type": "response.failed", "response": makeWhole("failed", error=error)}, Kind.FAILED),
            ({"type": "response.incomplete", "response": makeWhole("incomplete")}, Kind.DONE),
        ):
            streamLog = makePassed(last)
            end(streamLog, kind, {"reason": "length" if kind is Kind.DONE else "upstream", "message": "No."})
            events = readEvents(readWhole(streamLog))
            self.assertEqual(events[-1], replaceIDs(makeEvents(last)[-1], len(events) - 1, OURS))
            translator = ResponsesFormat("parrot").makeTranslator(streamLog)
            for number in range(1, streamLog.last + 1):
                translator.translate(Kind(streamLog.buffer.kind(number)), streamLog.buffer.entry(number))
            status = {"error": "failed"}.get(last["type"], last["type"].rpartition(".")[2])
            described = translator.describe()
            self.assertEqual((described["id"], described["status"]), (OURS, status))

    def test_others(self) -> None:
        """If the source writes no events of an upstream, the response begins with its first entry."""
        for asked, first in ((b'"model":"m"', "response.in_progress"), (b'"background":true', "response.queued")):
            streamLog = makeLog()
            streamLog.append(Kind.INPUT, b"{%b%b}\n[]" % (NOTE, asked))
            self.assertEqual(readWhole(streamLog), b"")
            self.assertEqual(ResponsesFormat("p").makeTranslator(streamLog).describe()["status"], "in_progress")
            streamLog.append(Kind.TOKEN, b"a")
            events = readEvents(readWhole(streamLog))
            self.assertEqual([event["type"] for event in events[:2]], ["response.created", first])
            self.assertNotIn("fromUpstream", events[0]["response"])

    def test_restart(self) -> None:
        """After a restart the events of the new answer go on with their numbers, and whoever has some gets an error."""
        streamLog = makePassed(count=20)
        streamLog.append(Kind.RESTART, b"{}")
        place = streamLog.last
        add(streamLog, makeEvents())
        end(streamLog)
        rendering = ResponsesFormat("parrot").render(streamLog)
        [error] = readEvents(readRefusal(rendering, place - 1))
        self.assertEqual(error["error"]["code"], "restarted")
        self.assertEqual(rendering.start(False), place)
        events = readEvents(readAll(rendering, place, ALL, True)[1])
        self.assertEqual(events, [replaceIDs(event, number, OURS) for number, event in enumerate(makeEvents(), 20)])


class OtherFormatTests(SynchronousTestCase):
    """All other formats."""

    def test_same(self) -> None:
        """They write what they write without the events: only the numbers in the IDs are others."""
        for form in FORMATS:
            written = []
            for passes in (True, False):
                streamLog = makeLog()
                add(streamLog, makeEvents(), passes=passes)
                end(streamLog)
                for joined in (True, False):
                    data = readAll(form.render(streamLog), 0, ALL, joined)[1]
                    written.append(re.sub(rb"id: .*\n", b"", data))
            self.assertTrue(written[0])
            self.assertEqual(written[0], written[2], form.name)
            self.assertEqual(written[1], written[3], form.name)

    def test_restart(self) -> None:
        """A viewer that has only read events of the upstream goes on over a restart."""
        for form in FORMATS:
            streamLog = makeLog()
            add(streamLog, makeEvents()[:2])
            streamLog.append(Kind.RESTART, b"{}")
            add(streamLog, makeEvents())
            end(streamLog)
            readAll(form.render(streamLog), 0, ALL, True)
