"""
F98: `--text -`, standard input that is streamed as it arrives, with real processes and descriptors.
"""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import tempfile
import time
from io import FileIO
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from sseserver.sources.standardinput import InputSource
from sseserver.testing import RecordingSink
from sseserver.wire import Decoder, Event
from tests.integration.servers import ENVIRONMENT, PATIENCE, freePort, serving, twistd


class Visitor:
    """
    A visitor of `/`.

    Args:
        port: Port of the server.
    """

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self._connection.request("GET", "/?format=events", headers={"Accept": "text/event-stream"})
        self._response = self._connection.getresponse()
        self._decoder = Decoder()
        self.events: list[Event] = []

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(event.data for event in self.events if event.type == "message")

    def until(self, text: str) -> None:
        """Read until the text is there."""
        while self.text != text:
            data = self._response.read1(1 << 16)
            assert data, f"{self.text!r} instead of {text!r}"
            self.events += self._decoder.feed(data)

    def end(self) -> str:
        """Read to the end, and return the type of the last event."""
        self.events += self._decoder.feed(self._response.read())
        self._connection.close()
        return self.events[-1].type


class ServerTests(SynchronousTestCase):
    """The server with a pipe."""

    def setUp(self) -> None:
        """Make a pipe and a port."""
        self.reading, writing = os.pipe()
        self.addCleanup(os.close, self.reading)
        self.pipe = FileIO(writing, "wb")
        self.addCleanup(self.pipe.close)
        self.port = freePort()
        self.options = ("sseserver", "--listen", f"tcp:{self.port}:interface=127.0.0.1", "--text", "-")

    def visit(self) -> None:
        """Visit the server while its input arrives, and check what each visitor sees."""
        early = Visitor(self.port)
        self.pipe.write("Zwölf ".encode())
        early.until("Zwölf ")
        late = Visitor(self.port)
        late.until("Zwölf ")
        self.pipe.write("Wörter,\nund 📖".encode())
        for visitor in (early, late):
            visitor.until("Zwölf Wörter,\nund 📖")
        self.pipe.close()
        last = Visitor(self.port)
        for visitor in (early, late, last):
            self.assertEqual((visitor.end(), visitor.text), ("done", "Zwölf Wörter,\nund 📖"))

    def test_F98_asItArrives(self) -> None:
        """F98: the server listens before anything has arrived, and streams its input to every visitor."""
        with serving(twistd(*self.options), self.port, stdin=self.reading, env=ENVIRONMENT):
            self.visit()

    def test_F98_daemon(self) -> None:
        """F98: a daemon, which has left its terminal, streams the standard input that it was started with."""
        folder = tempfile.mkdtemp(prefix="sseserver-")
        program = str(Path(sys.executable).with_name("twistd"))
        command = [sys.executable, program, "--pidfile=d.pid", "--logfile=d.log", *self.options]
        subprocess.run(command, cwd=folder, stdin=self.reading, env=ENVIRONMENT, timeout=PATIENCE, check=True)
        pid = int(Path(folder, "d.pid").read_text("ascii"))
        try:
            self.visit()
        finally:
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + PATIENCE
            while Path(folder, "d.pid").exists() and time.monotonic() < deadline:
                time.sleep(0.02)

    def test_F98_closed(self) -> None:
        """F98: without a standard input the server does not start, and says so in one line."""
        command = ["sh", "-c", 'exec "$@" <&-', "sh", *twistd(*self.options)]
        ended = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.assertEqual(ended.returncode, 1)
        self.assertRegex(ended.stderr, r"sseserver: --text -: standard input is closed\n\Z")


class FileTests(TestCase):
    """A regular file as the input, which epoll does not watch."""

    timeout = 60

    def test_F98_file(self) -> Deferred[None]:
        """F98: `--text - < FILE` streams the file."""
        path = Path(self.mktemp())
        path.write_text("word " * 10_000, "utf-8")
        source = InputSource(reactor, FileIO(str(path)))
        source.startService()
        self.addCleanup(source.stopService)
        sink = RecordingSink()
        done = source.produce(sink, None)
        done.addCallback(lambda _: self.assertEqual("".join(sink.tokens), "word " * 10_000))
        return done
