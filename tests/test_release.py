"""
`.ci/release.py`: versions, the changelog and release notes.
"""

from __future__ import annotations

import io
import re
import runpy
import shlex
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from sseserver.values import VERSION
from tests.house import ROOT

RELEASE: dict[str, Any] = runpy.run_path(str(ROOT / ".ci" / "release.py"), run_name="release")

CHANGELOG = "# Changelog\n\n## Unreleased\n\n* New ([docs](docs/a.md#b)).\n\n## 0.1.0 (2026-01-02)\n\n* First.\n"


class ReleaseTests(SynchronousTestCase):
    """A release of a small tree."""

    def setUp(self) -> None:
        """Make a tree with a version and a change."""
        self.root = Path(self.mktemp()).resolve()
        (self.root / "sseserver").mkdir(parents=True)
        (self.root / "sseserver" / "values.py").write_text('#: A literal.\nVERSION = "0.1.0"\n', "utf-8")
        (self.root / "CHANGELOG.md").write_text(CHANGELOG, "utf-8")

    def run_(self, *arguments: str) -> str:
        """Run the program, and return what it prints."""
        with redirect_stdout(io.StringIO()) as printed, patch.dict("os.environ", {"SSESERVER_REPOSITORY": ""}):
            RELEASE["main"](list(arguments), self.root)
        return printed.getvalue()

    def refuse(self, *arguments: str) -> str:
        """Run the program, which must end with one line and change nothing; return the line."""
        before = [path.read_text("utf-8") for path in self.root.rglob("*.*")]
        with self.assertRaises(SystemExit) as ended:
            self.run_(*arguments)
        self.assertEqual([path.read_text("utf-8") for path in self.root.rglob("*.*")], before)
        return str(ended.exception)

    def test_cut(self) -> None:
        """The changes get the version and its date, and the next ones a new section."""
        self.run_("cut", "0.2.0")
        text = (self.root / "CHANGELOG.md").read_text("utf-8")
        self.assertRegex(text, r"\n\n## Unreleased\n\n## 0\.2\.0 \(\d{4}-\d\d-\d\d\)\n\n\* New")
        self.assertEqual(
            (self.root / "sseserver" / "values.py").read_text("utf-8"), '#: A literal.\nVERSION = "0.2.0"\n'
        )
        self.assertEqual(self.run_("notes", "--tag", "v0.2.0"), "* New ([docs](docs/a.md#b)).\n")

    def test_refused(self) -> None:
        """A version that is malformed, released or lower is refused, and so is a release without changes."""
        self.assertIn("three numbers", self.refuse("cut", "1.2"))
        self.assertIn("three numbers", self.refuse("cut", "1.02.0"))
        self.assertIn("already", self.refuse("cut", "0.1.0"))
        self.assertIn("lower", self.refuse("cut", "0.0.9"))
        self.run_("cut", "0.10.0")
        self.assertIn("lower", self.refuse("cut", "0.9.0"))
        self.assertIn("is empty", self.refuse("cut", "0.11.0"))

    def test_notes(self) -> None:
        """Notes are those of the present version, whose tag it must be."""
        self.assertEqual(self.run_("notes"), "* First.\n")
        self.assertEqual(
            self.refuse("notes", "--tag", "v0.2.0"), "release.py: The tag is v0.2.0, but the version 0.1.0."
        )
        (self.root / "CHANGELOG.md").write_text(CHANGELOG.partition("## 0.1.0")[0], "utf-8")
        self.assertIn("cut the release first", self.refuse("notes"))

    def test_links(self) -> None:
        """Relative links lead to the tag, pictures to their bytes; other links stay."""
        text = "[a](docs/a.md#b) ![p](docs/p.png) [c](https://c.example/) [d](#d)"
        place = "https://code.example/t/s"
        self.assertEqual(
            RELEASE["makeAbsolute"](text, f"{place}/", "0.2.0"),
            f"[a]({place}/blob/v0.2.0/docs/a.md#b) ![p]({place}/raw/v0.2.0/docs/p.png) [c](https://c.example/) [d](#d)",
        )
        self.assertEqual(RELEASE["makeAbsolute"](text, "", "0.2.0"), text)


class RealTests(SynchronousTestCase):
    """The program, on this tree."""

    def test_version(self) -> None:
        """It finds the version of the package."""
        self.assertEqual(RELEASE["findVersion"](ROOT), VERSION)

    def test_workflow(self) -> None:
        """The commands of the workflow of a release are commands of the program."""
        workflow = (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")
        commands = re.findall(r"python \.ci/release\.py ([^>\n]+)", workflow)
        self.assertNotEqual(commands, [])
        for command in commands:
            RELEASE["makeParser"]().parse_args(shlex.split(command))
