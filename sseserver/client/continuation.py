"""
Continuation of an event stream over several responses: what a client has learned for its next request.

`EventSource` has one `Continuation`, and tells it about each response that is over.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.python.failure import Failure

from sseserver.client.request import Request
from sseserver.client.response import ResponseReader
from sseserver.client.retry import DEFAULT_RETRY, RetryPolicy


class Continuation:
    """
    Place in an event stream between two responses, and the decision whether and when to continue.

    Args:
        request: The first request.
        retry: Policy for further requests; `None` for none.

    Attributes:
        request: The next request.
        reconnectionTime: Seconds, as a response that is over has set it last.
    """

    __slots__ = ("_failures", "_retry", "reconnectionTime", "request")

    def __init__(self, request: Request, retry: RetryPolicy | None) -> None:
        self.request = request
        self.reconnectionTime = (retry or DEFAULT_RETRY).reconnectionTime
        self._retry = retry
        # Number of requests since the last one that brought an event.
        self._failures = 0

    def redirect(self, url: str) -> None:
        """
        Note where a request was answered. The next one goes there at once.

        Args:
            url: The URL after all redirects.
        """
        if url != self.request.url:
            self.request = replace(self.request, url=url)

    def learn(self, reader: ResponseReader) -> None:
        """
        Note the last event ID and the reconnection time of a response.

        Args:
            reader: Its reader, which is not used any more.
        """
        if reader.reconnectionTime is not None:
            self.reconnectionTime = reader.reconnectionTime / 1000
        if reader.lastEventID != self.request.lastEventID:
            self.request = replace(self.request, lastEventID=reader.lastEventID)

    def chooseDelay(self, failure: Failure | None, informed: bool) -> float | None:
        """
        Choose the delay before the next request.

        Args:
            failure: The failure of the last request; `None` after a complete response.
            informed: Whether its response had an event.

        Returns:
            Seconds, or `None` if there is no further request.
        """
        error: Any = None if failure is None else failure.value
        if self._retry is None or not (error is None or self._retry.isTemporary(error)):
            return None
        self._failures = 0 if informed else self._failures + 1
        return self._retry.chooseDelay(self.reconnectionTime, self._failures, error)
