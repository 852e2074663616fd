"""
Tests of publishing without a request object: the answers, and the streams, are those of a plain server.
"""

from __future__ import annotations

import json
import re
from typing import Any

from twisted.web.resource import Resource

from sseserver.apis.root import StreamResource
from sseserver.settings import Settings
from sseserver.stores.sqlite import SQLiteStore
from sseserver.web.accept import JSON, PLAIN_TEXT
from sseserver.web.resource import NotFoundResource
from sseserver.web.site import FastStreamRequest, StreamSite
from tests.apis.native.test_slowstore import Thread
from tests.served import ServedTestCase
from tests.wires import Wire

EVENTS = "text/event-stream"

#: Publishes: paths, media types and bodies.
PUBLISHES = (
    ("/streams/news", JSON, b'{"data": "a"}'),
    ("/streams/news", f"{JSON}; charset=utf-8", b'{"event": "x", "data": "1\\n2"}'),
    ("/streams/news", "APPLICATION/JSON", b'{"token": "t\\u00e4"}'),
    ("/streams/news", JSON, b'[{"token": "t"}, {"data": ""}]'),
    ("/streams/news", JSON, json.dumps([{"token": "t"}] * 100).encode()),
    ("/streams/news", JSON, json.dumps([{"token": "t"}] * 101).encode()),
    ("/streams/news", PLAIN_TEXT, "zwölf\n".encode()),
    ("/streams/news", EVENTS, b"event: e\ndata: d\n\ndata: d\n\n"),
    # These are refused.
    ("/streams/news", JSON, b"[]"),
    ("/streams/news", JSON, b'{"token": ""}'),
    ("/streams/news", JSON, b'{"event": "gap", "data": ""}'),
    ("/streams/news", JSON, b"{"),
    ("/streams/news", JSON, b'{"data": "\xff"}'),
    ("/streams/news", EVENTS, b"data: d\n"),
    ("/streams/news", "image/png", b"x"),
    ("/streams/none", JSON, b'{"data": "a"}'),
    ("/streams/ended", JSON, b'{"data": "a"}'),
    ("/streams/..", JSON, b'{"data": "a"}'),
    ("/streams", JSON, b"{}"),
    ("/streams/news/x", JSON, b"{}"),
    ("/nothing/news", JSON, b'{"data": "a"}'),
)

#: Number of the publishes that are made directly.
DIRECT = 8


class Guarded(StreamResource):
    """A root of an embedder's that lets nobody in."""

    def getChildWithDefault(self, path: bytes, request: Any) -> Resource:
        """See `Resource.getChildWithDefault`."""
        return NotFoundResource()


class DirectTests(ServedTestCase):
    """Publishes on a server with all speedups."""

    def setUp(self) -> None:
        super().setUp()
        self.made = 0
        process = FastStreamRequest.process

        def count(request: Any) -> None:
            self.made += 1
            process(request)

        self.patch(FastStreamRequest, "process", count)

    def open(self, plain: bool, resource: Any = None) -> None:
        """Put the service on a site with or without speedups, and open streams."""
        self.factory = StreamSite(resource or self.resource, reactor=self.reactor, plain=plain)
        self.ask("/streams/news", method="PUT")
        self.ask("/streams/ended", method="PUT", headers={"Stream-Closed": "true"})
        self.made = 0

    def publish(self, wire: Wire, path: str, contentType: str, body: bytes, key: str = "") -> None:
        """Publish on a connection; the store has it afterwards."""
        keyed = {"Idempotency-Key": key} if key else {}
        wire.begin(path, method="POST", body=body, headers={"Content-Type": contentType, **keyed})
        for _ in range(5):
            self.reactor.advance(0.01)

    def play(self, plain: bool, store: Any = None, publishes: Any = PUBLISHES) -> tuple[bytes, list[Any]]:
        """Make publishes to a new server; return the answers, without epochs and dates, and the entries."""
        self.serve(self.source, Settings(plain=plain), store)
        self.open(plain)
        wire = self.connect(self.factory)
        for publish in publishes:
            self.publish(wire, *publish)
        streamLog = self.successResultOf(self.service.find("news"))
        entries = [(streamLog.buffer.kind(n), streamLog.buffer.entry(n)) for n in range(1, streamLog.last + 1)]
        # `POST /streams` starts a run, whose name is an epoch.
        hidden = re.sub(rb"[A-Za-z0-9]{22}", b"<epoch>", wire.received)
        return re.sub(rb"Date: [^\r]*", b"Date:", hidden), entries

    def test_same(self) -> None:
        """All answers have the same bytes, and the streams the same entries."""
        usual = self.play(True)
        self.assertEqual(self.play(False), usual)
        self.assertEqual(self.made, len(PUBLISHES) - DIRECT)

    def test_keys(self) -> None:
        """A publish with an idempotency key is made once, and its repeats get the same answer."""
        publishes = [
            ("/streams/news", JSON, b'{"data": "%b"}' % data, key) for data in (b"a", b"b") for key in ("1", "2", "1")
        ]
        for makeStore in (lambda: None, lambda: SQLiteStore(self.reactor, self.mktemp(), Settings().window, Thread())):
            usual = self.play(True, makeStore(), publishes)
            self.assertEqual(self.play(False, makeStore(), publishes), usual)
            # Keys that were used with another body are refused in the usual way.
            self.assertEqual((self.made, len(usual[1])), (3, 2))

    def test_sameOnDisk(self) -> None:
        """The same with a store that makes publishes wait."""
        answers = [
            self.play(plain, SQLiteStore(self.reactor, self.mktemp(), Settings().window, Thread()))
            for plain in (True, False)
        ]
        self.assertEqual(answers[0], answers[1])
        self.assertEqual(self.made, len(PUBLISHES) - DIRECT)

    def test_fullDisk(self) -> None:
        """A publish that a store refuses later is answered 503, and changes nothing."""
        thread = Thread()
        self.serve(self.source, Settings(), SQLiteStore(self.reactor, self.mktemp(), Settings().window, thread))
        self.open(False)
        wire = self.connect(self.factory)
        thread.full = True
        self.publish(wire, "/streams/news", JSON, b'{"data": "a"}')
        self.reactor.advance(2)
        self.assertEqual((wire.response.status, wire.response.error["code"]), (503, "store_unavailable"))
        thread.full = False
        self.reactor.advance(2)
        self.publish(wire, "/streams/news", JSON, b'{"data": "b"}')
        self.assertEqual((wire.response.status, wire.response.json["first"][-2:]), (200, "-1"))
        self.flushLoggedErrors()

    def test_limit(self) -> None:
        """A body over the limit of the service is refused."""
        self.serve(self.source, Settings(maxBody=100))
        self.open(False)
        wire = self.connect(self.factory)
        self.publish(wire, "/streams/news", PLAIN_TEXT, b"x" * 100)
        self.publish(wire, "/streams/news", PLAIN_TEXT, b"x" * 101)
        self.assertEqual([each.status for each in wire.responses], [200, 413])

    def test_guarded(self) -> None:
        """A class derived from the root, and another resource at its path, are asked about each request."""
        guarded = Guarded(self.service)
        replaced = StreamResource(self.service)
        replaced.putChild(b"streams", NotFoundResource())
        for resource in (guarded, replaced):
            self.open(False)
            self.open(False, resource)
            wire = self.connect(self.factory)
            self.publish(wire, "/streams/news", JSON, b'{"data": "a"}')
            self.assertEqual((wire.response.status, self.made), (404, 1))

    def test_viewers(self) -> None:
        """A viewer gets what is published directly, in order."""
        self.open(False)
        viewer, wire = self.view("/streams/news"), self.connect(self.factory)
        self.made = 0
        for number in range(5):
            self.publish(wire, "/streams/news", JSON, b'{"data": "%d"}' % number)
        self.assertEqual((viewer.response.texts, self.made), (["0", "1", "2", "3", "4"], 0))
