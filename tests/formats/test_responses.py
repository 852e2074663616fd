"""
Tests for `sseserver.formats.responses`.
"""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from sseserver.formats import ResponsesFormat
from sseserver.interfaces import IFormat
from sseserver.testing import FormatContract
from sseserver.values import Kind
from tests.formats.chatcases import ALL, CREATED, chunkLog, end, makeLog
from tests.protocols.responses.judge import readEvents
from tests.readers import readAll, readRefusal


class ResponsesContractTests(FormatContract, SynchronousTestCase):
    """The contract of formats."""

    def makeFormat(self) -> IFormat:
        return ResponsesFormat("parrot")


class ResponsesTests(SynchronousTestCase):
    """The format `responses`."""

    def test_read(self) -> None:
        """Names and times of the stream are those of the response; entries are never joined."""
        streamLog = makeLog("One", " two")
        end(streamLog)
        data = readAll(ResponsesFormat("parrot").render(streamLog), 0, ALL, True)[1]
        self.assertTrue(data.endswith(b"data: [DONE]\n\n"))
        events = readEvents(data)
        self.assertEqual(len(events), 10)
        response = events[-1]["response"]
        self.assertEqual((response["id"], response["created_at"]), ("resp_name", CREATED))
        self.assertEqual(response["output"][0]["content"][0]["text"], "One two")

    def test_numbers(self) -> None:
        """After every event a new rendering goes on with the next number, whatever the entries are."""
        for streamLog in (makeLog(*"abc"), chunkLog()):
            end(streamLog)
            whole = readAll(ResponsesFormat("parrot").render(streamLog), 0, ALL, True)[1]
            events = whole.split(b"\n\n")
            for number in range(len(events)):
                rendering = ResponsesFormat("parrot").render(streamLog)
                place = rendering.findEvent(number)
                rest = place.events + readAll(rendering, place.cursor, ALL, True)[1]
                self.assertEqual(rest, b"\n\n".join(events[number:]), number)

    def test_counted(self) -> None:
        """The text so far, which the end repeats, is counted with the stream as long as a rendering has it."""
        piece = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "a" * 5000}
        texts = {Kind.TOKEN: b"a" * 5000, Kind.RESPONSE_EVENT: json.dumps(piece).encode()}
        for kind, data in texts.items():
            streamLog = makeLog()
            streamLog.append(kind, data)
            before = streamLog.account.used
            rendering = ResponsesFormat("parrot").render(streamLog)
            readAll(rendering, 0, ALL, True)
            self.assertTrue(5000 <= streamLog.account.used - before < 7000, streamLog.account.used)
            del rendering
            self.assertEqual(streamLog.account.used, before)

    def test_restart(self) -> None:
        """After a restart the response begins anew, with numbers that go on; whoever has text gets an error."""
        streamLog = makeLog()
        for kind, data in (
            (Kind.INPUT, b'{"model":"m"}\n[]'),
            (Kind.TOKEN, b"a"),
            (Kind.RESTART, b"{}"),
            (Kind.TOKEN, b"b"),
        ):
            streamLog.append(kind, data)
        rendering = ResponsesFormat("parrot").render(streamLog)
        [error] = readEvents(readRefusal(rendering, 2))
        self.assertEqual((error["type"], error["error"]["code"]), ("error", "restarted"))
        events = readEvents(readAll(rendering, rendering.start(False), ALL, True)[1])
        self.assertEqual([event["sequence_number"] for event in events], [5, 6, 7, 8, 9])
        self.assertEqual((events[0]["type"], events[0]["response"]["model"]), ("response.created", "m"))
