"""
README and docs as a reader uses them: each block of commands is pasted into a shell as it is printed.

A block that starts a server has one command, which stays in the foreground; the blocks that follow talk to this server,
from a second terminal. Only the port is another one.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.servers import ENVIRONMENT, PATIENCE, ROOT, ask, freePort

#: The installation of the package, which starts a command of the documents. The tests run the installed package.
_INSTALLATION = re.compile(r"^python3 -m venv \.venv && \.venv/bin/pip install -q \. && ", re.MULTILINE)

#: Files that another test may write while these are copied.
PYCACHE = shutil.ignore_patterns("__pycache__")

#: Blocks that are no part of these tests: the whole test command, and the set-up of a contributor.
_OTHERS = ("bin/tox", "pre-commit")


def findBlocks(page: Path, language: str) -> list[str]:
    """Return the blocks of a page in one language."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [block for block in blocks if not any(word in block for word in _OTHERS)]


def isServer(block: str) -> bool:
    """Return whether a block starts a server."""
    return "twistd -n" in block or "firststream.py" in block


def awaitGroup(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of all processes of a session."""
    process.wait(PATIENCE)
    deadline = time.monotonic() + PATIENCE
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.05)
        raise AssertionError(f"{process.args} does not end.")


class Reader:
    """
    A reader of one page, in a folder with the files of the repository.

    Args:
        folder: Empty.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: subprocess.Popen[bytes] | None = None
        self._blocks: list[tuple[subprocess.Popen[bytes], Path]] = []
        self.port = freePort()
        (folder / "README.md").symlink_to(ROOT / "README.md")
        shutil.copytree(ROOT / "docs" / "examples", folder / "docs" / "examples", ignore=PYCACHE)
        for example in (folder / "docs" / "examples").iterdir():
            if example.is_file():
                example.write_text(self.adapt(example.read_text("utf-8")), "utf-8")
        (folder / ".venv").symlink_to(sys.prefix)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._environment = {**ENVIRONMENT, "PATH": path, "PYTHONWARNINGS": ""}

    def adapt(self, text: str) -> str:
        """Return a text with another port, and commands without the installation of the package."""
        text = _INSTALLATION.sub(".venv/bin/", text).replace(".venv/bin/.venv/bin/", ".venv/bin/")
        return text.replace("8000", str(self.port)).replace("8080", str(self.port))

    def serve(self, command: str) -> None:
        """Start a server in place of the one before, and wait until it listens."""
        self.stop()
        if "twistd -n" in command and "--listen" not in command:
            command = command.rstrip() + f" --listen tcp:{self.port}:interface=127.0.0.1\n"
        if "twistd -n sseserver" in command and "--drain" not in command:
            # Nothing waits for what is running when the next server starts.
            command = command.rstrip() + " --drain 0\n"
        if "twistd -n" in command:
            # A folder has one pid file; the server before may still be there.
            command = command.replace("twistd -n", "twistd -n --pidfile=")
        log = (self._folder / "log").open("wb")
        self._server = subprocess.Popen(
            command, shell=True, cwd=self._folder, env=self._environment, stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        deadline = time.monotonic() + PATIENCE
        while not self._listens():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{command}: {(self._folder / 'log').read_text('utf-8')}")
            time.sleep(0.05)

    def _listens(self) -> bool:
        try:
            return ask(self.port, "GET", "/v1/models")[0] in {200, 401, 502}
        except OSError:
            return False

    def paste(self, block: str) -> None:
        """Run the commands of a block. Those in the background go on."""
        if self._server is None:
            self.serve(".venv/bin/twistd -n sseserver --interval 0 --store sqlite:streams.db")
        output = self._folder / f"output{len(self._blocks)}"
        with output.open("wb") as out:
            command = ["sh", "-e", "-c", self.adapt(block)]
            process = subprocess.Popen(
                command, cwd=self._folder, env=self._environment, stdout=out, stderr=out, start_new_session=True
            )
        self._blocks.append((process, output))
        code = process.wait(PATIENCE)
        assert code == 0, f"{block}: {output.read_text('utf-8')}"

    def finish(self) -> list[str]:
        """Wait for the commands in the background, and return the output of each block."""
        texts = []
        for process, output in self._blocks:
            awaitGroup(process)
            texts.append(output.read_text("utf-8"))
            assert "Traceback" not in texts[-1], texts[-1]
        return texts

    def stop(self) -> None:
        """Stop the server, without the wait for load balancers."""
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGINT)
            awaitGroup(self._server)
            self._server = None

    def kill(self) -> None:
        """Kill whatever has not ended."""
        for process in [*[process for process, _ in self._blocks], *([self._server] if self._server else [])]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)


class DocumentTests(SynchronousTestCase):
    """F101: every block can be pasted as it stands."""

    def read(self, name: str) -> list[str]:
        """Paste all blocks of a page, and return what each of them prints."""
        folder = Path(tempfile.mkdtemp(prefix="sseserver-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        reader = Reader(folder)
        self.addCleanup(reader.kill)
        for block in findBlocks(ROOT / name, "sh"):
            if isServer(block):
                self.assertEqual(len(block.splitlines()), 1, f"{name}: a server is the only command of its block")
                reader.serve(reader.adapt(block))
            else:
                reader.paste(block)
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

    def test_F101_tutorial(self) -> None:
        """F101: the tutorial."""
        self.assertIn("event: done", self.read("docs/tutorial.md")[0])

    def test_F101_pages(self) -> None:
        """F101: all other pages."""
        done = {"README.md", "docs/tutorial.md"}
        pages = ["CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
        for name in pages:
            if name not in done and findBlocks(ROOT / name, "sh"):
                self.read(name)
