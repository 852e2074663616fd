"""
Test case of the tests of programs, and the commands that they start.
"""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import SourceError
from sseserver.sources import launch
from sseserver.sources.process import ProcessSource
from sseserver.testing import RecordingSink
from sseserver.values import Prompt
from tests.programs import PipeReactor, Started, waitFor


def shell(script: str, *arguments: str) -> list[str]:
    """Return the command that runs a shell script."""
    return ["sh", "-c", script, "sh", *arguments]


def python(script: str, *arguments: str) -> list[str]:
    """Return the command that runs a Python script."""
    return [sys.executable, "-S", "-E", "-c", script, *arguments]


#: Ignores SIGTERM, and says when it does. Ends by itself if the tests are killed.
STUBBORN = "trap '' TERM; echo ready; while [ $((i += 1)) -lt 3000 ]; do sleep 0.1; done"


class ProgramTestCase(SynchronousTestCase):
    """Starts programs, and checks that no process, descriptor or timer is left of them."""

    def setUp(self) -> None:
        """Make the reactor, and record the processes and descriptors."""
        self.reactor = PipeReactor()
        self.started = Started()
        self.addCleanup(self.started.end)
        self.patch(launch, "subprocess", SimpleNamespace(Popen=self.started, PIPE=subprocess.PIPE))
        # Sockets of other tests, which the collector would close meanwhile.
        gc.collect()
        self.descriptors = self.openDescriptors()

    def tearDown(self) -> None:
        """Check that nothing is left."""
        self.assertTrue(self.reactor.idle, (self.reactor.readers, self.reactor.writers, self.reactor.calls))
        self.assertEqual(self.openDescriptors(), self.descriptors)
        waitFor(self.started.gone, "The end of all programs")

    def openDescriptors(self) -> set[str]:
        """Return the open descriptors of this process."""
        return {path.name for path in Path("/proc/self/fd").iterdir()}

    def start(self, command: list[str], prompt: str | None = None, sink: RecordingSink | None = None) -> RecordingSink:
        """Start a program."""
        sink = sink or RecordingSink()
        sink.start(ProcessSource(self.reactor, command), None if prompt is None else Prompt(prompt))
        return sink

    def run_(self, command: list[str], prompt: str | None = None) -> RecordingSink:
        """Start a program and wait for its end."""
        sink = self.start(command, prompt)
        self.reactor.until(lambda: sink.ended)
        self.drain()
        return sink

    def drain(self) -> None:
        """Wait for open descriptors, but not for timers."""
        self.reactor.until(lambda: self.reactor.idle)

    def text(self, command: list[str], prompt: str | None = None) -> str:
        """Run a program that ends well, and return its output."""
        sink = self.run_(command, prompt)
        self.assertIsNone(sink.result)
        self.assertIsNone(sink.producer)
        return "".join(sink.tokens)

    def failed(self, command: list[str], prompt: str | None = None) -> tuple[str, str]:
        """Run a program that fails, and return the reason and the message."""
        error = self.problem(self.run_(command, prompt))
        return error.reason, str(error)

    def problem(self, sink: RecordingSink) -> SourceError:
        """Return the error of a run."""
        self.assertIsInstance(sink.result, Failure)
        self.assertIsInstance(sink.result.value, SourceError)
        return sink.result.value  # type: ignore[no-any-return]

    def cancel(self, sink: RecordingSink) -> None:
        """Cancel a run whose program obeys SIGTERM, and wait until it is gone."""
        sink.cancel()
        self.reactor.until(lambda: sink.result is not None)
        self.drain()
        sink.result.trap(CancelledError)
        self.assertEqual(sink.late, [])
