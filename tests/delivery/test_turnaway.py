"""
Tests of `sseserver.delivery.turnaway`: the response to a viewer without room.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from sseserver.delivery.turnaway import turnAway
from sseserver.errors import Overloaded
from sseserver.formats import makeFormats


class TurnAwayTests(SynchronousTestCase):
    """The last resort for a viewer."""

    formats = makeFormats("model")

    def test_reconnects(self) -> None:
        """
        A format of EventSources is answered with a jittered reconnection time, and nothing else.
        """
        times = set()
        for _ in range(30):
            request = DummyRequest([])
            request.channel = object()
            turnAway(request, self.formats["events"], 3000)
            self.assertEqual(request.finished, 1)
            self.assertEqual(request.responseHeaders.getRawHeaders("content-type"), ["text/event-stream"])
            name, _, value = b"".join(request.written).partition(b": ")
            self.assertEqual((name, value[-2:]), (b"retry", b"\n\n"))
            times.add(int(value))
        self.assertGreater(len(times), 1)
        self.assertTrue(all(2000 <= time <= 4000 for time in times), times)

    def test_others(self) -> None:
        """
        Clients of any other format get an error, and no response is begun.
        """
        request = DummyRequest([])
        self.assertRaises(Overloaded, turnAway, request, self.formats["openai"], 3000)
        self.assertEqual((request.finished, request.written), (0, []))

    def test_left(self) -> None:
        """Nothing is written to a client that has left."""
        request = DummyRequest([])
        turnAway(request, self.formats["events"], 3000)
        self.assertEqual((request.finished, request.written), (0, []))
