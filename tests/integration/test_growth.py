"""
Measured growth of a server's process: at most one and a half times what its ledger counts, in each account.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.servers import PATIENCE, QUICK, TESTS_ENVIRONMENT, freePort, serving

#: Bytes of resident memory for each byte counted.
RATIO = 1.5

#: Bytes. Growth of a process that is in no account: a buffer here, an arena there.
NOISE = 300_000

#: Bytes. What is tried must grow the process by more, so that the noise tells nothing.
LEAST = 2_000_000

JSON = "application/json"


def writeRequest(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """Write a request."""
    fields = {"Host": "localhost", "Content-Length": str(len(body)), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("ascii") + body


class GrowthTests(SynchronousTestCase):
    """One process for each account."""

    def setUp(self) -> None:
        """Prepare everything that is closed at the end."""
        if not sys.platform.startswith("linux"):
            self.skipTest("The memory of a process is read from /proc.")
        self.stack = ExitStack()
        self.addCleanup(self.stack.close)

    def serve(self, *options: str) -> None:
        """Start a server."""
        self.port, self.reports = freePort(), freePort()
        listen = f"--listen=tcp:{self.port}:interface=127.0.0.1"
        program = [sys.executable, "-P", "-m", "tests.integration.measured"]
        command = [*program, str(self.reports), listen, *QUICK, *options]
        self.stack.enter_context(serving(command, self.reports, env=TESTS_ENVIRONMENT))

    def report(self) -> dict[str, Any]:
        """Return the memory of the server, and its ledger."""
        with self.connect(self.reports) as connection, connection.makefile("rb") as lines:
            report: dict[str, Any] = json.loads(lines.readline())
        return report

    def connect(self, port: int | None = None) -> socket.socket:
        """Connect to the server until the end of the test."""
        connection = socket.create_connection(("127.0.0.1", port or self.port), timeout=PATIENCE)
        return self.stack.enter_context(connection)

    def ask(self, requests: Iterable[bytes], status: bytes = b"20") -> None:
        """Send requests on one connection, one after the other; each must get an answer that begins with a status."""
        with self.connect() as connection, connection.makefile("rb") as answers:
            for request in requests:
                connection.sendall(request)
                line = answers.readline()
                self.assertEqual(line[9 : 9 + len(status)], status, line)
                length = 0
                while (field := answers.readline().lower()) != b"\r\n":
                    if field.startswith(b"content-length:"):
                        length = int(field[15:])
                answers.read(length)

    def begin(self, request: bytes) -> socket.socket:
        """Send a request on a connection of its own, wait for the first bytes of the answer; return the connection."""
        connection = self.connect()
        connection.sendall(request)
        self.assertEqual(connection.recv(12), b"HTTP/1.1 200")
        return connection

    def assertCounted(self, before: dict[str, Any], account: str) -> None:
        """Check that the growth of the process since a report is in the ledger, and that an account is among them."""
        after = self.report()
        grown, counted = after["resident"] - before["resident"], after["counted"] - before["counted"]
        told = f"{account}: grown by {grown}, counted {counted}: {after['accounts']}"
        self.assertLess(grown, RATIO * counted + NOISE, told)
        self.assertGreater(counted, LEAST, told)
        self.assertGreater(after["accounts"][account] - before["accounts"][account], counted / 30, told)

    def test_F10_names(self) -> None:
        """F10: published streams without entries."""
        self.serve()
        self.ask(writeRequest("PUT", f"/streams/warm{number}") for number in range(50))
        before = self.report()
        self.ask(writeRequest("PUT", f"/streams/{number:0128}") for number in range(2000))
        self.assertCounted(before, "published")

    def test_published(self) -> None:
        """Entries of published streams, many small ones at once and one at a time."""
        self.serve()
        names = [f"n{number}" for number in range(500)]
        self.ask(writeRequest("PUT", f"/streams/{name}") for name in names)
        before = self.report()
        self.ask(
            writeRequest("POST", f"/streams/{name}", b"[%b]" % b",".join([b'{"token":"ab"}'] * 400), Content_Type=JSON)
            for name in names
        )
        self.ask(
            writeRequest("POST", f"/streams/{name}", b'{"token":"abcdefgh"}', Content_Type=JSON)
            for name in names[:100]
            for _ in range(20)
        )
        self.assertCounted(before, "published")

    def test_F8_keys(self) -> None:
        """F8: idempotency keys of publishes."""
        self.serve()
        self.ask([writeRequest("PUT", "/streams/a")])

        def publish(keys: range) -> None:
            post = ("POST", "/streams/a", b'{"token":"x"}')
            for start in keys[::1000]:
                self.ask(
                    writeRequest(*post, Content_Type=JSON, Idempotency_Key=f"{number:0255}")
                    for number in range(start, start + 1000)
                )
                # It collects what Twisted's own parts leave, for which the heap would grow.
                self.report()

        publish(range(2000))
        before = self.report()
        publish(range(2000, 7000))
        self.assertCounted(before, "published")

    def test_runs(self) -> None:
        """Runs at work, and their entries."""
        self.serve("--interval=0.05", "--linger=1000")
        self.ask(writeRequest("POST", "/streams") for _ in range(50))
        before = self.report()
        self.ask(writeRequest("POST", "/streams") for _ in range(1500))
        self.assertCounted(before, "runs")

    def test_F9_keys(self) -> None:
        """F9: runs with keys, ended and in a file: neither their logs nor their keys."""
        self.serve(f"--store=sqlite:{Path(self.mktemp()).resolve()}", "--interval=0")
        self.ask(writeRequest("POST", "/streams") for _ in range(50))
        before = self.report()
        self.ask(writeRequest("POST", "/streams", Idempotency_Key=f"{number:0255}") for number in range(2000))
        self.assertCounted(before, "keys")

    def test_chats(self) -> None:
        """IDs of chats, and the runs for which they stand."""
        self.serveSilent()
        message = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "x"}]}

        def post(chats: range) -> None:
            for number in chats:
                body = json.dumps({"id": f"{number:0128}", "messages": [message]}).encode("ascii")
                self.begin(writeRequest("POST", "/api/chat", body, Content_Type=JSON)).close()

        post(range(50))
        before = self.report()
        post(range(50, 650))
        self.assertCounted(before, "keys")

    def test_F7_waiting(self) -> None:
        """F7: prompts of runs that wait for their turn."""
        self.serve("--exec=sleep 1000", "--asks", "--max-runs=1")
        self.askPrompts()

    def test_F7_working(self) -> None:
        """F7: prompts of runs whose upstream does not answer."""
        self.serveSilent()
        self.askPrompts()

    def serveSilent(self) -> None:
        """Start a server in front of an upstream that never answers."""
        silent = self.stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1000))
        self.serve(f"--upstream=http://127.0.0.1:{silent.getsockname()[1]}/v1", "--linger=1000")

    def askPrompts(self) -> None:
        """Send prompts of many objects. A few small objects that stay pin some of their memory: once, not each time."""
        body = b'{"messages":[{"role":"user","content":"x"}],"x":[%b]}' % b",".join([b"[]"] * 25_000)
        self.ask([writeRequest("POST", "/streams", body, Content_Type=JSON)] * 12)
        before = self.report()
        self.ask([writeRequest("POST", "/streams", body, Content_Type=JSON)] * 30)
        self.assertCounted(before, "prompts")

    def test_connections(self) -> None:
        """Connections that wait, half of them for the rest of a head, and those after a request."""
        self.serve()
        request = writeRequest("GET", "/streams")

        def connect(numbers: range) -> None:
            for number in numbers:
                connection = self.connect()
                if number % 2:
                    connection.sendall(request[:-2] + b"X: " + b"y" * 1000)
                else:
                    connection.sendall(request)
                    connection.recv(12)

        connect(range(20))
        before = self.report()
        connect(range(600))
        self.assertCounted(before, "connections")

    def test_viewers(self) -> None:
        """Idle viewers, half of them with large heads."""
        self.serve()
        self.ask([writeRequest("PUT", "/streams/a")])
        for number in range(20):
            self.begin(writeRequest("GET", "/streams/a", Accept="text/event-stream", Cookie="c" * (number % 2 * 7000)))
        before = self.report()
        for number in range(600):
            self.begin(writeRequest("GET", "/streams/a", Accept="text/event-stream", Cookie="c" * (number % 2 * 7000)))
        self.assertCounted(before, "viewers")
