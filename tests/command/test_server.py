"""
Tests for `sseserver.command.server` and `sseserver.command.listeners`: the service that twistd runs.
"""

from __future__ import annotations

import io
from typing import Any

from twisted.application.service import Application
from twisted.internet import reactor
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import ILogObserver, formatEvent, globalLogPublisher
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource

from sseserver.command.listeners import makeListener
from sseserver.command.logs import ProcessLog
from sseserver.command.server import Server
from sseserver.delivery.socketoptions import TunedEndpoint
from sseserver.web.site import StreamSite

ANYWHERE = "tcp:0:interface=127.0.0.1"


class ServerTests(TestCase):
    """`Server`, with listeners only."""

    def makeSite(self) -> StreamSite:
        """Make a site."""
        return StreamSite(Resource(), accessLog=None)

    async def start(self, isWorker: bool, hasPage: bool = False) -> list[str]:
        """Start and stop a server; return the URLs in its log."""
        server = Server(isWorker=isWorker)
        server.hasPage = hasPage
        server.summary = "source: a"
        server.listen(reactor, ANYWHERE, self.makeSite())
        server.listen(reactor, ANYWHERE, self.makeSite(), "admin-listen")
        log = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        server.privilegedStartService()
        server.startService()
        await server.stopService()
        return [formatEvent(event) for event in log if "url" in event]

    async def test_url(self) -> None:
        """The log has the URL of each endpoint, and what is there; that of a worker leaves this to the pool."""
        clients, operators = await self.start(False)
        self.assertRegex(clients, r"^Open http://127\.0\.0\.1:\d+/ \(source: a\)$")
        self.assertRegex(operators, r"^Open http://127\.0\.0\.1:\d+/ \(for operators\)$")
        self.assertRegex((await self.start(False, True))[1], r"^Open http://127\.0\.0\.1:\d+/admin/ \(for operators\)$")
        self.assertEqual(await self.start(True), [])

    def test_observer(self) -> None:
        """twistd gets the log from the application."""
        application: Any = Application("a")
        server = Server()
        server.log = ProcessLog(io.StringIO(), False, "info")
        server.setServiceParent(application)
        self.assertIs(application.getComponent(ILogObserver), server.log)

    def test_listener(self) -> None:
        """A listener has the socket options of viewers."""
        self.assertIsInstance(makeListener(reactor, ANYWHERE, self.makeSite(), "listen").endpoint, TunedEndpoint)
