"""
A server whose system clock is set back by an hour while it works.
"""

from __future__ import annotations

import http.client
import json
import shlex
import sys
import tempfile
import time
import unittest
from email.utils import parsedate_to_datetime
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.servers import ENVIRONMENT, PATIENCE, ask, freePort, serving, twistd

#: The library of the Debian package `faketime`, with which the test sets the clock of a process.
LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)

#: Prints a word every twentieth of a second.
PROGRAM = "import time\nwhile True: print('word', flush=True); time.sleep(0.05)"

#: Seconds by which the clock is set back.
HOUR = 3600

#: Seconds. A stream that goes on gets its next words in less time; a heartbeat comes after one.
SOON = 20.0


@unittest.skipIf(LIBRARY is None, "needs libfaketime (Debian package faketime)")
class ClockTests(SynchronousTestCase):
    """The intervals and the dates of a server."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.offset = folder / "offset"
        self.offset.write_text("+0", "ascii")
        self.environment = {
            **ENVIRONMENT,
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self.offset.resolve()),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
        self.port = freePort()

    def setBack(self) -> None:
        """Set the clock of the server back."""
        self.offset.write_text(f"-{HOUR}", "ascii")

    def follow(self, path: str) -> http.client.HTTPResponse:
        """Follow a stream."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SOON)
        self.addCleanup(connection.close)
        connection.request("GET", path, headers={"Accept": "text/event-stream"})
        return connection.getresponse()

    def test_F112_intervals(self) -> None:
        """F112: tokens of a program, heartbeats and the pace of a text go on; dates follow the system clock."""
        program = f"{sys.executable} -c {shlex.quote(PROGRAM)}"
        listen = f"--listen=tcp:{self.port}:interface=127.0.0.1"
        options = (f"--exec={program}", "--heartbeat=1", listen)
        with tempfile.TemporaryFile() as output:
            with serving(twistd("sseserver", *options), self.port, output, env=self.environment):
                self.assertEqual(ask(self.port, "PUT", "/streams/quiet")[0], 201)
                words, quiet = self.follow("/"), self.follow("/streams/quiet")
                words.readline()
                self.setBack()
                begun = time.monotonic()
                for _ in range(50):
                    words.readline()
                beats = [quiet.readline() for _ in range(6)]
                self.assertIn(b":\n", beats)
                self.assertLess(time.monotonic() - begun, SOON)
                _, headers, _ = ask(self.port, "PUT", "/streams/new")
                _, _, state = ask(self.port, "GET", "/streams/new", {"Accept": "application/json"})
            output.seek(0)
            lines = output.read().decode().splitlines()
        hourAgo = time.time() - HOUR
        self.assertLess(abs(parsedate_to_datetime(headers["date"]).timestamp() - hourAgo), PATIENCE)
        self.assertLess(abs(json.loads(state)["created"] - hourAgo), PATIENCE)
        stamp = time.strftime("[%d/%b/%Y:%H:", time.gmtime(hourAgo))
        logged = next(line for line in lines if "PUT /streams/new" in line)
        self.assertTrue(stamp in logged or time.gmtime(hourAgo).tm_min < 3, logged)
