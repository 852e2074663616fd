"""
A server process for hostile clients.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import makePEM
from tests.integration.alive import Watch, watching
from tests.integration.forkserver import Process
from tests.integration.servers import ENVIRONMENT, PATIENCE, freePort, serving, twistd

#: Descriptors that the test and the server may have.
DESCRIPTORS = 8192


class HostileTestCase(SynchronousTestCase):
    """A server with a plain and a TLS port."""

    def setUp(self) -> None:
        self.pem = Path(self.mktemp())
        self.pem.write_bytes(b"".join(makePEM()))
        self.port, self.tlsPort = freePort(), freePort()
        self.output = Path(self.mktemp()).open("w+b")  # noqa: SIM115  (closed below)
        self.addCleanup(self.output.close)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, DESCRIPTORS)), hard))

    @contextlib.contextmanager
    def serve(self, *options: str) -> Iterator[Process]:
        """Run the server with more options."""
        command = twistd(
            "sseserver",
            *options,
            # Without room in the backlog, the system of a client would try again after seconds. The port that the test
            # waits for comes last: the server opens them in this order.
            f"--listen=ssl:{self.tlsPort}:interface=127.0.0.1:backlog=4096:privateKey={self.pem}:certKey={self.pem}",
            f"--listen=tcp:{self.port}:interface=127.0.0.1:backlog=4096",
        )
        with serving(command, self.port, self.output, env=ENVIRONMENT) as process:
            yield process

    @contextlib.contextmanager
    def alive(self, *options: str) -> Iterator[Watch]:
        """Run the server with more options, and check that it is alive during the block and after it."""
        with self.serve(*options) as process, watching(process.pid, self.port) as watch:
            yield watch
            watch.check(self, self.output)

    def connect(self, tls: bool = False) -> socket.socket:
        """Open a connection."""
        connection = socket.create_connection(("127.0.0.1", self.tlsPort if tls else self.port), PATIENCE)
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = context.wrap_socket(connection)
        self.addCleanup(connection.close)
        return connection

    def read(self, connection: socket.socket) -> bytes:
        """Read everything until the server closes the connection."""
        received = b""
        while data := connection.recv(65536):
            received += data
        return received

    def send(self, connection: socket.socket, data: bytes) -> bool:
        """Send bytes; return whether the server takes them."""
        try:
            connection.sendall(data)
        except OSError:
            return False
        return True
