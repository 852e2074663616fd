"""
The exceptions of sseserver, in one tree; each has the HTTP status of its answer.

Everything that sseserver raises on purpose derives from `SSEServerError`. `sseserver.web.answers` turns such an error
into a JSON answer in the shape of OpenAI's API. Any other exception is a bug: it is logged, and the answer is a bare
500 without details.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sseserver.values import STOPPED_REASONS, Reason

#: Characters. Longest text of an error in a request, which could quote megabytes.
LONGEST_TEXT = 2000


class SSEServerError(Exception):
    """
    Root of the tree.

    Clients see the text of the exception: a complete sentence without secrets, paths or tracebacks.

    Attributes:
        status: HTTP status of the answer.
        type: Class of the error, in OpenAI's words.
        code: Name of the error, for programs.
        param: The wrong member of the request's body, such as `messages[0].content`, or `None`.
        retryAfter: Whole seconds for the header `Retry-After`, or `None`.
        final: Whether the same request would fail again, whatever the status says. Clients of OpenAI's API are told
            so in the header `x-should-retry`.
    """

    status: int = 500
    type: str = "server_error"
    code: str = "internal_error"
    param: str | None = None
    retryAfter: int | None = None
    final: bool = False


class ClientError(SSEServerError):
    """Root of the errors in requests, as opposed to those of the server. Their texts quote the requests."""

    status = 400
    type = "invalid_request_error"
    code = "bad_request"

    def __str__(self) -> str:
        """Return the text, cut off where it quotes too much."""
        return super().__str__()[:LONGEST_TEXT]


class BadRequest(ClientError):
    """The request is malformed."""


class InvalidMember(BadRequest):
    """
    A member of the request's body is missing or invalid.

    Args:
        message: A sentence for the client.
        param: Path of the member, such as `messages[0].content`.
    """

    code = "invalid_value"

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class AnswerTooLong(BadRequest):
    """An answer exceeds the size limit of answers that are sent in one piece."""

    code = "answer_too_long"


class MalformedEvent(BadRequest, ValueError):
    """An event that the event stream format cannot carry unchanged: its type, ID, text or reconnection time."""

    code = "malformed_event"


class EventTooLarge(BadRequest):
    """An event exceeds the decoder's size limit."""

    code = "event_too_large"


class Unauthorized(ClientError):
    """
    The request has no credential, or an invalid one.

    Args:
        message: A sentence for the client.
        challenge: Value of the header `WWW-Authenticate`.
    """

    status = 401
    code = "unauthorized"

    def __init__(self, message: str, challenge: str = "Bearer") -> None:
        super().__init__(message)
        self.challenge = challenge


class Forbidden(ClientError):
    """The credential of the request does not allow this."""

    status = 403
    code = "forbidden"


class NotFound(ClientError):
    """No resource has this URL."""

    status = 404
    code = "not_found"


class ModelNotFound(NotFound):
    """The token source has no model of this name."""

    code = "model_not_found"
    param = "model"


class StreamNotFound(NotFound):
    """The store has no stream of this name."""

    code = "stream_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no stream {name!r}: it never existed, or it is no longer kept.")


class MethodNotAllowed(ClientError):
    """The resource does not support this method."""

    status = 405
    code = "method_not_allowed"


class NotAcceptable(ClientError):
    """The `Accept` header excludes every media type that the resource offers."""

    status = 406
    code = "not_acceptable"


class RequestTimeout(ClientError):
    """A client did not send its request in time."""

    status = 408
    code = "request_timeout"


class ForeignOrigin(ClientError):
    """A page of another origin has sent a request that would change something."""

    status = 403
    code = "foreign_origin"


class MisdirectedRequest(ClientError):
    """The request is meant for another host."""

    status = 421
    code = "misdirected_request"


class StreamExists(ClientError):
    """The name is taken by a stream that this request cannot use."""

    status = 409
    code = "stream_exists"


class StreamEnded(ClientError):
    """The stream has a terminal entry; nothing can be appended."""

    status = 409
    code = "stream_ended"


class BodyTooLarge(ClientError):
    """The request's body exceeds the size limit."""

    status = 413
    code = "body_too_large"


class KeyReused(ClientError):
    """An idempotency key was used before, with a different request."""

    status = 422
    code = "idempotency_key_reused"


class UnsupportedType(ClientError):
    """The request's body has an unsupported content type."""

    status = 415
    code = "unsupported_media_type"


class RateLimited(ClientError):
    """A client has reached a limit of its own; others are served."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    retryAfter = 3


class Overloaded(SSEServerError):
    """A limit of the server is reached; the client should retry later."""

    status = 503
    code = "overloaded"
    retryAfter = 3


class StoreUnavailable(SSEServerError):
    """The store cannot do this now: its disk is full, its file is locked, its server is down."""

    status = 503
    code = "store_unavailable"
    retryAfter = 3


class StoreDamaged(StoreUnavailable):
    """A foreign hand has changed a stream, or a key, in the store; it cannot be read."""

    code = "store_damaged"


class KeysUnavailable(Overloaded):
    """The keys that verify tokens cannot be fetched now."""

    code = "keys_unavailable"


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """
    Details of a `SourceError`, for programs; each takes the place of a default.

    Args:
        code: Name of the error.
        type: Class of the error.
        param: The wrong member of the request's body.
        final: Whether the same request would fail again.
    """

    code: str | None = None
    type: str | None = None
    param: str | None = None
    final: bool | None = None


_NO_DETAILS = ErrorDetails()


class SourceError(SSEServerError):
    """
    A token source cannot continue.

    Raised inside a source, it ends the stream `failed` with this reason and message, which viewers see. Any other
    exception in a source is a bug: viewers are told only that the source failed, and the traceback is logged.

    The terminal entry of the stream keeps it (`toEntry`, `fromEntry`), so a client that waits for a completion and has
    received nothing yet gets the error with the source's status.

    Args:
        message: A sentence for viewers.
        reason: One word for programs: a `Reason`, or a word of the source's own.
        status: HTTP status for a client that has received nothing of the answer yet: 400 to 599.
            Anything else is 502.
        retryAfter: Whole seconds until the client may retry; anything else means that they are not known. With the
            status 429 or 503 they are those of `Overloaded` then, unless the same request would fail again.
        details: Code, type and member that the answer names; by default the code is the reason.

    Attributes:
        reason: See above.
    """

    status = 502
    code = Reason.SOURCE.value

    def __init__(
        self,
        message: str,
        reason: str = Reason.SOURCE,
        status: int | None = None,
        retryAfter: int | None = None,
        details: ErrorDetails = _NO_DETAILS,
    ) -> None:
        super().__init__(message)
        status = _limit(status, 400, 599)
        retryAfter = _limit(retryAfter, 0)
        self.reason = reason
        # As given: an entry does not hold the defaults.
        self._told = {"status": status, "retryAfter": retryAfter, **asdict(details)}
        if reason in STOPPED_REASONS:
            # The server was stopped, and this one or another can serve the request soon.
            status, retryAfter = Overloaded.status, Overloaded.retryAfter
        self.status = status or SourceError.status
        if retryAfter is None and self.status in (429, 503) and not details.final:
            retryAfter = Overloaded.retryAfter
        self.retryAfter = retryAfter
        if self.status < 500:
            self.type = "rate_limit_error" if self.status == 429 else "invalid_request_error"
        self.code = details.code or reason
        self.type = details.type or self.type
        self.param = details.param
        self.final = bool(details.final)

    def toEntry(self) -> dict[str, object]:
        """Return the members of the terminal entry; unknown ones are left out."""
        known = {name: value for name, value in self._told.items() if value is not None}
        return {"reason": self.reason, "message": str(self), **known}

    @classmethod
    def fromEntry(cls, entry: Mapping[str, Any]) -> SourceError:
        """
        Make the error of a run that has failed.

        Args:
            entry: Members of the terminal entry `failed`.
        """
        reason = str(entry.get("reason"))
        message = entry.get("message") or f"The answer failed ({reason})."
        details = ErrorDetails(entry.get("code"), entry.get("type"), entry.get("param"), entry.get("final"))
        return cls(message, reason, entry.get("status"), entry.get("retryAfter"), details)


def _limit(number: object, least: int, most: float = float("inf")) -> int | None:
    """Return an integer within bounds, and `None` for anything else: a source may be anybody's code."""
    return number if type(number) is int and least <= number <= most else None


class RunCancelled(ClientError):
    """A run was cancelled. Client libraries do not retry after this status, unlike 409 and everything from 500 up."""

    status = 410
    code = "cancelled"


class ViewerRefused(SSEServerError):
    """
    A format cannot serve the rest of a stream to a viewer.

    Never the answer to a request: the producer writes the events, and ends the response.

    Args:
        events: The last events of the response.
    """

    status = 410
    code = "refused"

    def __init__(self, events: bytes) -> None:
        super().__init__("This format cannot serve the rest of the stream.")
        self.events = events


class ReadingUnfinished(SSEServerError):
    """A format must read more than one turn of the reactor has time for. The producer reads again in its next turn."""

    status = 500
    code = "unfinished"


class GapError(SSEServerError):
    """
    A viewer cannot continue after its last event ID without a gap.

    Never the answer to a request: the producer turns it into `event: gap`.

    Args:
        reason: `trimmed`, `lost` or `unknown` (docs/events.md).
        cursor: Where the viewer continues: the number before the first entry that follows.
        missed: Number of missing entries, or `None` if unknown.
    """

    status = 410
    code = "gap"

    def __init__(self, reason: str, cursor: int, missed: int | None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cursor = cursor
        self.missed = missed
