"""
Tests for `sseserver.command.sites`: the sites that the options describe.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import EventLoggingObserver, StringTransport
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from sseserver.apis import makeAdmin
from sseserver.apis.admin.measured import Measured
from sseserver.command.sites import ADMIN_CONNECTIONS, makeAdminSite, makeSite
from sseserver.service.service import StreamService
from sseserver.sources.text import TextSource
from sseserver.tap import makeSettings
from sseserver.timing.reactorlag import ReactorLag
from sseserver.web.site import StreamSite
from tests.command.test_parsing import parse


class SiteTests(SynchronousTestCase):
    """The sites of `--listen` and `--admin-listen`."""

    def setUp(self) -> None:
        """Measure time with a clock."""
        self.clock = Clock()

    def make(self, *arguments: str) -> list[StreamSite]:
        """Return the site for clients and that for operators."""
        options = parse(*arguments)
        self.service = service = StreamService(self.clock, TextSource(self.clock, "a", 1), makeSettings(options))
        site = makeSite(self.clock, service, options)
        measured = Measured(service, site, ReactorLag(self.clock))
        return [site, makeAdminSite(self.clock, makeAdmin(measured, options["hosts"]), options)]

    def request(self, site: Any) -> None:
        """Send a request that is answered at once."""
        channel = site.buildProtocol(None)
        transport = StringTransport()
        channel.makeConnection(transport)
        channel.dataReceived(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        self.assertIn(b" 200 OK", transport.value())
        channel.connectionLost(None)

    def test_accessLog(self) -> None:
        """The access log goes to the log, to a file, or nowhere, and has the format of `--log-format`."""
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        path = f"{folder}/access"
        for arguments, place, begins in (
            ((), None, '"192.168'),
            (("--log-format=json",), None, None),
            (("--access-log=none",), None, None),
            ((f"--access-log={path}",), path, '"192.168'),
            ((f"--access-log={path}", "--log-format=json"), path, "{"),
        ):
            site: Any = self.make(*arguments)[0]
            self.assertEqual(site.logPath, place)
            site._logFile = io.StringIO()  # noqa: SLF001
            observer = EventLoggingObserver()
            globalLogPublisher.addObserver(observer)
            self.addCleanup(globalLogPublisher.removeObserver, observer)
            self.request(site)
            globalLogPublisher.removeObserver(observer)
            line = site._logFile.getvalue()  # noqa: SLF001
            self.assertTrue(line.startswith(begins) if begins else not line, line)
            events = [event for event in observer if event["log_namespace"] == "sseserver.access"]
            self.assertEqual(len(events), int(arguments == ("--log-format=json",)))

    def test_stall(self) -> None:
        """`--stall` holds on each site, also for a connection whose answer is finished."""
        self.assertEqual([site.stall for site in self.make("--stall=7")], [7, 7])

    def test_connections(self) -> None:
        """The connections and bodies of clients are those of the ledger; operators have a few of their own."""
        site, admin = self.make("--max-connections=9")
        self.assertEqual([each.peers.maxConnections for each in (site, admin)], [9, ADMIN_CONNECTIONS])
        self.assertIs(self.service.ledger.connections, site.connections)
        self.assertIs(self.service.ledger.bodies, site.bodies)
