"""Tests of `sseserver.apis.messages.resource`; those of the resources show more."""

from __future__ import annotations

from sseserver.errors import ErrorDetails, SourceError
from tests.apis.chat.cases import ChatTestCase
from tests.apis.messages.test_messages import ASKED


class ResourceTests(ChatTestCase):
    """Headers of all answers."""

    def test_requestID(self) -> None:
        """Every answer has an ID of its own, errors too."""
        asked = {**ASKED, "model": self.source.model}
        bodies = (("/v1/messages", b"{"), ("/v1/messages/count_tokens", asked), ("/v1/messages/count_tokens", b"[]"))
        answers = [self.post(path, body).response for path, body in bodies]
        self.assertEqual([answer.status for answer in answers], [400, 200, 400])
        self.assertEqual(len({answer.headers["request-id"] for answer in answers}), 3)

    def test_shouldRetry(self) -> None:
        """Anthropic's clients are told not to retry where that cannot help."""
        wire = self.post("/v1/messages", {**ASKED, "model": self.source.model})
        self.breakDown(SourceError("No.", "refused", 429, None, ErrorDetails(final=True)))
        self.assertEqual(wire.response.headers["x-should-retry"], "false")
