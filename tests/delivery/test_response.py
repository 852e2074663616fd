"""
Tests of `sseserver.delivery.response`: what event streams and documents have in common.
"""

from __future__ import annotations

from twisted.web.server import Request

from sseserver.delivery.document import Document, DocumentProducer
from sseserver.delivery.producer import EventStreamProducer
from sseserver.delivery.response import ResponseProducer
from sseserver.values import StartingPlace
from sseserver.web.site import StreamSite
from tests.delivery.cases import URL, ProducerTestCase, Watched


class ResponseTests(ProducerTestCase):
    """Responses on plain requests, which keep their producers."""

    def setUp(self) -> None:
        super().setUp()
        self.requests: list[Request] = []
        self.over: list[ResponseProducer] = []
        self.documents = False

    def makeFactory(self) -> StreamSite:
        return StreamSite(Watched(self.make), reactor=self.reactor, plain=True)

    def noteEnd(self, producer: ResponseProducer) -> None:
        self.over.append(producer)

    def make(self, request: Request) -> None:
        self.requests.append(request)
        if self.documents:
            document = Document(b"x" * 10_000 for _ in range(100))
            DocumentProducer(request, document, self.delivery, self.over.append).start()
        else:
            EventStreamProducer(request, self.streamLog, self.form, self.delivery).start(StartingPlace(), 3000, URL)

    def test_F108_lostClient(self) -> None:
        """F108: a client that leaves ends its response once, and its request no longer has the producer."""
        for self.documents in (False, True):
            self.over.clear()
            wire = self.follow(room=0)
            wire.breakDown()
            self.reactor.turn()
            self.assertEqual([producer.reason for producer in self.over], ["left"])
            self.assertIsNone(self.requests[-1].producer)

    def test_once(self) -> None:
        """A response ends once, whatever comes after."""
        for self.documents in (False, True):
            self.over.clear()
            self.follow(room=0)
            producer = self.requests[-1].producer
            producer.abort("shutdown")
            producer.finish("complete")
            producer.abort("stalled")
            producer.stopProducing()
            producer.pauseProducing()
            producer.resumeProducing()
            self.assertEqual([(one, one.reason) for one in self.over], [(producer, "shutdown")])
            self.assertFalse(producer.isPaused)

    def test_release(self) -> None:
        """A subclass without `_release` is told so."""
        self.documents = True
        self.follow(room=0)
        producer = ResponseProducer(self.requests[-1], self.delivery)
        self.assertRaises(NotImplementedError, producer.stopProducing)
        self.requests[-1].producer.abort("shutdown")
