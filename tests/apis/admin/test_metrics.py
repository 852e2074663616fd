"""Tests for `sseserver.apis.admin.metrics`: the resource."""

from __future__ import annotations

import sys
from unittest.mock import patch

from twisted.logger import capturedLogs, formatEvent

from sseserver.apis import makeAdmin
from sseserver.apis.admin.metrics import makeCollector
from tests.apis.admin.cases import MetricsTestCase


class MetricsTests(MetricsTestCase):
    """`/metrics`."""

    def test_types(self) -> None:
        """The media type is the one that the client asks for; without a wish it is the usual text."""
        wishes = {
            None: "text/plain; version=0.0.4; charset=utf-8",
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5": "application/openmetrics-text",
        }
        for accept, contentType in wishes.items():
            response = self.connect(self.admin).ask("/metrics", accept)
            self.assertEqual((response.status, response.headers["cache-control"]), (200, "no-store"))
            self.assertIn(contentType.partition(";")[0], response.headers["content-type"])

    def test_methods(self) -> None:
        """Only GET and HEAD are supported."""
        self.assertEqual(self.connect(self.admin).ask("/metrics", method="HEAD").status, 200)
        self.assertEqual(self.connect(self.admin).ask("/metrics", method="POST", body=b"").status, 405)

    def test_clients(self) -> None:
        """The endpoints of clients do not have it."""
        self.assertEqual(self.ask("/metrics").status, 404)

    def test_withoutPackage(self) -> None:
        """Without the package the answer names the extra to install; everything else is there."""
        with patch.dict(sys.modules, {"prometheus_client": None, "sseserver.apis.admin.collector": None}):
            self.assertIsNone(makeCollector(self.measured))
            with capturedLogs() as events:
                self.admin = self.site(makeAdmin(self.measured))
        [line] = [formatEvent(event) for event in events]
        self.assertIn("pip install 'sseserver[metrics]'", line)
        response = self.connect(self.admin).ask("/metrics")
        self.assertEqual((response.status, response.error["code"]), (501, "package_missing"))
        self.assertIn("pip install 'sseserver[metrics]'", response.error["message"])
        self.assertEqual(self.connect(self.admin).ask("/readyz").status, 200)
