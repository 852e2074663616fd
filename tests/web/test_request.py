"""
Tests of `sseserver.web.request`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Site

from sseserver.errors import BadRequest
from sseserver.web.request import MAX_BODY, checkKey, readJSON, readLastEventID, readParameter
from tests.web.cases import HTTPTestCase


class Shape(msgspec.Struct):
    """A body for tests."""

    prompt: str | None = None
    count: int = 0


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


class KeyTests(SynchronousTestCase):
    """Idempotency keys."""

    def test_visible(self) -> None:
        """
        A key is 1 to 255 visible characters of ASCII.
        """
        for key in ["a", "!", "~", '"8e03978e-40d5-43e8-bc93-6894a57f9324"', "x" * 255]:
            self.assertEqual(checkKey(key), key)

    def test_refused(self) -> None:
        """
        An empty key, one that is too long, and one with spaces, controls or
        other letters is refused.
        """
        for key in ["", "x" * 256, "a b", " a", "a\n", "a\x7f", "a\x00", "ä", "\ufffd"]:
            self.assertRaises(BadRequest, checkKey, key)
