"""
Tests of `sseserver.web.resource`, and of the answers that it writes.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.web.server import Request

from sseserver.errors import BadRequest, Overloaded
from sseserver.web.resource import AsyncResource
from tests.http import makeRequest
from tests.web.cases import HTTPTestCase
from tests.wires import Wire


class ResultTests(HTTPTestCase):
    """Answers made from the result of a method."""

    def test_body(self) -> None:
        """A result of bytes is a complete body with its length, and the connection stays open."""
        self.resource.answer = lambda request: b"body"
        wire = self.connect(self.factory)
        for _ in range(2):
            response = wire.ask("/it")
            self.assertEqual((response.status, response.body, response.headers["content-length"]), (200, b"body", "4"))
        self.assertFalse(wire.closed)

    def test_later(self) -> None:
        """A method may await its result."""
        waiting: Deferred[bytes] = Deferred()
        self.resource.answer = lambda request: waiting
        wire = self.connect(self.factory)
        wire.send(makeRequest("/it"))
        self.assertEqual(wire.received, b"")
        waiting.callback(b"late")
        self.reactor.turn()
        self.assertTrue(wire.received.endswith(b"\r\n\r\nlate"))

    def test_elsewhere(self) -> None:
        """A result of `None` leaves the response to other code."""
        requests: list[Request] = []
        self.resource.answer = lambda request: requests.append(request)
        wire = self.connect(self.factory)
        wire.send(makeRequest("/it"))
        self.assertEqual(wire.received, b"")
        requests[0].finish()
        self.reactor.turn()
        self.assertNotEqual(wire.received, b"")

    def test_errorLater(self) -> None:
        """An error after an await is answered like one before it."""
        waiting: Deferred[bytes] = Deferred()
        self.resource.answer = lambda request: waiting
        wire = self.connect(self.factory)
        wire.begin("/it")
        waiting.errback(Overloaded("Full."))
        self.reactor.turn()
        self.assertEqual((wire.response.status, wire.response.error["code"]), (503, "overloaded"))

    def test_bug(self) -> None:
        """Any other exception is logged; the client gets a 500 in JSON without details."""
        self.resource.answer = lambda request: {}["swordfish"]
        response = self.ask()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual((response.status, response.error["code"]), (500, "internal_error"))
        for word in (b"swordfish", b"KeyError", b"Traceback", b"html"):
            self.assertNotIn(word, self.wires[-1].received)

    def test_bugAfterTheFirstWrite(self) -> None:
        """
        After the first write an exception closes the connection, and nothing of it is written.
        """

        def answer(request: Request) -> bytes:
            request.write(b"data: half\n\n")
            raise KeyError("swordfish")

        self.resource.answer = answer
        response = self.ask()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual((response.body, response.complete), (b"data: half\n\n", False))
        self.assertTrue(self.wires[-1].closed)

    def test_bugAfterTheClientLeft(self) -> None:
        """After the client has disconnected an exception is only logged."""
        waiting: Deferred[bytes] = Deferred()
        self.resource.answer = lambda request: waiting
        wire = self.connect(self.factory)
        wire.send(makeRequest("/it"))
        wire.close()
        waiting.errback(KeyError("bug"))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_answerAfterTheClientLeft(self) -> None:
        """An answer or an error for a client that has disconnected is dropped."""
        for result in (lambda waiting: waiting.callback(b"late"), lambda waiting: waiting.errback(BadRequest("Late."))):
            waiting: Deferred[bytes] = Deferred()
            self.resource.answer = lambda request: waiting  # noqa: B023  (is called at once)
            wire = self.connect(self.factory)
            wire.send(makeRequest("/it"))
            wire.close()
            result(waiting)
            self.reactor.turn()
            self.assertEqual(wire.received, b"")

    def test_head(self) -> None:
        """The answer to HEAD has the headers of GET, and no body."""
        self.resource.answer = lambda request: b"body"
        get, head = self.ask(), self.ask(method="HEAD")
        self.assertEqual(get.headers, head.headers)
        self.assertTrue(self.wires[-1].received.endswith(b"\r\n\r\n"))

    def test_headOfAnError(self) -> None:
        """An error in answer to HEAD has no body."""
        response = self.ask("/it/nothing", method="HEAD")
        self.assertEqual(response.status, 404)
        self.assertTrue(self.wires[-1].received.endswith(b"\r\n\r\n"))


class MethodTests(HTTPTestCase):
    """Methods and paths."""

    def test_unknownMethod(self) -> None:
        """
        An unsupported method is answered 405, whatever its name, with the supported ones in
        `Allow`.
        """
        for method in ("PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW", "get", "allowed", "_answer", "render"):
            response = self.ask(method=method)
            self.assertEqual((response.status, response.error["code"]), (405, "method_not_allowed"), method)
            self.assertEqual(response.headers["allow"], "GET, POST, HEAD")

    def test_noGet(self) -> None:
        """A resource without GET does not support HEAD."""

        class OnlyPost(AsyncResource):
            async def POST(self, request: Request) -> bytes:
                return b"posted"

        self.root.putChild(b"post", OnlyPost())
        for method in ("GET", "HEAD"):
            response = self.ask("/post", method=method)
            self.assertEqual((response.status, response.headers["allow"]), (405, "POST"))

    def test_nothingBelow(self) -> None:
        """
        A path below a resource without children is answered 404 in JSON, for each method. A
        trailing slash is ignored.
        """
        self.resource.answer = lambda request: b"body"
        self.assertEqual(self.ask("/it/").body, b"body")
        for path in ("/it/x", "/it/x/y", "/it//x"):
            for method in ("GET", "POST", "PUT", "DELETE"):
                response = self.ask(path, method=method)
                self.assertEqual((response.status, response.error["code"]), (404, "not_found"))

    def test_nextRequestOnTheConnection(self) -> None:
        """After each kind of answer the connection serves the next request."""
        wire: Wire = self.connect(self.factory)
        self.resource.answer = lambda request: b"body"
        for path, method, status in (
            ("/it", "GET", 200),
            ("/it", "PUT", 405),
            ("/it/x", "GET", 404),
            ("/it", "HEAD", 200),
        ):
            self.assertEqual(wire.ask(path, method=method).status, status)
        self.assertEqual(len(wire.responses), 4)
