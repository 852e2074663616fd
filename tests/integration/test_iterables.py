"""
Python code as a token source, in processes with the reactor that it needs, and at their end.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sseserver.wire import Event
from tests.integration.forkserver import Process
from tests.integration.servers import ENVIRONMENT, ask, freePort, serving, stream, twistd
from tests.wires import soon

#: Seconds. Longest time for a process to end.
PATIENCE = 120.0

#: A Twisted application whose generators record their progress in a file.
APPLICATION = """
import asyncio, threading
from pathlib import Path
from twisted.application.service import Application
from twisted.application.strports import service
from twisted.internet import reactor
from twisted.internet.task import deferLater
from sseserver import Settings, StreamResource, StreamService, StreamSite, tokensFrom
from sseserver.service import runqueue

runqueue.RELEASE_LIMIT = 2.0

def note(text):
    with Path("notes").open("a") as notes:
        print(text, file=notes)

async def both(prompt):
    try:
        yield await deferLater(reactor, 0.01, lambda: "Deferred ")
        async with asyncio.timeout(120):
            yield await asyncio.sleep(0.01, "asyncio")
        if prompt.text == "hang":
            await asyncio.Event().wait()
        if prompt.text == "break":
            raise KeyError("secret")
    finally:
        await asyncio.sleep(0.01)
        note("finally")

def blocked(prompt):
    yield "token"
    note("blocked")
    threading.Event().wait()

async def deferred(prompt):
    try:
        yield await deferLater(reactor, 0.01, lambda: "Deferred")
        if prompt.text == "hang":
            await asyncio.sleep(1000)
    finally:
        note("finally")

streams = StreamService(
    reactor, tokensFrom(reactor, FUNCTION, takesPrompt=True, thread=FUNCTION is blocked), Settings(drain=0)
)
application = Application("iterables")
streams.setServiceParent(application)
service("ENDPOINT", StreamSite(StreamResource(streams))).setServiceParent(application)
"""


#: The same as a program, which does not end by a signal as `twistd` does.
PROGRAM = """
from twisted.application.reactors import installReactor
installReactor("REACTOR")
{application}
from twisted.application.app import startApplication
from twisted.python.log import startLogging
startLogging(Path("log").open("a"))
startApplication(application, False)
reactor.run()
"""


class IterablesTests(SynchronousTestCase):
    """Each test runs a server of an embedder."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.port = freePort()

    def serving(self, function: str, reactor: str) -> AbstractContextManager[Process]:
        """Run an application with one of the functions."""
        (self.folder / "application.tac").write_text(self.application(function), "utf-8")
        return self.process(twistd("--no_save", "--logfile=log", "-y", "application.tac", f"--reactor={reactor}"))

    def application(self, function: str) -> str:
        """Write the application for one of the functions."""
        return APPLICATION.replace("FUNCTION", function).replace("ENDPOINT", f"tcp:{self.port}:interface=127.0.0.1")

    def process(self, command: list[str]) -> AbstractContextManager[Process]:
        """Run a server in the folder."""
        return serving(command, self.port, cwd=self.folder, env=ENVIRONMENT)

    def written(self, name: str) -> str:
        """Return the content of a file."""
        file = self.folder / name
        return file.read_text("utf-8") if file.exists() else ""

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds."""
        for _ in soon(condition, 6000):
            time.sleep(0.02)

    def post(self, prompt: str) -> str:
        """Start a run."""
        body = json.dumps({"prompt": prompt}).encode()
        status, headers, answer = ask(self.port, "POST", "/streams", {"Content-Type": "application/json"}, body)
        self.assertEqual(status, 201, answer)
        return headers["location"]

    def read(self, path: str) -> tuple[str, Event]:
        """Read a stream to its end, and return its text and the terminal event."""
        events = stream(self.port, path)
        return "".join(event.data for event in events if event.type == "message"), events[-1]

    def test_asyncio(self) -> None:
        """
        Under the asyncio reactor an async generator awaits Deferreds and asyncio's awaitables.

        Its errors are in the log only. A cancelled run is closed at its `await`, and its `finally` may await, too.
        """
        with self.serving("both", "asyncio"):
            text, end = self.read(self.post("all"))
            self.assertEqual((text, end.type), ("Deferred asyncio", "done"))
            text, end = self.read(self.post("break"))
            self.assertEqual((text, end.type, "secret" in end.data), ("Deferred asyncio", "failed", False))
            self.assertIn("secret", self.written("log"))
            path = self.post("hang")
            self.until(lambda: ask(self.port, "GET", path, {"Accept": "text/plain"})[2] == b"Deferred asyncio")
            self.assertEqual(self.written("notes"), "finally\n" * 2)
            self.assertEqual(ask(self.port, "POST", f"{path}/cancel")[0], 200)
            self.until(lambda: self.written("notes") == "finally\n" * 3)
            self.assertEqual(self.read(path)[1].type, "cancelled")
        self.assertNotIn("broke while it was stopped", self.written("log"))

    def test_noAsyncio(self) -> None:
        """Under another reactor, code that needs asyncio fails at once and the log names the remedy; Deferreds work."""
        with self.serving("deferred", "poll"):
            text, end = self.read(self.post("all"))
            self.assertEqual((text, end.type), ("Deferred", "done"))
            text, end = self.read(self.post("hang"))
            self.assertEqual((text, end.type, "asyncio" in end.data), ("Deferred", "failed", True))
            self.assertIn("--reactor=asyncio", self.written("log"))
            self.assertEqual(self.written("notes"), "finally\n" * 2)

    def test_blockedForEver(self) -> None:
        """
        Code that blocks for ever keeps neither its run from ending nor the server from stopping, under either
        reactor.
        """
        for name in ("asyncio", "poll"):
            program = PROGRAM.replace("REACTOR", name).format(application=self.application("blocked"))
            with self.subTest(name), self.process([sys.executable, "-c", program]) as process:
                paths = [self.post("first"), self.post("second")]
                self.until(lambda: self.written("notes") == "blocked\n" * 2)
                self.assertEqual(ask(self.port, "POST", f"{paths[0]}/cancel")[0], 200)
                text, end = self.read(paths[0])
                self.assertEqual((text, end.type), ("token", "cancelled"))
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(PATIENCE), 0)
                self.assertNotIn("Traceback", self.written("log"))
            (self.folder / "notes").unlink()
