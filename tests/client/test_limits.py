"""Tests for `sseserver.client.limits`, enforced by a client on a clock."""

from __future__ import annotations

from twisted.internet.error import TimeoutError as ConnectionTimeout

from sseserver.client import ConnectTimeout, SilenceTimeout
from tests.client.clients import ClientTestCase


class TimeLimitTests(ClientTestCase):
    """Time limits of connection, head, first byte and silence."""

    def test_connecting(self) -> None:
        """Connection and head share a limit; exceeding it is retried, or final without retries."""
        self.network.refusals = [None]
        source = self.begin(connectTimeout=5)
        self.reactor.advance(5)
        self.assertIsInstance(self.retries[-1][0], ConnectTimeout)
        self.reactor.advance(6)
        self.wires[-1].send(b"HTTP/1.1 200 OK\r\n")
        self.reactor.advance(5)
        self.assertIsInstance(self.retries[-1][0], ConnectTimeout)
        self.assertTrue(self.wires[-1].closed)
        source.close()
        self.begin(connectTimeout=5, retry=None)
        self.reactor.advance(5)
        self.assertFails(ConnectTimeout)

    def test_agent(self) -> None:
        """The time limit of the agent ends in the same error."""
        self.network.refusals = [ConnectionTimeout()]
        self.begin(retry=None)
        self.assertFails(ConnectTimeout)

    def test_first(self) -> None:
        """The first byte of the body has a limit of its own from the request on, which later bytes do not have."""
        self.begin(connectTimeout=5, firstTimeout=20, retry=None)
        self.reactor.advance(15)
        self.respond()
        self.reactor.advance(4.9)
        self.assertNoResult(self.done)
        self.reactor.advance(0.1)
        self.assertFails(SilenceTimeout)
        self.begin(firstTimeout=20, retry=None)
        self.reactor.advance(20)
        self.assertFails(SilenceTimeout)
        source = self.open(b":\n", firstTimeout=20, retry=None)
        self.reactor.advance(1000)
        self.assertNoResult(self.done)
        source.close()
        self.open(b":\n", firstTimeout=20, silence=2, retry=None)
        self.reactor.advance(2)
        self.assertFails(SilenceTimeout)

    def test_silence(self) -> None:
        """A connection without a byte, comments included, is lost, and the stream continues on another one."""
        self.open(b"id: 1\ndata: x\n\n", silence=10)
        for _ in range(5):
            self.reactor.advance(9.9)
            self.chunk(b":\n")
        self.assertEqual(self.retries, [])
        self.reactor.advance(10)
        error, delay = self.retries.pop()
        self.assertIsInstance(error, SilenceTimeout)
        self.assertTrue(self.wires[-1].closed)
        self.reactor.advance(delay)
        self.assertEqual(self.request()[1]["last-event-id"], "1")

    def test_silenceFromTheHead(self) -> None:
        """Silence is measured from the head on."""
        self.begin(silence=10, retry=None)
        self.respond()
        self.reactor.advance(10)
        self.assertFails(SilenceTimeout)

    def test_silenceWhilePaused(self) -> None:
        """Silence is not measured while the client is paused, and starts anew when it is resumed."""
        source = self.open(b":\n", silence=10, retry=None)
        source.pauseProducing()
        self.reactor.advance(1000)
        source.resumeProducing()
        self.reactor.advance(9.9)
        self.assertNoResult(self.done)
        self.reactor.advance(0.1)
        self.assertFails(SilenceTimeout)
