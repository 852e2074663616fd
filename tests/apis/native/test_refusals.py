"""
Tests of refused requests: nothing of them is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from sseserver.settings import NATIVE_BODY, Settings
from sseserver.stores.memory import MemoryStore
from sseserver.web.accept import EVENT_STREAM, JSON, PLAIN_TEXT
from tests.apis.cases import PublishingTestCase
from tests.http import Response
from tests.wires import Wire


class RefusalTests(PublishingTestCase):
    """Refused requests change nothing."""

    def setUp(self) -> None:
        super().setUp()
        self.store = MemoryStore(self.reactor, self.settings.kept)
        self.serve(self.source, store=self.store)
        self.put("a")
        self.publish("a", {"data": "before"})
        self.watching = self.view("/streams/a")
        self.before = self.everything()

    def everything(self) -> tuple[object, ...]:
        """Return all state that a refusal could have changed."""
        return (
            self.state("/streams/a"),
            self.watching.response.body,
            self.store.count,
            self.store.used,
        )

    def assertRefused(self, response: Response, status: int, code: str) -> None:
        """Check that an answer is this error, and that nothing has changed."""
        self.assertError(response, status, code)
        self.assertEqual(self.everything(), self.before)

    def refuse(self, bodies: Iterable[bytes], contentType: str = JSON, code: str = "bad_request") -> None:
        """Check that each body is refused: with and without a key, and together with an end."""
        for body in bodies:
            for keywords in ({}, {"key": "k"}, {"closed": "true"}):
                self.assertRefused(self.post("a", body, contentType, **keywords), 400, code)

    def test_names(self) -> None:
        """A name with other characters is refused, however the path spells it."""
        dots = [".", "..", "%2e", "%2E%2e", "%2e."]
        quoted = [
            "a%2Fb",
            "%2f",
            "..%2f..%2fetc",
            "a%00",
            "a%0a",
            "a%0d%0aX:%20y",
            "%20",
            "a%20b",
            "%25",
            "a%5Cb",
            "a%3Fb",
        ]
        others = [
            "%ff",
            "%c3%a9",
            "%ed%a0%80",
            "a+b",
            "a,b",
            "a;b",
            "a:b",
            "a@b",
            "a!b",
            "a*b",
            "(a)",
            "x" * 129,
            "%E2%80%A8",
        ]
        for name in [*dots, *quoted, *others]:
            self.assertRefused(self.put(name), 400, "bad_request")

    def test_namesElsewhere(self) -> None:
        """For the other methods such a name is unknown: 404."""
        for name in ("..", "%2e", "a%2fb", "%ff", "x" * 129, "a%00b", "a" * 5000):
            for method in ("GET", "DELETE"):
                self.assertRefused(self.ask(f"/streams/{name}", method=method), 404, "stream_not_found")
            self.assertRefused(self.post(name, b'{"data":"x"}'), 404, "stream_not_found")

    def test_noName(self) -> None:
        """PUT needs the name of a stream, and no path below it."""
        for path in ("/streams", "/streams/"):
            response = self.ask(path, method="PUT")
            self.assertRefused(response, 405, "method_not_allowed")
            self.assertEqual(response.headers["allow"], "GET, POST, HEAD")
        self.assertRefused(self.ask("/streams/a/b", method="PUT"), 404, "not_found")

    def test_types(self) -> None:
        """Reserved and malformed event types are refused."""
        names = ["stream", "done", "failed", "cancelled", "gap", "open", "error", "x" * 129, "a\x07", "\x85", "a\x7f"]
        self.refuse((json.dumps({"event": name, "data": ""}).encode() for name in names), code="invalid_value")
        controls = [json.dumps({"event": name, "data": ""}).encode() for name in ("a\r", "a\nb", "\x00", "\t")]
        self.refuse(controls, code="invalid_value")
        empty = self.post("a", b'{"event":"","data":""}')
        self.assertRefused(empty, 400, "malformed_event")
        self.refuse([b"event: done\ndata: x\n\n", b"event: a\x00\ndata: x\n\n"], EVENT_STREAM, "invalid_value")

    def test_surrogates(self) -> None:
        """Lone surrogates are refused."""
        self.refuse(
            [b'{"data":"\\ud800"}', b'{"token":"x\\udfff"}', b'{"event":"\\ud800","data":""}', b'[{"data":"\\udc00"}]']
        )

    def test_deep(self) -> None:
        """Deeply nested JSON is refused."""
        deep = b"[" * 100_000
        bodies = [deep, deep + b"]" * 100_000, b'{"data":%b' % deep, b'{"x":%b' % deep, b'{"data":' * 100_000]
        self.refuse(bodies, code="invalid_value")

    def test_numbers(self) -> None:
        """Numbers are refused, also with 5,000 digits, and so is NaN."""
        self.refuse([b'{"data":%b}' % number for number in (b"NaN", b"Infinity")])
        self.refuse([b'{"data":%b}' % number for number in (b"9" * 5000, b"1", b"1e9")], code="invalid_value")
        self.refuse([b"9" * 5000, b"NaN"])

    def test_shapes(self) -> None:
        """Trailing characters, wrong shapes, unknown members, and empty objects are refused."""
        self.refuse([b'{"data":"a"}x', b'{"data":"a"}{"data":"b"}', b"{", b" ", b"data: a\n\n", b"null", b'"a"'])
        for body, param in (
            (b"[[]]", "[0]"),
            (b"{}", "data"),
            (b"[{}]", "[0].data"),
            (b"[null]", "[0]"),
            (b'{"event":"a"}', "data"),
            (b'{"data":"a","id":"1"}', "id"),
            (b'[{"data":"a"},{"data":"a","id":"1"}]', "[1].id"),
            (b'{"data":1}', "data"),
            (b'{"token":"a","data":"b"}', "data"),
            (b'{"token":"a","event":"b"}', "event"),
            (b'[{"token":"a"},{"token":""}]', "[1].token"),
            (b'[{"event":"open","data":""}]', "[0].event"),
        ):
            self.refuse([body], code="invalid_value")
            self.assertEqual(self.post("a", body).error["param"], param)

    def test_nothing(self) -> None:
        """A body without entries is refused, unless it ends the stream."""
        for body, contentType in (
            (b"[]", JSON),
            (b"", JSON),
            (b"", None),
            (b": c\n\n", EVENT_STREAM),
            (b"event: x\n\n", EVENT_STREAM),
        ):
            self.assertRefused(self.post("a", body, contentType), 400, "bad_request")

    def test_notUTF8(self) -> None:
        """Bytes that are not UTF-8 are refused in each media type."""
        self.refuse([b"a\xff", b"\xed\xa0\x80"], PLAIN_TEXT)
        self.refuse([b"data: \xff\n\n", b": \xff\ndata: a\n\n"], EVENT_STREAM)
        self.refuse([b'{"data":"\xff"}', b'{"data":"\xed\xa0\x80"}', b'{"\xff":""}'])

    def test_unfinished(self) -> None:
        """An event stream with an incomplete last event is refused."""
        self.refuse([b"data: a\n\ndata: b\n", b"data: a", b"data: a\n\nevent: x", b"data: a\n\n: c"], EVENT_STREAM)

    def test_lists(self) -> None:
        """A list whose last member is bad is refused."""
        good = b'{"data":"a"},' * 100
        self.refuse([b'[%b{"token":"\\ud800"}]' % good])
        for bad in (b'{"event":"gap","data":""}', b"7"):
            self.refuse([b"[%b%b]" % (good, bad)], code="invalid_value")
        self.refuse([b"data: a\n\n" * 100 + b"event: open\ndata: b\n\n"], EVENT_STREAM, "invalid_value")

    def test_contentTypes(self) -> None:
        """A body with another media type, or none, is refused."""
        for contentType in (
            None,
            "",
            "text/html",
            "application/x-www-form-urlencoded",
            "application/ndjson",
            "nonsense",
            "\xe9",
        ):
            self.assertRefused(self.post("a", b'{"data":"x"}', contentType), 415, "unsupported_media_type")
        multipart = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n'
        response = self.post("a", multipart, "multipart/form-data; boundary=x")
        self.assertRefused(response, 415, "unsupported_media_type")

    def test_keys(self) -> None:
        """A malformed `Idempotency-Key` is refused."""
        for key in ("", "a b", "x" * 256, "\xe9", "a\tb"):
            self.assertRefused(self.post("a", b'{"data":"x"}', key=key), 400, "bad_request")

    def test_closed(self) -> None:
        """`Stream-Closed` must be true or false."""
        for value in ("yes", "1", "?1", "true, true", "truetrue", "\xe9"):
            self.assertRefused(self.post("a", b'{"data":"x"}', closed=value), 400, "bad_request")

    def test_parameters(self) -> None:
        """Unknown values of `from` and `format` are refused."""
        for query in (
            "from=then",
            "from=NOW",
            "from=1",
            "from=%ff",
            "format=json",
            "format=Text",
            "format=%ff",
            "format=../x",
        ):
            self.assertRefused(self.ask(f"/streams/a?{query}", EVENT_STREAM), 400, "bad_request")

    def test_runBodies(self) -> None:
        """The body of `POST /streams` is read as strictly, and a bad one starts no run."""
        deep = b"[" * 100_000
        bad = [b'{"prompt":"\xff"}', b'{"prompt":"\\ud800"}', b'{"prompt":%b}' % (b"9" * 5000), deep]
        worse = [b'{"x":%b' % deep, b'{"x":%b%b}' % (deep, b"]" * 100_000), b"NaN", b"[]", b"null", b'{"prompt":"a"}x']
        for body in [*bad, *worse, b'{"x":NaN}', b"\xff"]:
            self.assertRefused(self.ask("/streams", method="POST", body=body), 400, "bad_request")
        self.assertRefused(self.ask("/streams", method="POST", body=b'{"prompt":1}'), 400, "invalid_value")
        self.assertEqual(self.source.runs, [])


class Elsewhere(Resource):
    """
    A root that finds its resources for each request.

    Args:
        found: Renders everything.
    """

    def __init__(self, found: Resource) -> None:
        super().__init__()
        self._found = found

    def getChild(self, path: bytes, request: Request) -> IResource:
        """See `Resource.getChild`."""
        child: IResource = self._found.getChildWithDefault(path, request)
        return child


class BodySizeTests(PublishingTestCase):
    """The limit of a body."""

    def setUp(self) -> None:
        super().setUp()
        self.put("a")

    def test_atTheLimit(self) -> None:
        """A body of 1 MiB is accepted."""
        self.assertEqual(self.post("a", b"x" * NATIVE_BODY, PLAIN_TEXT).status, 200)
        self.assertIn(b"\ndata: %b\n\n" % (b"x" * NATIVE_BODY), self.view("/streams/a").response.body)

    def begin(self, field: str) -> Wire:
        """Send the head of a publish."""
        wire = self.connect(self.factory)
        wire.methods.append("POST")
        head = f"POST /streams/a HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n{field}\r\n\r\n"
        wire.send(head.encode("ascii"))
        return wire

    def test_announced(self) -> None:
        """
        A larger body is refused as soon as its length is known. Bytes that arrive nevertheless are
        dropped.
        """
        for size in (NATIVE_BODY + 1, 10737418240, "9" * 30):
            self.assertError(self.begin(f"Content-Length: {size}").response, 413, "body_too_large")
        wire = self.begin(f"Content-Length: {NATIVE_BODY + 1}")
        wire.send(b"x" * (NATIVE_BODY + 1))
        self.assertError(wire.response, 413, "body_too_large")
        self.assertTrue(wire.closed)
        self.assertEqual(self.read("a"), [])

    def test_F16_otherSite(self) -> None:
        """F16: a site that cannot find the resource early leaves the limit to it, and keeps the connection."""
        self.factory = self.site(Elsewhere(self.resource))
        wire = self.begin(f"Content-Length: {NATIVE_BODY + 1}")
        wire.send(b"x" * (NATIVE_BODY + 1))
        self.assertError(wire.response, 413, "body_too_large")
        self.assertFalse(wire.closed)
        self.assertEqual(self.read("a"), [])

    def test_F16_option(self) -> None:
        """F16: `--max-body` is the limit of every API."""
        self.serve(self.source, Settings(maxBody=100))
        self.put("a")
        self.assertEqual(self.post("a", b"x" * 100, PLAIN_TEXT).status, 200)
        refused = self.post("a", b"x" * 101, PLAIN_TEXT)
        self.assertError(refused, 413, "body_too_large")
        self.assertIn("more than 100 bytes", refused.json["error"]["message"])

    def test_chunked(self) -> None:
        """
        A chunked body is refused when it reaches the limit, before its end, and is not read for
        ever.
        """
        wire = self.begin("Transfer-Encoding: chunked")
        wire.send(b"100000\r\n%b\r\n" % (b"x" * NATIVE_BODY))
        self.assertEqual(wire.received, b"")
        wire.send(b"1\r\nx\r\n")
        self.assertError(wire.response, 413, "body_too_large")
        for _ in range(64):
            wire.send(b"100000\r\n%b\r\n" % (b"x" * 0x100000))
            if wire.closed:
                break
        self.assertTrue(wire.closed)
        self.assertError(wire.response, 413, "body_too_large")
        self.assertEqual(self.read("a"), [])

    def test_chunkedAtTheLimit(self) -> None:
        """A chunked body of 1 MiB is accepted."""
        wire = self.begin("Transfer-Encoding: chunked")
        wire.send(b"100000\r\n%b\r\n0\r\n\r\n" % (b"x" * NATIVE_BODY))
        self.assertEqual(wire.response.status, 200)
