"""
Retry policy of an `EventSource`: which errors are temporary, and the delay before the next request.

`RetryPolicy` goes beyond WHATWG HTML 9.2.3 in two places. A browser gives up at any status but 200; here 429, 502, 503
and 504 are retried, and not before `Retry-After`. Each failure after another makes the delay longer, with full jitter.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from random import uniform

from twisted.web.http_headers import Headers

from sseserver.client.errors import ConnectionFailed, ResponseTruncated, SilenceTimeout, StatusError, Untrusted
from sseserver.wire import MAX_RECONNECTION_TIME

#: Statuses of a server that is overloaded or restarting.
RETRIED_STATUSES = frozenset({429, 502, 503, 504})

#: Number of failures in a row after which the delay no longer grows; its ceiling is far below, and a float is finite.
_MAX_DOUBLINGS = 30


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """
    Policy for the requests after the first one.

    Args:
        reconnectionTime: Seconds between the end of a response and the next request, until the stream sets another
            value by a `retry` field.
        maxDelay: Seconds. Ceiling of the delay after failures, and of `Retry-After`. The reconnection time is obeyed,
            however long it is.
        minDelay: Seconds. Floor of each delay, so that `retry: 0` is no busy loop.
        statuses: HTTP statuses that are retried. An empty collection makes every status but 200 final, as in a browser.
    """

    reconnectionTime: float = 3.0
    maxDelay: float = 60.0
    statuses: Collection[int] = RETRIED_STATUSES
    minDelay: float = 0.1

    def isTemporary(self, error: BaseException) -> bool:
        """Return whether another request may succeed after an error."""
        if isinstance(error, StatusError):
            return error.status in self.statuses
        if isinstance(error, Untrusted):
            return False
        return isinstance(error, (ConnectionFailed, ResponseTruncated, SilenceTimeout))

    def chooseDelay(self, reconnectionTime: float, failures: int, error: BaseException | None) -> float:
        """
        Choose the delay before the next request.

        The delay lies between the reconnection time and a bound that doubles with each failure, up to `maxDelay`. It
        is spread over the whole range (full jitter), so that clients which failed together do not return together.

        Args:
            reconnectionTime: Seconds, as the stream has set it last.
            failures: Number of requests since the last one that brought an event.
            error: The last failure, or `None` for the end of a response.

        Returns:
            Seconds; at least `Retry-After`, if the error is a response that has one, but for that at most `maxDelay`.
        """
        reconnectionTime = max(reconnectionTime, self.minDelay)
        growth = max(reconnectionTime, 1.0) * (2 ** min(failures, _MAX_DOUBLINGS) - 1)
        spread = max(min(growth, self.maxDelay - reconnectionTime), 0.0)
        delay = reconnectionTime + uniform(0.0, spread)
        if isinstance(error, StatusError):
            return max(delay, min(readRetryAfter(error.headers), self.maxDelay))
        return delay


#: The policy without any choice.
DEFAULT_RETRY = RetryPolicy()


def readRetryAfter(headers: Headers) -> float:
    """
    Read the header `Retry-After` (RFC 9110, 10.2.3), which holds seconds or a date.

    Returns:
        Seconds; 0 if the header is missing or malformed. A date is compared with the header `Date` of the same
        response, or with the local clock if that is missing.
    """
    value = headers.getRawHeaders(b"Retry-After", [b""])[-1].strip()
    if value.isdigit():
        seconds = float(value)
    else:
        date = headers.getRawHeaders(b"Date", [b""])[-1]
        try:
            seconds = _readDate(value) - (_readDate(date) if date else time.time())
        except (ValueError, OverflowError):
            return 0.0
    return min(max(seconds, 0.0), MAX_RECONNECTION_TIME / 1000)


def _readDate(value: bytes) -> float:
    """
    Read a date of HTTP (RFC 9110, 5.6.7).

    Returns:
        Seconds since 1970.

    Raises:
        ValueError: It is malformed, or does not exist.
        OverflowError: A number in it is too large.
    """
    date = parsedate_to_datetime(value.decode("latin-1"))
    # The form of C's `asctime` has no time zone.
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
