"""
Tests of `sseserver.web.assets`: the files of pages.
"""

from __future__ import annotations

import gzip

from tests.apis.cases import ScriptedTestCase


class AssetTests(ScriptedTestCase):
    """The files of a page."""

    def test_fileThatTheBrowserHas(self) -> None:
        """
        A client with the current version of a file gets 304. The ETag depends on the contents.
        """
        tags = {}
        for name in ("app.js", "app.css"):
            tags[name] = self.ask(f"/assets/{name}").headers["etag"]
            self.assertRegex(tags[name], r'^"[0-9a-f]+"$')
            for method in ("GET", "HEAD"):
                response = self.ask(f"/assets/{name}", method=method, headers={"If-None-Match": tags[name]})
                self.assertEqual((response.status, response.body), (304, b""))
                self.assertEqual(response.headers["etag"], tags[name])
                self.assertNotIn("content-type", response.headers)
                self.assertNotIn("content-length", response.headers)
            response = self.ask(f"/assets/{name}", headers={"If-None-Match": '"other"'})
            self.assertEqual((response.status, response.headers["etag"]), (200, tags[name]))
        self.assertNotEqual(*tags.values())

    def test_F132_listsOfTags(self) -> None:
        """F132: a weak tag, and a tag in a list, name the current version (RFC 9110 section 13.1.2)."""
        tag = self.ask("/assets/app.js").headers["etag"]
        for value, status in (
            (f"W/{tag}", 304),
            (f'"a", {tag}', 304),
            (f'{tag},W/"b"', 304),
            (f'"a,b" , W/{tag} , "c"', 304),
            ("*", 304),
            ('"a", "b"', 200),
            (tag.strip('"'), 200),
            (f'"{tag.strip(chr(34))[1:]}"', 200),
            ('"*"', 200),
            ("", 200),
        ):
            for method in ("GET", "HEAD"):
                response = self.ask("/assets/app.js", method=method, headers={"If-None-Match": value})
                self.assertEqual((response.status, response.headers["etag"]), (status, tag), value)

    def test_compressed(self) -> None:
        """A client that accepts gzip gets the file compressed, under a tag of its own."""
        plain = self.ask("/assets/app.js")
        self.assertEqual(plain.headers["vary"], "Accept-Encoding")
        for value in ("gzip", "br, gzip;q=0.5", "deflate,GZIP", "identity, gzip ; q=0.001"):
            zipped = self.ask("/assets/app.js", headers={"Accept-Encoding": value})
            self.assertEqual(zipped.headers["content-encoding"], "gzip", value)
            self.assertEqual(zipped.headers["vary"], "Accept-Encoding")
            self.assertEqual(gzip.decompress(zipped.body), plain.body)
            self.assertNotEqual(zipped.headers["etag"], plain.headers["etag"])
        for value in ("", "br", "identity", "gzip;q=0", "gzip; q=0.000", "x-gzip-not"):
            response = self.ask("/assets/app.js", headers={"Accept-Encoding": value})
            self.assertEqual((response.headers.get("content-encoding"), response.body), (None, plain.body), value)
        for tag, status in ((zipped.headers["etag"], 304), (plain.headers["etag"], 200)):
            response = self.ask("/assets/app.js", headers={"Accept-Encoding": "gzip", "If-None-Match": tag})
            self.assertEqual(response.status, status)
        self.assertNotIn("content-encoding", self.ask("/assets/app.js", headers={"If-None-Match": "*"}).headers)

    def test_unknownFile(self) -> None:
        """The folder has no other files, and no path leads out of it."""
        for path in (
            "/assets",
            "/assets/",
            "/assets/app.html",
            "/assets/index.html",
            "/assets/app.js/more",
            "/assets/../root.py",
            "/assets/%2e%2e%2froot.py",
            "/assets/..%2f..%2ferrors.py",
        ):
            response = self.ask(path)
            self.assertIn(response.status, (404, 405), path)
            self.assertNotIn(b"import", response.body)
            self.assertIn("code", response.error)
