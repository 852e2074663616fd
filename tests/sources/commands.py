"""
Test case of the tests of programs, and the commands that they start.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import SourceError
from sseserver.sources import process
from sseserver.sources.process import ProcessSource
from sseserver.testing import RecordingSink
from sseserver.values import Prompt
from tests.programs import PipeReactor, Started, waitFor


def shell(script: str, *arguments: str) -> list[str]:
    """Give the command that runs a shell's script."""
    return ["sh", "-c", script, "sh", *arguments]


def python(script: str, *arguments: str) -> list[str]:
    """Give the command that runs a script in Python."""
    return [sys.executable, "-S", "-E", "-c", script, *arguments]


#: Ignores TERM, and tells so; ends some day, should the tests be killed.
STUBBORN = "trap '' TERM; echo ready; while [ $((i += 1)) -lt 3000 ]; do sleep 0.1; done"


class ProgramTestCase(SynchronousTestCase):
    """
    Starts programs; in the end nobody may be left of them, and nothing may wait.
    """

    def setUp(self) -> None:
        """Make the reactor; watch who is started, and which descriptors there are."""
        self.reactor = PipeReactor()
        self.started = Started()
        self.addCleanup(self.started.end)
        self.patch(process, "subprocess", SimpleNamespace(Popen=self.started, PIPE=subprocess.PIPE))
        self.descriptors = self.openDescriptors()

    def tearDown(self) -> None:
        """Look around."""
        self.assertTrue(self.reactor.idle, (self.reactor.readers, self.reactor.writers, self.reactor.calls))
        self.assertEqual(self.openDescriptors(), self.descriptors)
        waitFor(self.started.gone, "The end of all programs")

    def openDescriptors(self) -> set[str]:
        """Find which descriptors of this process are open."""
        return {path.name for path in Path("/proc/self/fd").iterdir()}

    def start(self, command: list[str], prompt: str | None = None, sink: RecordingSink | None = None) -> RecordingSink:
        """Start a program."""
        sink = sink or RecordingSink()
        sink.start(ProcessSource(self.reactor, command), None if prompt is None else Prompt(prompt))
        return sink

    def run_(self, command: list[str], prompt: str | None = None) -> RecordingSink:
        """Start a program, and wait for its end."""
        sink = self.start(command, prompt)
        self.reactor.until(lambda: sink.ended)
        self.drain()
        return sink

    def drain(self) -> None:
        """Wait for whatever is still open, but for no timer."""
        self.reactor.until(lambda: self.reactor.idle)

    def text(self, command: list[str], prompt: str | None = None) -> str:
        """Run a program that ends well; give what it wrote."""
        sink = self.run_(command, prompt)
        self.assertIsNone(sink.result)
        self.assertIsNone(sink.producer)
        return "".join(sink.tokens)

    def failed(self, command: list[str], prompt: str | None = None) -> tuple[str, str]:
        """Run a program that fails; give reason and message."""
        error = self.problem(self.run_(command, prompt))
        return error.reason, str(error)

    def problem(self, sink: RecordingSink) -> SourceError:
        """Give what a run failed with."""
        self.assertIsInstance(sink.result, Failure)
        self.assertIsInstance(sink.result.value, SourceError)
        return sink.result.value  # type: ignore[no-any-return]

    def cancel(self, sink: RecordingSink) -> None:
        """Cancel a run whose program goes when it is told to; wait until it is gone."""
        sink.cancel()
        self.reactor.until(lambda: sink.result is not None)
        self.drain()
        sink.result.trap(CancelledError)
        self.assertEqual(sink.late, [])
