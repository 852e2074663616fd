"""
Tests of `sseserver.delivery.gathering`: several readings in one send, for viewers that are far behind.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.trial.unittest import SkipTest

from sseserver.delivery import producer
from sseserver.delivery.gathering import MOST_BYTES, gather
from sseserver.delivery.readings import READ_BYTES
from sseserver.delivery.socketoptions import MOST_LARGE
from sseserver.formats import ResponsesFormat
from sseserver.interfaces.reading import Reading
from sseserver.streams.ids import makeEpoch
from sseserver.streams.log import StreamLog
from sseserver.values import Kind
from tests.delivery.cases import HEARTBEAT, SETTINGS, SLOT, ProducerTestCase
from tests.wires import Wire, countUnsent, soon

#: Number of tokens of a long answer.
TOKENS = 20_000


class ManyTests(ProducerTestCase):
    """Viewers of a long answer whose events are not joined."""

    def setUp(self) -> None:
        super().setUp()
        self.form = ResponsesFormat("m")
        self.streamLog.append(Kind.INPUT, b"{}\n[]")
        for number in range(TOKENS):
            self.streamLog.append(Kind.TOKEN, b"word%d " % number)
        self.end()
        rendering, cursor, parts = self.form.makeRendering(self.streamLog), 0, []
        while cursor < self.streamLog.last:
            reading = rendering.read(cursor, READ_BYTES, True)
            cursor = reading.cursor
            parts.append(reading.data)
        self.whole = b"".join(parts)

    def test_fewSends(self) -> None:
        """A client that takes everything gets more with each send, up to a limit."""
        if SETTINGS.plain:
            raise SkipTest("A plain body has no sends of its own.")
        wire = self.follow()
        for _ in soon(lambda: self.ended):
            self.reactor.turn()
        self.assertEqual(wire.response.body, b"retry: 3000\n" + self.whole)
        self.assertTrue(wire.response.complete)
        sends = wire.socket.sends
        # The first one comes soon.
        self.assertLess(sends[0], 2 * READ_BYTES)
        self.assertLess(max(sends), MOST_BYTES + len(self.whole[self.whole.rfind(b'"response.output_text.done"') :]))
        self.assertLess(len(sends), 10)

    def test_slowly(self) -> None:
        """
        A client that takes less gets the same, and all that it takes with each send.

        No more than one reading is kept for it. Where it cannot wait for room, a piece of that is queued.
        """
        for step in (30_000, 400_000, 1_000_003):
            wire = self.follow(room=step)
            for _ in soon(lambda wire=wire: wire.response.complete):
                self.assertLess(self.rests.used, 2_000_000)
                self.assertLessEqual(self.rests.count, 1)
                self.assertLess(countUnsent(wire.transport), 2**17)
                wire.take(step)
                self.reactor.turn()
            self.assertEqual(wire.response.body, b"retry: 3000\n" + self.whole)
            if not SETTINGS.plain and step > READ_BYTES:
                # Twisted's own transport sends nothing, too, before it resumes a producer.
                sends = [size for size in wire.socket.sends if size]
                self.assertLess(len(sends), len(self.whole) / step + 6, sends)
        self.assertEqual(self.rests.used, 0)

    def test_slowAlone(self) -> None:
        """For a client that takes less than a reading at a time none is made that it has no room for."""
        made: list[int] = []

        def note(*arguments: Any) -> list[Reading]:
            readings = gather(*arguments)
            made.append(len(readings))
            return readings

        self.patch(producer, "gather", note)
        wire = self.follow(room=30_000)
        for _ in soon(lambda: wire.response.complete):
            wire.take(30_000)
            self.reactor.turn()
        self.assertLess(len(made), 3)

    def test_retired(self) -> None:
        """A viewer that is told to return while it has a reading in part gets the rest of that, and no other one."""
        wire = self.follow(room=300_000)
        for _ in soon(lambda: self.producers[0].isPaused):
            self.reactor.turn()
        self.producers[0].retire(2000)
        for _ in soon(lambda: wire.response.complete):
            wire.take(50_000)
        self.assertEqual(self.producers[0].reason, "retired")
        self.assertLess(len(wire.response.body), 300_000 + 2 * READ_BYTES)
        self.assertIn(b'"code":"retired"', wire.response.body[-300:])
        self.assertTrue(self.whole.startswith(wire.response.body[len(b"retry: 3000\n") : 300_000]))

    def getLowat(self, wire: Wire) -> int:
        """Return the bytes that the kernel takes ahead for a viewer, if they were set."""
        return wire.socket.options.get((socket.IPPROTO_TCP, getattr(socket, "TCP_NOTSENT_LOWAT", 25)), 0)

    def test_largeWrites(self) -> None:
        """
        For a few viewers far behind the kernel takes megabytes ahead, until their responses end.

        A plain body, which writes pieces, has no use for that.
        """
        wires = [self.follow(room=1_000_000) for _ in range(MOST_LARGE + 1)]
        for wire in wires:
            wire.take(1_000_000)
        if SETTINGS.plain:
            self.assertEqual(len(self.delivery.largeWrites), 0)
            return
        self.assertEqual(len(self.delivery.largeWrites), MOST_LARGE)
        self.assertEqual([self.getLowat(wire) for wire in wires], [2**21] * MOST_LARGE + [2**17])
        self.producers[0].abort("cut")
        wires[1].take()
        for _ in soon(lambda: wires[1].response.complete):
            self.reactor.turn()
        self.assertEqual((len(self.delivery.largeWrites), self.getLowat(wires[1])), (MOST_LARGE - 2, 2**17))
        wires[-1].take(1_000_000)
        self.assertEqual(self.getLowat(wires[-1]), 2**21)

    def test_caughtUp(self) -> None:
        """A viewer that has caught up loses its large writes with the next look at it."""
        if SETTINGS.plain:
            raise SkipTest("A plain body has no large writes.")
        self.streamLog = StreamLog("open", makeEpoch(), self.flush, self.window)
        for number in range(TOKENS):
            self.streamLog.append(Kind.TOKEN, b"word%d " % number)
        wire = self.follow(room=1_000_000)
        wire.take(1_000_000)
        self.assertEqual(self.getLowat(wire), 2**21)
        wire.take()
        for _ in soon(lambda: self.producers[0].cursor == self.streamLog.last):
            self.reactor.turn()
        self.reactor.run(HEARTBEAT + SLOT)
        self.assertEqual((len(self.delivery.largeWrites), self.getLowat(wire)), (0, 2**17))


class JoinedTests(ProducerTestCase):
    """Viewers of a long answer whose events are joined."""

    def test_oneByOne(self) -> None:
        """Each reading is sent by itself, so that none is made again that the client did not take at once."""
        if SETTINGS.plain:
            raise SkipTest("A plain body has no sends of its own.")
        for _ in range(400):
            self.streamLog.append(Kind.TOKEN, b"x" * 10_000)
        self.end()
        wire = self.follow()
        for _ in soon(lambda: self.ended):
            self.reactor.turn()
        self.assertTrue(wire.response.complete)
        self.assertGreater(sum(wire.socket.sends), 4_000_000)
        self.assertLess(max(wire.socket.sends), 2 * READ_BYTES)
