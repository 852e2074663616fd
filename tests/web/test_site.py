"""
Tests of `sseserver.web.site`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from sseserver.apis.root import StreamResource
from sseserver.service.service import Settings
from sseserver.web.site import (
    FastStreamChannel,
    FastStreamRequest,
    PlainStreamChannel,
    PlainStreamRequest,
    StreamSite,
    chooseConnection,
)
from tests.apis.cases import ScriptedTestCase


class SiteTests(ScriptedTestCase):
    """The site."""

    def test_onlyHTTP11(self) -> None:
        """HTTP/2 is never offered under TLS, even if `h2` is installed."""
        self.patch(Site, "acceptableProtocols", lambda self: [b"h2", b"http/1.1"])
        self.assertEqual(StreamSite(Resource()).acceptableProtocols(), [b"http/1.1"])

    def test_idleConnection(self) -> None:
        """An idle connection is closed after 75 s, more than the 60 s of common load balancers."""
        wire = self.connect(self.factory)
        wire.ask("/assets/app.js")
        self.reactor.run(74)
        self.assertFalse(wire.closed)
        self.reactor.run(2)
        self.assertTrue(wire.closed)

    def test_streamIsNotIdle(self) -> None:
        """A connection with an active stream is not closed, however quiet the stream is."""
        self.serve(self.source, Settings(heartbeat=1000))
        wire = self.view()
        self.reactor.run(500, 1)
        self.assertFalse(wire.closed)
        self.write("a")
        self.assertEqual(wire.response.texts, ["", "a"])

    def test_keywords(self) -> None:
        """Other keywords of Twisted's site are passed on, such as the idle time."""
        site = StreamSite(Resource(), timeout=5, reactor=self.reactor)
        self.assertEqual(site.timeOut, 5)

    def test_deadlinesWhileListening(self) -> None:
        """While a port listens, the loop of the deadlines outlives a connection, afterwards it does not."""
        site = StreamSite(Resource(), reactor=self.reactor)
        site.doStart()
        before = len(self.reactor.getDelayedCalls())
        self.connect(site).close()
        self.assertEqual(len(self.reactor.getDelayedCalls()), before + 1)
        site.doStop()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.connect(site).close()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_plainSite(self) -> None:
        """The resource works on a site of Twisted."""
        self.factory = Site(StreamResource(self.service), reactor=self.reactor)
        wire = self.view()
        self.write("a")
        self.assertEqual(wire.response.texts, ["", "a"])


class ConnectionTests(SynchronousTestCase):
    """The choice of connections."""

    def test_connections(self) -> None:
        """A plain site has connections and requests of Twisted's own, with limits."""
        self.assertEqual(chooseConnection(True), (PlainStreamChannel, PlainStreamRequest))
        self.assertEqual(chooseConnection(False), (FastStreamChannel, FastStreamRequest))
