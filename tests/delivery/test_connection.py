"""
Tests of `sseserver.delivery.connection`: the connection of a response.
"""

from __future__ import annotations

from typing import Any

from sseserver.delivery.connection import abort, findConnection, isOver
from tests.resources import HoldingResource
from tests.wires import WireTestCase


class Wrapper:
    """A transport in front of another one."""

    def __init__(self, transport: object) -> None:
        self.transport = transport


class ConnectionTests(WireTestCase):
    """The connection of a request on a wire."""

    def setUp(self) -> None:
        super().setUp()
        held = HoldingResource()
        self.wire = self.connect(self.site(held))
        self.wire.begin()
        (self.request,) = held.requests

    def test_isOver(self) -> None:
        """A response is over once it is finished."""
        self.assertFalse(isOver(self.request))
        self.request.finish()
        self.assertTrue(isOver(self.request))

    def test_isOverWithoutClient(self) -> None:
        """A response is over once its client has closed the connection."""
        self.wire.close()
        self.assertTrue(isOver(self.request))

    def test_findConnection(self) -> None:
        """The connection is found below any number of transports; other transports have none."""
        self.assertIs(findConnection(self.request.transport), self.wire.transport)
        self.assertIs(findConnection(Wrapper(Wrapper(self.wire.transport))), self.wire.transport)
        self.assertIsNone(findConnection(Wrapper(None)))
        self.assertIsNone(findConnection(object()))

    def test_abort(self) -> None:
        """An abort closes the connection at once, without the queued bytes."""
        self.wire.stall()
        self.request.write(b"x" * 100_000)
        abort(self.request)
        self.reactor.advance(0)
        self.assertTrue(self.wire.closed)
        self.assertNotIn(b"xxx", self.wire.received)

    def test_abortWithoutTransport(self) -> None:
        """A request without a transport of its own, as in HTTP/2, loses its connection."""
        calls: list[str] = []

        class Stream:
            transport: Any = None

            def loseConnection(self) -> None:
                calls.append("lose")

        stream: Any = Stream()
        abort(stream)
        self.assertEqual(calls, ["lose"])
