"""
`twistd sseserver` as a user starts it: a process, its output and its end.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver import __version__, compiled
from sseserver.sources.text import WELCOME
from sseserver.wire import Decoder, Event
from tests.certificates import makePEM
from tests.integration.forkserver import TWISTD, startServer
from tests.integration.servers import ENVIRONMENT, PATIENCE, QUICK, freePort, runServer
from tests.wires import soon

#: Program of an embedder. Its arguments are those of a server here: name, `--listen`, endpoint.
EMBEDDED = """
import sys
from twisted.internet import endpoints, reactor
from sseserver import Settings, StreamResource, StreamService, StreamSite, TextSource

service = StreamService(reactor, TextSource(reactor, "word " * 10_000, 0.05), Settings(drain=0))
service.startService()
reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
endpoints.serverFromString(reactor, sys.argv[3]).listen(StreamSite(StreamResource(service)))
reactor.run()
"""


class Server:
    """
    A running `twistd -n --pidfile= sseserver`.

    Args:
        arguments: Options beside `--listen`.
        python: Options of the interpreter.
        program: Started instead of `twistd`, with its own options.
    """

    def __init__(
        self,
        *arguments: str,
        python: tuple[str, ...] = (),
        program: tuple[str, ...] = (TWISTD, "-n", "--pidfile="),
    ) -> None:
        self.port = freePort()
        listen = f"tcp:{self.port}:interface=127.0.0.1"
        command = [sys.executable, *python, *program, "sseserver", "--listen", listen, *QUICK]
        self.output = ""
        self._connections: list[http.client.HTTPConnection] = []
        reading, writing = os.pipe()
        with os.fdopen(writing, "wb") as output:
            self.process = startServer([*command, *arguments], output, env={**ENVIRONMENT, "PYTHONWARNINGS": ""})
        # A pipe that nobody reads would stop a process with much output.
        self._reader = threading.Thread(target=self._read, args=[reading], daemon=True)
        self._reader.start()

    def _read(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "rb") as pipe:
            for line in pipe:
                self.output += line.decode()

    def connect(self) -> http.client.HTTPConnection:
        """Connect as soon as the process listens."""
        end = time.monotonic() + PATIENCE
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            try:
                connection.connect()
            except ConnectionRefusedError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise AssertionError(f"It does not listen:\n{self.output}") from None
                time.sleep(0.02)
            else:
                self._connections.append(connection)
                return connection

    def ask(
        self,
        path: str = "/",
        accept: str = "text/event-stream",
        method: str = "GET",
        headers: dict[str, str] | None = None,
    ) -> http.client.HTTPResponse:
        """Send a request, and return the response with its body unread."""
        connection = self.connect()
        connection.request(method, path, headers={"Accept": accept, **(headers or {})})
        return connection.getresponse()

    def leave(self) -> None:
        """Close the newest connection."""
        connection = self._connections[-1]
        assert connection.sock is not None
        connection.sock.shutdown(socket.SHUT_RDWR)
        connection.close()

    def events(self) -> list[Event]:
        """Read a visitor's stream to its end."""
        return Decoder().feed(self.ask().read())

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for the end, and return the exit code."""
        code = self.process.wait(timeout=PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def kill(self) -> None:
        """Kill the process after the test."""
        for connection in self._connections:
            connection.close()
        self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE)


class TwistdTestCase(SynchronousTestCase):
    """Processes that end with the test."""

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="sseserver-")
        self.addCleanup(shutil.rmtree, self.folder)

    def start(self, *arguments: str, **keywords: Any) -> Server:
        """Start a server."""
        server = Server(*arguments, **keywords)
        self.addCleanup(server.kill)
        return server

    def run_(self, *arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Start a process that ends by itself, and wait for its end."""
        return runServer([sys.executable, TWISTD, "-n", "--pidfile=", *options, "sseserver", *arguments])

    def assertQuiet(self, output: str) -> None:
        """Check that the output of a process reports no error."""
        for word in ("Traceback", "Unhandled", "Warning", "Error"):
            self.assertNotIn(word, output)


class TwistdServesTests(TwistdTestCase):
    """A server that runs."""

    def test_streams(self) -> None:
        """The server streams its built-in text to the end, serves the page, and ends at SIGTERM without a complaint."""
        server = self.start("--interval", "0")
        events = server.events()
        self.assertEqual([event.data for event in events if event.type == "message"][-1], WELCOME)
        self.assertEqual(events[-1].type, "done")
        self.assertIn(b"<html", server.ask(accept="text/html").read())
        self.assertEqual(server.end(), 0)
        # Only now everything has been read.
        # `--plain` and `SSESERVER_PLAIN` name no speedups.
        build = "compiled" if compiled else "pure Python"
        about = rf"source: built-in text; store: memory; build: {build}, (no )?speedups"
        self.assertEqual(len(re.findall(rf"Open http://127\.0\.0\.1:{server.port}/ \({about}\)\n", server.output)), 1)
        self.assertQuiet(server.output)

    def test_warningsAreErrors(self) -> None:
        """The same works with every warning an error."""
        server = self.start("--interval", "0", python=("-W", "error"))
        self.assertEqual(server.events()[-1].type, "done")
        self.assertEqual(server.ask("/assets/app.js").status, 200)
        path = server.ask("/streams", method="POST").getheader("Location")
        self.assertIsNotNone(path)
        self.assertEqual(server.ask(f"{path}/cancel", method="POST").status, 200)
        leaving = server.ask()
        leaving.readline()
        server.leave()
        self.assertEqual(server.end(), 0)
        self.assertQuiet(server.output)

    def test_file(self) -> None:
        """`--text` streams a file at the pace of `--interval`."""
        path = Path(self.folder) / "text"
        path.write_text("one two three four five ", "utf-8")
        server = self.start("--text", str(path), "--interval", "0.1")
        server.connect().close()
        began = time.monotonic()
        texts = [event.data for event in server.events() if event.type == "message"]
        # On a busy machine two words may arrive together, but not all.
        self.assertEqual(texts[-1], "one two three four five ")
        self.assertEqual(texts, sorted({"", *texts}, key=len))
        self.assertGreater(len(texts), 3)
        # The first word comes at once.
        self.assertGreater(time.monotonic() - began, 0.35)
        server.end()

    def test_severalEndpoints(self) -> None:
        """Each `--listen` listens, including a UNIX socket, for the same streams."""
        path = f"{self.folder}/socket"
        server = self.start("--listen", f"unix:{path}", "--host", "*")
        location = server.ask("/streams", method="POST").getheader("Location")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(path)
            client.sendall(f"GET {location} HTTP/1.0\r\nAccept: application/json\r\n\r\n".encode())
            answer = b""
            while data := client.recv(65536):
                answer += data
        self.assertEqual(json.loads(answer.partition(b"\r\n\r\n")[2])["state"], "open")
        server.end()

    def test_maxViewers(self) -> None:
        """`--max-viewers` bounds the viewers, and `--retry` sets their reconnection time."""
        server = self.start("--max-viewers", "1", "--retry", "9000")
        first = server.ask()
        self.assertRegex(first.readline(), rb"retry: \d+")
        turnedAway = server.ask().read()
        self.assertRegex(turnedAway, rb"\Aretry: ([6-9]\d\d\d|1[0-2]\d\d\d)\n\n\Z")
        server.end()

    def test_linger(self) -> None:
        """With `--linger 0` a run ends when its viewer leaves."""
        server = self.start("--linger", "0", "--interval", "0.05")
        visitor = server.ask()
        visitor.readline()
        name = visitor.readline().split(b": ")[1].partition(b"-")[0].decode()
        server.leave()
        end = time.monotonic() + PATIENCE
        state = "open"
        while state == "open" and time.monotonic() < end:
            state = json.loads(server.ask(f"/streams/{name}", "application/json").read())["state"]
        self.assertEqual(state, "cancelled")
        server.end()

    def test_heartbeat(self) -> None:
        """`--heartbeat` sets the silence before a heartbeat."""
        server = self.start("--heartbeat", "0.1", "--interval", "60")
        visitor = server.ask()
        # With the default interval the words would leave no room for so many heartbeats.
        lines = [visitor.readline() for _ in range(17)]
        self.assertEqual(lines[5], b"data: What \n")
        self.assertEqual(lines[7:], [b":\n"] * 10)
        server.end()

    def test_F129_rotation(self) -> None:
        """F129: after `mv` and USR1 there is a new access log; no signal for logs ends the server."""
        log = Path(self.folder) / "access.log"
        server = self.start("--access-log", str(log), "--interval", "0")
        server.ask("/first", "application/json").read()
        for _ in soon(lambda: "/first" in log.read_text()):
            time.sleep(0.02)
        log.rename(f"{log}.1")
        server.process.send_signal(signal.SIGUSR1)
        for _ in soon(log.exists):
            time.sleep(0.02)
        for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGWINCH, signal.SIGPIPE):
            server.process.send_signal(number)
        for _ in soon(lambda: "Reloaded." in server.output):
            time.sleep(0.02)
        server.ask("/second", "application/json").read()
        for _ in soon(lambda: "/second" in log.read_text()):
            time.sleep(0.02)
        self.assertNotIn("/second", Path(f"{log}.1").read_text())
        self.assertEqual(server.events()[-1].type, "done")
        self.assertEqual(server.end(), 0)
        self.assertQuiet(server.output)

    def test_twist(self) -> None:
        """Twisted's newer runner, `twist`, runs the server as well."""
        server = self.start("--interval", "0", program=(str(Path(TWISTD).with_name("twist")), "--log-format=text"))
        self.assertEqual(server.events()[-1].type, "done")
        server.end()
        self.assertNotIn("Traceback", server.output)


class TwistdStopsTests(TwistdTestCase):
    """The end of the process."""

    def assertToldTheEnd(self, body: bytes) -> None:
        """Check that a viewer was told about the stop of the server."""
        last = Decoder().feed(body)[-1]
        self.assertEqual((last.type, json.loads(last.data)["reason"]), ("failed", "shutdown"))

    def test_whileItStreams(self) -> None:
        """At SIGTERM streams fail with the reason `shutdown`, responses end, and the process ends soon."""
        for number in (signal.SIGTERM, signal.SIGINT):
            server = self.start("--interval", "0.05")
            visitors = [server.ask() for _ in range(5)]
            for visitor in visitors:
                visitor.readline()
            server.process.send_signal(number)
            for visitor in visitors:
                self.assertToldTheEnd(visitor.read())
            server.wait()
            self.assertQuiet(server.output)

    def test_underTLS(self) -> None:
        """The same happens under TLS, where bytes are queued first."""
        names = [f"{self.folder}/{name}.pem" for name in ("key", "certificate")]
        for name, data in zip(names, makePEM(), strict=True):
            Path(name).write_bytes(data)
        context = ssl.create_default_context(cafile=names[1])
        port = freePort()
        endpoint = f"ssl:{port}:interface=127.0.0.1:privateKey={names[0]}:certKey={names[1]}"
        server = self.start("--interval", "0.05", "--listen", endpoint)
        # A server that answers on one endpoint listens on all.
        server.ask("/assets/app.js").read()
        clients = [http.client.HTTPSConnection("localhost", port, context=context, timeout=PATIENCE) for _ in range(5)]
        visitors = []
        for client in clients:
            self.addCleanup(client.close)
            client.request("GET", "/", headers={"Accept": "text/event-stream"})
            visitors.append(client.getresponse())
            visitors[-1].readline()
        server.process.send_signal(signal.SIGTERM)
        for visitor in visitors:
            self.assertToldTheEnd(visitor.read())
        server.wait()
        self.assertQuiet(server.output)

    def test_embedded(self) -> None:
        """The same happens in a program that only stops the service before the reactor stops."""
        path = Path(self.folder) / "embedded.py"
        path.write_text(EMBEDDED, "utf-8")
        server = self.start(program=(str(path),))
        visitors = [server.ask() for _ in range(5)]
        for visitor in visitors:
            visitor.readline()
        server.process.send_signal(signal.SIGTERM)
        for visitor in visitors:
            self.assertToldTheEnd(visitor.read())
        server.wait()
        self.assertQuiet(server.output)

    def test_whileItIsQuiet(self) -> None:
        """The same happens while nothing is written."""
        server = self.start("--interval", "600")
        visitor = server.ask()
        visitor.readline()
        server.process.send_signal(signal.SIGTERM)
        self.assertToldTheEnd(visitor.read())
        self.assertEqual(server.wait(), 0)
        self.assertQuiet(server.output)

    def test_withoutViewers(self) -> None:
        """With a run without viewers and idle connections the process ends at once."""
        server = self.start()
        server.ask("/streams", method="POST").read()
        for _ in range(3):
            server.connect()
        self.assertEqual(server.end(), 0)
        self.assertQuiet(server.output)

    def test_viewerThatTakesNothing(self) -> None:
        """A viewer that does not read cannot keep the process from ending: it is cut after the drain."""
        path = Path(self.folder) / "text"
        path.write_text(("x" * 63 + " ") * 600_000, "ascii")
        server = self.start("--text", str(path), "--interval", "0")
        location = server.ask("/streams", method="POST").getheader("Location") or ""
        server.ask(location).readline()
        seen = [0]
        for _ in soon(lambda: seen[-1] and seen[-2] == seen[-1], 200):
            seen.append(json.loads(server.ask(location, "application/json").read())["last"])
            time.sleep(0.5)
        self.assertLess(seen[-1], 600_000)
        self.assertEqual(server.end(), 0)
        self.assertQuiet(server.output)


class TwistdRefusesTests(TwistdTestCase):
    """Options with which the server does not start."""

    def test_portTaken(self) -> None:
        """A port in use ends the process with an exit code and one line that names it, without a traceback."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            ended = self.run_("--listen", f"tcp:{port}:interface=127.0.0.1")
        output = ended.stdout + ended.stderr
        self.assertEqual(ended.returncode, 1)
        self.assertNotIn("Traceback", output)
        lines = [line for line in output.splitlines() if str(port) in line]
        self.assertEqual(len(lines), 1, output)
        self.assertIn("sseserver: ", lines[0])
        self.assertIn("in use", lines[0])

    def test_portTakenIsToldOnStandardError(self) -> None:
        """The line about a used port is on standard error even if the log goes to a file."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            for options in ((), ("--logfile", f"{self.folder}/log")):
                ended = self.run_("--listen", f"tcp:{port}:interface=127.0.0.1", options=options)
                self.assertEqual([str(port) in line for line in ended.stderr.splitlines()], [True], options)

    def test_oneOfTwoPortsTaken(self) -> None:
        """If one of several endpoints is in use, the server listens on none."""
        free = freePort()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            ended = self.run_(
                "--listen", f"tcp:{free}:interface=127.0.0.1", "--listen", f"tcp:{port}:interface=127.0.0.1"
            )
        self.assertEqual(ended.returncode, 1)
        self.assertRaises(ConnectionRefusedError, socket.create_connection, ("127.0.0.1", free))

    def test_F95_badOptions(self) -> None:
        """F95: a bad option ends the process with exit code 1 before anything starts, and with one line."""
        port = freePort()
        for options, said in (
            (("--interval", "-1"), "1"),
            (("--text", "/nowhere/text"), "/nowhere/text"),
            (("--listen", "nope:1"), "nope:1"),
            (("more",), "1 word belongs to none"),
            (("more", "words"), "2 words belong to none"),
        ):
            ended = self.run_("--listen", f"tcp:{port}:interface=127.0.0.1", *options)
            self.assertEqual((ended.returncode, ended.stdout), (1, ""), options)
            self.assertRegex(ended.stderr, rf"\Asseserver: .*{said}.*\n\Z")

    def daemon(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Start a daemon in the folder of the test, and wait until it is there, or has failed."""
        command = [sys.executable, TWISTD, "--pidfile=d.pid", "--logfile=d.log", "sseserver", *arguments]
        return runServer(command, self.folder)

    def test_F126_daemon(self) -> None:
        """F126: a daemon that cannot start ends with one line, exit code 1 and no pid file."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            ended = self.daemon("--listen", f"tcp:{port}:interface=127.0.0.1")
            self.assertEqual((ended.returncode, ended.stdout), (1, ""))
            self.assertRegex(ended.stderr, rf"\Asseserver: .*{port}.* in use\n\Z")
            self.assertEqual(list(Path(self.folder).iterdir()), [])

    def test_F126_storeInUse(self) -> None:
        """F126: so does one whose store is open in another server."""
        first = self.start("--store", f"sqlite:{self.folder}/db")
        first.ask("/streams", "application/json").read()
        ended = self.daemon("--listen", f"tcp:{freePort()}:interface=127.0.0.1", "--store", f"sqlite:{self.folder}/db")
        self.assertEqual((ended.returncode, ended.stdout), (1, ""))
        self.assertRegex(ended.stderr, r"\Asseserver: .*another process has it open.*\n\Z")
        self.assertFalse(Path(f"{self.folder}/d.pid").exists())
        first.end()

    def test_F126_later(self) -> None:
        """F126: a failure that only the start itself finds is reported by twistd, which does not hang either."""
        # Twisted's lock of a UNIX socket, held by a process that lives.
        Path(f"{self.folder}/s.lock").symlink_to(str(os.getpid()))
        ended = self.daemon("--listen", f"unix:{self.folder}/s", "--host", "*")
        self.assertEqual(ended.returncode, 1)
        self.assertIn("An error has occurred", ended.stderr)
        # The daemon tells twistd of its failure before it writes the log and removes its pid file.
        log, pid = Path(f"{self.folder}/d.log"), Path(f"{self.folder}/d.pid")
        deadline = time.monotonic() + PATIENCE
        while ("sseserver: " not in log.read_text("utf-8") or pid.exists()) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertIn("sseserver: ", log.read_text("utf-8").splitlines()[-1])
        self.assertNotIn("Traceback", log.read_text("utf-8"))
        self.assertFalse(pid.exists())

    def test_version(self) -> None:
        """`--version` prints the version and the build of the tested package, and nothing else."""
        ended = self.run_("--version")
        told = f"sseserver {__version__}, {'compiled' if compiled else 'pure Python'}\n"
        self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (0, told, ""))

    def test_help(self) -> None:
        """`--help` prints the options and ends with status 0."""
        ended = self.run_("--help")
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        self.assertIn("--listen", ended.stdout)
