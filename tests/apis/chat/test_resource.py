"""Tests for `sseserver.apis.chat.resource`."""

from __future__ import annotations

from sseserver.errors import ErrorDetails, SourceError
from tests.apis.chat.cases import COMPLETIONS, ChatTestCase


class ResourceTests(ChatTestCase):
    """Headers of the chat completions API."""

    def test_F124_requestID(self) -> None:
        """F124: every answer has an ID of its own, errors and event streams too."""
        wires = [self.stream(), self.complete(), self.post(COMPLETIONS, b"{")]
        for run in self.source.runs:
            run.write("a")
            run.end()
        self.reactor.run(1)
        answers = [*[wire.response for wire in wires], self.ask("/v1/models"), self.ask("/v1/models/nope")]
        self.assertEqual([answer.status for answer in answers], [200, 200, 400, 200, 404])
        self.assertEqual(len({answer.headers["x-request-id"] for answer in answers}), 5)

    def test_F122_shouldRetry(self) -> None:
        """F122: OpenAI's clients are told not to retry where a retry cannot help, in one piece and as a stream."""
        for final in (True, None):
            for ask in (self.complete, self.stream):
                wire = ask()
                self.breakDown(SourceError("No.", "refused", 429, None, ErrorDetails("c", "t", "p", final)))
                self.assertEqual(wire.response.headers.get("x-should-retry"), "false" if final else None)
                error = {"message": "No.", "type": "t", "param": "p", "code": "c"}
                self.assertEqual((wire.response.status, wire.response.error), (429, error))

    def test_F58_statuses(self) -> None:
        """F58: a source may choose any error status, with a phrase or without; other values are 502."""
        for status, expected in ((499, 499), (520, 520), ("503", 502), (204, 502)):
            wire = self.complete()
            self.breakDown(SourceError("m", "r", status))  # type: ignore[arg-type]
            self.assertEqual((wire.response.status, wire.response.error["message"]), (expected, "m"))

    def test_F121_streamedError(self) -> None:
        """F121: code, type and param of an error are in the stream, too."""
        wire = self.stream()
        self.write("a")
        self.breakDown(SourceError("No.", "upstream", 400, None, ErrorDetails("c", "t", "p")))
        self.assertIn('{"message":"No.","type":"t","param":"p","code":"c"}', wire.response.events[-1].data)
