"""
Errors of the client: the part of the tree of `sseserver.errors` that `EventSource` fails with.

An event over the size limit is an `sseserver.errors.EventTooLarge`, as everywhere.
"""

from __future__ import annotations

from twisted.web.http_headers import Headers

from sseserver.errors import SSEServerError


class EventSourceError(SSEServerError):
    """An `EventSource` has failed. The text is one sentence."""

    status = 502
    code = "event_source"


class ConnectionFailed(EventSourceError):
    """There was no response: no address, no connection, no trusted certificate, or an answer that is not HTTP."""


class Untrusted(ConnectionFailed):
    """The server's certificate is not trusted. Another attempt would fail too."""


class NotHTTP(ConnectionFailed):
    """The server answered with something that is not HTTP, such as the greeting of another protocol."""


class Unanswered(ConnectionFailed):
    """The connection was closed before the head of a response was complete."""


class ConnectTimeout(ConnectionFailed):
    """There was no response in time."""


class SilenceTimeout(EventSourceError):
    """No byte of the event stream came in time."""


class ResponseTruncated(EventSourceError):
    """The connection was lost before the end of the response."""


class ResponseRefused(EventSourceError):
    """
    A response is not an event stream.

    Attributes:
        status: HTTP status of the response.
        headers: Headers of the response.
        body: Start of the body: at most `bodies.REFUSAL_BYTES`, and only what came within `bodies.REFUSAL_SECONDS`.
    """

    def __init__(self, message: str, status: int, headers: Headers, body: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body = body


class StatusError(ResponseRefused):
    """
    The status is not 200. The text has the message of an error in JSON.

    The body is not read, and empty here, if the request is to be retried.
    """


class WrongContentType(ResponseRefused):
    """The status is 200, but the content type is not `text/event-stream`."""


class WrongContentCoding(ResponseRefused):
    """The event stream is compressed, although the request did not allow it. The body is not read."""
