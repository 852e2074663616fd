"""
Tests for `sseserver.formats.ollama`; those of the translator show the lines.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sseserver.formats.ollama import OllamaFormat
from sseserver.interfaces import IBeatingFormat, IRendering
from sseserver.streams.terminal import packRestart
from sseserver.values import Kind
from tests.formats.cases import ALL, makeLog
from tests.readers import readAll, readRefusal


def readLines(written: bytes) -> list[dict[str, Any]]:
    """Decode lines as Ollama's clients do, which take each for an object."""
    assert written.endswith(b"\n")
    return [json.loads(line) for line in written.split(b"\n")[:-1]]


class OllamaTests(SynchronousTestCase):
    """The formats of Ollama's endpoints."""

    def test_interfaces(self) -> None:
        """Format and rendering provide their interfaces; the lines are named by their media type."""
        form = OllamaFormat("chat", "parrot")
        verifyObject(IBeatingFormat, form)
        verifyObject(IRendering, form.render(makeLog()))
        self.assertEqual(form.headers, ((b"Content-Type", b"application/x-ndjson"),))

    def test_lines(self) -> None:
        """Each token is a line, and the end is one; a heartbeat before any of them changes nothing."""
        form = OllamaFormat("generate", "parrot")
        rendering = form.render(makeLog("a", "b", terminal=Kind.DONE))
        written = rendering.head(0, 5, "/") + form.heartbeat + readAll(rendering, 0, ALL, True)[1]
        self.assertEqual([line["response"] for line in readLines(written)], ["a", "b", ""])
        self.assertEqual([line["done"] for line in readLines(written)], [False, False, True])

    def test_failures(self) -> None:
        """The early end of a response is a line with an error."""
        streamLog = makeLog("a")
        streamLog.append(*packRestart(1))
        rendering = OllamaFormat("chat", "parrot").render(streamLog)
        for written in (rendering.retire(5), readRefusal(rendering, 1)):
            (line,) = readLines(written)
            self.assertEqual(list(line), ["error"])
