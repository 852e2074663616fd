"""
Tests of `sseserver.apis.admin.site`: the resources of `--admin-listen`.
"""

from __future__ import annotations

from sseserver.apis import makeAdmin
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

    def test_F73_rebinding(self) -> None:
        """F73: a host name that is not listed reads nothing but health checks; addresses and listed names do."""
        self.admin = self.site(makeAdmin(self.measured, ["ops.example"]))
        self.assertEqual(self.askHost("evil.example", "/metrics"), 421)
        self.assertEqual(self.askHost("evil.example", "/"), 421)
        for host in ("ops.example:9000", "10.0.0.7:9000", "[2001:db8::1]:9000", "localhost:9000"):
            self.assertEqual(self.askHost(host, "/nothing"), 404, host)
        for path in ("/healthz", "/readyz"):
            self.assertEqual(self.askHost("evil.example", path), 200, path)

    def askHost(self, host: str, path: str) -> int:
        """Ask for a path of a host; return the status."""
        return self.connect(self.admin).ask(path, headers={"Host": host}).status
