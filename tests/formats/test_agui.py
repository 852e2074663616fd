"""
Tests for `sseserver.formats.agui`.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.formats import AGUIFormat
from sseserver.interfaces import IFormat
from sseserver.protocols.agui import RunNames, packNames
from sseserver.streams.ids import makeEpoch
from sseserver.streams.log import StreamLog
from sseserver.streams.terminal import packRestart
from sseserver.testing import FormatContract
from sseserver.values import Kind
from sseserver.wire import Event
from tests.formats.chatcases import ALL, CHUNKS, EPOCH, TOKENS, decode, end, makeLog, parts
from tests.readers import readAll, readRefusal


class AGUIContractTests(FormatContract, SynchronousTestCase):
    """The contract of formats, but for the IDs, which count events."""

    def makeFormat(self) -> IFormat:
        return AGUIFormat()

    def decode(self, data: bytes) -> list[Event]:
        events = decode(data)
        numbers = [int(event.id.partition(".")[2]) for event in events if event.id]
        self.assertEqual(numbers, sorted(set(numbers)))
        return [Event(event.data, event.type) for event in events]


class AGUITests(SynchronousTestCase):
    """The format `agui`."""

    def read(self, streamLog: StreamLog) -> list[Any]:
        """Read a log to its end; each event has the next ID."""
        rendering = AGUIFormat().render(streamLog)
        events = decode(readAll(rendering, rendering.start(False), ALL, False)[1])
        self.assertEqual([event.id for event in events], [f"{EPOCH}.{number + 1}" for number in range(len(events))])
        return parts(events)

    def test_names(self) -> None:
        """The events name thread and run as the client does; without names, by the stream's first epoch."""
        for kind, data, thread, run in (
            (Kind.INPUT, packNames(RunNames("t", "r")), "t", "r"),
            (Kind.INPUT, b'{"api":"other"}\n[]', EPOCH, EPOCH),
            (Kind.TOKEN, b"a", EPOCH, EPOCH),
        ):
            streamLog = makeLog()
            streamLog.append(kind, data)
            end(streamLog)
            told = self.read(streamLog)
            for event in (told[0], told[-1]):
                self.assertEqual((event["threadId"], event["runId"]), (thread, run))

    @given(TOKENS, st.integers(1, 400))
    def test_anyText(self, tokens: list[str], maxBytes: int) -> None:
        """Whatever the tokens are, each is one event, and a viewer may start after any event."""
        streamLog = makeLog(*tokens, terminal=(Kind.DONE, {"reason": "stop"}))
        rendering = AGUIFormat().render(streamLog)
        told = parts(decode(readAll(rendering, 0, maxBytes, False)[1]))
        self.assertEqual([event["delta"] for event in told if "delta" in event], tokens)
        self.assertEqual(rendering.countEvents(), len(told))
        for number in range(len(told) + 1):
            cursor, rest = rendering.findEvent(number)
            self.assertEqual(parts(decode(rest + readAll(rendering, cursor, ALL, False)[1])), told[number:])

    def test_chunks(self) -> None:
        """The chunks of an upstream are events, too."""
        streamLog = makeLog()
        for kind, data in CHUNKS:
            streamLog.append(kind, data)
        end(streamLog)
        told = [event["type"] for event in self.read(streamLog)]
        text = ["TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END"]
        self.assertEqual(told, ["RUN_STARTED", *text, "RUN_FINISHED"])

    def test_ends(self) -> None:
        """A run that failed or was cancelled ends with an error."""
        for kind, members, code in (
            (Kind.FAILED, {"reason": "upstream", "code": "busy", "message": "It broke."}, "busy"),
            (Kind.FAILED, {"reason": "upstream", "message": "It broke."}, "upstream"),
            (Kind.CANCELLED, {"reason": "asked"}, "cancelled"),
        ):
            told = self.read(makeLog(terminal=(kind, members)))
            self.assertEqual([event["type"] for event in told], ["RUN_STARTED", "RUN_ERROR"])
            self.assertEqual(told[-1]["code"], code)

    def test_failures(self) -> None:
        """A viewer that cannot go on gets an error; one whose stream goes on elsewhere gets none, and returns."""
        streamLog = makeLog("a")
        rendering = AGUIFormat().render(streamLog)
        self.assertEqual(rendering.head(0, 1000, "/"), b":\n")
        self.assertEqual(rendering.retire(1000), b":\n")
        cursor = rendering.read(0, ALL, False).cursor
        streamLog.append(*packRestart(1))
        [problem] = parts(decode(readRefusal(rendering, cursor)))
        self.assertEqual((problem["type"], problem["code"]), ("RUN_ERROR", "restarted"))

    def test_restarts(self) -> None:
        """A run that has begun anew starts once more for new viewers; the numbers go on."""
        streamLog = makeLog()
        streamLog.append(Kind.INPUT, packNames(RunNames("t", "r")))
        streamLog.append(Kind.TOKEN, b"a")
        streamLog.append(*packRestart(1))
        streamLog.append(Kind.TOKEN, b"b")
        rendering = AGUIFormat().render(streamLog)
        events = decode(readAll(rendering, rendering.start(False), ALL, False)[1])
        self.assertEqual([event.id for event in events], [f"{EPOCH}.{number}" for number in (4, 5, 6)])
        self.assertEqual((parts(events)[0]["threadId"], parts(events)[-1]["delta"]), ("t", "b"))

    def test_renewed(self) -> None:
        """After a change of the epoch all IDs have the new one."""
        streamLog = makeLog("a", "b")
        rendering = AGUIFormat().render(streamLog)
        readAll(rendering, 0, ALL, False)
        epoch = makeEpoch()
        streamLog.renew(epoch)
        rendering.renew()
        events = decode(readAll(rendering, 1, ALL, False)[1])
        self.assertEqual([event.id for event in events], [f"{epoch}.4"])
        self.assertEqual(parts(events)[0]["messageId"], f"msg-{EPOCH}-0")
