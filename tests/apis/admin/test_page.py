"""
Tests of `sseserver.apis.admin.page`: the operator's page on the site for operators.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urljoin

from sseserver.apis import makeAdmin
from sseserver.apis.admin import page as pageOfOperators
from sseserver.web.access.rights import Access
from tests.apis.admin.cases import MetricsTestCase
from tests.http import CHROME

ASSETS = Path(pageOfOperators.__file__).parent / "assets"

#: Bytes. All files of the page together.
LIMIT = 40_000


class AdminPageTests(MetricsTestCase):
    """`/admin/`."""

    def setUp(self) -> None:
        super().setUp()
        self.clients = self.factory
        self.factory = self.site(makeAdmin(self.measured, (), Access(None, self.reactor.seconds)))

    def test_page(self) -> None:
        """The page and its files are there, with and without a trailing slash, and name no other site."""
        for path in ("/admin", "/admin/"):
            response = self.ask(path, CHROME)
            self.assertEqual((response.status, response.headers["content-type"]), (200, "text/html; charset=utf-8"))
            found = re.findall(rb'(?:src|href)="([^":]*)"', response.body)
            self.assertEqual(len(found), 3)
            for url in found:
                target = urljoin(f"http://example.com{path}", url.decode()).removeprefix("http://example.com")
                self.assertEqual(self.ask(target).status, 200, target)
            self.assertNotIn(b"{{", response.body)

    def test_headers(self) -> None:
        """The page has the policy of the other page: its own files only, nothing inline, no frames."""
        headers = self.ask("/admin/").headers
        self.assertEqual(
            headers["content-security-policy"], self.connect(self.clients).ask().headers["content-security-policy"]
        )
        self.assertEqual((headers["cache-control"], headers["referrer-policy"]), ("no-store", "no-referrer"))

    def test_fitsItsPolicy(self) -> None:
        """The page has no inline script or style, and its scripts never write markup."""
        page = self.ask("/admin/").body.decode()
        self.assertNotRegex(page, r"<script(?![^>]*\ssrc=)")
        self.assertNotRegex(page, r"<style|\sstyle=|\son\w+=")
        for name in ("app.js", "raw.js"):
            script = (ASSETS / name).read_text("utf-8")
            self.assertNotRegex(script, r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|localStorage")

    def test_size(self) -> None:
        """All files together are small, and all of them are served."""
        self.assertLess(sum(path.stat().st_size for path in ASSETS.iterdir()), LIMIT)
        self.assertEqual({path.name for path in ASSETS.iterdir()}, {"index.html", *pageOfOperators.ASSETS})

    def test_stream(self) -> None:
        """A browser that opens a stream is led to the page, which shows it; programs get the stream."""
        self.connect(self.clients).ask("/streams/news", method="PUT")
        for path in ("/streams/news", "/streams/news/"):
            response = self.ask(path, CHROME)
            self.assertEqual(response.status, 303)
            self.assertEqual(urljoin(f"http://h{path}", response.headers["location"]), "http://h/admin/#news")
        self.assertEqual(self.ask("/streams/nothing", CHROME).status, 303)
        self.assertEqual(self.ask("/streams/news", "application/json").json["name"], "news")

    def test_clients(self) -> None:
        """The page is not on the endpoint of clients."""
        for path in ("/admin", "/admin/", "/admin/status.json", "/admin/viewers.json", "/admin/assets/app.js"):
            self.assertEqual(self.connect(self.clients).ask(path).status, 404, path)

    def test_host(self) -> None:
        """A page whose host name points to this machine reads nothing; no page of another origin changes anything."""
        for path in ("/admin/", "/admin/status.json", "/admin/viewers.json", "/streams", "/streams/news"):
            self.assertEqual(self.ask(path, headers={"Host": "evil.example"}).status, 421, path)
        for method, path in (("DELETE", "/streams/news"), ("POST", "/streams/news/cancel")):
            response = self.ask(path, method=method, headers={"Origin": "http://evil.example"})
            self.assertEqual((response.status, response.error["code"]), (403, "foreign_origin"))
