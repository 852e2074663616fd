"""
Tests of `sseserver.delivery.drain`: the wait for the last bytes.
"""

from __future__ import annotations

from sseserver.delivery.drain import allSent
from tests.resources import HoldingResource
from tests.wires import WireTestCase


class DrainTests(WireTestCase):
    """Responses with bytes in the queue of their transport."""

    def setUp(self) -> None:
        super().setUp()
        self.resource = HoldingResource(b"x" * 100_000)
        self.wire = self.connect(self.site(self.resource))
        self.wire.stall()
        self.wire.begin()
        self.transports = [request.transport for request in self.resource.requests]

    def test_sent(self) -> None:
        """The wait ends when the socket has taken all bytes."""
        sent = allSent(self.reactor, self.transports, lambda: True)
        self.reactor.run(1.0)
        self.assertNoResult(sent)
        self.wire.take()
        self.reactor.run(0.1)
        self.successResultOf(sent)
        self.assertIn(b"x" * 100_000, self.wire.received)

    def test_timeIsUp(self) -> None:
        """The wait ends when the time is up, with bytes still queued."""
        end = self.reactor.seconds() + 1.0
        sent = allSent(self.reactor, self.transports, lambda: self.reactor.seconds() < end)
        self.reactor.run(0.9)
        self.assertNoResult(sent)
        self.reactor.run(0.2)
        self.successResultOf(sent)

    def test_nothingToWaitFor(self) -> None:
        """Without transports or time there is no wait."""
        self.successResultOf(allSent(self.reactor, [], lambda: True))
        self.successResultOf(allSent(self.reactor, self.transports, lambda: False))
