"""
The stop of `twistd sseserver` as operators see it: signals, the service manager, a socket that outlives the process.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.sources.launch import resetSignals
from sseserver.wire import Decoder, Event
from tests.http import makeRequest
from tests.integration.alive import LONG
from tests.integration.servers import ENVIRONMENT, PATIENCE, ask, freePort, serving, twistd

#: Number of streams under way in the test of a stop with many.
STREAMS = 5000 if LONG else 100

#: Seconds that a busy machine may add to the end of a process. What must not be waited for takes hundreds of them.
BUSY = 20.0

#: Program that ignores SIGTERM, and has a child that does the same.
STUBBORN = "trap '' TERM; sh -c \"trap '' TERM; sleep 600\" & echo $$; sleep 600; wait"

#: Passes descriptor 3 to a server, as systemd does. Its arguments are the server's command line.
ACTIVATE = """
import os, sys
os.dup2(int(os.environ.pop("PASSED")), 3, inheritable=True)
os.environ.update(LISTEN_FDS="1", LISTEN_FDNAMES="web", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[1], sys.argv[1:])
"""


def livingMembers(groups: list[int]) -> list[str]:
    """Return the processes of process groups, but for those that have ended and wait for their parent."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            line = path.read_text("ascii", "replace")
            state, _, group = line.rpartition(")")[2].split()[:3]
            found += [line] if int(group) in groups and state != "Z" else []
    return found


class StopTestCase(SynchronousTestCase):
    """A server, and the clients that it has when it is stopped."""

    def setUp(self) -> None:
        self.port = freePort()
        self.output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed below)
        self.addCleanup(self.output.close)

    @contextlib.contextmanager
    def server(self, *options: str, **keywords: Any) -> Iterator[Any]:
        """Run a server."""
        command = twistd("sseserver", "--listen", f"tcp:{self.port}:interface=127.0.0.1:backlog=4096", *options)
        keywords.setdefault("env", ENVIRONMENT)
        with serving(command, self.port, self.output, **keywords) as process:
            yield process

    def view(self, path: str = "/") -> http.client.HTTPResponse:
        """Follow a stream; return the response, whose first line was read."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        self.addCleanup(connection.close)
        connection.request("GET", path, headers={"Accept": "text/event-stream"})
        response = connection.getresponse()
        response.readline()
        return response

    def ready(self) -> int:
        """Return the status of `/readyz`."""
        return ask(self.port, "GET", "/readyz")[0]

    def assertEnded(self, process: Any, seconds: float, begin: float) -> None:
        """Check that a process ends with status 0 in time, and that its log has nothing unhandled."""
        self.assertEqual(process.wait(PATIENCE), 0)
        self.assertLess(time.monotonic() - begin, seconds + BUSY)
        self.output.seek(0)
        log = self.output.read().decode()
        for word in ("Traceback", "Unhandled", "ReactorNotRunning"):
            self.assertNotIn(word, log)

    def lastEvent(self, response: http.client.HTTPResponse) -> Event:
        """Read a response to its end, and return its last event."""
        return Decoder().feed(response.read())[-1]


class SignalTests(StopTestCase):
    """The signals that stop a server."""

    def test_terminate(self) -> None:
        """SIGTERM: 503 for the balancer while everything is served, then the drain, in which an answer ends."""
        with self.server("--drain-wait=2", "--drain=60", "--interval=0.05", "--text", str(self.text(60))) as process:
            self.assertEqual(self.ready(), 200)
            viewer = self.view()
            begin = time.monotonic()
            process.send_signal(signal.SIGTERM)
            self.until(lambda: self.ready() == 503)
            self.assertEqual(ask(self.port, "GET", "/healthz")[0], 200)
            self.assertEqual(ask(self.port, "PUT", "/streams/news")[0], 201)
            late = self.view()
            self.until(lambda: ask(self.port, "POST", "/streams/news", {"Stream-Closed": "true"}, b"")[0] == 503)
            self.assertGreater(time.monotonic() - begin, 1.5)
            self.assertRegex(ask(self.port, "GET", "/", {"Accept": "text/event-stream"})[2], rb"^retry: \d+\n\n$")
            self.assertEqual([self.lastEvent(each).type for each in (viewer, late)], ["done", "done"])
            self.assertEnded(process, 60, begin)

    def test_interrupt(self) -> None:
        """SIGINT: the drain begins at once; an answer that does not end in it is `failed`, reason `shutdown`."""
        with self.server("--drain-wait=600", "--drain=1", "--interval=600") as process:
            viewer = self.view()
            begin = time.monotonic()
            process.send_signal(signal.SIGINT)
            self.assertEqual(json.loads(self.lastEvent(viewer).data)["reason"], "shutdown")
            self.assertGreater(time.monotonic() - begin, 0.9)
            self.assertEnded(process, 1 + 5, begin)

    def test_unwatched(self) -> None:
        """SIGINT: runs that nobody watches do not keep the server, nor does one whose last viewer leaves meanwhile."""
        with self.server("--drain=600", "--linger=600", "--interval=600") as process:
            self.assertEqual(ask(self.port, "POST", "/streams", {"Content-Type": "application/json"}, b"{}")[0], 201)
            with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as viewer:
                viewer.sendall(makeRequest("/", "text/event-stream"))
                self.assertIn(b"200 OK", viewer.recv(1000))
                process.send_signal(signal.SIGINT)
                self.until(lambda: self.ready() == 503)
                self.assertIsNone(process.poll())
            self.assertEnded(process, 5, time.monotonic())

    def test_F110_again(self) -> None:
        """F110: a second signal ends the server at once, in the wait and in the drain, without a traceback."""
        for wait, first, second in (
            ("600", signal.SIGTERM, signal.SIGTERM),
            ("600", signal.SIGTERM, signal.SIGINT),
            ("0", signal.SIGINT, signal.SIGINT),
        ):
            with self.server(f"--drain-wait={wait}", "--drain=600", "--interval=600") as process:
                viewer = self.view()
                process.send_signal(first)
                self.until(lambda: self.ready() == 503)
                begin = time.monotonic()
                process.send_signal(second)
                # The viewer is cut.
                with contextlib.suppress(ConnectionResetError):
                    viewer.read()
                self.assertEnded(process, 3, begin)

    def test_stubborn(self) -> None:
        """Programs that ignore SIGTERM, and viewers that read nothing, do not keep the server; the group is killed."""
        with self.server("--drain-wait=0", "--drain=1", "--exec", shlex.join(["sh", "-c", STUBBORN])) as process:
            viewers = [self.view() for _ in range(2)]
            stalled = socket.create_connection(("127.0.0.1", self.port))
            self.addCleanup(stalled.close)
            stalled.sendall(makeRequest("/", "text/event-stream"))
            groups = [self.group(viewer) for viewer in viewers]
            begin = time.monotonic()
            process.send_signal(signal.SIGTERM)
            self.assertEnded(process, 1 + 5, begin)
            self.assertEqual(livingMembers(groups), [])

    def test_manyStreams(self) -> None:
        """With many streams under way, each viewer gets its end, and the process is gone in time."""
        with self.server("--drain-wait=0", "--drain=2", "--interval=2", "--max-viewers=20000") as process:
            clients = [self.begin() for _ in range(STREAMS)]
            for client in clients:
                self.assertIn(b"200 OK", client.recv(65536))
            begin = time.monotonic()
            process.send_signal(signal.SIGTERM)
            for client in clients:
                received = b""
                while not received.endswith(b"0\r\n\r\n"):
                    data = client.recv(65536)
                    self.assertNotEqual(data, b"", received[-200:])
                    received += data
                self.assertIn(b"event: failed\n", received)
            self.assertEnded(process, 2 + 5, begin)

    def group(self, viewer: http.client.HTTPResponse) -> int:
        """Read the number of the process group that a program has written."""
        for line in viewer:
            if line[6:].strip().isdigit():
                return int(line[6:])
        raise AssertionError("The program has written nothing.")

    def begin(self) -> socket.socket:
        """Connect, and ask for a stream."""
        client = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        self.addCleanup(client.close)
        client.sendall(makeRequest("/", "text/event-stream"))
        return client

    def text(self, words: int) -> Path:
        """Write a file with words."""
        path = Path(self.mktemp())
        path.write_text("word " * words)
        return path.resolve()

    def until(self, condition: Any) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)


class ServiceManagerTests(StopTestCase):
    """A service manager such as systemd."""

    def test_notify(self) -> None:
        """It is told when the server is ready, reloads, stops, and that it lives; the abstract name works, too."""
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        name = f"sseserver-{os.getpid()}"
        manager.bind(f"\0{name}")
        manager.settimeout(PATIENCE)
        environment = {**ENVIRONMENT, "NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "400000"}

        def told(start: str) -> dict[str, str]:
            """Return the next message that is not a sign of life."""
            while True:
                lines = manager.recv(4096).decode().splitlines()
                if lines[0].startswith(start):
                    return dict(line.split("=", 1) for line in lines)

        with self.server(env=environment) as process:
            self.assertEqual(told("READY")["MAINPID"], str(process.pid))
            for _ in range(3):
                self.assertEqual(told("WATCHDOG"), {"WATCHDOG": "1"})
            process.send_signal(signal.SIGHUP)
            self.assertIn("MONOTONIC_USEC", told("RELOADING"))
            told("READY")
            process.send_signal(signal.SIGTERM)
            self.assertEqual(int(told("STOPPING")["EXTEND_TIMEOUT_USEC"]), 5_000_000)
            self.assertEqual(process.wait(PATIENCE), 0)

    def test_socketActivation(self) -> None:
        """
        The listening socket of a service manager outlives the server: EventSource clients connect while there is none,
        and resume without losing an event.
        """
        listening = socket.create_server(("127.0.0.1", self.port), backlog=512)
        self.addCleanup(listening.close)
        store = Path(self.mktemp()).resolve()
        command = twistd("sseserver", "--listen=systemd:domain=INET:index=0", f"--store=sqlite:{store}", "--retry=100")

        def start() -> subprocess.Popen[bytes]:
            """Start a server on the socket."""
            environment = {**ENVIRONMENT, "PASSED": str(listening.fileno())}
            with resetSignals():
                return subprocess.Popen(
                    [sys.executable, "-c", ACTIVATE, *command],
                    env=environment,
                    pass_fds=[listening.fileno()],
                    stdout=self.output,
                    stderr=self.output,
                )

        server = start()
        self.addCleanup(lambda: (server.kill(), server.wait()))
        self.assertEqual(ask(self.port, "PUT", "/streams/news")[0], 201)
        clients = [threading.Thread(target=self.follow) for _ in range(5)]
        self.seen: list[list[str]] = []
        for client in clients:
            client.start()
        for number in range(30):
            if number in {10, 20}:
                server.send_signal(signal.SIGTERM)
                self.assertEqual(server.wait(PATIENCE), 0)
                server = start()
            body = json.dumps({"event": "n", "data": str(number)}).encode()
            status = ask(self.port, "POST", "/streams/news", {"Content-Type": "application/json"}, body)[0]
            self.assertEqual(status, 200)
        self.assertEqual(ask(self.port, "POST", "/streams/news", {"Stream-Closed": "true"}, b"")[0], 200)
        for client in clients:
            client.join(PATIENCE)
        self.assertEqual(self.seen, [[str(number) for number in range(30)]] * 5)
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(PATIENCE), 0)

    def follow(self) -> None:
        """Follow the stream to its end, as an EventSource does: after each end of a response it resumes."""
        seen: list[str] = []
        last: str | None = None
        while True:
            headers = {"Accept": "text/event-stream"} | ({} if last is None else {"Last-Event-ID": last})
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            with contextlib.closing(connection):
                connection.request("GET", "/streams/news", headers=headers)
                response = connection.getresponse()
                decoder = Decoder()
                while data := response.read1():
                    for event in decoder.feed(data):
                        last = event.id or last
                        seen += [event.data] if event.type == "n" else []
                        if event.type == "done":
                            self.seen.append(seen)
                            return
            time.sleep(0.1)
