"""
Tests for `sseserver.command.starting`: servers that cannot start.
"""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from sseserver.command.listening import BadEndpoint
from sseserver.command.starting import CannotStart, endStart, tryAccessLog, tryAddress, tryStart


class TryStartTests(SynchronousTestCase):
    """F126: what a daemon tries before it leaves its terminal."""

    def tryIt(self, listen: str, store: str | None = None, accessLog: str = "log", **runner: Any) -> None:
        """Try the start of a daemon."""
        options = {"listen": [listen], "store": store, "access-log": accessLog}
        tryStart({"nodaemon": False, "chroot": None, "rundir": ".", **runner}, options)

    def test_F126_portTaken(self) -> None:
        """F126: a port in use ends the start with one line; in the foreground the start itself finds out."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            endpoint = f"tcp:{port}:interface=127.0.0.1"
            with self.assertRaises(CannotStart) as caught:
                self.tryIt(endpoint)
            self.assertRegex(str(caught.exception.code), f"^sseserver: --listen {endpoint}: .* in use$")
            self.tryIt(endpoint, nodaemon=True)
            self.tryIt(endpoint, chroot="/")
            tryStart(None, {"listen": [endpoint], "store": None, "access-log": "none"})

    def test_F126_free(self) -> None:
        """F126: a free port is free after the trial, too."""
        for _ in range(2):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                endpoint = f"tcp:{free.getsockname()[1]}:interface=127.0.0.1"
            self.tryIt(endpoint)
            self.tryIt(endpoint)
        tryAddress(r"tcp:0:interface=\:\:1")

    def test_pipe(self) -> None:
        """An access log that is a pipe without a reader ends the start; it does not wait for one."""
        name = self.mktemp()
        os.mkfifo(name)
        with self.assertRaisesRegex(OSError, f"^--access-log {name}: nobody reads this pipe$"):
            tryAccessLog(name)
        reader = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        tryAccessLog(name)

    def test_F126_store(self) -> None:
        """F126: a store that cannot be used ends the start; its path is relative to the folder of the daemon."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "diary").write_text("Dear diary,")
        with self.assertRaises(CannotStart) as caught:
            self.tryIt("tcp:0", "diary", rundir=str(folder))
        self.assertIn("not a file of sseserver", str(caught.exception.code))
        self.tryIt("tcp:0", "diary.db", rundir=str(folder))

    def test_F126_unix(self) -> None:
        """F126: a UNIX socket needs a folder, and nobody who listens there; the trial makes no file."""
        # Not `mktemp`: the path of a UNIX socket has 107 bytes at most.
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/s"
            tryAddress(f"unix:{path}")
            self.assertFalse(Path(path).exists())
            with socket.socket(socket.AF_UNIX) as taken:
                taken.bind(path)
                tryAddress(f"unix:{path}")
                taken.listen()
                self.assertRaises(BadEndpoint, tryAddress, f"unix:{path}")
        self.assertRaises(BadEndpoint, tryAddress, "unix:/nowhere/s")

    def test_F126_accessLog(self) -> None:
        """F126: an access log that cannot be written ends the start; one that can is made."""
        for accessLog in ("none", path := self.mktemp()):
            self.tryIt("unix:s", accessLog=accessLog)
        self.assertTrue(Path(path).is_file())
        with self.assertRaises(CannotStart) as caught:
            self.tryIt("unix:s", accessLog="/nowhere/log")
        self.assertEqual(caught.exception.code, "sseserver: --access-log /nowhere/log: No such file or directory")

    def test_F126_caughtByTwistd(self) -> None:
        """F126: twistd reports the failure of a daemon only if it is an `Exception`."""
        self.assertTrue(issubclass(CannotStart, Exception) and issubclass(CannotStart, SystemExit))
        self.assertEqual((CannotStart("No.").code, str(CannotStart("No."))), ("No.", "No."))


class EndStartTests(SynchronousTestCase):
    """A server that finds out too late that it cannot start."""

    def test_ended(self) -> None:
        """The reactor is stopped, the log has the reason, and the exit code is 1."""
        calls: list[object] = []
        error = ValueError("Bad.")

        class Reactor:
            """Notes that it is stopped."""

            stop = staticmethod(lambda: calls.append("stop"))

        with capturedLogs() as events, patch("sseserver.command.starting.makeExit", calls.append):
            endStart(Reactor(), error, lambda *call: calls.append(call))
        self.assertEqual(calls, [error, (os._exit, 1), "stop"])
        self.assertEqual([str(event["error"]) for event in events], ["Bad."])
