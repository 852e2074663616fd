"""
Tests of `sseserver.apis.admin.forwarding`: requests of operators that a worker answers.
"""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import TestCase

from sseserver.apis import makeAdmin, makePoolAdmin
from sseserver.apis.admin.measured import Measured
from sseserver.apis.admin.workers import WatchedPool, WorkerCounts
from sseserver.apis.root import StreamResource
from sseserver.service.service import StreamService
from sseserver.settings import Settings
from sseserver.sources.text import TextSource
from sseserver.timing.reactorlag import ReactorLag
from sseserver.values import Kind, NewEntry
from sseserver.web.access.rights import Access
from sseserver.web.site import StreamSite


class ForwardingTests(TestCase):
    """A pool whose only worker is in this process, over real sockets."""

    timeout = 60

    async def setUp(self) -> None:
        settings = Settings(drain=0)
        self.service = StreamService(reactor, TextSource(reactor, "a", 0), settings)
        self.service.startService()
        self.addCleanup(self.service.stopService)
        clients = StreamSite(StreamResource(self.service), accessLog=None)
        measured = Measured(self.service, clients, ReactorLag(reactor))
        access = Access(None, self.service.wall)
        self.worker = StreamSite(makeAdmin(measured, (), access), accessLog=None)
        self.served: list[Any] = []
        nothing = lambda: succeed({})  # noqa: E731
        pool = WatchedPool(reactor, lambda: {1: WorkerCounts(True, 0)}, self.connect, nothing, nothing, nothing)
        self.site = StreamSite(makePoolAdmin(pool, (), access), accessLog=None)
        port = reactor.listenTCP(0, self.site, interface="127.0.0.1")
        self.port = port.getHost().port
        self.addCleanup(self.settle)
        self.addCleanup(port.stopListening)
        await self.service.open("news")

    async def settle(self) -> None:
        """Wait until all connections are closed."""
        while self.site.connections.count or self.worker.connections.count:
            await deferLater(reactor, 0.01)

    def connect(self, factory: Any, number: int | None) -> Deferred[Any]:
        """Connect to the worker, which has the number 1."""
        if number not in {None, 1}:
            return fail(ConnectionLost())
        ends = socket.socketpair()
        protocol = factory.buildProtocol(UNIXAddress(None))
        for end, made in zip(ends, (Factory.forProtocol(lambda: protocol), self.worker), strict=True):
            end.setblocking(False)
            reactor.adoptStreamConnection(end.fileno(), socket.AF_UNIX, made)
            end.close()
        return succeed(protocol)

    def begin(self, method: str, path: str, accept: str = "application/json") -> Any:
        """Send a request, and return the answer when its head is there."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path, headers={"Accept": accept, "Connection": "close"})
        return connection, connection.getresponse()

    async def ask(self, method: str, path: str) -> tuple[int, Any]:
        """Send a request; return status and JSON of the answer."""

        def send() -> tuple[int, bytes]:
            connection, response = self.begin(method, path)
            body = response.read()
            connection.close()
            return response.status, body

        status, body = await deferToThread(send)
        return status, json.loads(body) if body else None

    async def test_answers(self) -> None:
        """The answers of the worker are those of the pool: bodies, statuses, errors, and answers without a body."""
        status, answer = await self.ask("GET", "/streams?limit=1")
        self.assertEqual((status, answer["streams"][0]["name"]), (200, "news"))
        self.assertEqual((await self.ask("GET", "/streams/nothing"))[0], 404)
        self.assertEqual((await self.ask("PUT", "/streams/other"))[0], 405)
        self.assertEqual((await self.ask("HEAD", "/streams"))[0], 200)
        self.assertEqual((await self.ask("POST", "/streams/news/cancel"))[1]["state"], "cancelled")
        self.assertEqual(await self.ask("DELETE", "/streams/news"), (204, None))
        self.assertEqual((await self.ask("GET", "/admin/viewers.json?worker=1"))[1]["viewers"], [])

    async def test_noWorker(self) -> None:
        """Without the worker that was asked for the answer is 503, and the log has why; 400 if its number is none."""
        with capturedLogs() as logged:
            status, answer = await self.ask("GET", "/admin/viewers.json?worker=2")
        self.assertEqual((status, answer["error"]["code"]), (503, "overloaded"))
        self.assertEqual(
            [event["log_level"].name for event in logged if "ConnectionLost" in formatEvent(event)], ["warn"]
        )
        self.assertEqual((await self.ask("GET", "/admin/viewers.json?worker=x"))[0], 400)

    async def test_events(self) -> None:
        """Events pass at once; the worker notices that the operator has left, and the operator that it is gone."""
        connection, response = await deferToThread(self.begin, "GET", "/streams/news", "text/event-stream")
        await self.service.publish("news", [NewEntry(Kind.TOKEN, b"Hello")], False)
        text = b""
        while b"data: Hello\n" not in text:
            text += await deferToThread(response.readline)
        self.assertEqual(self.service.viewers.count, 1)
        await deferToThread(response.close)
        connection.close()
        while self.service.viewers.count:
            await deferLater(reactor, 0.01)
        connection, response = await deferToThread(self.begin, "GET", "/streams/news", "text/event-stream")
        self.service.viewers.cut()
        with self.assertRaises((http.client.IncompleteRead, ConnectionError)):
            await deferToThread(response.read)
        connection.close()
