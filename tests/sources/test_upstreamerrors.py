"""Tests for `sseserver.sources.upstreamerrors`: statuses, and messages in one line without the key."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from sseserver.client import (
    ConnectionFailed,
    ConnectTimeout,
    EventSourceError,
    EventTooLarge,
    NotHTTP,
    ResponseTruncated,
    StatusError,
    Unanswered,
    Untrusted,
    WrongContentType,
)
from sseserver.errors import SourceError
from sseserver.sources.upstreamerrors import (
    MAX_MESSAGE,
    MAX_RETRY_AFTER,
    MAX_WORD,
    cleanMessage,
    makeRefusal,
    makeSourceError,
    makeStreamError,
)
from sseserver.values import Reason
from tests.upstreamscripts import KEY

#: Message for an error about the key.
BLAME = "The upstream does not accept this server's key."


class MessageTests(SynchronousTestCase):
    """`cleanMessage`."""

    def test_line(self) -> None:
        """White space and control characters become single spaces."""
        self.assertEqual(cleanMessage(" a\r\n\tb\x00\x85c\u2028d\ud800 ", ()), "a b c d")

    def test_secret(self) -> None:
        """The key is replaced wherever it stands."""
        self.assertEqual(cleanMessage(f"{KEY} and {KEY}!", (KEY,)), "*** and ***!")

    def test_length(self) -> None:
        """A long text is cut, and says so."""
        self.assertEqual(cleanMessage("x" * MAX_MESSAGE, ()), "x" * MAX_MESSAGE)
        self.assertEqual(cleanMessage("x" * 100_000, ()), "x" * MAX_MESSAGE + " ...")


class RefusalTests(SynchronousTestCase):
    """`makeRefusal`."""

    def test_statuses(self) -> None:
        """Statuses about the request and about the load are passed on, and every other one becomes 502."""
        body = json.dumps({"error": {"message": "Why."}}).encode()
        for status, passedOn, message in (
            (400, 400, "Why."),
            (402, 402, "Why."),
            (403, 403, "Why."),
            (429, 429, "Why."),
            (503, 503, "The upstream answered 503."),
            (500, 502, "The upstream answered 500."),
            (302, 502, "The upstream answered 302."),
            (401, 502, "The upstream does not accept this server's key (401)."),
        ):
            error = makeRefusal(status, body, 0, (KEY,))
            self.assertEqual((error.status, str(error), error.reason), (passedOn, message, Reason.REFUSED))

    def test_bodies(self) -> None:
        """The message is found in each known shape, and replaced by the status in any other."""
        for body, message in (
            (b'{"message": "Why."}', "Why."),
            (b'{"error": "Why."}', "Why."),
            (b'{"error": {"message": 7}}', "The upstream answered 400."),
            (b'{"error": {"message": ""}}', "The upstream answered 400."),
            (b'[{"error": {"message": "Why."}}]', "Why."),
            (b'{"message": {"detail": [{"msg": "Why."}, {"msg": "And how."}]}}', "Why.; And how."),
            (b'{"detail": "Why."}', "Why."),
            (b'{"detail": [{"loc": ["body"], "msg": "Why."}]}', "Why."),
            (b"Why.", "Why."),
            (b"Why,\nand how.", "Why, and how."),
            (b"[1]", "The upstream answered 400."),
            (b"[" * 100_000, "The upstream answered 400."),
            (b"<html>", "The upstream answered 400."),
            (b"", "The upstream answered 400."),
        ):
            self.assertEqual(str(makeRefusal(400, body, 0, (KEY,))), message)

    def test_F121_details(self) -> None:
        """F121: code, type and param are passed on, bounded and without the key, and survive the terminal entry."""
        error = {"message": "too long", "type": "invalid_request_error", "param": "messages", "code": "too_much"}
        made = makeRefusal(400, json.dumps({"error": error}).encode(), 0, (KEY,))
        for one in (made, SourceError.fromEntry(made.toEntry())):
            told = {"message": str(one), "type": one.type, "param": one.param, "code": one.code}
            self.assertEqual((told, one.status, one.reason), (error, 400, "refused"))
        made = makeRefusal(400, json.dumps({"error": {"code": "x" * 999, "type": KEY, "param": 7}}).encode(), 0, (KEY,))
        self.assertLess(len(made.code), 2 * MAX_WORD)
        self.assertEqual((made.type, made.param), ("***", None))
        made = makeRefusal(400, b"{}", 0, ())
        self.assertEqual((made.code, made.type, made.param), ("refused", "invalid_request_error", None))

    def test_F122_final(self) -> None:
        """F122: an error says whether a retry cannot help, and the key is blamed only for what concerns it."""
        quota = b'{"error": {"message": "No.", "type": "insufficient_quota", "code": "insufficient_quota"}}'
        key = b'{"error": {"message": "No.", "code": "invalid_api_key"}}'
        for status, body, final, blamed in (
            (400, b"", True, False),
            (403, b"", True, False),
            (403, key, True, True),
            (401, b"", True, True),
            (302, b"", True, False),
            (429, b"", False, False),
            (429, quota, True, False),
            (408, b"", False, False),
            (500, b"", False, False),
            (503, b"", False, False),
        ):
            made = makeRefusal(status, body, 0, ())
            told = (made.final, "key" in str(made))
            self.assertEqual(told, (final, blamed), (status, body))
            self.assertEqual(SourceError.fromEntry(made.toEntry()).final, final)

    def test_retryAfter(self) -> None:
        """`Retry-After` is rounded up and bounded; where the upstream does not tell it, clients get the default."""
        for told, passedOn in ((0, 3), (0.2, 1), (7, 7), (1e9, MAX_RETRY_AFTER)):
            for status in (429, 503):
                self.assertEqual(makeRefusal(status, b"", told, ()).retryAfter, passedOn)
        self.assertEqual(makeStreamError("Slow down.", 429, ()).retryAfter, 3)
        for status, body in ((400, b""), (504, b""), (429, b'{"error":{"code":"insufficient_quota"}}')):
            self.assertIsNone(makeRefusal(status, body, 0, ()).retryAfter)


class StreamErrorTests(SynchronousTestCase):
    """`makeStreamError`."""

    def test_F123_shapes(self) -> None:
        """F123: an error is an object or a text, with its status inside or beside it, as a number or a known code."""
        for error, code, message, status in (
            ({"message": "Slower!", "code": 429}, None, "Slower!", 429),
            ({"message": "Slower!"}, 429, "Slower!", 429),
            ({"message": "Odd.", "code": "odd"}, None, "Odd.", 502),
            ({"message": "Slower!", "code": "429"}, None, "Slower!", 429),
            ({"message": "Slower!", "code": "rate_limit_exceeded"}, None, "Slower!", 429),
            ({"message": "Slower!", "status": "RESOURCE_EXHAUSTED"}, None, "Slower!", 429),
            ({"message": "Pay.", "type": "insufficient_quota"}, None, "Pay.", 429),
            ({"message": "Long.", "code": "context_length_exceeded"}, None, "Long.", 400),
            ({"message": "Bad.", "type": "invalid_request_error", "code": None}, None, "Bad.", 400),
            ({"message": "No!", "code": "content_filter"}, None, "No!", 400),
            ({"message": "Who?", "code": "model_not_found", "type": "invalid_request_error"}, None, "Who?", 404),
            ({"message": "Busy.", "type": "overloaded_error"}, None, "Busy.", 503),
            (
                {"message": "Key.", "code": "invalid_api_key"},
                None,
                "The upstream does not accept this server's key.",
                502,
            ),
            ({"message": "Odd.", "code": 200}, None, "Odd.", 502),
            ("Out of luck.", None, "Out of luck.", 502),
            ({"message": None}, None, "The upstream reported an error.", 502),
            (7, None, "The upstream reported an error.", 502),
            ({"message": KEY}, None, "***", 502),
        ):
            made = makeStreamError(error, code, (KEY,))
            self.assertEqual((str(made), made.status, made.reason), (message, status, Reason.UPSTREAM))


class ClientErrorTests(SynchronousTestCase):
    """`makeSourceError`."""

    def test_kinds(self) -> None:
        """Each error of the client has a reason and a status."""
        headers = Headers({"Retry-After": ["7"]})
        for error, reason, status in (
            (StatusError("", 429, headers), Reason.REFUSED, 429),
            (WrongContentType("", 200, headers), Reason.MALFORMED, 502),
            (EventTooLarge(""), Reason.MALFORMED, 502),
            (ResponseTruncated(""), Reason.TRUNCATED, 502),
            (ConnectTimeout(""), Reason.TIMEOUT, 504),
            (ConnectionFailed(""), Reason.UNREACHABLE, 502),
            (EventSourceError(""), Reason.UNREACHABLE, 502),
        ):
            made = makeSourceError(error, (KEY,))
            self.assertEqual((made.reason, made.status), (reason, status))
        self.assertEqual(makeSourceError(StatusError("", 429, headers), (KEY,)).retryAfter, 7)

    def test_noAnswer(self) -> None:
        """An upstream without an answer is `unreachable`, and the message says how far the connection came."""
        for error, message in (
            (NotHTTP(""), "is not HTTP"),
            (Unanswered(""), "closed the connection without an answer"),
            (Untrusted(""), "certificate is not trusted"),
            (ConnectionFailed(""), "cannot be reached"),
        ):
            made = makeSourceError(error, (KEY,))
            self.assertEqual((made.reason, made.status), (Reason.UNREACHABLE, 502))
            self.assertIn(message, str(made))
