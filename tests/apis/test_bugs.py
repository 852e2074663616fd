"""
Tests of bugs in the server: they are logged, and nothing of them is shown to clients.
"""

from __future__ import annotations

from typing import Any

from sseserver.errors import SSEServerError
from sseserver.formats import TextFormat
from sseserver.interfaces import IStreamLog
from sseserver.stores import memory
from sseserver.streams.log import StreamLog
from sseserver.web.accept import JSON
from tests.apis.cases import ScriptedTestCase
from tests.http import EVENTSOURCE
from tests.wires import Wire


class BreakingFormat(TextFormat):
    """A format that raises at the second entry."""

    def render(self, streamLog: IStreamLog) -> Any:
        return BreakingRendering(super().render(streamLog))


class BreakingRendering:
    """The rendering of `BreakingFormat`: `text` for one entry."""

    def __init__(self, rendering: Any) -> None:
        self._rendering = rendering

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rendering, name)

    def read(self, cursor: int, maxBytes: int, joined: bool) -> Any:
        if cursor:
            raise KeyError("swordfish")
        return self._rendering.read(cursor, maxBytes, joined)


class BugTests(ScriptedTestCase):
    """Bugs of the server are not shown to clients."""

    def assertSilent(
        self, wire: Wire, words: tuple[bytes, ...] = (b"Traceback", b"swordfish", b"KeyError", b"<html")
    ) -> None:
        """Check that nothing of a bug was sent."""
        for word in words:
            self.assertNotIn(word, wire.received)

    def test_bugs(self) -> None:
        """An exception anywhere is answered 500 in JSON, and its traceback is logged."""
        path = self.startRun()

        def broken(*arguments: Any, **keywords: Any) -> Any:
            raise KeyError("swordfish")

        requests = (
            ("startRun", "/", EVENTSOURCE, "GET"),
            ("startRun", "/streams", None, "POST"),
            ("find", path, EVENTSOURCE, "GET"),
            ("describe", path, JSON, "GET"),
            ("cancel", f"{path}/cancel", None, "POST"),
            ("follow", path, EVENTSOURCE, "GET"),
        )
        for name, where, accept, method in requests:
            with self.subTest(name):
                owner = self.service if hasattr(self.service, name) else self.service.viewers
                patched = self.patch(owner, name, broken)
                response = self.ask(where, accept, method)
                patched.restore()
                self.assertEqual((response.status, response.error["code"]), (500, "internal_error"))
                self.assertEqual(response.error["type"], "server_error")
                self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
                self.assertSilent(self.wires[-1])

    def test_bugOnceItStreams(self) -> None:
        """
        A format that raises in a response cuts its viewers; nothing of the exception is in the
        stream.
        """
        self.service.formats["text"] = BreakingFormat()
        wire = self.view()
        self.write("a")
        self.write("b")
        self.reactor.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertTrue(wire.socket.reset)
        self.assertSilent(wire)
        self.assertEqual(wire.response.texts, ["", "a"])
        self.assertEqual(self.service.viewers.count, 0)

    def test_bugBeforeItStreams(self) -> None:
        """
        If a response cannot begin, the client gets an error in JSON or is cut, and is no viewer.
        """

        class BrokenLog(StreamLog):
            def locate(self, lastEventID: str) -> int:
                raise KeyError("swordfish")

        self.patch(memory, "StreamLog", BrokenLog)
        path = self.startRun()
        streamLog = self.successResultOf(self.service.find(path.rpartition("/")[2]))
        self.view(path, lastEventID=f"{streamLog.epoch}-0")
        self.reactor.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        # twisted.web logs a producer that is still registered.
        self.flushLoggedErrors(RuntimeError)
        self.assertSilent(self.wires[-1])
        self.assertEqual((self.service.viewers.count, streamLog.viewers), (0, 0))

    def test_errorOfAnEmbedder(self) -> None:
        """An error of the tree is answered with its own message."""

        def refuse(*arguments: Any, **keywords: Any) -> Any:
            raise SSEServerError("Not today.")

        self.patch(self.service, "startRun", refuse)
        self.assertEqual(self.view().response.error["message"], "Not today.")
