"""
What can go wrong, as one tree of exceptions; each knows its HTTP answer.

Everything that sseserver raises on purpose derives from L{SSEServerError}. The
web rooms turn such an error into a JSON answer in the shape that OpenAI's
clients read; anything else is a bug, is logged, and is answered with a bare
500 that tells nothing of the inside.
"""

from __future__ import annotations


class SSEServerError(Exception):
    """
    The root of the tree.

    The text of the exception is shown to clients: a whole sentence, without
    secrets, paths or tracebacks.

    Attributes:
        status: The HTTP status of the answer.
        type: The error's class, in OpenAI's words.
        code: The error's own name, for programs.
        param: Which member of the request's body is wrong, or `None`.
        retryAfter: Whole seconds for the `Retry-After` header, or `None`.
    """

    status: int = 500
    type: str = "server_error"
    code: str = "internal_error"
    param: str | None = None
    retryAfter: int | None = None


class BadRequest(SSEServerError):
    """What the client sent cannot be understood."""

    status = 400
    type = "invalid_request_error"
    code = "bad_request"


class InvalidMember(BadRequest):
    """
    A member of the request's body is missing, or not what it must be.

    Args:
        param: Where it stands, as in `messages[0].content`.
    """

    code = "invalid_value"

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class AnswerTooLong(BadRequest):
    """An answer is larger than what is given as one piece."""

    code = "answer_too_long"


class MalformedEvent(BadRequest, ValueError):
    """
    An event that the event stream format cannot carry unchanged: a CR, LF or
    NUL in its type or ID, an empty ID, a lone surrogate, a negative
    reconnection time.
    """

    code = "malformed_event"


class EventTooLarge(BadRequest):
    """A decoded event grew over the decoder's limit."""

    code = "event_too_large"


class NotFound(SSEServerError):
    """There is nothing at this address."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class ModelNotFound(NotFound):
    """The source is not called that."""

    code = "model_not_found"
    param = "model"


class StreamNotFound(NotFound):
    """No stream of this name is kept here."""

    code = "stream_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no stream {name!r} here: it never was, or it is no longer kept.")


class MethodNotAllowed(SSEServerError):
    """The resource does not know this method."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class NotAcceptable(SSEServerError):
    """The client's `Accept` header excludes all that there is."""

    status = 406
    type = "invalid_request_error"
    code = "not_acceptable"


class StreamExists(SSEServerError):
    """There is a stream of this name, and not one that this request may use."""

    status = 409
    type = "invalid_request_error"
    code = "stream_exists"


class StreamEnded(SSEServerError):
    """The stream has its terminal entry; nothing can follow."""

    status = 409
    type = "invalid_request_error"
    code = "stream_ended"


class BodyTooLarge(SSEServerError):
    """The request's body is over the limit."""

    status = 413
    type = "invalid_request_error"
    code = "body_too_large"


class KeyReused(SSEServerError):
    """An idempotency key came back with another request."""

    status = 422
    type = "invalid_request_error"
    code = "idempotency_key_reused"


class UnsupportedType(SSEServerError):
    """The request's body has a type that is not read here."""

    status = 415
    type = "invalid_request_error"
    code = "unsupported_media_type"


class Overloaded(SSEServerError):
    """A limit of the server is reached; later there may be room."""

    status = 503
    type = "server_error"
    code = "overloaded"
    retryAfter = 3


class StoreUnavailable(SSEServerError):
    """The store cannot do it now: its disk is full, its file locked, its server gone."""

    status = 503
    type = "server_error"
    code = "store_unavailable"
    retryAfter = 3


class SourceError(Exception):
    """
    A token source's own account of why it cannot go on.

    Raised inside a source it ends the stream `failed` with this reason and
    text, which viewers see. Any other exception in a source is a bug: viewers
    are told only that the source broke, the traceback goes to the log.

    Args:
        message: A sentence for viewers.
        reason: One word for programs.
        status: The HTTP status that a client gets which waits for the answer
            and has seen nothing of it yet; C{None} is 502.
        retryAfter: Whole seconds after which it may try again, when that is
            known.
    """

    def __init__(
        self, message: str, reason: str = "source", status: int | None = None, retryAfter: int | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status
        self.retryAfter = retryAfter

    def terminal(self) -> dict[str, object]:
        """Make what the terminal entry says; what is not known is not in it."""
        told = {"reason": self.reason, "message": str(self), "status": self.status, "retryAfter": self.retryAfter}
        return {name: value for name, value in told.items() if value is not None}


class RunFailed(SSEServerError):
    """
    A run failed, and its client has seen nothing of the answer yet.

    Args:
        message: What the source says.
        reason: Its word for programs.
        status: The status that the source wants; C{None} is 502.
        retryAfter: When the client may try again.
    """

    status = 502
    code = "source"

    def __init__(
        self, message: str, reason: str = "source", status: int | None = None, retryAfter: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status or RunFailed.status
        self.retryAfter = retryAfter
        self.code = reason
        if self.status < 500:
            self.type = "rate_limit_error" if self.status == 429 else "invalid_request_error"


class RunCancelled(SSEServerError):
    """
    A run was cancelled, and its client gets no answer. No status that makes
    clients try again by themselves, as 409 does and all from 500 on.
    """

    status = 410
    type = "invalid_request_error"
    code = "cancelled"


class GapError(Exception):
    """
    A viewer's last event ID cannot be continued without a gap.

    Never an answer to a client: the producer turns it into `event: gap`.

    Args:
        reason: `trimmed`, `lost` or `unknown` (docs/http-api.md).
        cursor: Where the viewer goes on: the number before the first entry
            that follows.
        missed: How many entries are missing; `None` when that is not known.
    """

    def __init__(self, reason: str, cursor: int, missed: int | None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cursor = cursor
        self.missed = missed
