"""
Tests of `sseserver.apis.admin.site`: the resources of `--admin-listen`.
"""

from __future__ import annotations

from sseserver.apis.admin.site import AdminResource
from tests.served import ServedTestCase


class AdminSiteTests(ServedTestCase):
    """The site for operators."""

    def setUp(self) -> None:
        super().setUp()
        self.factory = self.site(AdminResource(self.service))

    def test_health(self) -> None:
        """It has both checks, with a trailing slash as well."""
        for path in ("/healthz", "/readyz", "/healthz/", "/readyz/"):
            self.assertEqual(self.ask(path).status, 200, path)

    def test_nothingElse(self) -> None:
        """Nothing of the clients' APIs is there, and the root itself is no resource."""
        for path in ("/", "/streams", "/v1/models", "/assets/app.js", "/healthz/streams"):
            self.assertEqual(self.ask(path).status, 404, path)
