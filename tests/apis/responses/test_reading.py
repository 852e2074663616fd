"""
Tests for `sseserver.apis.responses.reading`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.apis.responses import reading
from sseserver.apis.responses.reading import ResponseReader, findRefusal, readRequest
from sseserver.errors import AnswerTooLong, RunCancelled
from sseserver.formats import ResponsesFormat
from sseserver.values import Kind
from tests.formats.chatcases import end, makeLog

INPUT = b'{"model":"m"}\n[1]'


class ReaderTests(SynchronousTestCase):
    """Logs as responses."""

    def test_steps(self) -> None:
        """A log is read in steps, with the same result; a restart begins anew."""
        self.patch(reading, "STEP_ENTRIES", 3)
        self.patch(reading, "STEP_BYTES", 5)
        streamLog = makeLog()
        streamLog.append(Kind.INPUT, INPUT)
        for text in (b"void", b"void"):
            streamLog.append(Kind.TOKEN, text)
        streamLog.append(Kind.RESTART, b"{}")
        for text in b"abcdef":
            streamLog.append(Kind.TOKEN, b"%c" % text)
            streamLog.append(Kind.TOKEN, b"%c" % text)
        end(streamLog)
        reader = ResponseReader(streamLog, ResponsesFormat("parrot"), 1000)
        steps = reader.readSteps()
        count = 0
        while True:
            try:
                next(steps)
            except StopIteration as ended:
                response = ended.value
                break
            count += 1
        self.assertGreater(count, 3)
        self.assertEqual(response["output"][0]["content"][0]["text"], "aabbccddeeff")
        self.assertEqual((response["model"], response["status"]), ("m", "completed"))

    def test_trimmed(self) -> None:
        """A response without its beginning is an error."""
        streamLog = makeLog(*"abcdefgh", window=40)
        self.assertRaises(AnswerTooLong, ResponseReader(streamLog, ResponsesFormat("parrot"), 1000).read, 0)
        self.assertIsNone(readRequest(streamLog))
        self.assertIsNone(findRefusal(streamLog))

    def test_tooLong(self) -> None:
        """An answer over the limit is an error."""
        reader = ResponseReader(makeLog("x" * 600, "x" * 600), ResponsesFormat("parrot"), 1000)
        self.assertRaises(AnswerTooLong, reader.read, 0)

    def test_request(self) -> None:
        """The first entry has the request."""
        self.assertIsNone(readRequest(makeLog()))
        self.assertIsNone(readRequest(makeLog("a")))
        streamLog = makeLog()
        streamLog.append(Kind.INPUT, INPUT)
        kept = readRequest(streamLog)
        assert kept is not None
        self.assertEqual((kept.asked, kept.items), ({"model": "m"}, b"[1]"))
        self.assertIsNone(findRefusal(streamLog))
        streamLog.append(Kind.CANCELLED, b'{"reason":"asked"}')
        self.assertIsInstance(findRefusal(streamLog), RunCancelled)
