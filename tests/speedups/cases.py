"""
Test cases of fast bodies and channels. They choose the speedups, whatever the environment says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.web.resource import IResource
from twisted.web.server import Request

from sseserver.speedups.body import FastBody, Outbox
from sseserver.speedups.probes import probe
from sseserver.timing.turnend import TurnEnd
from sseserver.web.site import StreamSite
from tests.resources import HoldingResource
from tests.wires import Wire, WireTestCase

PIECES = (b"retry: 3000\n\n", b"data: one\n\n", b"data: zw\xc3\xb6lf\n\n")

Write = Callable[[bytes], None]


def look(check: Callable[[], bool]) -> bool:
    """Run a probe anew: it keeps its outcome."""
    cached: Any = check
    return bool(probe(cached.__wrapped__)())


def makeFastSite(resource: IResource, reactor: Any, **keywords: Any) -> StreamSite:
    """Make a site with all speedups."""
    return StreamSite(resource, reactor=reactor, plain=False, **keywords)


class FastTestCase(WireTestCase):
    """Connections to sites with all speedups."""

    def site(self, resource: IResource) -> StreamSite:
        """See `WireTestCase.site`."""
        return makeFastSite(resource, self.reactor)


class BodyTestCase(FastTestCase):
    """Requests that wait for their answers."""

    def setUp(self) -> None:
        super().setUp()
        self.caught = HoldingResource()
        self.outbox = Outbox(TurnEnd(self.reactor))
        self.factory: Any = self.site(self.caught)

    def open(self, version: str = "1.1", length: int | None = None) -> tuple[Wire, Request]:
        """Make a request. Its answer gets no `Date`, which would differ between two answers."""
        wire = self.connect(self.factory)
        wire.begin(version=version)
        request = self.caught.requests[-1]
        request.responseHeaders.removeHeader(b"Date")
        if length is not None:
            request.responseHeaders.setRawHeaders(b"Content-Length", [b"%d" % length])
        return wire, request

    def openBody(self, version: str = "1.1") -> tuple[Wire, Request, FastBody]:
        """Make a request whose head and first bytes are sent."""
        wire, request = self.open(version)
        body = self.outbox.makeBody(request)
        body.write(b"first")
        self.reactor.turn()
        return wire, request, body
