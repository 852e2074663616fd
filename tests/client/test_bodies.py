"""Tests for `sseserver.client.bodies`: bodies that are not event streams, as a client treats them."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from sseserver.client import ResponseRefused, StatusError
from sseserver.client.bodies import REFUSAL_BYTES, REFUSAL_SECONDS, STEP_BYTES, WHOLE_BYTES, BytesProducer
from tests.client.clients import ClientTestCase


class BytesProducerTests(SynchronousTestCase):
    """Bodies of requests."""

    def test_steps(self) -> None:
        """#12: a large body is written in steps, only while its transport is not full."""
        body = bytes(range(256)) * 8192
        producer, transport = BytesProducer(body), StringTransport()
        write, steps = transport.write, []

        def writeAndPause(data: bytes) -> None:
            write(data)
            steps.append(len(data))
            producer.pauseProducing()

        transport.write = writeAndPause  # type: ignore[method-assign]
        written = producer.startProducing(transport)
        self.assertEqual(producer.length, len(body))
        for count in range(1, len(body) // STEP_BYTES + 1):
            self.assertEqual(len(steps), count)
            producer.resumeProducing()
        self.assertIsNone(self.successResultOf(written))
        producer.resumeProducing()
        self.assertEqual(transport.value(), body)
        self.assertEqual(set(steps), {STEP_BYTES})

    def test_growable(self) -> None:
        """#12: a body that has grown in place reaches a transport as bytes, in one piece or in steps."""
        for size in (WHOLE_BYTES, WHOLE_BYTES + 1):
            producer, transport = BytesProducer(bytearray(b"x" * size)), StringTransport()
            self.assertIsNone(self.successResultOf(producer.startProducing(transport)))
            self.assertEqual(transport.value(), b"x" * size)

    def test_stopped(self) -> None:
        """A body whose connection is lost, or that is cancelled, is written no further."""
        for cancelled in (False, True):
            producer, transport = BytesProducer(b"x" * 2 * WHOLE_BYTES), StringTransport()
            transport.write = lambda data, producer=producer: producer.pauseProducing()  # type: ignore[assignment]
            written = producer.startProducing(transport)
            if cancelled:
                written.cancel()
                self.failureResultOf(written, CancelledError)
            else:
                producer.stopProducing()
            transport.write = self.fail  # type: ignore[assignment]
            producer.resumeProducing()


class RefusalTests(ClientTestCase):
    """Bodies of responses that are not event streams."""

    def test_refusalIsBounded(self) -> None:
        """The body of a refusal is read within a size and a time, then the connection is dropped."""
        self.begin()
        self.respond("500 Oops", {})
        self.chunk(b"x" * (REFUSAL_BYTES + 1))
        self.assertEqual(self.assertFails(StatusError).body, b"x" * REFUSAL_BYTES)
        self.begin()
        self.respond("500 Oops", {})
        self.chunk(b"only this")
        self.reactor.advance(REFUSAL_SECONDS - 0.1)
        self.assertNoResult(self.done)
        self.reactor.advance(0.1)
        self.assertEqual(self.assertFails(ResponseRefused).body, b"only this")

    def test_closeDuringRefusal(self) -> None:
        """A client that is closed while it reads a refusal ends without an error."""
        source = self.begin()
        self.respond("500 Oops", {})
        source.close()
        self.assertIsNone(self.successResultOf(self.done))
        self.assertOver()

    def test_redirect(self) -> None:
        """The body of a redirect is dropped, not awaited."""
        self.begin()
        self.respond("307 There", {"Location": "/new"})
        self.assertEqual(len(self.wires), 2)
        self.assertTrue(self.wires[0].closed)
        self.assertFalse(self.wires[1].closed)


class ProducerTests(SynchronousTestCase):
    """`BytesProducer`."""

    def test_body(self) -> None:
        """The body is written at once, and its length is known."""
        producer, transport = BytesProducer(b"body"), StringTransport()
        self.assertEqual(producer.length, 4)
        self.assertIsNone(self.successResultOf(producer.startProducing(transport)))
        self.assertEqual(transport.value(), b"body")
