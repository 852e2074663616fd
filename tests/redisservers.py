"""
Real Redis servers for the tests, which start them on Unix sockets in temporary folders.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.certificates import makePEM

#: Seconds. Longest time for a server to start on a busy machine.
PATIENCE = 60.0

SERVER = shutil.which("redis-server")


def findMissing() -> str | None:
    """
    Return what the tests with a Redis lack on this machine; `None` if nothing is missing.

    Raises:
        AssertionError: Something is missing in CI, where nothing may be.
    """
    missing = [name for name, found in (("redis-server", SERVER), ("hiredis", find_spec("hiredis"))) if not found]
    if not missing:
        return None
    assert not os.environ.get("CI"), f"CI needs {missing[0]}."
    return f"{missing[0]} is not installed"


class RedisServer:
    """
    A Redis server in a folder of its own, on a Unix socket.

    Args:
        options: Lines of its configuration, such as `appendonly yes`.

    Attributes:
        path: Path of its socket.
        url: Its address, as `--store` takes it.
    """

    #: Arguments after the path of the configuration.
    arguments: tuple[str, ...] = ("--save", "")

    def __init__(self, *options: str) -> None:
        self.folder = tempfile.mkdtemp(prefix="redis")
        self.path = str(Path(self.folder, "socket"))
        self.url = f"redis+unix://{self.path}"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def isRunning(self) -> bool:
        """Whether its process runs."""
        return self._process is not None

    def start(self) -> RedisServer:
        """Start the server, and wait until it answers."""
        assert SERVER is not None
        lines = ("port 0", f"unixsocket {self.path}", f"dir {self.folder}", *self._options)
        Path(self.folder, "configuration").write_text("\n".join(lines))
        command = [SERVER, str(Path(self.folder, "configuration")), *self.arguments]
        with Path(self.folder, "output").open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError):
                # With a password it answers that it wants one.
                if self.command("PING").startswith((b"+PONG", b"-NOAUTH")):
                    return self
            assert time.monotonic() < deadline, Path(self.folder, "output").read_text()
            time.sleep(0.01)

    def command(self, *words: str | bytes) -> bytes:
        """Send a command, and return the first part of its raw reply."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(self.path)
            parts = [word.encode() if isinstance(word, str) else word for word in words]
            connection.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(p), p) for p in parts))
            return connection.recv(65536)

    def call(self, *words: str | bytes | int) -> Any:
        """Send a command, and return its reply; an error is an exception of hiredis."""
        try:
            return self._call(words)
        except ConnectionResetError:
            # A master that becomes a replica closes all connections.
            return self._call(words)

    def _call(self, words: tuple[str | bytes | int, ...]) -> Any:
        import hiredis

        reader = hiredis.Reader()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(self.path)
            # The types of hiredis allow a single argument only.
            command: Any = words
            connection.sendall(hiredis.pack_command(command))
            while (reply := reader.gets()) is False:
                received = connection.recv(65536)
                if not received:
                    raise ConnectionResetError
                reader.feed(received)
        return reply

    def signal(self, number: int) -> None:
        """Send a signal to the server."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End the server at once. What it has not written to its disk is lost."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """End the server, and delete its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def makeTLSLines(folder: Path) -> tuple[str, ...]:
    """
    Make a certificate of `localhost`, and return the lines of a configuration that use it.

    Args:
        folder: Gets the files `key` and `certificate`.
    """
    key, certificate = makePEM()
    (folder / "key").write_bytes(key)
    (folder / "certificate").write_bytes(certificate)
    return (
        f"tls-cert-file {folder / 'certificate'}",
        f"tls-key-file {folder / 'key'}",
        f"tls-ca-cert-file {folder / 'certificate'}",
        "tls-auth-clients no",
    )


def isReplicated(master: RedisServer) -> bool:
    """Return whether a master has replicas, and all of them have everything that it has written."""
    role = master.call("ROLE")
    return role[0] == b"master" and bool(role[2]) and all(int(offset) >= role[1] for _, _, offset in role[2])
