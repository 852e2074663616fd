"""
README and docs as a reader uses them: each block of commands is pasted into a shell as it is printed.

A block that starts a server has one command, which stays in the foreground; the blocks that follow talk to this server,
from a second terminal. Only the port is another one. tests/integration/test_tutorial.py does so with the tutorial.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.documents import Reader, findBlocks
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
        """F101: README: a text, a stream that is published into, and the client that prints it."""
        texts = self.read("README.md")
        self.assertIn("event: done", texts[0])
        # The second command goes on in the background: a viewer that comes late gets both tokens in one event.
        self.assertRegex(texts[1], r"data: Hello(\n\nid: .*\ndata: )? world\n")
        self.assertEqual(texts[2].splitlines()[0], "Hello world")

    def test_F101_readmePrograms(self) -> None:
        """F101: the Python blocks of README are complete programs, and are examples."""
        for block in findBlocks(ROOT / "README.md", "python"):
            compile(block, "README.md", "exec")
            self.assertIn("import", block)
            examples = [path.read_text("utf-8") for path in (ROOT / "docs" / "examples").glob("*.py")]
            self.assertTrue(any(example.endswith(block) for example in examples), block)

    def test_F101_pages(self) -> None:
        """F101: all other pages."""
        pages = ["CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
        for name in pages:
            if name != "docs/tutorial.md" and findBlocks(ROOT / name, "sh"):
                self.read(name)
