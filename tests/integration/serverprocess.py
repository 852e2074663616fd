"""
The server as a process that a test with the reactor starts, kills and starts again.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.integration.forkserver import Process, startServer
from tests.integration.servers import ENVIRONMENT, ask, checkSecrets, twistd


class ServerProcess:
    """
    The server as a process that a test with the reactor starts, kills and starts again.

    Args:
        port: Its port on 127.0.0.1.
        folder: Its working directory.
        options: Command line beside `--listen` and `--interval`, the pace for each word.

    Attributes:
        port: See above.
    """

    def __init__(self, port: int, folder: str, options: list[str]) -> None:
        self.port = port
        self._folder = folder
        self._options = options
        self._output = Path(folder, "server.log")
        self._process: Process | None = None

    async def start(self, interval: float | None = None) -> None:
        """Start the server, with a pace in seconds for each word if its source has one, and wait until it is ready."""
        pace = () if interval is None else ("--interval", str(interval))
        command = twistd("sseserver", "--listen", f"tcp:{self.port}:interface=127.0.0.1", *pace, *self._options)
        with self._output.open("wb") as output:
            self._process = startServer(command, output, cwd=self._folder, env=ENVIRONMENT)
        while not await self._isReady():
            if self._process.poll() is not None:
                raise AssertionError(f"The server did not start:\n{self._output.read_text()}")
            await deferLater(reactor, 0.05)

    async def kill(self) -> None:
        """Kill the server at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            checkSecrets(self._output.read_bytes(), "The output of a server")

    async def _isReady(self) -> bool:
        """Return whether the server answers, and its store too."""
        try:
            status, _, _ = await deferToThread(ask, self.port, "GET", "/readyz")
        except OSError:
            return False
        return status == 200
