"""
Tests for `sseserver.apis.responses.resource`.
"""

from __future__ import annotations

from sseserver.apis.responses import resource
from tests.apis.responses.cases import ResponsesTestCase


class ResourceTests(ResponsesTestCase):
    """The ways to a response."""

    def test_large(self) -> None:
        """A large response is sent in pieces."""
        self.patch(resource, "_LARGE", 100)
        name = self.finish("word " * 50_000)
        response = self.get(name)
        self.assertEqual(response.headers.get("content-length"), None)
        self.assertEqual(response.json["output"][0]["content"][0]["text"], "word " * 50_000)
