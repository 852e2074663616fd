"""
Tests for `sseserver.command.supervisor`, with the socket of a service manager.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from time import monotonic_ns

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.command.supervisor import Supervisor, readAddress, readInterval
from tests.fakes import logged


class SupervisorTests(SynchronousTestCase):
    """The messages to a service manager."""

    def setUp(self) -> None:
        # Not `mktemp`: the path of a UNIX socket has 107 bytes at most.
        folder = tempfile.mkdtemp(prefix="sseserver-")
        self.addCleanup(shutil.rmtree, folder)
        self.clock = Clock()
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.setblocking(False)
        self.path = f"{folder}/notify"

    def told(self) -> list[dict[str, str]]:
        """Return what the service manager was told, each time as variables."""
        received = []
        while True:
            try:
                data = self.manager.recv(4096)
            except BlockingIOError:
                return received
            received.append(dict(line.split("=", 1) for line in data.decode().splitlines()))

    def listen(self, address: str, **others: str) -> Supervisor:
        """Listen at an address, and return the supervisor that knows it."""
        self.manager.bind(address.replace("@", "\0"))
        return Supervisor(self.clock, {"NOTIFY_SOCKET": address, **others})

    def test_life(self) -> None:
        """Ready, reloading and stopping are told; the stop with the time that it may take."""
        supervisor = self.listen(self.path)
        before = monotonic_ns() // 1000
        supervisor.ready()
        supervisor.reloading()
        supervisor.ready()
        supervisor.stopping(40.5)
        ready, reloading, again, stopping = self.told()
        self.assertEqual(ready, {"READY": "1", "MAINPID": str(os.getpid())})
        self.assertEqual(again, ready)
        self.assertEqual(reloading["RELOADING"], "1")
        self.assertTrue(before <= int(reloading["MONOTONIC_USEC"]) <= monotonic_ns() // 1000)
        self.assertEqual(stopping, {"STOPPING": "1", "EXTEND_TIMEOUT_USEC": "40500000"})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_abstract(self) -> None:
        """The socket may have an abstract name."""
        self.listen(f"@sseserver-test-{os.getpid()}").ready()
        self.assertEqual(len(self.told()), 1)

    def test_watchdog(self) -> None:
        """From the start to the end it gives a sign of life at half of the time that the manager waits for one."""
        supervisor = self.listen(self.path, WATCHDOG_USEC="4000000", WATCHDOG_PID=str(os.getpid()))
        self.clock.advance(10)
        self.assertEqual(self.told(), [])
        supervisor.ready()
        self.clock.pump([1.0] * 5)
        supervisor.ready()
        supervisor.stopping(1)
        self.clock.pump([1.0] * 5)
        self.assertEqual(self.told().count({"WATCHDOG": "1"}), 6)
        supervisor.close()
        supervisor.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nobody(self) -> None:
        """Without a service manager nothing happens; one that does not listen any more is logged and not fatal."""
        Supervisor(self.clock, {"WATCHDOG_USEC": "4000000"}).ready()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        with logged() as events:
            Supervisor(self.clock, {"NOTIFY_SOCKET": self.path}).ready()
        self.assertEqual([event["state"] for event in events], ["READY=1"])

    def test_address(self) -> None:
        """Sockets of other kinds, such as `vsock:`, are none of ours."""
        for text, expected in (
            ("/run/notify", b"/run/notify"),
            ("@name", b"\0name"),
            ("vsock:2:1", None),
            ("", None),
        ):
            self.assertEqual(readAddress({"NOTIFY_SOCKET": text}), expected)
        self.assertIsNone(readAddress({}))

    def test_interval(self) -> None:
        """A time for another process, or one that is no number, asks for nothing."""
        for microseconds, pid, expected in (
            ("3000000", None, 1.5),
            ("3000000", str(os.getpid()), 1.5),
            ("3000000", "1", None),
            ("0", None, None),
            ("", None, None),
            ("soon", None, None),
        ):
            environment = {"WATCHDOG_USEC": microseconds} | ({} if pid is None else {"WATCHDOG_PID": pid})
            self.assertEqual(readInterval(environment), expected)
