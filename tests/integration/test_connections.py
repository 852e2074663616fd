"""
More clients than file descriptors: a server process under `ulimit -n`, over TCP and TLS.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import sys
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import makePEM
from tests.integration.servers import ENVIRONMENT, PATIENCE, ask, freePort, serving, twistd

#: Number of file descriptors of the server.
LIMIT = 120

#: Number of clients: more than that.
CLIENTS = 150


def limited(command: list[str]) -> list[str]:
    """Return a command line that runs with fewer file descriptors."""
    return ["/bin/sh", "-c", f'ulimit -n {LIMIT}; exec "$@"', "sh", *command]


class FloodTests(SynchronousTestCase):
    """F15: connections are bounded, and leave descriptors for runs, programs and the store."""

    def setUp(self) -> None:
        """Make a folder for the store and a certificate."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        (self.folder / "pem").write_bytes(b"".join(makePEM()))
        self.port, self.tlsPort = freePort(), freePort()
        self.options = (
            f"--listen=ssl:{self.tlsPort}:interface=127.0.0.1:privateKey={self.folder}/pem:certKey={self.folder}/pem",
            # The last one, since the tests wait for it.
            f"--listen=tcp:{self.port}:interface=127.0.0.1",
            f"--store=sqlite:{self.folder}/streams.db",
            f"--exec={sys.executable} -c 'print(12345)'",
        )

    def connect(self, port: int) -> socket.socket:
        """Open a connection."""
        connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.addCleanup(connection.close)
        return connection

    def readAnswer(self, viewer: socket.socket) -> bytes:
        """Read the answer to a viewer up to its reconnection time."""
        answer = b""
        while b"retry: " not in answer and (data := viewer.recv(1000)):
            answer += data
        return answer

    def send(self, connections: list[socket.socket], data: bytes) -> None:
        """Send some bytes on each connection, open or not."""
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.sendall(data)

    def countOpen(self, connections: list[socket.socket]) -> int:
        """Count the connections that the server has not closed."""
        count = 0
        for connection in connections:
            connection.setblocking(False)
            try:
                while connection.recv(65536):
                    pass
            except (BlockingIOError, ssl.SSLWantReadError):
                count += 1
            except OSError:
                pass
        return count

    def work(self, name: str) -> None:
        """Let a client publish, and start a run of a program."""
        headers = {"Content-Type": "application/json"}
        status, _, body = ask(self.port, "PUT", f"/streams/{name}", headers, b'{"token": "x"}')
        self.assertEqual(status, 201, body)
        path = json.loads(ask(self.port, "POST", "/streams")[2])["url"]
        self.assertIn(b"event: done", ask(self.port, "GET", path, {"Accept": "text/event-stream"})[2])

    def test_F15_slowHeads(self) -> None:
        """Clients that never complete a head neither keep others out nor take the descriptors of runs."""
        with tempfile.TemporaryFile() as output:
            with serving(limited(twistd("sseserver", *self.options)), self.port, output, env=ENVIRONMENT):
                for port, head in ((self.port, b"GET / HTTP/1.1\r\nX: "), (self.tlsPort, b"\x16")):
                    held = []
                    for number in range(CLIENTS):
                        held.append(self.connect(port))
                        self.send(held[-1:], head)
                        if number % 30 == 29:
                            self.work(f"{port}-{number}")
                    left = self.countOpen(held)
                    self.assertGreater(left, 0)
                    self.assertLess(left, LIMIT)
                    deadline = time.monotonic() + PATIENCE
                    while self.countOpen(held) and time.monotonic() < deadline:
                        self.send(held, b"a" if port == self.port else b"")
                        time.sleep(0.5)
                    self.assertEqual(self.countOpen(held), 0)
            output.seek(0)
            self.assertNotIn(b"Too many open files", output.read())

    def test_F111_viewers(self) -> None:
        """F111: viewers beyond the limit are told to return later, and health checks are answered; TLS or not."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with tempfile.TemporaryFile() as output:
            with serving(limited(twistd("sseserver", *self.options)), self.port, output, env=ENVIRONMENT):
                self.work("a")
                viewers = []
                answers = []
                for number in range(CLIENTS):
                    viewer = self.connect((self.port, self.tlsPort)[number % 2])
                    with contextlib.suppress(OSError):
                        viewers.append(context.wrap_socket(viewer) if number % 2 else viewer)
                        viewers[-1].send(
                            b"GET /streams/a HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
                        )
                        answers.append(self.readAnswer(viewers[-1]))
                followed = sum(b"event: stream" in answer for answer in answers)
                self.assertGreater(followed, 20)
                self.assertLess(followed, LIMIT)
                self.assertEqual(len(answers), CLIENTS)
                for answer in answers:
                    self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)
                    self.assertIn(b"retry: ", answer)
                for path in ("/healthz", "/readyz", "/streams"):
                    self.assertEqual(ask(self.port, "GET", path)[0], 200)
                for viewer in viewers:
                    viewer.close()
                deadline = time.monotonic() + PATIENCE
                while time.monotonic() < deadline:
                    with contextlib.suppress(OSError):
                        self.work("b")
                        break
                self.assertEqual(ask(self.port, "GET", "/streams/b", {"Accept": "text/plain"})[2], b"x")
            output.seek(0)
            log = output.read()
            self.assertNotIn(b"Too many open files", log)
            self.assertNotIn(b"Traceback", log)
