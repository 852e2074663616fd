"""
Whether a server stays alive during an attack.

    with serving(command, port, output) as process, watching(process.pid, port) as watch:
        attack()
        watch.check(self, output)

Alive means: a healthy viewer that was there before the attack gets its 20 events a second with a lag of at most 250 ms
(99th percentile), `/healthz` answers within a second, the log has nothing unhandled, and afterwards the memory and the
descriptors of the process are back within a tenth.

The viewer, its publisher and the health check run in a process of their own, since the attack keeps the one of the test
busy:

    python -m tests.integration.alive PORT PID STREAM HEADERS

Times in which the server or that process was ready to run, but the machine was busy with others, do not count.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.servers import PATIENCE, TESTS_ENVIRONMENT

#: Seconds between two events.
INTERVAL = 0.05

#: Whether attacks have the sizes of real ones (`SSESERVER_LONG=1`).
LONG = os.environ.get("SSESERVER_LONG") == "1"

#: Seconds. Limit of the lag of events, 99th percentile, and of each answer to the health check.
LAG = 0.25
HEALTH = 1.0

#: Seconds between two health checks.
_HEALTH_INTERVAL = 0.25

#: Seconds. Longest time after an attack in which memory and descriptors come back.
SETTLE = 60.0

#: Factor. Limit of memory and descriptors after an attack to those before.
GROWTH = 1.1

#: Text that a log must not contain.
UNHANDLED = (b"Traceback", b"Unhandled", b"unhandled", b"Too many open files")


class Footprint(NamedTuple):
    """
    The memory and the descriptors of a process.

    Attributes:
        resident: Bytes of resident memory.
        descriptors: Number of open descriptors.
    """

    resident: int
    descriptors: int

    def isWithin(self, before: Footprint) -> bool:
        """Return whether neither has grown by more than a tenth."""
        return self.resident <= before.resident * GROWTH and self.descriptors <= before.descriptors * GROWTH


def measure(pid: int) -> Footprint:
    """Measure a process."""
    resident = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return Footprint(resident, len(list(Path(f"/proc/{pid}/fd").iterdir())))


@dataclass(frozen=True)
class Report:
    """
    The events of the healthy viewer, and the answers to the health check.

    Attributes:
        events: Number of events that arrived.
        missing: Number of events that were published, and did not arrive.
        lag: Seconds, 99th percentile.
        longest: Seconds. The longest lag.
        checks: Number of health checks.
        health: Seconds. The slowest answer to one; `PATIENCE` if one was not answered.
    """

    events: int
    missing: int
    lag: float
    longest: float
    checks: int
    health: float


class Watch:
    """
    A server under watch.

    Args:
        pid: The server.
        process: The viewer, the publisher and the health check.

    Attributes:
        before: The footprint of the server before the attack, with its healthy viewer.
        report: What the viewer saw; `None` until `finish`.
    """

    def __init__(self, pid: int, process: subprocess.Popen[str]) -> None:
        self._pid = pid
        self._process = process
        self.before = measure(pid)
        self.report: Report | None = None

    def settle(self) -> Footprint:
        """Wait until memory and descriptors are back, and return them as they are then, or after `SETTLE` seconds."""
        deadline = time.monotonic() + SETTLE
        while not (now := measure(self._pid)).isWithin(self.before) and time.monotonic() < deadline:
            time.sleep(0.1)
        return now

    def finish(self) -> Report:
        """End the watch, and return what the viewer saw."""
        if self.report is None:
            output, _ = self._process.communicate("", PATIENCE)
            assert self._process.returncode == 0, output
            self.report = Report(**json.loads(output))
        return self.report

    def check(self, test: SynchronousTestCase, output: IO[bytes]) -> Report:
        """
        Check that the server has been alive until now.

        Args:
            test: Fails if it was not.
            output: The log of the server.
        """
        after = self.settle()
        report = self.finish()
        test.assertTrue(after.isWithin(self.before), f"The server grew: {self.before}, {after}")
        test.assertGreater(report.events, 0)
        test.assertEqual(report.missing, 0, report)
        test.assertLess(report.lag, LAG, report)
        test.assertGreater(report.checks, 0)
        test.assertLess(report.health, HEALTH, report)
        # The server writes at the end of the file, which it shares with us.
        log = os.pread(output.fileno(), os.fstat(output.fileno()).st_size, 0)
        for text in UNHANDLED:
            test.assertNotIn(text, log)
        return report


@contextlib.contextmanager
def watching(pid: int, port: int, headers: dict[str, str] | None = None) -> Iterator[Watch]:
    """
    Watch a server for the time of a `with` block, which begins when the healthy viewer has its first events.

    Args:
        pid: The server.
        port: Its port on 127.0.0.1.
        headers: Header fields of the requests of the viewer and its publisher, such as their credentials.
    """
    name = f"alive-{uuid.uuid4().hex[:12]}"
    arguments = [
        sys.executable,
        "-P",
        "-m",
        "tests.integration.alive",
        *(str(port), str(pid)),
        name,
        json.dumps(headers or {}),
    ]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen(arguments, env=TESTS_ENVIRONMENT, text=True, **pipes)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "watching\n"
        yield Watch(pid, process)
    finally:
        process.kill()
        process.communicate()


# The process of the viewer, its publisher and the health check.


def readWaits(pid: int) -> dict[str, int]:
    """Return the nanoseconds that each thread of a process was ready to run, and had to wait for a processor."""
    waits = {}
    for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, IndexError):
            waits[str(thread)] = int(thread.read_text("ascii").split()[1])
    return waits


def measureWait(before: dict[str, int], after: dict[str, int]) -> float:
    """
    Return the seconds that threads have waited for a processor between two moments.

    A thread that has ended meanwhile does not count: all that it has ever waited would make other times longer.

    Args:
        before: Nanoseconds by thread.
        after: The same, later.
    """
    return sum(max(0, waited - before.get(thread, 0)) for thread, waited in after.items()) / 1e9


class _Stopwatch:
    """
    Measures times without those in which the machine was busy with others.

    Args:
        pid: The server.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._began = time.monotonic()
        self._waits = self._readWaits()

    def read(self) -> float:
        """Return the seconds since the start."""
        waited = measureWait(self._waits, self._readWaits())
        return max(0.0, time.monotonic() - self._began - waited)

    def _readWaits(self) -> dict[str, int]:
        return {**readWaits(self._pid), **readWaits(os.getpid())}


class _Healthy:
    """
    A viewer, its publisher, and the health check of one server.

    Args:
        port: Port of the server.
        pid: The server.
        name: Name of the stream.
        headers: Header fields of all requests.
    """

    def __init__(self, port: int, pid: int, name: str, headers: dict[str, str]) -> None:
        self._port = port
        self._pid = pid
        self._name = name
        self._headers = headers
        self._begun: dict[int, _Stopwatch] = {}
        self._lags: dict[int, float] = {}
        self._checks: list[float] = []
        self._stopping = threading.Event()
        self._viewing = threading.Event()

    def run(self) -> Report:
        """Watch until the standard input ends."""
        status = self._ask("PUT", f"/streams/{self._name}", b"")
        assert status == 201, status
        threads = [
            threading.Thread(target=each, daemon=True) for each in (self._view, self._publish, self._checkHealth)
        ]
        for thread in threads:
            thread.start()
        while not self._checks or len(self._lags) < 20:
            time.sleep(INTERVAL)
        sys.stdout.write("watching\n")
        sys.stdout.flush()
        sys.stdin.read()
        self._stopping.set()
        for thread in threads[1:]:
            thread.join(PATIENCE)
        deadline = time.monotonic() + 5
        while len(self._lags) < len(self._begun) and time.monotonic() < deadline:
            time.sleep(INTERVAL)
        lags = sorted(self._lags.values())
        return Report(
            events=len(lags),
            missing=len(self._begun) - len(lags),
            lag=lags[len(lags) * 99 // 100],
            longest=lags[-1],
            checks=len(self._checks),
            health=max(self._checks),
        )

    def _connect(self, patience: float = PATIENCE) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=patience)

    def _ask(self, method: str, path: str, body: bytes | None = None) -> int:
        with contextlib.closing(self._connect()) as connection:
            connection.request(method, path, body, self._headers)
            return connection.getresponse().status

    def _view(self) -> None:
        """Read the event stream, and note when each event arrives."""
        with contextlib.closing(self._connect()) as connection:
            connection.request(
                "GET", f"/streams/{self._name}", headers={"Accept": "text/event-stream", **self._headers}
            )
            answer = connection.getresponse()
            self._viewing.set()
            while line := answer.readline():
                field, _, value = line.strip().partition(b": ")
                if field == b"data" and value.isdigit():
                    self._lags[int(value)] = self._begun[int(value)].read()

    def _publish(self) -> None:
        """Publish a number every `INTERVAL` seconds; one that fails again, on a new connection."""
        self._viewing.wait()
        headers: dict[str, Any] = {"Content-Type": "text/plain", **self._headers}
        connection, number, due = self._connect(), 0, time.monotonic()
        while not self._stopping.is_set():
            number, due = number + 1, max(due + INTERVAL, time.monotonic() - INTERVAL)
            self._begun[number] = _Stopwatch(self._pid)
            headers["Idempotency-Key"] = f"{self._name}-{number}"
            status = 0
            while status != 200:
                try:
                    connection.request("POST", f"/streams/{self._name}", str(number), headers)
                    answer = connection.getresponse()
                    answer.read()
                    status = answer.status
                except (OSError, http.client.HTTPException):
                    connection.close()
                    time.sleep(0.01)
            time.sleep(max(0.0, due - time.monotonic()))
        connection.close()

    def _checkHealth(self) -> None:
        """Ask for `/healthz`, each time on a connection of its own. A server that has none answers 404."""
        while not self._stopping.is_set():
            watch = _Stopwatch(self._pid)
            try:
                status = self._ask("GET", "/healthz")
            except (OSError, http.client.HTTPException):
                status = 0
            self._checks.append(watch.read() if status in {200, 404} else PATIENCE)
            time.sleep(_HEALTH_INTERVAL)


def main(port: int, pid: int, name: str, headers: dict[str, str]) -> None:
    """Watch a server, and write the report."""
    report = _Healthy(port, pid, name, headers).run()
    sys.stdout.write(json.dumps(report.__dict__))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4]))
