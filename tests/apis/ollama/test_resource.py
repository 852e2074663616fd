"""Tests of `sseserver.apis.ollama.resource`; those of the resources show more."""

from __future__ import annotations

from sseserver.service.service import Settings
from tests.apis.chat.cases import ChatTestCase


class ResourceTests(ChatTestCase):
    """Errors."""

    settings = Settings(ollama=True)

    def test_errors(self) -> None:
        """Every error is a sentence, the only member."""
        for path, body, status in (
            ("/ollama/api/chat", b"{", 400),
            ("/ollama/api/generate", b'{"model": 1}', 400),
            ("/ollama/api/tags", b"{}", 405),
            ("/ollama/api/show", b"{}", 400),
            ("/ollama/api/chat/more", b"{}", 404),
            ("/ollama/v1", b"{}", 404),
            ("/ollama/api/embed", b'{"model": "script", "input": "a"}', 404),
            ("/ollama/api/embeddings", b'{"model": "script", "prompt": "a"}', 404),
        ):
            answer = self.post(path, body).response
            self.assertEqual((answer.status, list(answer.json)), (status, ["error"]))
            self.assertIsInstance(answer.json["error"], str)
