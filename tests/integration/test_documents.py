"""
README and docs as a reader uses them: each block of commands is pasted into a shell as it is printed.

tests/docs/test_blocks.py has the list of what is run elsewhere, or not at all, with the reasons. A block that starts a
server has one command, which stays in the foreground; the blocks that follow talk to this server, from a second
terminal. Only the port is another one. tests/integration/test_tutorial.py does so with the tutorial.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.documents import PAGES, Reader, findBlocks
from tests.integration.servers import ROOT


class DocumentTests(SynchronousTestCase):
    """F101: every block can be pasted as it stands."""

    def read(self, name: str) -> list[str]:
        """Paste all blocks of a page, and return what each of them prints."""
        folder = Path(tempfile.mkdtemp(prefix="sseserver-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        reader = Reader(folder)
        self.addCleanup(reader.kill)
        for block in findBlocks(ROOT / name, "sh"):
            reader.follow(block)
        return reader.finish()

    def test_F101_readme(self) -> None:
        """F101: README: each command starts a server that answers."""
        self.assertEqual(len(findBlocks(ROOT / "README.md", "sh")), 3)
        self.assertEqual(self.read("README.md"), [])

    def test_F101_pages(self) -> None:
        """F101: all other pages."""
        for name in PAGES:
            if name not in {"README.md", "docs/tutorial.md"} and findBlocks(ROOT / name, "sh"):
                self.read(name)
