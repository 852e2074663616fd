"""
Errors in the shape of Anthropic's API.

Reference: https://docs.anthropic.com/en/api/errors.
"""

from __future__ import annotations

from typing import Any

from sseserver.errors import Overloaded, SSEServerError
from sseserver.jsontext import toJSON
from sseserver.wire import writeBlock

#: Type of the error with each status.
TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class MessagesOverloaded(Overloaded):
    """A limit of the server is reached: the status and the type that Anthropic's clients know for it."""

    status = 529
    type = "overloaded_error"
    code = "overloaded_error"


def describeProblem(error: SSEServerError, requestID: str | None = None) -> dict[str, Any]:
    """
    Describe an error.

    Args:
        error: The error.
        requestID: ID of the request, if the answer is only the error.

    Returns:
        Its JSON. `code` and `param` are our own members, those of all errors here.
    """
    status = error.status
    kind = TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")
    param = {} if error.param is None else {"param": error.param}
    described = {"type": kind, "message": str(error), **param, "code": error.code}
    return {"type": "error", "error": described, **({} if requestID is None else {"request_id": requestID})}


def writeProblem(error: SSEServerError) -> bytes:
    """Write the event that ends an answer because of an error."""
    return writeBlock(toJSON(describeProblem(error)), b"error")


def convertProblem(error: SSEServerError) -> SSEServerError:
    """Return the error with which Anthropic's clients are answered: they know a status of their own for overload."""
    return MessagesOverloaded(str(error)) if type(error) is Overloaded else error
