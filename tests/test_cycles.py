"""
Reference cycles: however a connection, a request or a stream ends, nothing is left to the garbage collector.

A server lives for weeks, and its collections are rare.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

from sseserver.errors import SourceError
from sseserver.options import defaultOf
from sseserver.settings import Settings
from tests.cycles import findCycles
from tests.http import EVENTSOURCE
from tests.served import ServedTestCase
from tests.tlswires import TLSWire, secure
from tests.wires import Wire

JSON = {"Content-Type": "application/json"}


class CycleTestCase(ServedTestCase):
    """Tests of the whole server that count what is left of an action."""

    settings = Settings(stall=4, linger=0)

    def assertFreed(self, act: Callable[[], object], name: str = "") -> None:
        """Check that an action leaves nothing."""
        self.assertEqual(findCycles(act), Counter(), name)

    def open(self) -> Wire:
        """Open a connection."""
        return Wire(self.factory, self.reactor)

    def leave(self, wire: Wire) -> None:
        """Close a connection, and let all timers run out."""
        wire.take()
        wire.close()
        self.reactor.run(10, 1)
        self.source.runs.clear()


class ViewerTests(CycleTestCase):
    """The ends of a viewer's connection."""

    def follow(self, end: Callable[[Wire], object]) -> Callable[[], None]:
        """Return an action: a viewer follows a run until an end."""

        def act() -> None:
            wire = self.open()
            wire.begin(accept=EVENTSOURCE)
            self.source.run.write("x" * 100)
            self.reactor.run(1)
            self.assertIn(b"x" * 100, wire.received)
            end(wire)
            self.leave(wire)

        return act

    def stallCut(self, wire: Wire) -> None:
        """Take nothing until the connection is cut, with bytes in all buffers."""
        wire.stall()
        for _ in range(300):
            self.source.run.write("y" * 1000)
        self.reactor.run(20)
        self.assertTrue(wire.closed)

    def ends(self) -> dict[str, Callable[[Wire], object]]:
        """Return the ends."""
        return {
            "the viewer leaves": lambda wire: wire.close(),
            "the connection breaks": lambda wire: wire.breakDown(),
            "it stalls": self.stallCut,
            "the stream ends": lambda wire: self.source.run.end(),
            "the run fails": lambda wire: self.source.run.fail(SourceError("Broken.")),
            "the run is cancelled": lambda wire: self.service.cancel(self.service.runs.names[0]),
            "the stream is deleted": lambda wire: self.service.delete(self.service.runs.names[0]),
        }

    def test_F108_ends(self) -> None:
        """F108: a viewer leaves nothing, however its response ends."""
        for name, end in self.ends().items():
            self.assertFreed(self.follow(end), name)

    def test_documents(self) -> None:
        """A client that leaves in the middle of a long body leaves nothing either, and so does one that is cut."""
        self.publishLong()
        for name, end in (("the client leaves", lambda wire: wire.close()), ("it stalls", self.waitForCut)):

            def act(end: Callable[[Wire], object] = end) -> None:
                wire = self.open()
                wire.stall()
                wire.begin("/streams/long", "text/plain")
                end(wire)
                self.leave(wire)

            self.assertFreed(act, name)

    def publishLong(self) -> None:
        """Publish a text that no buffer holds."""
        self.ask("/streams/long", method="PUT")
        body = json.dumps({"token": "x" * 300_000}).encode()
        self.ask("/streams/long", method="POST", body=body, headers=JSON)

    def waitForCut(self, wire: Wire) -> None:
        """Wait until the server cuts a connection."""
        self.reactor.run(20)
        self.assertTrue(wire.closed)


class TLSViewerTests(ViewerTests):
    """The same over TLS, where the transport and the channel know each other."""

    def setUp(self) -> None:
        super().setUp()
        self.secured = secure(self.factory, self.reactor)

    def open(self) -> Wire:
        """Open a connection with TLS."""
        return TLSWire(self.secured, self.reactor)

    def assertFreed(self, act: Callable[[], object], name: str = "") -> None:
        """Check that an action leaves nothing; without speedups, nothing of this package."""
        ours = {"PlainChannel", "PlainStreamRequest", "EventStreamProducer", "Run", "StreamLog"}
        self.assertEqual(findCycles(act, ours if defaultOf("plain") else None), Counter(), name)

    def test_F108_connection(self) -> None:
        """A connection without a request leaves nothing, and neither does a broken handshake."""
        self.assertFreed(lambda: self.leave(self.open()))
        self.assertFreed(lambda: self.leave(Wire(self.secured, self.reactor)))


class RequestTests(CycleTestCase):
    """Requests that are answered at once, and those that are refused."""

    takesPrompt = True

    def once(self, *requests: dict[str, Any]) -> Callable[[], None]:
        """
        Return an action: requests on one connection.

        Args:
            requests: Arguments of `Wire.ask`. In their paths, keys and bodies `%` stands for a new name, and `@` for
                the path of the run that the first request started.
        """
        names = count()

        def act() -> None:
            name, wire, place = f"n{next(names)}", self.open(), ""
            for request in requests:
                filled = json.loads(json.dumps(request).replace("%", name).replace("@", place))
                body = filled.pop("body", None)
                if body is not None:
                    filled |= {"body": json.dumps(body).encode(), "headers": JSON}
                answer = wire.ask(**filled)
                place = place or answer.headers.get("location", "")
                self.statuses.append(answer.status)
            self.leave(wire)

        self.statuses: list[int] = []
        return act

    def test_refusals(self) -> None:
        """A refused request leaves nothing: what it was refused with has a traceback with the frames of its work."""
        token = {"token": "x"}
        put = {"path": "/streams/%", "method": "PUT"}
        run = {"path": "/streams", "method": "POST", "body": {"prompt": "x"}}
        delete, remove = {"path": "/streams/%", "method": "DELETE"}, {"path": "@", "method": "DELETE"}
        for status, *requests in (
            (404, {"path": "/streams/none"}),
            (404, {"path": "/streams/none", "accept": "text/html"}),
            (404, {"path": "/streams/none/cancel", "method": "POST"}),
            (404, {"path": "/streams/none", "method": "DELETE"}),
            (404, {"path": "/streams/none", "method": "POST", "body": token}),
            (405, {"path": "/streams/none", "method": "PATCH"}),
            (400, {"path": "/streams/none", "method": "POST", "body": {}}),
            (400, {"path": "/v1/chat/completions", "method": "POST", "body": {}}),
            (204, {"path": "/api/chat/none/stream"}),
            (404, {"path": "/api/chat/none/stream?startIndex=0"}),
            (404, {"path": "/agui?runId=none"}),
            (400, {"path": "/agui"}),
            (200, put, {**put, "method": "POST", "body": token}, delete),
            (409, put, {**put, "method": "POST", "body": token}, {**put, "body": {"token": "y"}}),
            (409, run, {"path": "@", "method": "POST", "body": token}, remove),
            (409, run, {"path": "@", "method": "PUT"}, remove),
        ):
            self.assertFreed(self.once(*requests), str(requests))
            self.assertIn(status, self.statuses, str(requests))

    def test_F108_deleted(self) -> None:
        """A published stream that is deleted leaves nothing: the look for it before it was opened keeps no frame."""
        put = {"path": "/streams/%", "method": "PUT"}
        self.assertFreed(self.once(put, {**put, "method": "POST", "body": {"token": "x"}}, {**put, "method": "DELETE"}))
        self.assertIn(201, self.statuses)
