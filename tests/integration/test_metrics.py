"""
Metrics of a server process: they change with real viewers, runs, publishes, upstreams and stops.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.alive import LONG
from tests.integration.forkserver import Process
from tests.integration.servers import ENVIRONMENT, PATIENCE, ask, awaitListening, freePort, serving, twistd
from tests.programs import waitFor

#: Number of streams and of viewers while a scrape is measured.
SCALE = 10_000 if LONG else 500

#: Seconds. Longest time that a scrape may hold the reactor.
SCRAPE = 0.01


class MetricsTestCase(SynchronousTestCase):
    """A server with `--admin-listen`."""

    def setUp(self) -> None:
        """Choose the ports."""
        self.port, self.adminPort = freePort(), freePort()

    def command(self, *options: str) -> list[str]:
        """Return the command line of a server."""
        return twistd(
            "sseserver",
            f"--listen=tcp:{self.port}:interface=127.0.0.1",
            f"--admin-listen=tcp:{self.adminPort}:interface=127.0.0.1",
            "--access-log=none",
            *options,
        )

    @contextlib.contextmanager
    def serving(self, command: list[str], output: IO[bytes] | None = None) -> Iterator[Process]:
        """Run a server, whose endpoint for operators begins to listen after the other one."""
        with contextlib.ExitStack() as stack:
            output = output or stack.enter_context(tempfile.TemporaryFile())
            process = stack.enter_context(serving(command, self.port, output))
            awaitListening(process, self.adminPort, output)
            yield process

    def read(self) -> dict[str, float]:
        """Return all samples by their names and label values, as in `name{value}`."""
        status, _, body = ask(self.adminPort, "GET", "/metrics")
        assert status == 200, body
        return {
            sample.name + (f"{{{','.join(sample.labels.values())}}}" if sample.labels else ""): sample.value
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
        }

    def awaitGrowth(self, name: str, act: Callable[[], Any], growth: float = 1.0) -> Any:
        """Do something, and wait until a sample has grown."""
        before = self.read()[name]
        result = act()
        waitFor(lambda: self.read()[name] >= before + growth, name, 0.1)
        return result

    def view(self, path: str = "/", lastEventID: str | None = None) -> socket.socket:
        """Open an event stream, and read its head."""
        viewer = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        self.addCleanup(viewer.close)
        field = "" if lastEventID is None else f"Last-Event-ID: {lastEventID}\r\n"
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{field}\r\n"
        viewer.sendall(head.encode())
        return viewer

    def publish(self, name: str, *items: object) -> tuple[int, dict[str, str], bytes]:
        """Publish into a stream."""
        body = json.dumps(items).encode()
        return ask(self.port, "POST", f"/streams/{name}", {"Content-Type": "application/json"}, body)


class EventTests(MetricsTestCase):
    """Real events."""

    def test_viewers(self) -> None:
        """A viewer joins, leaves, stalls, and returns with a gap; a publish; a drain."""
        with self.serving(self.command("--stall=1", "--heartbeat=1", "--interval=0.01", "--drain=20")) as process:
            viewer = self.awaitGrowth("sseserver_viewers", self.view)
            self.awaitGrowth("sseserver_viewers_ended_total{left}", viewer.close)
            self.awaitGrowth("sseserver_runs_ended_total{stop}", self.view)
            ask(self.port, "PUT", "/streams/a")
            self.awaitGrowth("sseserver_published_entries_total", lambda: self.publish("a", {"token": "x"}))
            gone = f"{'x' * 22}-5"
            returned = self.awaitGrowth("sseserver_gaps_total{lost}", lambda: self.view("/streams/a", gone))
            self.assertEqual(self.read()["sseserver_resumes_total{gap}"], 1)
            returned.close()
            silent = self.view("/streams/a")
            large = [{"token": "x" * 60_000}] * 10

            def fill() -> None:
                for _ in range(15):
                    self.publish("a", *large)

            self.awaitGrowth("sseserver_viewers_ended_total{stalled}", fill)
            silent.close()
            self.view("/streams/a")
            waitFor(lambda: self.read()["sseserver_viewers"], "a viewer")
            process.terminate()
            # The endpoint for operators is closed with the others, so the log of the drain has the reason.
            process.wait(PATIENCE)

    def test_runs(self) -> None:
        """Runs that fail are counted by their reason, an upstream that cannot be reached as well."""
        with self.serving(self.command(f"--exec={sys.executable} -c 'raise SystemExit(3)'")):
            self.awaitGrowth("sseserver_runs_ended_total{exit}", self.view)
            self.assertEqual(self.read()["sseserver_streams_ended_total{run,failed}"], 1)
        self.setUp()
        body = b'{"messages": [{"role": "user", "content": "x"}]}'
        upstream = f"--upstream=http://127.0.0.1:{freePort()}/v1"
        with self.serving(self.command(upstream)):
            headers = {"Content-Type": "application/json"}
            self.awaitGrowth(
                "sseserver_upstream_errors_total{unreachable}",
                lambda: ask(self.port, "POST", "/v1/chat/completions", headers, body),
            )

    def test_store(self) -> None:
        """Commits of a file, and the state of the streams in it after a restart."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        for restarts in range(2):
            with self.serving(self.command(f"--store=sqlite:{folder}/s.db")):
                opening = partial(ask, self.port, "PUT", f"/streams/s{restarts}")
                self.awaitGrowth("sseserver_store_commit_seconds_count", opening)
                self.assertEqual(self.read()["sseserver_streams{published,open}"], restarts + 1)
                self.assertGreater(self.read()["sseserver_store_commit_seconds_sum"], 0)
            self.port, self.adminPort = freePort(), freePort()


class DrainTests(MetricsTestCase):
    """A stop in order."""

    def test_drain(self) -> None:
        """During the drain the metrics are still there, and viewers of published streams are told to return."""
        command = self.command()
        command[command.index("--drain=0")] = "--drain=60"
        with self.serving(command) as process:
            ask(self.port, "PUT", "/streams/a")
            self.view("/streams/a")
            waitFor(lambda: self.read()["sseserver_viewers"], "a viewer")
            # A run that goes on keeps the server in its drain.
            self.view("/")
            waitFor(lambda: self.read()["sseserver_runs{working}"], "a run")
            self.awaitGrowth("sseserver_viewers_ended_total{retired}", process.terminate)


class ImportTests(SynchronousTestCase):
    """The package `prometheus-client`."""

    def test_import(self) -> None:
        """It is imported if an option asks for metrics, and otherwise by nothing."""
        program = (
            "import sys; from sseserver.tap import Options, makeService\n"
            "options = Options(); options.parseOptions(sys.argv[1:]); options.parent = None\n"
            "makeService(options); print('prometheus_client' in sys.modules)"
        )
        for options, imported in (([], "False"), (["--metrics"], "True")):
            command = [sys.executable, "-c", program, *options]
            done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
            self.assertEqual(done.stdout.strip(), imported, done.stderr)


class ScrapeTests(MetricsTestCase):
    """The cost of a scrape."""

    def readCPU(self, pid: int) -> float:
        """Return the seconds that a process has computed."""
        return int(Path(f"/proc/{pid}/schedstat").read_text("ascii").split()[0]) / 1e9

    def test_scrape(self) -> None:
        """With many streams and viewers a scrape does not hold the reactor for more than 10 ms."""
        with tempfile.TemporaryFile() as output, self.serving(self.command(), output) as process:
            self.openStreams(process.pid)
            waitFor(lambda: self.read()["sseserver_viewers"] == SCALE, "each viewer")
            self.assertEqual(self.read()["sseserver_streams{published,open}"], SCALE)
            costs = []
            for _ in range(20):
                before = self.readCPU(process.pid)
                self.read()
                costs.append(self.readCPU(process.pid) - before)
                time.sleep(0.05)
            self.assertLess(sorted(costs)[len(costs) // 2], SCRAPE, costs)

    def openStreams(self, pid: int) -> None:
        """Open the streams and a viewer of each."""
        with (
            socket.create_connection(("127.0.0.1", self.port), PATIENCE) as publisher,
            publisher.makefile("rb") as file,
        ):
            for number in range(SCALE):
                head = f"PUT /streams/s{number} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
                publisher.sendall(head.encode())
                length = 0
                while line := file.readline().strip():
                    name, _, value = line.lower().partition(b":")
                    length = int(value) if name == b"content-length" else length
                file.read(length)
                self.view(f"/streams/s{number}")
