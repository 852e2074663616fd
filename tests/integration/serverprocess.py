"""
The server as a process that a test with the reactor starts, kills and starts again.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol
from twisted.internet.task import deferLater

from tests.integration.servers import ENVIRONMENT, QUICK, checkSecrets


class ServerProcess(ProcessProtocol):
    """
    The server as a user starts it, as a process on the reactor of the test.

    Args:
        port: Its port on 127.0.0.1.
        folder: Its working directory.
        options: Command line beside `--listen` and `--interval`.

    Attributes:
        port: See above.
        output: Everything that it has written.
        ended: Fires when the process has ended; `None` while there is none.
    """

    def __init__(self, port: int, folder: str, options: list[str]) -> None:
        self.port = port
        self._folder = folder
        self._options = options
        self.output = b""
        self.ended: Deferred[None] | None = None

    async def start(self, interval: float) -> None:
        """Start the server with a pace in seconds for each word, and wait until it accepts connections."""
        arguments = [
            str(Path(sys.executable).with_name("twistd")),
            *("-n", "--pidfile=", "sseserver", *QUICK),
            *("--listen", f"tcp:{self.port}:interface=127.0.0.1"),
            *("--interval", str(interval)),
            *self._options,
        ]
        environment = ENVIRONMENT
        self.ended = Deferred()
        self.process = reactor.spawnProcess(self, arguments[0], arguments, environment, self._folder)
        while not await self._accepts():
            if self.ended is None:
                raise AssertionError(f"The server did not start:\n{self.output.decode()}")
            await deferLater(reactor, 0.05)

    async def kill(self) -> None:
        """Kill the server at once, as a crash would."""
        if self.ended is not None:
            ended = self.ended
            self.process.signalProcess("KILL")
            await ended

    async def _accepts(self) -> bool:
        try:
            endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port)
            connection = await endpoint.connect(Factory.forProtocol(Protocol))
        except ConnectError:
            return False
        connection.transport.abortConnection()
        return True

    def outReceived(self, data: bytes) -> None:
        self.output += data

    errReceived = outReceived

    def processEnded(self, reason: Any) -> None:
        checkSecrets(self.output, "The output of a server")
        ended, self.ended = self.ended, None
        if ended is not None:
            ended.callback(None)
