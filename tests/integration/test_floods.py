"""
Floods of connections and viewers, and a lack of file descriptors: a healthy viewer does not notice, and all come back.

The sizes are small; with `SSESERVER_LONG=1` they are those of a real attack.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import socket
import struct
import sys
import time
from pathlib import Path

from tests.integration.alive import LONG, watching
from tests.integration.hostile import HostileTestCase
from tests.integration.servers import ENVIRONMENT, PATIENCE, ask, freePort, serving, twistd

#: Connections a second, and seconds.
RATE, DURATION = 500, 120 if LONG else 3

#: Number of viewers that are killed, and come back.
VIEWERS = 10_000 if LONG else 300

#: Number of connections of a client that finds no descriptors.
STARVED = 20

VIEW = b"GET /streams/%b HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
CLOSING = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

#: A close that resets the connection.
RESET = struct.pack("ii", 1, 0)


class FloodTests(HostileTestCase):
    """Floods."""

    def test_connections(self) -> None:
        """500 connections a second: with a request, with a part of one, with none."""
        with self.alive():
            begun, refused = time.monotonic(), 0
            for number in range(RATE * DURATION):
                time.sleep(max(0.0, begun + number / RATE - time.monotonic()))
                with contextlib.closing(socket.create_connection(("127.0.0.1", self.port), PATIENCE)) as connection:
                    if number % 3:
                        self.send(connection, CLOSING if number % 3 == 1 else CLOSING[:40])
                    if number % 3 == 1:
                        refused += not self.read(connection).startswith(b"HTTP/1.1 200 ")
            self.assertEqual(refused, 0)

    def test_viewers(self) -> None:
        """Viewers that are all killed at once, and come back at once, twice."""
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        command = twistd(
            "sseserver", f"--listen=tcp:{self.port}:interface=127.0.0.1:backlog=4096", "--max-viewers=20000"
        )
        with (
            serving(command, self.port, self.output, env=ENVIRONMENT) as process,
            contextlib.ExitStack() as stack,
        ):
            ask(self.port, "PUT", "/streams/crowd")
            watch = stack.enter_context(watching(process.pid, self.port))
            for _ in range(3):
                viewers = []
                for _ in range(VIEWERS):
                    # At once: on a busy machine, all connections together take longer than a head may.
                    viewers.append(socket.create_connection(("127.0.0.1", self.port), PATIENCE))
                    viewers[-1].sendall(VIEW % b"crowd")
                for viewer in viewers:
                    viewer.settimeout(PATIENCE)
                    self.assertEqual(viewer.recv(1000)[:13], b"HTTP/1.1 200 ")
                for viewer in viewers:
                    viewer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    viewer.close()
            report = watch.finish()
            self.assertEqual(report.missing, 0, report)
            self.assertEqual(self.awaitViewers("crowd"), 0)

    def awaitViewers(self, name: str) -> int:
        """Wait until a stream has no viewers; return the number that is left."""
        deadline, count = time.monotonic() + PATIENCE, 1
        while count and time.monotonic() < deadline:
            body = ask(self.port, "GET", f"/streams/{name}", {"Accept": "application/json"})[2]
            count = json.loads(body)["viewers"]
        return count


class DescriptorTests(HostileTestCase):
    """A process without file descriptors."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.adminPort = freePort()
        self.command = twistd(
            "sseserver",
            f"--listen=tcp:{self.port}:interface=127.0.0.1",
            f"--admin-listen=tcp:{self.adminPort}:interface=127.0.0.1",
            f"--store=sqlite:{self.folder}/streams.db",
            f"--exec={sys.executable} -c 'print(12345)'",
        )

    def keep(self) -> http.client.HTTPConnection:
        """Return a connection that is opened with its first request, and kept."""
        kept = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        self.addCleanup(kept.close)
        return kept

    def request(self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes = b"") -> bytes:
        """Send a request on a connection that is kept, and return the body of the answer."""
        connection.request(method, path, body, {"Content-Type": "application/json", "Accept": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        self.assertLess(answer.status, 300, content)
        return content

    def work(self, kept: http.client.HTTPConnection, name: str) -> None:
        """Publish into a new stream, and run a program to its end, on one connection."""
        self.request(kept, "PUT", f"/streams/{name}", b'{"token": "x"}')
        path = json.loads(self.request(kept, "POST", "/streams", b"{}"))["url"]
        deadline = time.monotonic() + PATIENCE
        while (state := json.loads(self.request(kept, "GET", path))["state"]) == "open" and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(state, "done")

    def test_reserve(self) -> None:
        """When viewers have taken all connections, the store, programs and health checks work."""
        limited = ["/bin/sh", "-c", 'ulimit -n 150; exec "$@"', "sh", *self.command]
        with serving(limited, self.port, self.output, env=ENVIRONMENT):
            kept = self.keep()
            self.work(kept, "before")
            viewers = []
            for _ in range(200):
                viewers.append(self.connect())
                self.send(viewers[-1], VIEW % b"before")
                with contextlib.suppress(OSError):
                    viewers[-1].recv(1000)
            # The connection of the publisher was idle, and may have made room.
            for viewer in viewers[:3]:
                viewer.close()
            kept.close()
            for number in range(5):
                self.work(kept, f"during{number}")
                self.assertEqual(ask(self.adminPort, "GET", "/healthz")[0], 200)
            kept.close()
        self.output.seek(0)
        log = self.output.read()
        self.assertNotIn(b"Too many open files", log)
        self.assertNotIn(b"Traceback", log)

    def test_recovery(self) -> None:
        """Without any descriptor left, open connections are served, the server does not spin, and it recovers."""
        with serving(self.command, self.port, self.output, env=ENVIRONMENT) as process:
            kept = self.keep()
            self.work(kept, "before")
            limits = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
            used = [int(entry.name) for entry in Path(f"/proc/{process.pid}/fd").iterdir()]
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (max(used) + 1, limits[1]))
            starved = [self.connect() for _ in range(STARVED)]
            for connection in starved:
                self.send(connection, CLOSING)
            cpu = readCPU(process.pid)
            for number in range(10):
                body = b'{"token": "%d"}' % number
                self.request(kept, "POST", "/streams/before", body)
                time.sleep(0.1)
            self.assertLess(readCPU(process.pid) - cpu, 0.7)
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, limits)
            for connection in starved:
                connection.close()
            self.work(self.keep(), "after")
            self.assertEqual(ask(self.port, "GET", "/streams/before", {"Accept": "text/plain"})[2], b"x0123456789")
        self.output.seek(0)
        self.assertNotIn(b"Unhandled", self.output.read())


def readCPU(pid: int) -> float:
    """Return the seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
