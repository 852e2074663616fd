"""
Tests of `sseserver.web.answers`.
"""

from __future__ import annotations

import json

from twisted.web.server import Request

from sseserver import errors
from sseserver.delivery.connection import isOver
from sseserver.errors import BadRequest, Overloaded, SSEServerError
from sseserver.formats import TextFormat
from sseserver.web.answers import answerHead, answerJSON, encodeRefusal, finishAnswer
from tests.http import CHROME, EVENTSOURCE, FIREFOX, SAFARI, makeRequest, parseResponses
from tests.web.cases import HTTPTestCase


class AnswerTests(HTTPTestCase):
    """Bodies in JSON, errors, complete bodies, heads."""

    def test_errors(self) -> None:
        """
        Every error of the tree is answered with its status, in JSON of one shape, and without
        caching.
        """
        kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SSEServerError)}
        # Never an answer to a request.
        kinds -= {errors.GapError, errors.ReadingUnfinished, errors.ViewerRefused}
        self.assertGreater(len(kinds), 10)
        for kind in kinds:
            # The argument of `StreamNotFound` is a name.
            error = kind("A sentence, with ö.")

            def answer(request: Request) -> bytes:
                raise error  # noqa: B023  (is called at once)

            self.resource.answer = answer
            response = self.ask()
            self.assertEqual(response.status, kind.status)
            self.assertIn("A sentence, with ö.", response.error["message"])
            param = {} if kind.param is None else {"param": kind.param}
            self.assertEqual(response.error, {"message": str(error), "type": kind.type, "code": kind.code, **param})
            self.assertEqual(
                response.headers.get("retry-after"), None if kind.retryAfter is None else str(kind.retryAfter)
            )
            self.assertEqual(response.headers["cache-control"], "no-store")
            self.assertEqual(response.headers["x-content-type-options"], "nosniff")

    def test_F103_errorPage(self) -> None:
        """F103: a browser that opens a URL gets a small page instead of JSON, with the same status and headers."""

        def answer(request: Request) -> bytes:
            raise Overloaded("Not <now>, & not ö.")

        self.resource.answer = answer
        for accept in (CHROME, FIREFOX, SAFARI):
            response = self.ask(accept=accept)
            self.assertEqual((response.status, response.headers["retry-after"]), (503, "3"))
            self.assertEqual(response.headers["content-type"], "text/html; charset=utf-8")
            self.assertIn("default-src 'none'", response.headers["content-security-policy"])
            self.assertEqual(response.headers["cache-control"], "no-store")
            self.assertIn("<p>Not &lt;now&gt;, &amp; not ö.</p>", response.body.decode())
            self.assertIn(b"<title>503 Service Unavailable</title>", response.body)
        head = self.ask(accept=CHROME, method="HEAD")
        self.assertEqual((head.status, head.headers["content-type"]), (503, "text/html; charset=utf-8"))

    def test_F103_errorInJSON(self) -> None:
        """F103: programs, scripts of pages, and forms get their errors in JSON."""

        def answer(request: Request) -> bytes:
            raise BadRequest("Not now.")

        self.resource.answer = answer
        for accept in (None, "*/*", "application/json", EVENTSOURCE, "application/json, text/html;q=0.9"):
            self.assertEqual(self.ask(accept=accept).error["code"], "bad_request")
        self.assertEqual(self.ask(accept=CHROME, method="POST", body=b"").error["code"], "bad_request")

    def test_isOver(self) -> None:
        """A response is over when it is finished, or when the client has disconnected."""
        requests: list[Request] = []
        self.resource.answer = lambda request: requests.append(request)
        for end in (Request.finish, lambda request: self.wires[-1].close()):
            self.connect(self.factory).send(makeRequest("/it"))
            self.assertFalse(isOver(requests[-1]))
            end(requests[-1])
            self.assertTrue(isOver(requests[-1]))
            finishAnswer(requests[-1], b"more")
        self.assertNotIn(b"more", self.wires[0].received)

    def test_noBody(self) -> None:
        """An answer with the status 204 has no body, and no headers of one."""

        def answer(request: Request) -> bytes:
            request.responseHeaders.setRawHeaders(b"Content-Type", [b"text/event-stream"])
            request.setResponseCode(204)
            return b""

        self.resource.answer = answer
        response = self.ask()
        self.assertEqual(response.status, 204)
        self.assertEqual(set(response.headers), {"date", "x-content-type-options", "cross-origin-resource-policy"})
        self.assertTrue(self.wires[-1].received.endswith(b"\r\n\r\n"))

    def test_errorsAreASCII(self) -> None:
        """JSON is ASCII with a line end, so that every terminal shows it."""

        def answer(request: Request) -> bytes:
            raise BadRequest("ö")

        self.resource.answer = answer
        body = self.ask().body
        self.assertTrue(body.isascii())
        self.assertTrue(body.endswith(b"}\n"))
        self.assertEqual(json.loads(body)["error"]["message"], "ö")

    def test_json(self) -> None:
        """
        A JSON answer has its status, its media type and a line end, and is neither cached nor
        sniffed.
        """
        self.resource.answer = lambda request: answerJSON(request, {"a": [1, None]}, 201)
        response = self.ask()
        self.assertEqual((response.status, response.body), (201, b'{"a": [1, null]}\n'))
        self.assertEqual(response.headers["content-type"], "application/json")
        self.assertEqual(response.headers["cache-control"], "no-store")
        self.assertEqual(response.headers["x-content-type-options"], "nosniff")

    def test_encodeRefusal(self) -> None:
        """The response to a request that is not complete has the status and the body that a complete one would get."""
        error = Overloaded("Full.")

        def answer(request: Request) -> bytes:
            raise error

        self.resource.answer = answer
        (refusal,) = parseResponses(encodeRefusal(error), ["GET"], closed=True)
        response = self.ask()
        self.assertEqual((refusal.status, refusal.body), (response.status, response.body))
        self.assertEqual((refusal.headers["connection"], refusal.complete), ("close", True))

    def test_head(self) -> None:
        """The answer to HEAD for an event stream has the headers of the stream, and is complete."""
        self.resource.answer = lambda request: answerHead(request, TextFormat())
        response = self.ask(method="HEAD")
        self.assertEqual((response.status, response.headers["content-type"]), (200, "text/event-stream"))
        self.assertTrue(self.wires[-1].received.endswith(b"\r\n\r\n"))

    def test_headAfterTheClientLeft(self) -> None:
        """A client that has disconnected gets no head."""
        requests: list[Request] = []
        self.resource.answer = lambda request: requests.append(request)
        wire = self.connect(self.factory)
        wire.send(makeRequest("/it", method="HEAD"))
        wire.close()
        answerHead(requests[0], TextFormat())
        self.assertEqual(wire.received, b"")
