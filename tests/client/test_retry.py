"""Tests for `sseserver.client.retry`: the delay before the next request."""

from __future__ import annotations

from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from sseserver.client import (
    ConnectionFailed,
    ConnectTimeout,
    EventSourceError,
    EventTooLarge,
    ResponseTruncated,
    RetryPolicy,
    SilenceTimeout,
    StatusError,
    Untrusted,
    WrongContentType,
    retry,
)
from sseserver.client.retry import readRetryAfter
from tests.client.clients import ClientTestCase


class PolicyTests(SynchronousTestCase):
    """`RetryPolicy` by itself."""

    def test_isTemporary(self) -> None:
        """Failures of the network and the listed statuses are temporary. A certificate, a type or a size is not."""
        for error, temporary in (
            (ConnectionFailed(""), True),
            (ConnectTimeout(""), True),
            (SilenceTimeout(""), True),
            (ResponseTruncated(""), True),
            (StatusError("", 503, Headers()), True),
            (StatusError("", 500, Headers()), False),
            (Untrusted(""), False),
            (WrongContentType("", 200, Headers()), False),
            (EventTooLarge(""), False),
            (EventSourceError(""), False),
            (ZeroDivisionError(), False),
        ):
            self.assertIs(RetryPolicy().isTemporary(error), temporary, error)
        self.assertTrue(RetryPolicy(statuses=(418,)).isTemporary(StatusError("", 418, Headers())))
        self.assertFalse(RetryPolicy(statuses=()).isTemporary(StatusError("", 503, Headers())))

    def test_chooseDelay(self) -> None:
        """The delay stays within its bounds, and never falls below `Retry-After`."""
        policy = RetryPolicy(maxDelay=20.0)
        for failures in range(100):
            self.assertTrue(3.0 <= policy.chooseDelay(3.0, failures, None) <= 20.0)
        busy = StatusError("", 503, Headers({"Retry-After": ["30"]}))
        self.assertEqual(policy.chooseDelay(3.0, 1, busy), 30.0)


class DelayTests(ClientTestCase):
    """Delay before the next request."""

    def test_growing(self) -> None:
        """The bound of the delay doubles with each failure up to the ceiling, and is reset by an event stream."""
        self.network.refusals = [ConnectionRefusedError(), DNSLookupError()] * 4
        self.begin(reconnectionTime=2.0, maxDelay=50.0)
        for expected in (4, 8, 16, 32, 50, 50, 50, 50):
            error, delay = self.retries.pop()
            self.assertIsInstance(error, ConnectionFailed)
            self.assertEqual(delay, expected)
            self.reactor.advance(delay)
        self.respond(body=b":\n")
        self.assertEqual(self.retries.pop(), (None, 2.0))

    def test_openingIsNotEnough(self) -> None:
        """A server that opens streams without a byte in them is asked less and less often."""
        self.begin(reconnectionTime=1.0)
        for expected in (2, 4, 8):
            self.respond(body=b"")
            self.assertEqual(self.retries[-1], (None, expected))
            self.reactor.advance(expected)

    def test_jitter(self) -> None:
        """The delay lies between the reconnection time and its bound."""
        spans: list[tuple[float, float]] = []
        self.patch(retry, "uniform", lambda least, most: spans.append((least, most)) or most / 2)
        self.network.refusals = [ConnectionRefusedError()] * 4
        self.begin(reconnectionTime=10.0, maxDelay=60.0)
        for expected in (15.0, 25.0, 35.0):
            self.assertEqual(self.retries[-1][1], expected)
            self.reactor.advance(expected)
        self.assertEqual(spans[:3], [(0.0, 10.0), (0.0, 30.0), (0.0, 50.0)])

    def test_extremes(self) -> None:
        """A reconnection time of 0 still backs off after failures, and one above the ceiling is obeyed."""
        self.network.refusals = [ConnectionRefusedError()]
        self.begin(reconnectionTime=0.0)
        self.assertEqual(self.retries.pop()[1], 1.0)
        self.network.refusals = [ConnectionRefusedError()]
        self.begin(reconnectionTime=3600.0)
        self.assertEqual(self.retries.pop()[1], 3600.0)

    def test_readRetryAfter(self) -> None:
        """`Retry-After` is seconds or a date, relative to the server's clock. A malformed one is ignored."""
        date = "Sun, 06 Nov 1994 08:49:37 GMT"
        for headers, seconds in (
            ({}, 0.0),
            ({"Retry-After": ["7"]}, 7.0),
            ({"Retry-After": ["99999999999999999999"]}, 2147483.647),
            ({"Retry-After": ["-7"]}, 0.0),
            ({"Retry-After": ["nonsense"]}, 0.0),
            ({"Retry-After": ["Sun, 06 Nov 1994 08:51:37 GMT"], "Date": [date]}, 120.0),
            ({"Retry-After": [date]}, 0.0),
            ({"Retry-After": ["Sun, 06 Xyz 1994 08:51:37 GMT"], "Date": [date]}, 0.0),
        ):
            self.assertEqual(readRetryAfter(Headers(headers)), seconds, headers)
