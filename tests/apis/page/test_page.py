"""
Tests of `sseserver.apis.page.page`: the page and its files.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote_to_bytes, urljoin

from twisted.web.server import Site
from zope.interface import directlyProvides, noLongerProvides

from sseserver.apis.page import page as pageOfTheAPI
from sseserver.apis.root import StreamResource
from sseserver.interfaces import IModels, ITokenSource
from sseserver.values import MODEL
from tests.apis.cases import ScriptedTestCase
from tests.http import CHROME, FIREFOX, SAFARI, Response

ASSETS = Path(pageOfTheAPI.__file__).parent / "assets"


class PageTests(ScriptedTestCase):
    """The page and its files."""

    def assertPage(self, path: str, response: Response | None = None) -> str:
        """
        Check that a URL has the page, and that the page finds its files.

        Returns:
            The base of their URLs.
        """
        response = response or self.ask(path, CHROME)
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["content-type"], "text/html; charset=utf-8")
        found = re.findall(rb'(?:src|href)="([^"]*)assets/app\.(?:js|css)"', response.body)
        self.assertEqual(len(found), 2)
        self.assertEqual(len(set(found)), 1)
        base: str = found[0].decode()
        for name in ("app.js", "app.css"):
            url = urljoin(f"http://example.com{path}", f"{base}assets/{name}")
            self.assertEqual(self.ask(url.removeprefix("http://example.com")).status, 200, url)
        self.assertNotIn(b"{{", response.body)
        self.assertIn(f'<link rel="service-desc" href="{base}openapi.json"'.encode(), response.body)
        described = urljoin(f"http://example.com{path}", f"{base}openapi.json")
        self.assertEqual(self.ask(described.removeprefix("http://example.com")).status, 200)
        return base

    def test_whoGetsIt(self) -> None:
        """Browsers and clients without a preference get the page, and no run is started."""
        for accept in (CHROME, FIREFOX, SAFARI, "text/html", "*/*", None):
            response = self.ask("/", accept)
            self.assertPage("/", response)
            self.assertEqual(response.headers["vary"], "Accept")
        self.assertEqual(self.source.runs, [])

    def test_tellsWhetherSomethingIsAsked(self) -> None:
        """
        The page knows whether the source takes prompts, at every URL, also for a stream that does
        not exist.
        """
        path = self.startRun()
        self.assertNotIn(b"data-asks", self.ask("/").body)
        self.source.takesPrompt = True
        self.factory = Site(StreamResource(self.service), reactor=self.reactor)
        for response in (self.ask("/"), self.ask(path, CHROME), self.ask("/streams/nothing", CHROME)):
            self.assertIn(b'<html lang="en" data-asks>', response.body)
            self.assertNotIn(b"{{", response.body)

    def test_tellsWhetherItChooses(self) -> None:
        """The page knows whether the source has models of which none is the usual one."""
        directlyProvides(self.source, ITokenSource, IModels)
        for model, chooses in (("script", False), (MODEL, True)):
            self.source.model = model
            self.factory = Site(StreamResource(self.service), reactor=self.reactor)
            self.assertEqual(b" data-chooses" in self.ask("/").body, chooses)
        noLongerProvides(self.source, IModels)
        self.factory = Site(StreamResource(self.service), reactor=self.reactor)
        self.assertNotIn(b"data-chooses", self.ask("/").body)

    def test_headers(self) -> None:
        """
        The page may load its own files only, run no inline script, and be framed by nobody. It is
        not cached.
        """
        headers = self.ask("/").headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        self.assertEqual(policy["default-src"], "'none'")
        for name in ("script-src", "style-src", "connect-src"):
            self.assertEqual(policy[name], "'self'")
        for name in ("base-uri", "form-action", "frame-ancestors"):
            self.assertEqual(policy[name], "'none'")
        self.assertEqual(headers["x-content-type-options"], "nosniff")
        self.assertEqual(headers["referrer-policy"], "no-referrer")
        self.assertEqual(headers["cache-control"], "no-store")

    def test_fitsItsPolicy(self) -> None:
        """
        The page obeys its policy: it has no inline script or style, and no URL of another site.
        """
        page = self.ask("/").body.decode()
        self.assertNotRegex(page, r"<script(?![^>]*\ssrc=)")
        self.assertNotRegex(page, r"<style|\sstyle=|\son\w+=")
        self.assertEqual(re.findall(r"https?:[^'\"\s]+", page), [])

    def test_base(self) -> None:
        """The page finds its files from every URL at which it appears."""
        path = self.startRun()
        self.assertEqual(self.assertPage("/"), "")
        self.assertEqual(self.assertPage(path), "../")
        self.assertEqual(self.assertPage(f"{path}/"), "../../")

    def test_baseWhenMounted(self) -> None:
        """
        The page finds its files below a path of another site, with and without a trailing slash.
        """
        self.mount(b"chat")
        self.assertEqual(self.assertPage("/chat/"), "")
        self.assertEqual(self.assertPage("/chat"), "./chat/")
        path = self.ask("/chat/streams", method="POST").headers["location"]
        self.assertRegex(path, "^/chat/streams/[A-Za-z0-9]{22}$")
        self.assertEqual(self.assertPage(path), "../")
        self.assertEqual(self.assertPage(f"{path}/"), "../../")

    def test_baseDeep(self) -> None:
        """The page finds its files several segments deep, below names that need quoting."""
        self.mount(b"a b", "ö&<".encode())
        self.assertEqual(self.assertPage("/a%20b/%C3%B6%26%3C/"), "")
        self.assertEqual(self.assertPage("/a%20b/%C3%B6%26%3C"), "./%C3%B6%26%3C/")
        path = self.ask("/a%20b/%C3%B6%26%3C/streams", method="POST").headers["location"]
        self.assertTrue(path.startswith("/a%20b/%C3%B6%26%3C/streams/"))
        self.assertEqual(self.assertPage(path), "../")

    def test_baseIsEscaped(self) -> None:
        """A URL cannot inject markup into the page."""
        self.mount(b'"><script>')
        body = self.ask('/"><script>', CHROME).body
        self.assertNotIn(b'"><script>', body.replace(b'"></script>', b""))

    def test_addressOfAnyBytes(self) -> None:
        """Raw bytes in the URL are no server error."""
        self.mount(b"\x80")
        self.assertEqual(self.ask("/\x80", CHROME).status, 200)

    def test_file(self) -> None:
        """A file is served unchanged with its media type, and browsers revalidate it."""
        for name, kind in (("app.js", "text/javascript; charset=utf-8"), ("app.css", "text/css; charset=utf-8")):
            response = self.ask(f"/assets/{name}")
            self.assertEqual((response.status, response.headers["content-type"]), (200, kind))
            self.assertEqual(response.body, (ASSETS / name).read_bytes())
            self.assertEqual(response.headers["cache-control"], "no-cache")
            self.assertEqual(response.headers["x-content-type-options"], "nosniff")

    def test_F103_icon(self) -> None:
        """F103: the icon is where browsers look for it, and in the page itself."""
        response = self.ask("/favicon.ico", "image/avif,image/webp,*/*;q=0.8")
        self.assertEqual((response.status, response.headers["content-type"]), (200, "image/svg+xml"))
        self.assertEqual(response.body, (ASSETS / "icon.svg").read_bytes())
        [url] = re.findall(rb'<link rel="icon" href="data:image/svg\+xml,([^"]*)">', self.ask("/").body)
        self.assertEqual(unquote_to_bytes(url), response.body)

    def test_F103_unknownURL(self) -> None:
        """F103: a browser at an unknown URL gets a page that says so; a program gets JSON."""
        for path in ("/nothing", "/v1", "/streams/nobody/x", "/assets/nothing"):
            response = self.ask(path, CHROME)
            self.assertEqual((response.status, response.headers["content-type"]), (404, "text/html; charset=utf-8"))
            self.assertIn(b"No resource has this URL.", response.body)
            self.assertEqual(self.ask(path).error["code"], "not_found")

    def test_size(self) -> None:
        """The page with all its files takes less than 60 kB, as browsers get them."""
        zipped = {"Accept-Encoding": "gzip"}
        files = [self.ask(f"/assets/{name}", headers=zipped).body for name in pageOfTheAPI.ASSETS]
        self.assertLess(sum(map(len, [self.ask("/").body, *files])), 60_000)

    def test_onlyNodes(self) -> None:
        """No script makes elements of text, which could be of a stranger."""
        for path in ASSETS.glob("*.js"):
            self.assertNotRegex(
                path.read_text("utf-8"), "innerHTML|outerHTML|insertAdjacentHTML|document.write|eval", path
            )

    def test_allFilesAreServed(self) -> None:
        """Each file in the folder is served beside the page, or is a part of it: the text, and the icon."""
        served = {path.name for path in ASSETS.iterdir() if self.ask(f"/assets/{path.name}").status == 200}
        self.assertEqual({path.name for path in ASSETS.iterdir()} - served, {"index.html", "icon.svg"})

    def test_head(self) -> None:
        """The answer to HEAD of the page or a file has the headers of GET."""
        for path in ("/", "/assets/app.js"):
            get, head = self.ask(path), self.ask(path, method="HEAD")
            # The second may have changed between the two.
            self.assertEqual({**get.headers, "date": ""}, {**head.headers, "date": ""})
            self.assertEqual(int(head.headers["content-length"]), len(get.body))
