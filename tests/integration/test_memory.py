"""
The resident memory of a server after waves of viewers that were cut.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sseserver.command.heap import findHeap
from sseserver.options import defaultOf
from tests.certificates import makePEM
from tests.integration.servers import ENVIRONMENT, PATIENCE, ask, freePort, serving, twistd

#: Number of viewers in a wave. Each holds its part of an event of 1 MB when it is cut.
VIEWERS = 100

_FOLLOW = b"GET /streams/a HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"


class MemoryTests(SynchronousTestCase):
    """One process with TLS."""

    def setUp(self) -> None:
        if not sys.platform.startswith("linux"):
            self.skipTest("The memory of a process is read from /proc.")
        if findHeap() is None:
            self.skipTest("Memory is returned with glibc only.")
        if defaultOf("plain"):
            self.skipTest("Without speedups Twisted's TLS leaves reference cycles to the garbage collector.")
        self.port, self.tlsPort = freePort(), freePort()
        folder = Path(self.mktemp())
        folder.mkdir()
        file = folder / "pem"
        file.write_bytes(b"".join(makePEM()))
        command = twistd("sseserver", f"--listen=tcp:{self.port}:interface=127.0.0.1", "--stall=1", "--access-log=none")
        pem = file.resolve()
        command.append(f"--listen=ssl:{self.tlsPort}:interface=127.0.0.1:privateKey={pem}:certKey={pem}")
        stack = ExitStack()
        self.addCleanup(stack.close)
        # The port that comes last: then the other one listens, too.
        self.process = stack.enter_context(serving(command, self.tlsPort, env=ENVIRONMENT))

    def measure(self) -> int:
        """Return the resident memory of the server in bytes."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text("ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def connect(self, context: ssl.SSLContext) -> ssl.SSLSocket:
        """Open the connection of a viewer that never reads."""
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(PATIENCE)
        raw.connect(("127.0.0.1", self.tlsPort))
        viewer = context.wrap_socket(raw)
        viewer.sendall(_FOLLOW)
        return viewer

    def wave(self, context: ssl.SSLContext) -> int:
        """Let viewers come, stall and be cut, delete their stream; return the most memory that they took."""
        self.assertEqual(ask(self.port, "PUT", "/streams/a")[0], 201)
        viewers = [self.connect(context) for _ in range(VIEWERS)]
        kind = {"Content-Type": "text/plain"}
        for _ in range(3):
            self.assertEqual(ask(self.port, "POST", "/streams/a", kind, b"x" * 1_000_000)[0], 200)
        most = self.measure()
        folder = Path(f"/proc/{self.process.pid}/fd")
        self.await_(lambda: len(list(folder.iterdir())) < VIEWERS // 2)
        self.assertEqual(ask(self.port, "DELETE", "/streams/a")[0], 204)
        for viewer in viewers:
            viewer.close()
        return most

    def await_(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition is true."""
        deadline = time.monotonic() + PATIENCE
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertTrue(condition(), self.measure())

    def test_F108_waves(self) -> None:
        """F108: after each wave of stalled viewers with TLS the memory is what it was, but for a tenth."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        before = self.measure()
        for _ in range(3):
            self.assertGreater(self.wave(context), before + VIEWERS * 100_000)
            self.await_(lambda: self.measure() < 1.1 * before)
