"""Tests for `sseserver.keys`: the command that makes API keys."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sseserver.keys import main
from sseserver.web.access.apikeys import ApiKeys, readKeyFile
from tests.web.access.cases import grant


class KeysTests(SynchronousTestCase):
    """The command."""

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
        """Keys are printed once, and the file, for its owner alone, gets their hashes."""
        path = Path(self.mktemp())
        one, _ = self.run_(str(path), "one", "read:a", "list:*")
        two, _ = self.run_(str(path), "two", "publish:b", "--expires=2100-01-01T00:00:00Z")
        text = path.read_text()
        self.assertEqual((text.count("\n"), path.stat().st_mode & 0o777), (2, 0o600))
        keys = ApiKeys(readKeyFile(text))
        for printed, name, grants in ((one, "key:one", ("read:a", "list:*")), (two, "key:two", ("publish:b",))):
            found = keys.find(printed.strip())
            assert found is not None
            self.assertEqual((found.name, found.grants), (name, tuple(map(grant, grants))))
            self.assertNotIn(printed.strip(), text)

    def test_ownFile(self) -> None:
        """Lines of others stay as they are, also without a line end."""
        path = Path(self.mktemp())
        path.write_text("# ours")
        self.run_(str(path), "one", "read:a")
        self.assertTrue(path.read_text().startswith("# ours\none sha256:"))

    def test_refused(self) -> None:
        """A line that cannot be in a key file is refused in a sentence, and the file stays as it is."""
        path = Path(self.mktemp())
        self.run_(str(path), "one", "read:a")
        before = path.read_text()
        for arguments in (("one", "read:a"), ("a b", "read:a"), ("two", "all:a"), ("two", "read:a", "--expires=soon")):
            out, error = self.run_(str(path), *arguments)
            self.assertEqual((out, path.read_text()), ("", before))
            self.assertRegex(error, r"^sseserver\.keys: .+$")
        path.write_text("broken")
        self.assertIn("line 1", self.run_(str(path), "two", "read:a")[1])
        self.assertIn("No such file", self.run_("missing/folder", "two", "read:a")[1])
