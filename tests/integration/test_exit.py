"""
Large responses, finished responses and closing connections over real sockets, whose clients read slowly or not at all.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import makePEM
from tests.http import EVENTSOURCE, makeRequest
from tests.integration.servers import ENVIRONMENT, PATIENCE, ask, freePort, serving, twistd

#: Seconds. The stall limit of the servers.
STALL = 2

SNAPSHOT = "text/plain"


def until(condition: Any, what: str) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"It does not come about: {what}.")
        time.sleep(0.05)


class ExitTests(SynchronousTestCase):
    """One `twistd`, and clients that are slow to read."""

    def setUp(self) -> None:
        self.port = freePort()
        self.sockets: list[socket.socket] = []
        self.addCleanup(lambda: [each.close() for each in self.sockets])

    @contextlib.contextmanager
    def server(self, *options: str, listen: str | None = None) -> Iterator[Any]:
        """Run a server with a published stream `b`."""
        endpoint = listen or f"tcp:{self.port}:interface=127.0.0.1"
        command = twistd("sseserver", "--listen", endpoint, "--stall", str(STALL), *options)
        with serving(command, self.port, env=ENVIRONMENT) as process:
            self.process = process
            yield process

    def publish(self, size: int) -> bytes:
        """Publish a text of a number of bytes, and end the stream; return the text."""
        ask(self.port, "PUT", "/streams/b")
        text = b"0123456789" * (size // 10)
        for start in range(0, size, 900_000):
            part = b'{"token": "%b"}' % text[start : start + 900_000]
            status, _, answer = ask(self.port, "POST", "/streams/b", {"Content-Type": "application/json"}, part)
            self.assertEqual(status, 200, answer)
        ask(self.port, "POST", "/streams/b", {"Stream-Closed": "true"}, b"")
        return text

    def connect(self, room: int | None = None) -> socket.socket:
        """Open a connection, with a small receive buffer if `room` is given."""
        client = socket.socket()
        if room is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", self.port))
        self.sockets.append(client)
        return client

    def connections(self) -> int:
        """Count the connections of the server: its descriptors that are sockets."""
        count = 0
        for each in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                count += str(each.readlink()).startswith("socket:")
        return count

    def memory(self) -> int:
        """Return the resident memory of the server, in bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def test_F1_pipelinedSnapshots(self) -> None:
        """F1: pipelined requests for snapshots that nobody reads take no memory."""
        with self.server():
            self.publish(1_000_000)
            before = self.memory()
            client = self.connect()
            client.sendall(makeRequest("/streams/b", SNAPSHOT) * 150)
            time.sleep(1)
            self.assertLess(self.memory() - before, 12_000_000)

    def test_F2_snapshotsThatNobodyReads(self) -> None:
        """F2: the stall limit cuts clients that read nothing of their snapshots, whatever ends the response."""
        with self.server():
            self.publish(4_000_000)
            before = self.connections()
            for headers in ({"Connection": "close"}, {}):
                for _ in range(3):
                    self.connect(4096).sendall(makeRequest("/streams/b", SNAPSHOT, headers=headers))
            until(lambda: self.connections() > before, "that they are connected")
            until(lambda: self.connections() <= before, "that they are cut")

    def test_F3_steadyReader(self) -> None:
        """F3: a client that reads steadily gets its whole snapshot, much slower than the stall limit."""
        with self.server():
            text = self.publish(1_500_000)
            client = self.connect(8192)
            client.sendall(makeRequest("/streams/b", SNAPSHOT))
            received = bytearray()
            begin = time.monotonic()
            while not received.endswith(text[-2000:]) or len(received) < len(text):
                data = client.recv(16_384)
                self.assertNotEqual(data, b"", len(received))
                received += data
                if time.monotonic() - begin < STALL * 4:
                    time.sleep(0.1)
            self.assertEqual(bytes(received).partition(b"\r\n\r\n")[2], text)

    def test_F4_stoppedServer(self) -> None:
        """F4: a server that is stopped in the middle of a snapshot delivers all of it, and then ends at once."""
        with self.server("--drain=30") as process:
            text = self.publish(6_000_000)
            client = self.connect(65_536)
            client.sendall(makeRequest("/streams/b", SNAPSHOT))
            received = bytearray(client.recv(1000))
            process.send_signal(signal.SIGTERM)
            begin = time.monotonic()
            while len(received) < len(text):
                # A million bytes a second.
                time.sleep(max(0, begin + len(received) / 1e6 - time.monotonic()))
                data = client.recv(65_536)
                self.assertNotEqual(data, b"", len(received))
                received += data
            while not received.endswith(text[-20:]) or len(received.partition(b"\r\n\r\n")[2]) < len(text):
                received += client.recv(65_536)
            self.assertEqual(bytes(received).partition(b"\r\n\r\n")[2], text)
            ended = time.monotonic()
            process.wait(PATIENCE)
            self.assertLess(time.monotonic() - ended, 20)

    def test_F5_finishedStreams(self) -> None:
        """F5: the stall limit holds for event streams that have ended and are not read, until their last byte."""
        with self.server():
            self.publish(180_000)
            before = self.connections()
            for version, headers in (("1.1", {"Connection": "close"}), ("1.0", {}), ("1.1", {})):
                for _ in range(3):
                    request = makeRequest("/streams/b", EVENTSOURCE, version=version, headers=headers)
                    self.connect(4096).sendall(request)
            until(lambda: self.connections() > before, "that they are connected")
            until(lambda: self.connections() <= before, "that they are cut")

    def test_F6_closeNotify(self) -> None:
        """F6: a TLS client that has everything and does not answer `close_notify` is cut after a grace period."""
        pem = Path(self.mktemp())
        pem.write_bytes(b"".join(makePEM()))
        with self.server(listen=f"ssl:{self.port}:privateKey={pem}:certKey={pem}:interface=127.0.0.1"):
            before = self.connections()
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            for _ in range(3):
                client = context.wrap_socket(self.connect(), server_hostname="localhost", suppress_ragged_eofs=False)
                self.sockets.append(client)
                client.sendall(makeRequest("/v1/models", "*/*", headers={"Connection": "close"}))
                self.assertIn(b"200 OK", client.recv(65_536))
            self.assertGreater(self.connections(), before)
            until(lambda: self.connections() <= before, "that they are cut")
