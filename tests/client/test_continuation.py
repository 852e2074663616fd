"""Tests for `sseserver.client.continuation`: what the next request carries, and whether there is one."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from sseserver.client import ConnectionFailed, Request, RetryPolicy, Untrusted
from sseserver.client.continuation import Continuation
from sseserver.client.response import ResponseReader
from sseserver.wire import Decoder

URL = "http://localhost/streams/a"


def makeReader(data: bytes) -> ResponseReader:
    """Make a reader of a response that had these bytes, and is over."""
    reader = ResponseReader(Clock(), Decoder(), None, lambda _: None, lambda _: None)
    reader.dataReceived(data)
    return reader


class ContinuationTests(SynchronousTestCase):
    """One continuation."""

    def setUp(self) -> None:
        """Make the continuation of a client with short delays."""
        self.policy = RetryPolicy(reconnectionTime=2.0, maxDelay=8.0)
        self.continuation = Continuation(Request(URL, lastEventID="e-1"), self.policy)

    def test_learn(self) -> None:
        """The last event ID and the reconnection time are kept until a response has others."""
        self.assertEqual((self.continuation.request.lastEventID, self.continuation.reconnectionTime), ("e-1", 2.0))
        self.continuation.learn(makeReader(b"id: e-2\nretry: 4500\ndata: x\n\n"))
        self.assertEqual((self.continuation.request.lastEventID, self.continuation.reconnectionTime), ("e-2", 4.5))
        self.continuation.learn(makeReader(b"id: e-3\ndata: x\n\n"))
        self.assertEqual((self.continuation.request.lastEventID, self.continuation.reconnectionTime), ("e-3", 4.5))

    def test_redirect(self) -> None:
        """The next request goes to the URL that answered, with everything else unchanged."""
        self.continuation.redirect(URL)
        self.assertEqual(self.continuation.request.url, URL)
        self.continuation.redirect(f"{URL}/there")
        request = self.continuation.request
        self.assertEqual((request.url, request.lastEventID), (f"{URL}/there", "e-1"))

    def test_delay(self) -> None:
        """Failures in a row make the range of the delay longer; a response with an event makes it short again."""
        failure = Failure(ConnectionFailed("There is no server."))
        for _ in range(2):
            for _ in range(5):
                delay = self.continuation.chooseDelay(failure, False)
                self.assertTrue(delay is not None and 2.0 <= delay <= 8.0, delay)
            self.assertEqual(self.continuation.chooseDelay(None, True), 2.0)

    def test_noFurtherRequest(self) -> None:
        """There is none after an error that is final, and none without a policy."""
        self.assertIsNone(self.continuation.chooseDelay(Failure(Untrusted("The certificate is wrong.")), False))
        single = Continuation(Request(URL), None)
        self.assertEqual(single.reconnectionTime, RetryPolicy().reconnectionTime)
        self.assertIsNone(single.chooseDelay(None, True))
