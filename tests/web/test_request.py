"""
Tests of `sseserver.web.request`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Site

from sseserver.errors import BadRequest
from sseserver.jsontext import readJSON
from sseserver.web.request import (
    checkKey,
    readArguments,
    readKey,
    readLastEventID,
    readParameter,
    readPlace,
    readTypedBody,
)
from tests.web.cases import HTTPTestCase

#: Bytes. Limit of the bodies.
LIMIT = 1024 * 1024


class Shape(msgspec.Struct):
    """A typed body."""

    prompt: str | None = None
    count: int = 0


class ParameterTests(HTTPTestCase):
    """Parameters of the query string, and the last event ID."""

    def test_parameter(self) -> None:
        """A missing parameter is `None`, and so is an empty one."""
        for query, value in (
            ("", None),
            ("?a=1", "1"),
            ("?a=1&b=2&b=3", "1"),
            ("?a=", None),
            ("?a", None),
            ("?b=1", None),
            ("?a=%C3%B6+x", "ö x"),
        ):
            self.assertEqual(self.read(lambda request: readParameter(request, b"a"), f"/it{query}"), value, query)

    def test_refusedParameter(self) -> None:
        """A parameter that is given several times, one that is not UTF-8, and an empty place are refused."""
        for read, query, told in (
            (readParameter, "a=1&a=2", "given once"),
            (readPlace, "a=1&a=", "given once"),
            (readPlace, "a=", "empty"),
            (readPlace, "a", "empty"),
            (readPlace, "b=1&a;b=a", "empty"),
            (readParameter, "a=%FF", "not UTF-8"),
        ):
            response = self.read(lambda request, read=read: read(request, b"a"), f"/it?{query}")
            self.assertEqual((response.status, response.error["code"]), (400, "bad_request"), query)
            self.assertIn(told, response.error["message"])

    def test_arguments(self) -> None:
        """A parameter without `=` is empty; names and values that contain its name are others."""
        for query, values in (
            ("", {}),
            ("?a", {b"a": (b"",)}),
            ("?a&b=a;ab&=a", {b"a": (b"",), b"b": [b"a"], b"ab": (b"",), b"": [b"a"]}),
            ("?a=1&a", {b"a": [b"1"]}),
        ):
            self.assertEqual(self.read(readArguments, f"/it{query}"), values, query)

    def lastID(self, query: str = "", **headers: str) -> Any:
        """Read the last event ID of a request."""
        return self.read(
            readLastEventID, f"/it{query}", headers={"Last-Event-ID": headers["header"]} if headers else {}
        )

    def test_lastEventID(self) -> None:
        """
        The header takes precedence over the parameter, which stays in the URL. An empty header does
        not count.
        """
        self.assertIsNone(self.lastID())
        self.assertEqual(self.lastID("?last_event_id=q-1"), "q-1")
        self.assertEqual(self.lastID(header="h-1"), "h-1")
        self.assertEqual(self.lastID("?last_event_id=q-1", header="h-1"), "h-1")
        self.assertEqual(self.lastID("?last_event_id=q-1", header=""), "q-1")

    def test_lastEventIDOfAnyBytes(self) -> None:
        """A header in UTF-8 is decoded. Any other header is an unknown ID, and no error."""
        self.assertEqual(self.lastID(header="\xff"), "\ufffd")
        self.assertEqual(self.lastID(header="ö".encode().decode("latin-1")), "ö")

    def test_F109_parameterOfAnyBytes(self) -> None:
        """F109: a parameter that is not UTF-8 is an unknown ID, too, under each of its names."""
        for name in ("last_event_id", "lastEventId", "lastEventID"):
            self.assertEqual(self.lastID(f"?{name}=%C3%28"), "\ufffd(")

    def test_F120_namesOfPolyfills(self) -> None:
        """F120: the names of polyfills mean `last_event_id`. The header wins over all; empty ones are none."""
        for name in ("lastEventId", "lastEventID"):
            self.assertEqual(self.lastID(f"?{name}=q-1"), "q-1")
            self.assertEqual(self.lastID(f"?{name}=q-1", header="h-1"), "h-1")
            self.assertIsNone(self.lastID(f"?{name}="))
            self.assertEqual(self.lastID(f"?last_event_id=&{name}=q-1"), "q-1")
            self.assertEqual(self.lastID(f"?{name}=q-1&last_event_id=q-2"), "q-2")


class BodyTests(HTTPTestCase):
    """Bodies in JSON."""

    def post(self, body: bytes | None) -> Any:
        """Send a body; return the value that is read, or the error as a response."""
        return self.read(lambda request: readJSON(readTypedBody(request, LIMIT), Shape), method="POST", body=body)

    def assertRefused(self, body: bytes, status: int, code: str) -> str:
        """Check that a body is refused; return the message."""
        response = self.post(body)
        self.assertEqual((response.status, response.error["code"]), (status, code), body[:80])
        message: str = response.error["message"]
        return message

    def test_good(self) -> None:
        """
        A body becomes a typed value. An empty body is an empty object. Unknown members are ignored.
        """
        self.assertEqual(self.post(b'{"prompt": "Why?", "count": 3}'), Shape("Why?", 3))
        self.assertEqual(self.post(b'{"prompt": null, "more": [{}]}'), Shape())
        self.assertEqual(self.post(b""), Shape())
        self.assertEqual(self.post(None), Shape())
        self.assertEqual(self.post('{"prompt": "zwölf 📖 \\ud83d\\udcd6"}'.encode()), Shape("zwölf 📖 📖"))

    def test_notJSON(self) -> None:
        """
        A body that is not JSON is refused, with the extensions of Python's reader: NaN and lone
        surrogates.
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
        """A body that is not UTF-8 is refused, and nothing is logged."""
        for body in (b'{"prompt": "\xff"}', b'{"prompt": "\xed\xa0\x80"}', b'{"\xff": 1}', b"\xff\xfe{\x00}\x00"):
            self.assertRefused(body, 400, "bad_request")

    def test_wrongShape(self) -> None:
        """JSON of another shape is refused, and the message names the wrong member."""
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
            self.assertRefused(body, 400, "invalid_value" if body.startswith(b"{") else "bad_request")
        self.assertIn("prompt", self.assertRefused(b'{"prompt": 7}', 400, "invalid_value"))

    def test_deep(self) -> None:
        """A body with a nesting of 100,000 levels is refused, in an unknown member too."""
        deep = b"[" * 100_000 + b"]" * 100_000
        self.assertRefused(deep, 400, "bad_request")
        self.assertRefused(b'{"more": %b}' % deep, 400, "bad_request")

    def test_largeNumbers(self) -> None:
        """A number with thousands of digits is refused."""
        self.assertRefused(b'{"count": %b}' % (b"9" * 5000), 400, "invalid_value")

    def test_tooLarge(self) -> None:
        """
        A body of 1 MiB is read, a larger one is answered 413; the body is not kept.
        """
        frame = b'{"prompt": "%b"}'
        fits = frame % (b"x" * (LIMIT - len(frame) + 2))
        self.assertEqual(len(fits), LIMIT)
        self.assertEqual(len(self.post(fits).prompt), LIMIT - len(frame) + 2)
        self.assertRefused(fits.replace(b"x", b"xx", 1), 413, "body_too_large")
        self.assertFalse(self.wires[-1].closed)

    def test_tooLargeOnAnotherSite(self) -> None:
        """
        A site of Twisted reads the entire body before it is refused, and the connection stays open.
        """
        self.factory = Site(self.root, reactor=self.reactor)
        self.assertRefused(b" " * (LIMIT + 1), 413, "body_too_large")
        wire = self.wires[-1]
        self.assertEqual(wire.ask("/it", method="POST", body=b"{}").status, 200)


class HeaderTests(HTTPTestCase):
    """The header with the idempotency key."""

    def test_oneKey(self) -> None:
        """A request with two keys is refused: a proxy may look at the other one."""
        self.assertEqual(self.read(readKey, headers={"Idempotency-Key": "a"}), "a")
        self.assertIsNone(self.read(readKey))
        wire = self.connect(self.factory)
        self.resource.answer = lambda request: (readKey(request) or "").encode()
        wire.methods.append("GET")
        wire.send(b"GET /it HTTP/1.1\r\nHost: a\r\nIdempotency-Key: a\r\nidempotency-key: a\r\n\r\n")
        self.assertEqual(wire.response.status, 400)


class KeyTests(SynchronousTestCase):
    """Idempotency keys."""

    def test_visible(self) -> None:
        """A key is 1 to 255 visible ASCII characters."""
        for key in ["a", "!", "~", '"8e03978e-40d5-43e8-bc93-6894a57f9324"', "x" * 255]:
            self.assertEqual(checkKey(key), key)

    def test_refused(self) -> None:
        """A key that is empty, too long, or has other characters is refused."""
        for key in ["", "x" * 256, "a b", " a", "a\n", "a\x7f", "a\x00", "ä", "\ufffd"]:
            self.assertRaises(BadRequest, checkKey, key)
