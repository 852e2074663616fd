"""
Tests of `sseserver.speedups.sendbuffer`: several readings in one send. `test_body` tests the rest.
"""

from __future__ import annotations

from itertools import product

from sseserver.speedups import sendbuffer
from sseserver.speedups.probes import ProbeTransport
from sseserver.speedups.sendbuffer import PIECE
from tests.speedups.cases import BodyTestCase
from tests.wires import countUnsent

#: Readings, and where they end as chunks.
READINGS = [bytes(range(256)) * 300, b"short", bytes(range(256)) * 500, b"end"]


class ManyTests(BodyTestCase):
    """Readings that are written together."""

    def writeAll(self, version: str, room: int | None, together: bool) -> bytes:
        """
        Write all readings, together as long as the socket takes them.

        Args:
            version: That of HTTP.
            room: Bytes that the socket takes at first.
            together: Whether the rest of a reading is written together with those after it.

        Returns:
            The body.
        """
        wire, request, body = self.openBody(version)
        body.write(b"waits")
        wire.socket.room = room
        left, place = list(READINGS), 0
        while left:
            whole, place = body.writeMany(left, place)
            self.assertLess(countUnsent(wire.transport), 2 * PIECE)
            if whole == len(left):
                break
            if together:
                left = left[whole:]
                wire.take(70_000)
                continue
            data, left = left[whole], left[whole + bool(place) :]
            while 0 < place < len(data):
                wire.take(70_000)
                place = body.writeSome(data, place)
            place = 0
        self.assertEqual(body.written, len(b"firstwaits" + b"".join(READINGS)))
        body.close()
        wire.take()
        request.finish()
        self.reactor.turn()
        self.assertTrue(wire.response.complete)
        return wire.response.body

    def test_inAnyPart(self) -> None:
        """All bytes come in order, wherever the socket gets full; what was not begun is written again by the caller."""
        ends = [sum(len(b"%x\r\n%b\r\n" % (len(data), data)) for data in READINGS[:count]) for count in range(5)]
        for room in (None, *(max(0, end + more + 10) for end in ends for more in range(-12, 9)), 20_000, 100_000):
            for version, together in product(("1.0", "1.1"), (False, True)):
                self.assertEqual(self.writeAll(version, room, together), b"firstwaits" + b"".join(READINGS))

    def test_awaitsRoom(self) -> None:
        """
        A full socket pauses the producer with nothing in the queue, and resumes it as soon as it takes bytes.

        Without the means for that a piece is queued.
        """
        for waits in (True, False):
            self.patch(sendbuffer, "resumesProducers", lambda waits=waits: waits)
            wire, request, body = self.openBody()
            producer = ProbeTransport()
            request.registerProducer(producer, True)
            wire.socket.room = 100_000
            self.assertEqual(body.writeMany(READINGS)[0], 2)
            self.assertEqual((producer.paused, countUnsent(wire.transport) == 0), (True, waits))
            self.assertEqual(body.isEmpty(), waits)
            self.reactor.turn()
            self.assertTrue(producer.paused)
            wire.take(100_000)
            self.assertFalse(producer.paused)
            request.unregisterProducer()
            request.finish()

    def test_oneSend(self) -> None:
        """With room for all of them, they and the bytes before leave in one send."""
        wire, _, body = self.openBody()
        body.write(b"waits")
        before = len(wire.socket.sends)
        self.assertEqual(body.writeMany(READINGS), (4, 0))
        self.assertEqual(len(wire.socket.sends), before + 1)
