"""Tests for `sseserver.client.retry`: the delay before the next request."""

from __future__ import annotations

import os
import time
from unittest import mock

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
        """The delay stays within its bounds, and does not fall below `Retry-After`."""
        policy = RetryPolicy(maxDelay=20.0)
        for failures in range(100):
            self.assertTrue(3.0 <= policy.chooseDelay(3.0, failures, None) <= 20.0)
        busy = StatusError("", 503, Headers({"Retry-After": ["19"]}))
        self.assertTrue(19.0 <= policy.chooseDelay(3.0, 1, busy) <= 20.0)

    def test_F44_floor(self) -> None:
        """F44: no delay is shorter than the floor, whatever the stream asks for."""
        for failures in range(3):
            self.assertGreaterEqual(RetryPolicy().chooseDelay(0.0, failures, None), 0.1)
            self.assertGreaterEqual(RetryPolicy(minDelay=0.5).chooseDelay(0.1, failures, None), 0.5)

    def test_F45_ceiling(self) -> None:
        """F45: `Retry-After` delays a request no longer than `maxDelay`."""
        busy = StatusError("", 503, Headers({"Retry-After": ["2073600"]}))
        self.assertEqual(RetryPolicy(maxDelay=20.0).chooseDelay(3.0, 1, busy), 20.0)


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
        self.respond(body=b"data: x\n\n")
        self.assertEqual(self.retries.pop(), (None, 2.0))

    def test_F44_openingIsNotEnough(self) -> None:
        """F44: a server that opens streams without an event in them is asked less and less often."""
        self.begin(reconnectionTime=1.0)
        for body, expected in ((b"", 2), (b":\n", 4), (b"retry: 1000\n\n", 8), (b"id: 1\n\n", 16), (b"data: torn", 32)):
            self.respond(body=body)
            self.assertEqual(self.retries[-1], (None, expected))
            self.reactor.advance(expected)
        self.respond()
        self.chunk(b":\n")
        self.chunk(b"data: x\n\n")
        self.finish()
        self.assertEqual(self.retries[-1], (None, 1.0))

    def test_F44_busy(self) -> None:
        """F44: a server that sends `retry: 0` and closes is asked ten times in a second."""
        self.begin()
        for _ in range(30):
            self.respond(body=b"retry: 0\ndata: x\n\n")
            self.reactor.advance(self.retries[-1][1])
        self.assertAlmostEqual(self.reactor.seconds(), 3.0)

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
        self.assertEqual(self.retries.pop()[1], 1.1)
        self.network.refusals = [ConnectionRefusedError()]
        self.begin(reconnectionTime=3600.0)
        self.assertEqual(self.retries.pop()[1], 3600.0)

    def test_readRetryAfter(self) -> None:
        """
        `Retry-After` is seconds or a date, relative to the server's clock. A malformed one is ignored.

        Dates are in UTC, wherever the client is.
        """
        self.addCleanup(time.tzset)
        zone = mock.patch.dict(os.environ, TZ="Asia/Tokyo")
        zone.start()
        self.addCleanup(zone.stop)
        time.tzset()
        date = "Sun, 06 Nov 1994 08:49:37 GMT"
        for headers, seconds in (
            ({}, 0.0),
            ({"Retry-After": ["7"]}, 7.0),
            ({"Retry-After": ["99999999999999999999"]}, 2147483.647),
            ({"Retry-After": ["-7"]}, 0.0),
            ({"Retry-After": ["nonsense"]}, 0.0),
            ({"Retry-After": ["Sun, 06 Nov 1994 08:51:37 GMT"], "Date": [date]}, 120.0),
            ({"Retry-After": [date]}, 0.0),
            ({"Retry-After": ["Sunday, 06-Nov-94 08:51:37 GMT"], "Date": [date]}, 120.0),
            ({"Retry-After": ["Sun Nov  6 08:51:37 1994"], "Date": [date]}, 120.0),
            ({"Retry-After": ["Sun, 66 Nov 1994 08:51:37 GMT"], "Date": [date]}, 0.0),
            ({"Retry-After": ["Wed, 31 Nov 1994 08:51:37 GMT"], "Date": [date]}, 0.0),
            ({"Retry-After": ["Sun, 06 Nov 1994 08:51:37 GMT"], "Date": ["Sun, 66 Nov 1994 08:49:37 GMT"]}, 0.0),
            ({"Retry-After": ["Sun, 06 Nov 99999999999999 08:51:37 GMT"], "Date": [date]}, 0.0),
            ({"Retry-After": ["\xe4"]}, 0.0),
            ({"Retry-After": ["Sun, 06 Xyz 1994 08:51:37 GMT"], "Date": [date]}, 0.0),
        ):
            self.assertEqual(readRetryAfter(Headers(headers)), seconds, headers)
