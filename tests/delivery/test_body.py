"""
Tests of `sseserver.delivery.body`: the plain body, and the choice.
"""

from __future__ import annotations

from twisted.web.server import Request

from sseserver.delivery.body import ResponseBody, chooseBody
from sseserver.speedups.body import FastBody
from sseserver.speedups.sendbuffer import PIECE
from sseserver.timing.turnend import TurnEnd
from tests.resources import HoldingResource
from tests.wires import Wire, WireTestCase


class BodyTests(WireTestCase):
    """Bodies of responses that wait for them."""

    def open(self) -> tuple[Wire, Request]:
        """Make a request."""
        resource = HoldingResource()
        wire = self.connect(self.site(resource))
        wire.begin()
        return wire, resource.requests[0]

    def test_plain(self) -> None:
        """
        The plain body writes with `Request.write` and counts.
        """
        wire, request = self.open()
        body = chooseBody(TurnEnd(self.reactor), plain=True)(request)
        self.assertIsInstance(body, ResponseBody)
        body.write(b"first")
        large = b"x" * 2 * PIECE
        self.assertEqual(body.writeSome(large, 0), PIECE)
        self.assertEqual(body.writeSome(large, PIECE), 2 * PIECE)
        body.cork()
        body.write(b"last")
        body.close()
        request.finish()
        self.reactor.turn()
        self.assertEqual(wire.response.body, b"first" + large + b"last")
        self.assertTrue(wire.response.complete)
        self.assertEqual((body.written, request.sentLength), (9 + 2 * PIECE,) * 2)

    def test_fast(self) -> None:
        """
        Without `plain` the fast body is chosen.
        """
        _, request = self.open()
        self.assertIsInstance(chooseBody(TurnEnd(self.reactor), plain=False)(request), FastBody)
