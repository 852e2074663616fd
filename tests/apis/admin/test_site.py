"""
Tests of `sseserver.apis.admin.site`: the resources of `--admin-listen`.
"""

from __future__ import annotations

from tests.apis.admin.cases import MetricsTestCase


class AdminSiteTests(MetricsTestCase):
    """The site for operators."""

    def setUp(self) -> None:
        super().setUp()
        self.factory = self.admin

    def test_health(self) -> None:
        """It has both checks and the metrics, with a trailing slash as well."""
        for path in ("/healthz", "/readyz", "/metrics", "/healthz/", "/readyz/", "/metrics/"):
            self.assertEqual(self.ask(path).status, 200, path)

    def test_nothingElse(self) -> None:
        """Nothing of the clients' APIs is there, and the root itself is no resource."""
        for path in ("/", "/streams", "/v1/models", "/assets/app.js", "/healthz/streams"):
            self.assertEqual(self.ask(path).status, 404, path)
