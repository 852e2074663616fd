"""Tests for `sseserver.links`: the command that makes signed links."""

from __future__ import annotations

import io
import os
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import parse_qs

from sseserver.links import main
from sseserver.options.variables import LINK_KEY_VARIABLE
from sseserver.web.access.links import Links
from sseserver.web.access.signing import readSigningKeys
from tests.web.access.cases import grant


class LinksTests(SynchronousTestCase):
    """The command."""

    def setUp(self) -> None:
        self.patch(os, "environ", {})

    def run_(self, *arguments: str) -> tuple[str, str]:
        """Run it; return what it has printed, and its error."""
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        try:
            main(arguments)
        except SystemExit as stop:
            return out.getvalue(), str(stop.code)
        return out.getvalue(), ""

    def test_made(self) -> None:
        """A link is signed with the key of the file, or of the environment."""
        key = self.run_("--make-key")[0]
        path = Path(self.mktemp())
        path.write_text(key)
        links = Links(readSigningKeys(key))
        before = time.time()
        query, _ = self.run_("--key-file", str(path), "--seconds=60", "read,list:chat-*")
        principal = links.read(parse_qs(query.strip().encode()))
        self.assertEqual(principal.grants, (grant("read,list:chat-*"),))
        assert principal.expires is not None
        self.assertTrue(before + 59 <= principal.expires <= time.time() + 60)
        os.environ[LINK_KEY_VARIABLE] = key
        for url, mark in (("https://a/streams/b", "?"), ("https://a/b?format=text", "&")):
            printed, _ = self.run_(f"--url={url}", "read:b")
            self.assertTrue(printed.startswith(f"{url}{mark}rights=read&streams=b&expires="))

    def test_refused(self) -> None:
        """Without a key, with a bad grant or lifetime there is one line about it."""
        self.assertIn("random key", self.run_("read:a")[1])
        os.environ[LINK_KEY_VARIABLE] = "canary" * 10
        for arguments in (("all:a",), ("read:a", "--seconds=0"), ("read:a", "--key-file=missing")):
            out, error = self.run_(*arguments)
            self.assertEqual(out, "")
            self.assertRegex(error, r"^sseserver\.links: .+$")
            self.assertNotIn("canary", error)
