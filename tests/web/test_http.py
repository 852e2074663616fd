"""
Tests for L{sseserver.web.http}: what all resources share.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from sseserver import errors
from sseserver.delivery.sockets import isOver
from sseserver.errors import BadRequest, Overloaded, SSEServerError
from sseserver.web.accept import EVENT_STREAM, HTML, JSON, PLAIN, negotiate
from sseserver.web.answers import finishAnswer
from sseserver.web.request import MAX_BODY, readJSON, readLastEventID, readParameter
from sseserver.web.resource import AsyncResource
from tests.http import CHROME, EVENTSOURCE, FIREFOX, SAFARI, Response, makeRequest
from tests.wires import Wire, WireTestCase

#: What the root offers, and what a stream offers; the first is for clients that do not care.
ROOT = (HTML, EVENT_STREAM)
STREAM = (EVENT_STREAM, JSON, PLAIN, HTML)


class Shape(msgspec.Struct):
    """A body for tests."""

    prompt: str | None = None
    count: int = 0


class Answering(AsyncResource):
    """Answers as a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: Any = None

    async def GET(self, request: Request) -> bytes | None:
        result = self.answer(request)
        return await result if isinstance(result, Deferred) else result

    async def POST(self, request: Request) -> bytes | None:
        return await self.GET(request)


class HTTPTestCase(WireTestCase):
    """One resource that answers as the test says."""

    def setUp(self) -> None:
        super().setUp()
        self.resource = Answering()
        self.root: Resource = Resource()
        self.root.putChild(b"it", self.resource)
        self.factory = self.site(self.root)

    def ask(self, path: str = "/it", *arguments: Any, **keywords: Any) -> Response:
        """Make a request on a connection of its own."""
        return self.connect(self.factory).ask(path, *arguments, **keywords)

    def read(self, reader: Any, path: str = "/it", **keywords: Any) -> Any:
        """Let a function read something from a request; give what it read."""
        seen: list[Any] = []

        def answer(request: Request) -> bytes:
            seen.append(reader(request))
            return b""

        self.resource.answer = answer
        response = self.ask(path, **keywords)
        return seen[0] if seen else response


class NegotiationTests(HTTPTestCase):
    """Which media type an Accept header gets (RFC 9110 12.5.1)."""

    def wanted(self, accept: str | None, offers: tuple[str, ...]) -> str:
        """Give what is chosen, `406` when nothing is."""
        result = self.read(lambda request: negotiate(request, offers), accept=accept)
        return str(result.status) if isinstance(result, Response) else result

    def assertChosen(self, offers: tuple[str, ...], table: list[tuple[str | None, str]]) -> None:
        """Check a table of headers and choices."""
        self.assertEqual([(accept, self.wanted(accept, offers)) for accept, _ in table], table)

    def test_clients(self) -> None:
        """
        On the root a browser's address bar gets the page, an EventSource a
        stream, and who does not care the page.
        """
        self.assertChosen(
            ROOT,
            [
                (CHROME, HTML),
                (FIREFOX, HTML),
                (SAFARI, HTML),
                (EVENTSOURCE, EVENT_STREAM),
                ("*/*", HTML),
                (None, HTML),
                ("", HTML),
                ("  ", HTML),
                ("text/event-stream, */*", EVENT_STREAM),
                ("application/json", "406"),
            ],
        )

    def test_clientsOfAStream(self) -> None:
        """
        At a stream a browser's address bar gets the page, and who does not
        care the events.
        """
        self.assertChosen(
            STREAM,
            [
                (CHROME, HTML),
                (FIREFOX, HTML),
                (SAFARI, HTML),
                (EVENTSOURCE, EVENT_STREAM),
                ("*/*", EVENT_STREAM),
                (None, EVENT_STREAM),
                ("application/json", JSON),
                ("application/json, text/plain, */*", JSON),
                ("text/plain", PLAIN),
                ("text/*", EVENT_STREAM),
                ("application/*", JSON),
                ("image/png", "406"),
            ],
        )

    def test_weights(self) -> None:
        """
        The heaviest wins; of equals the one that is named more precisely,
        then the one that is offered first. 0 excludes.
        """
        self.assertChosen(
            STREAM,
            [
                ("text/event-stream;q=0.5, application/json;q=0.6", JSON),
                ("text/event-stream;q=0.6, application/json;q=0.5", EVENT_STREAM),
                ("text/html;q=0.5, text/plain;q=0.5", PLAIN),
                ("*/*, application/json", JSON),
                ("text/*, text/plain", PLAIN),
                ("text/*;q=0.5, */*", JSON),
                ("*/*;q=0.1, text/html;q=0.2", HTML),
                ("text/event-stream;q=0, */*", JSON),
                ("text/*;q=0, */*;q=0.3", JSON),
                ("text/event-stream;q=0", "406"),
                ("*/*;q=0", "406"),
                ("*/*;q=0, text/html", HTML),
                ("text/event-stream;q=0.001, text/html;q=0.002", HTML),
                ("text/event-stream;q=0.000, text/html;q=0.", "406"),
                ("text/event-stream;q=1.000, text/html;q=0.999", EVENT_STREAM),
            ],
        )

    def test_writing(self) -> None:
        """
        Names and `q` come in any case, with white space around; parameters of
        a type are passed over; several headers are one list.
        """
        self.assertChosen(
            STREAM,
            [
                ("Text/HTML", HTML),
                ("text/html ; Q=0.3 ,application/json;q=0.2", HTML),
                ("text/html;level=1;q=0.1, application/json;q=0.2", JSON),
                ("text/html;charset=utf-8", HTML),
                ("application/json,,text/html;q=0.1", JSON),
                (",", "406"),
            ],
        )
        self.resource.answer = lambda request: negotiate(request, STREAM).encode()
        wire = self.connect(self.factory)
        wire.send(b"GET /it HTTP/1.1\r\nHost: h\r\nAccept: text/html;q=0.1\r\nAccept: application/json\r\n\r\n")
        wire.methods.append("GET")
        self.assertEqual(wire.response.body, JSON.encode())

    def test_malformed(self) -> None:
        """
        A range whose weight is none is passed over, as is what is no range;
        the others count. Nothing of it is an error of the server.
        """
        self.assertChosen(
            STREAM,
            [
                ("text/event-stream;q=2, application/json;q=0.1", JSON),
                ("text/event-stream;q=, application/json", JSON),
                ("text/event-stream;q=abc, application/json", JSON),
                ("text/event-stream;q=-1, application/json", JSON),
                ("text/event-stream;q=0.1234, application/json;q=0.1", JSON),
                ("text/event-stream;q=1.5, application/json;q=0.1", JSON),
                ("text/event-stream;q=nan, application/json;q=0.1", JSON),
                ("text/event-stream;q=1e0, application/json;q=0.1", JSON),
                ("text/event-stream;q=\u00bd, application/json;q=0.1", JSON),
                (";q=1, application/json", JSON),
                ("text/, /html, html, ***, application/json", JSON),
                ("\xff\xfe, application/json", JSON),
                (";" * 1000 + "," * 1000 + "application/json", JSON),
            ],
        )

    def test_repeatedRange(self) -> None:
        """
        One range that stands there twice makes no error.
        """
        self.assertIn(self.wanted("text/html;q=0.1, text/html;q=0.9, application/json;q=0.5", STREAM), (HTML, JSON))

    def test_vary(self) -> None:
        """
        Every answer that depends on the Accept header says so, the refusal,
        too: else a cache gives one client what another wanted.
        """
        self.resource.answer = lambda request: negotiate(request, ROOT).encode()
        for accept in (None, CHROME, EVENTSOURCE, "image/png"):
            self.assertEqual(self.ask(accept=accept).headers["vary"], "Accept")

    def test_notAcceptable(self) -> None:
        """
        The refusal is 406 and names what there is.
        """
        self.resource.answer = lambda request: negotiate(request, STREAM).encode()
        response = self.ask(accept="image/png")
        self.assertEqual((response.status, response.error["code"]), (406, "not_acceptable"))
        for offer in STREAM:
            self.assertIn(offer, response.error["message"])


class ParameterTests(HTTPTestCase):
    """Parameters of the query, and the last event ID."""

    def test_parameter(self) -> None:
        """
        The last value counts; a missing and an empty one are none.
        """
        for query, value in (
            ("", None),
            ("?a=1", "1"),
            ("?a=1&a=2", "2"),
            ("?a=", None),
            ("?a", None),
            ("?b=1", None),
            ("?a=%C3%B6+x", "ö x"),
        ):
            self.assertEqual(self.read(lambda request: readParameter(request, b"a"), f"/it{query}"), value, query)

    def test_notUTF8(self) -> None:
        """
        A value that is no UTF-8 is refused.
        """
        response = self.read(lambda request: readParameter(request, b"a"), "/it?a=%FF")
        self.assertEqual((response.status, response.error["code"]), (400, "bad_request"))

    def lastID(self, query: str = "", **headers: str) -> Any:
        """Read the last event ID."""
        return self.read(
            readLastEventID, f"/it{query}", headers={"Last-Event-ID": headers["header"]} if headers else {}
        )

    def test_lastEventID(self) -> None:
        """
        The header wins over the parameter, which stands in the URL for ever;
        an empty header is none.
        """
        self.assertIsNone(self.lastID())
        self.assertEqual(self.lastID("?last_event_id=q-1"), "q-1")
        self.assertEqual(self.lastID(header="h-1"), "h-1")
        self.assertEqual(self.lastID("?last_event_id=q-1", header="h-1"), "h-1")
        self.assertEqual(self.lastID("?last_event_id=q-1", header=""), "q-1")

    def test_lastEventIDOfAnyBytes(self) -> None:
        """
        A header that is no UTF-8 is an ID that nobody has, and no error; one
        that is UTF-8 is read as such.
        """
        self.assertEqual(self.lastID(header="\xff"), "\ufffd")
        self.assertEqual(self.lastID(header="ö".encode().decode("latin-1")), "ö")


class BodyTests(HTTPTestCase):
    """Bodies in JSON."""

    def post(self, body: bytes | None) -> Any:
        """Read a body."""
        return self.read(lambda request: readJSON(request, Shape), method="POST", body=body)

    def assertRefused(self, body: bytes, status: int, code: str) -> str:
        """Check that a body is refused; give the message."""
        response = self.post(body)
        self.assertEqual((response.status, response.error["code"]), (status, code), body[:80])
        message: str = response.error["message"]
        return message

    def test_good(self) -> None:
        """
        A body becomes a typed value; an empty one is an empty object, and
        members that nobody knows are passed over.
        """
        self.assertEqual(self.post(b'{"prompt": "Why?", "count": 3}'), Shape("Why?", 3))
        self.assertEqual(self.post(b'{"prompt": null, "more": [{}]}'), Shape())
        self.assertEqual(self.post(b""), Shape())
        self.assertEqual(self.post(None), Shape())
        self.assertEqual(self.post('{"prompt": "zwölf 📖 \\ud83d\\udcd6"}'.encode()), Shape("zwölf 📖 📖"))

    def test_notJSON(self) -> None:
        """
        What is no JSON is refused, and so is what Python's own reader lets
        through: NaN, lone surrogates.
        """
        for body in (
            b"{",
            b"prompt=Why",
            b"\x00",
            b" ",
            b'{"prompt": "\\ud800"}',
            b'{"count": NaN}',
            b"{'prompt': 'x'}",
            b'{"prompt": "x"} {}',
            b'\xef\xbb\xbf{"prompt": "x"}',
        ):
            self.assertRefused(body, 400, "bad_request")

    def test_notUTF8(self) -> None:
        """
        A string that is no UTF-8 is refused as well, and nothing is logged.
        """
        for body in (b'{"prompt": "\xff"}', b'{"prompt": "\xed\xa0\x80"}', b'{"\xff": 1}', b"\xff\xfe{\x00}\x00"):
            self.assertRefused(body, 400, "bad_request")

    def test_wrongShape(self) -> None:
        """
        JSON of another shape is refused, and what is wrong is named.
        """
        for body in (
            b"[]",
            b"null",
            b'"x"',
            b"7",
            b'{"prompt": 7}',
            b'{"prompt": ["x"]}',
            b'{"count": "3"}',
            b'{"count": 1.5}',
        ):
            self.assertRefused(body, 400, "bad_request")
        self.assertIn("prompt", self.assertRefused(b'{"prompt": 7}', 400, "bad_request"))

    def test_deep(self) -> None:
        """
        A body that is nested a hundred thousand times is refused like any
        other that is wrong, also where nobody looks at it.
        """
        deep = b"[" * 100_000 + b"]" * 100_000
        self.assertRefused(deep, 400, "bad_request")
        self.assertRefused(b'{"more": %b}' % deep, 400, "bad_request")

    def test_largeNumbers(self) -> None:
        """
        A number of thousands of digits is refused as well.
        """
        self.assertRefused(b'{"count": %b}' % (b"9" * 5000), 400, "bad_request")

    def test_tooLarge(self) -> None:
        """
        A body of 1 MiB is read, one of a byte more is 413; then the connection
        is closed, since the client may still be sending.
        """
        frame = b'{"prompt": "%b"}'
        fits = frame % (b"x" * (MAX_BODY - len(frame) + 2))
        self.assertEqual(len(fits), 1024 * 1024)
        self.assertEqual(len(self.post(fits).prompt), MAX_BODY - len(frame) + 2)
        self.assertRefused(fits.replace(b"x", b"xx", 1), 413, "body_too_large")
        self.assertTrue(self.wires[-1].closed)

    def test_tooLargeOnAnotherSite(self) -> None:
        """
        On a site that is not ours the whole body is read before it is refused;
        the connection serves on.
        """
        self.factory = Site(self.root, reactor=self.reactor)
        self.assertRefused(b" " * (MAX_BODY + 1), 413, "body_too_large")
        wire = self.wires[-1]
        self.assertEqual(wire.ask("/it", method="POST", body=b"{}").status, 200)


class AnswerTests(HTTPTestCase):
    """How the result of a method becomes an answer."""

    def test_body(self) -> None:
        """
        Bytes are the whole body, with its length; the connection stays.
        """
        self.resource.answer = lambda request: b"body"
        wire = self.connect(self.factory)
        for _ in range(2):
            response = wire.ask("/it")
            self.assertEqual((response.status, response.body, response.headers["content-length"]), (200, b"body", "4"))
        self.assertFalse(wire.closed)

    def test_later(self) -> None:
        """
        A method may wait.
        """
        waiting: Deferred[bytes] = Deferred()
        self.resource.answer = lambda request: waiting
        wire = self.connect(self.factory)
        wire.send(makeRequest("/it"))
        self.assertEqual(wire.received, b"")
        waiting.callback(b"late")
        self.reactor.turn()
        self.assertTrue(wire.received.endswith(b"\r\n\r\nlate"))

    def test_elsewhere(self) -> None:
        """
        `None` leaves the answer to somebody else.
        """
        requests: list[Request] = []
        self.resource.answer = lambda request: requests.append(request)
        wire = self.connect(self.factory)
        wire.send(makeRequest("/it"))
        self.assertEqual(wire.received, b"")
        requests[0].finish()
        self.reactor.turn()
        self.assertNotEqual(wire.received, b"")

    def test_errors(self) -> None:
        """
        Every error of our tree is answered with its status, in JSON of the
        one shape, and is not to be cached.
        """
        kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SSEServerError)}
        # Never the answer to a request.
        kinds.remove(errors.GapError)
        self.assertGreater(len(kinds), 10)
        for kind in kinds:
            # A stream that is not found is told by its name.
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

    def test_errorLater(self) -> None:
        """
        An error that comes later is answered the same way.
        """
        waiting: Deferred[bytes] = Deferred()
        self.resource.answer = lambda request: waiting
        wire = self.connect(self.factory)
        wire.begin("/it")
        waiting.errback(Overloaded("Full."))
        self.reactor.turn()
        self.assertEqual((wire.response.status, wire.response.error["code"]), (503, "overloaded"))

    def test_bug(self) -> None:
        """
        Any other exception is for the log; the client is told that there was
        one, in JSON, and nothing of it.
        """
        self.resource.answer = lambda request: {}["swordfish"]
        response = self.ask()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual((response.status, response.error["code"]), (500, "internal_error"))
        for word in (b"swordfish", b"KeyError", b"Traceback", b"html"):
            self.assertNotIn(word, self.wires[-1].received)

    def test_bugAfterTheFirstWrite(self) -> None:
        """
        When a part of the answer is gone already the connection is closed, and
        nothing of the error is written into it.
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
        """
        When the client is gone the bug is logged, and nothing else happens.
        """
        waiting: Deferred[bytes] = Deferred()
        self.resource.answer = lambda request: waiting
        wire = self.connect(self.factory)
        wire.send(makeRequest("/it"))
        wire.close()
        waiting.errback(KeyError("bug"))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_answerAfterTheClientLeft(self) -> None:
        """
        An answer, or an error, for a client that is gone goes nowhere.
        """
        for result in (lambda waiting: waiting.callback(b"late"), lambda waiting: waiting.errback(BadRequest("Late."))):
            waiting: Deferred[bytes] = Deferred()
            self.resource.answer = lambda request: waiting  # noqa: B023  (is called at once)
            wire = self.connect(self.factory)
            wire.send(makeRequest("/it"))
            wire.close()
            result(waiting)
            self.reactor.turn()
            self.assertEqual(wire.received, b"")

    def test_isOver(self) -> None:
        """
        A response is over when it is finished, or when its client is gone.
        """
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
        """
        A 204 has neither a body nor the headers of one.
        """

        def answer(request: Request) -> bytes:
            request.responseHeaders.setRawHeaders(b"Content-Type", [b"text/event-stream"])
            request.setResponseCode(204)
            return b""

        self.resource.answer = answer
        response = self.ask()
        self.assertEqual(response.status, 204)
        self.assertEqual(set(response.headers), {"server", "date"})
        self.assertTrue(self.wires[-1].received.endswith(b"\r\n\r\n"))

    def test_head(self) -> None:
        """
        HEAD gets the head of GET's answer, without the body.
        """
        self.resource.answer = lambda request: b"body"
        get, head = self.ask(), self.ask(method="HEAD")
        self.assertEqual(get.headers, head.headers)
        self.assertTrue(self.wires[-1].received.endswith(b"\r\n\r\n"))

    def test_headOfAnError(self) -> None:
        """
        HEAD of what is not there is 404 without a body.
        """
        response = self.ask("/it/nothing", method="HEAD")
        self.assertEqual(response.status, 404)
        self.assertTrue(self.wires[-1].received.endswith(b"\r\n\r\n"))


class MethodTests(HTTPTestCase):
    """Methods and paths."""

    def test_unknownMethod(self) -> None:
        """
        A method that a resource does not know is 405, whatever it is called,
        with those that it knows in `Allow`.
        """
        for method in ("PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW", "get", "allowed", "_answer", "render"):
            response = self.ask(method=method)
            self.assertEqual((response.status, response.error["code"]), (405, "method_not_allowed"), method)
            self.assertEqual(response.headers["allow"], "GET, POST, HEAD")

    def test_noGet(self) -> None:
        """
        A resource without GET has no HEAD.
        """

        class OnlyPost(AsyncResource):
            async def POST(self, request: Request) -> bytes:
                return b"posted"

        self.root.putChild(b"post", OnlyPost())
        for method in ("GET", "HEAD"):
            response = self.ask("/post", method=method)
            self.assertEqual((response.status, response.headers["allow"]), (405, "POST"))

    def test_nothingBelow(self) -> None:
        """
        What is below a resource that has nothing below is 404, in JSON, for
        each method; with a trailing slash it is itself.
        """
        self.resource.answer = lambda request: b"body"
        self.assertEqual(self.ask("/it/").body, b"body")
        for path in ("/it/x", "/it/x/y", "/it//x"):
            for method in ("GET", "POST", "PUT", "DELETE"):
                response = self.ask(path, method=method)
                self.assertEqual((response.status, response.error["code"]), (404, "not_found"))

    def test_errorsAreASCII(self) -> None:
        """
        JSON is written in ASCII with a line end, so that any terminal shows it.
        """

        def answer(request: Request) -> bytes:
            raise BadRequest("ö")

        self.resource.answer = answer
        body = self.ask().body
        self.assertTrue(body.isascii())
        self.assertTrue(body.endswith(b"}\n"))
        self.assertEqual(json.loads(body)["error"]["message"], "ö")

    def test_nextRequestOnTheConnection(self) -> None:
        """
        After each kind of answer the connection serves the next request.
        """
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
