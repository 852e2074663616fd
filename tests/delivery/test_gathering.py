"""
Tests of `sseserver.delivery.gathering`: several readings in one send, for viewers that are far behind.
"""

from __future__ import annotations

from twisted.trial.unittest import SkipTest

from sseserver.delivery.gathering import MOST_BYTES
from sseserver.delivery.readings import READ_BYTES
from sseserver.formats import ResponsesFormat
from sseserver.values import Kind
from tests.delivery.cases import SETTINGS, ProducerTestCase
from tests.wires import countUnsent, soon

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
        """A client that takes less gets the same; no more than one reading is kept for it, and a piece of it queued."""
        for step in (30_000, 400_000, 1_000_003):
            wire = self.follow(room=step)
            for _ in soon(lambda wire=wire: wire.response.complete):
                self.assertLess(self.rests.used, 2_000_000)
                self.assertLessEqual(self.rests.count, 1)
                self.assertLess(countUnsent(wire.transport), 2**17)
                wire.take(step)
                self.reactor.turn()
            self.assertEqual(wire.response.body, b"retry: 3000\n" + self.whole)
        self.assertEqual(self.rests.used, 0)


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
