"""
Tests of `sseserver.web.openapi.resource`: the document as it is served.
"""

from __future__ import annotations

from typing import Any

from sseserver.web.openapi.resource import OpenAPI
from tests.served import ServedTestCase


class OpenAPITests(ServedTestCase):
    """The resource `openapi.json`."""

    def setUp(self) -> None:
        super().setUp()
        self.built = 0
        self.factory = self.site(OpenAPI(self.build, self.service.viewers))

    def build(self) -> dict[str, Any]:
        """Count the documents."""
        self.built += 1
        return {"openapi": "x" * 100_000}

    def test_once(self) -> None:
        """The document is built when it is first asked for, and kept."""
        self.assertEqual(self.built, 0)
        for _ in range(3):
            response = self.ask("/")
            self.assertEqual((response.status, response.json), (200, {"openapi": "x" * 100_000}))
        self.assertEqual(self.built, 1)

    def test_versions(self) -> None:
        """A client that has the document gets no second one."""
        tag = self.ask("/").headers["etag"]
        response = self.ask("/", headers={"If-None-Match": tag})
        self.assertEqual((response.status, response.body), (304, b""))
        self.assertEqual(self.ask("/", headers={"If-None-Match": '"other"'}).status, 200)
        self.assertEqual(response.headers["cache-control"], "no-cache")
