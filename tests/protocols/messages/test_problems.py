"""Tests of `sseserver.protocols.messages.problems`."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import (
    BadRequest,
    BodyTooLarge,
    Forbidden,
    InvalidMember,
    ModelNotFound,
    Overloaded,
    RateLimited,
    SourceError,
    SSEServerError,
    StoreUnavailable,
    Unauthorized,
)
from sseserver.protocols.messages import convertProblem, describeProblem, writeProblem
from sseserver.wire import Decoder


class ProblemTests(SynchronousTestCase):
    """Errors in the shape of Anthropic's API."""

    def test_types(self) -> None:
        """Each error has Anthropic's type for its status; an overload has their status, too."""
        for error, status, type in (
            (BadRequest("m"), 400, "invalid_request_error"),
            (Unauthorized("m"), 401, "authentication_error"),
            (Forbidden("m"), 403, "permission_error"),
            (ModelNotFound("m"), 404, "not_found_error"),
            (BodyTooLarge("m"), 413, "request_too_large"),
            (RateLimited("m"), 429, "rate_limit_error"),
            (SSEServerError("m"), 500, "api_error"),
            (SourceError("m"), 502, "api_error"),
            (SourceError("m", "timeout", 504), 504, "timeout_error"),
            (StoreUnavailable("m"), 503, "api_error"),
            (Overloaded("m"), 529, "overloaded_error"),
        ):
            converted = convertProblem(error)
            described = describeProblem(converted, "req_1")
            self.assertEqual((converted.status, described["error"]["type"]), (status, type))
            self.assertEqual((described["type"], described["request_id"]), ("error", "req_1"))
            self.assertEqual(described["error"]["message"], "m")

    def test_event(self) -> None:
        """In a stream it is an event, with the wrong member if there is one."""
        (event,) = Decoder().feed(writeProblem(InvalidMember("m", "a[0]")))
        described = {"type": "invalid_request_error", "message": "m", "param": "a[0]", "code": "invalid_value"}
        self.assertEqual((event.type, json.loads(event.data)), ("error", {"type": "error", "error": described}))
