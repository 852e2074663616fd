"""
Tests of `sseserver.web.arrivingbodies`, and of the sites that count with it.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Site

from sseserver.web.arrivingbodies import SMALL_BODY, ArrivingBodies
from sseserver.web.site import StreamRequest, StreamSite
from tests.web.test_bodylimit import Reading
from tests.wires import Wire, WireTestCase

#: Bytes. The largest body.
LARGEST = 2 * SMALL_BODY


class ArrivingBodiesTests(SynchronousTestCase):
    """The count."""

    def test_grow(self) -> None:
        """A body grows while there is room, and may exceed it once; then nothing is counted."""
        bodies = ArrivingBodies(100)
        self.assertTrue(bodies.grow(0, 60))
        self.assertTrue(bodies.grow(60, 90))
        self.assertTrue(bodies.grow(0, 50))
        self.assertEqual((bodies.used, bodies.count), (140, 2))
        self.assertFalse(bodies.grow(90, 91))
        self.assertFalse(bodies.grow(0, 1))
        bodies.remove(90)
        bodies.remove(50)
        self.assertEqual((bodies.used, bodies.count), (0, 0))


class SiteTests(WireTestCase):
    """Bodies that arrive at a site, with and without speedups."""

    def makeSites(self) -> list[Site]:
        """Make all kinds of sites."""
        own = Site(Reading(), requestFactory=StreamRequest, parsePOSTFormSubmission=False, reactor=self.reactor)
        own.maxBody = LARGEST
        sites = [StreamSite(Reading(), reactor=self.reactor, plain=plain, maxBody=LARGEST) for plain in (True, False)]
        return [*sites, own]

    def begin(self, site: Site, size: int, length: int = LARGEST) -> Wire:
        """Send a part of a body."""
        wire = self.connect(site)
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length + b"x" * size)
        return wire

    def test_counted(self) -> None:
        """A large body counts until it is complete, or its connection is lost; a small one does not count."""
        for site in self.makeSites():
            self.begin(site, SMALL_BODY)
            first, second = self.begin(site, SMALL_BODY + 1), self.begin(site, LARGEST - 1)
            bodies = site.bodies
            self.assertEqual((bodies.used, bodies.count), (SMALL_BODY + LARGEST, 2))
            second.send(b"x")
            self.assertTrue(second.received.endswith(b"read"))
            self.assertEqual((bodies.used, bodies.count), (SMALL_BODY + 1, 1))
            first.close()
            self.assertEqual((bodies.used, bodies.count), (0, 0))

    def test_full(self) -> None:
        """Without room a large body is answered 503, and what has arrived is dropped; a small one is read."""
        for site in self.makeSites()[:2]:
            wires = [self.begin(site, size) for size in (*[LARGEST - 1] * 4, SMALL_BODY + 1)]
            refused = self.begin(site, SMALL_BODY + 1)
            self.assertIn(b"HTTP/1.1 503 Service Unavailable\r\n", refused.received)
            self.assertIn(b"Retry-After: ", refused.received)
            self.assertTrue(self.begin(site, 10, 10).received.endswith(b"read"))
            for wire in [*wires, refused]:
                wire.close()
            self.assertEqual((site.bodies.used, site.bodies.count), (0, 0))
            again = self.begin(site, LARGEST)
            self.assertTrue(again.received.endswith(b"read"))
