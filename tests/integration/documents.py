"""
A reader of the documents, who pastes each block of commands into a shell as it is printed. Only the ports are others.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path

from tests.integration.servers import ENVIRONMENT, PATIENCE, ROOT, ask, freePort

#: The installation of the package, which starts a command of the documents. The tests run the installed package.
_INSTALLATION = re.compile(r"^python3 -m venv \.venv && \.venv/bin/pip install -q \. && ", re.MULTILINE)

#: Files that another test may write while these are copied.
PYCACHE = shutil.ignore_patterns("__pycache__")

#: Begins a command that serves pages. It stays beside the servers of the blocks that follow.
_PAGES = ".venv/bin/python -m http.server"

#: Ports in the documents: of servers, of pages, of a model, and of operators.
_PORTS = {"8000": 0, "8080": 0, "8001": 1, "11434": 2, "9000": 3}

#: Words of blocks that are no part of these tests: the whole test command, which runs these tests, and the set-up of a
#: contributor, which makes the environment that they run in.
_OTHERS = ("bin/tox", "pre-commit")

#: The pages whose commands are run; tests/docs/test_blocks.py tells of the others.
PAGES = ("README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))


def findBlocks(page: Path, language: str) -> list[str]:
    """Return the blocks of a page in one language."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [block for block in blocks if not any(word in block for word in _OTHERS)]


def isServer(block: str) -> bool:
    """Return whether a block starts a server."""
    return any(word in block for word in ("twistd -n", "firststream.py", _PAGES))


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
        without: Variables that its environment lacks.
    """

    def __init__(self, folder: Path, without: Collection[str] = ()) -> None:
        self._folder = folder
        self._server: subprocess.Popen[bytes] | None = None
        self._blocks: list[tuple[subprocess.Popen[bytes], Path]] = []
        self.ports = tuple(freePort() for _ in range(4))
        self.port = self.ports[0]
        self._others: list[subprocess.Popen[bytes]] = []
        (folder / "README.md").symlink_to(ROOT / "README.md")
        shutil.copytree(ROOT / "docs" / "examples", folder / "docs" / "examples", ignore=PYCACHE)
        for example in (folder / "docs" / "examples").iterdir():
            if example.is_file():
                example.write_text(self.adapt(example.read_text("utf-8")), "utf-8")
        (folder / ".venv").symlink_to(sys.prefix)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        kept = {name: value for name, value in ENVIRONMENT.items() if name not in without}
        self._environment = {**kept, "PATH": path, "PYTHONWARNINGS": ""}

    def adapt(self, text: str) -> str:
        """Return a text with another port, and commands without the installation of the package."""
        text = _INSTALLATION.sub(".venv/bin/", text).replace(".venv/bin/.venv/bin/", ".venv/bin/")
        return re.sub(r"\b(8000|8080|8001|11434|9000)\b", lambda found: str(self.ports[_PORTS[found[1]]]), text)

    def serve(self, command: str) -> None:
        """Start a server in place of the one before, and wait until it listens; one of pages comes beside it."""
        if command.startswith(_PAGES):
            self._others.append(self._start(command, "pages"))
            self._awaitListening(self._others[-1], "pages", self._hasPages)
            return
        self.stop()
        if "twistd -n" in command and " --listen" not in command:
            command = command.rstrip() + f" --listen tcp:{self.port}:interface=127.0.0.1\n"
        if "twistd -n sseserver" in command and "--drain" not in command:
            # Nothing waits for what is running when the next server starts.
            command = command.rstrip() + " --drain 0\n"
        if "twistd -n" in command:
            # A folder has one pid file; the server before may still be there.
            command = command.replace("twistd -n", "twistd -n --pidfile=")
        self._server = self._start(command, "log")
        self._awaitListening(self._server, "log", self._listens)

    def _start(self, command: str, log: str) -> subprocess.Popen[bytes]:
        with (self._folder / log).open("wb") as output:
            return subprocess.Popen(
                command,
                shell=True,
                cwd=self._folder,
                env=self._environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _awaitListening(self, server: subprocess.Popen[bytes], log: str, listens: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not listens():
            if server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{server.args!r}: {(self._folder / log).read_text('utf-8')}")
            time.sleep(0.05)

    def _listens(self) -> bool:
        try:
            return ask(self.port, "GET", "/v1/models")[0] in {200, 401, 502}
        except OSError:
            return False

    def _hasPages(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.ports[1]), PATIENCE).close()
            return True
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

    def follow(self, block: str) -> None:
        """Start the server of a block, or run its commands."""
        if isServer(block):
            commands = block.replace("\\\n", "").splitlines()
            assert len(commands) == 1, f"{block}: a server is the only command of its block"
            self.serve(self.adapt(block))
        else:
            self.paste(block)

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
        for process in [
            *[process for process, _ in self._blocks],
            *self._others,
            *([self._server] if self._server else []),
        ]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)
