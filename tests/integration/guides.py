"""
A reader of the guides with frameworks, who runs each block of commands as it is printed, in the folder of the example.
Only the ports are others.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.integration.node import missing
from tests.integration.servers import ENVIRONMENT, PATIENCE, QUICK, ROOT, freePort

GUIDES = ROOT / "docs" / "guides"
EXAMPLES = ROOT / "docs" / "examples"

#: Ports in the guides: of the hub, of an application, of Vite, and of a Redis.
PORTS = ("8000", "8001", "5173", "6379")

#: Begins a block that installs packages, which the tests do in their own way.
_INSTALLATIONS = ("pip install", "npm install")

#: Begins a block that stays in the foreground; the port on which it listens then, if any.
_SERVERS = {
    "twistd -n": "8000",
    "uvicorn": "8001",
    "flask": "8001",
    "python djangoapp.py runserver": "8001",
    "npm run": "5173",
    "redis-server": "6379",
    "celery": None,
}

#: Text of an answer of an application.
ANSWER = "You asked: Why? "


def findBlocks(page: Path) -> list[tuple[str, str]]:
    """Return the blocks of a guide, each with its language."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


class Follower:
    """
    A reader who follows a guide.

    Args:
        folder: A folder of docs/examples, of which the reader has a copy.
    """

    def __init__(self, folder: str) -> None:
        self.ports = {port: freePort() for port in PORTS}
        self.folder = Path(tempfile.mkdtemp(prefix="sseserver-"))
        ignored = shutil.ignore_patterns("node_modules", "dist", "__pycache__")
        shutil.copytree(EXAMPLES / folder, self.folder, ignore=ignored, dirs_exist_ok=True)
        for path in self.folder.iterdir():
            path.write_text(self.adapt(path.read_text("utf-8")), "utf-8")
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._environment = {**ENVIRONMENT, "PATH": path, "PYTHONWARNINGS": "", "NO_PROXY": "127.0.0.1"}
        self._servers: list[subprocess.Popen[bytes]] = []
        self._commands: list[str] = []
        self._logs = 0

    def adapt(self, text: str) -> str:
        """Return a text with other ports."""
        return re.sub(r"\b(8000|8001|5173|6379)\b", lambda found: str(self.ports[found[1]]), text)

    def follow(self, page: str) -> str:
        """Run the blocks of a guide, and return the output of the last one that ends."""
        output = ""
        for language, block in findBlocks(GUIDES / f"{page}.md"):
            if language == "sh" and block.startswith(tuple(_SERVERS)):
                self.serve(block.rstrip("\n"))
            elif language == "sh" and not block.startswith(_INSTALLATIONS):
                output = self.run(block)
        return output

    def run(self, block: str) -> str:
        """Run commands that end, and return their output, through a file: a program that hangs keeps no pipe open."""
        with tempfile.TemporaryFile() as output:
            command = ["sh", "-e", "-c", self.adapt(block)]
            done = subprocess.run(
                command, cwd=self.folder, env=self._environment, check=False, stdout=output, timeout=PATIENCE
            )
            output.seek(0)
            text = output.read().decode("utf-8")
        assert done.returncode == 0, f"{block}: {text}{self.readLogs()}"
        return text

    def serve(self, command: str) -> None:
        """Start a server, and wait until it listens on the port that it takes."""
        (usual,) = [port for start, port in _SERVERS.items() if command.startswith(start)]
        port = None if usual is None else self.ports[usual]
        self._commands.append(command)
        if command.startswith("twistd"):
            command = command.replace("-n", "-n --pidfile=", 1) + f" --listen tcp:{port}:interface=127.0.0.1"
            command = " ".join([command, *QUICK])
        log = (self.folder / f"log{self._logs}").open("wb")
        self._logs += 1
        server = subprocess.Popen(
            self.adapt(command),
            shell=True,
            cwd=self.folder,
            env=self._environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        self._servers.append(server)
        deadline = time.monotonic() + PATIENCE
        # A worker of Celery listens to nothing: its tasks wait for it.
        while port is not None and not self._listens(port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{command}: {Path(log.name).read_text('utf-8')}")
            time.sleep(0.05)

    def _listens(self, port: int) -> bool:
        # Vite may listen on ::1.
        with contextlib.suppress(OSError):
            socket.create_connection(("localhost", port), timeout=PATIENCE).close()
            return True
        return False

    def restart(self, number: int, options: str = "") -> None:
        """Stop a server, counted from the first one that the guide starts, and start it again with more options."""
        server = self._servers[number]
        os.killpg(server.pid, signal.SIGINT)
        server.wait(PATIENCE)
        command = f"{self._commands[number]} {options}"
        self.serve(command)
        self._servers[number], self._commands[number] = self._servers.pop(), command
        self._commands.pop()

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text in a file of the example, which has it once."""
        path = self.folder / name
        text = path.read_text("utf-8")
        assert text.count(old) == 1, f"{name}: {old}"
        path.write_text(text.replace(old, new), "utf-8")

    def readLogs(self) -> str:
        """Return the output of the servers."""
        return "".join(path.read_text("utf-8") for path in sorted(self.folder.glob("log*")))

    def end(self) -> None:
        """End the servers, and remove the folder."""
        for server in self._servers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait(PATIENCE)
        shutil.rmtree(self.folder, ignore_errors=True)


def needModules(*names: str) -> None:
    """Skip the test if a module is not installed; in CI, fail."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise missing(f"{name} is not installed")
