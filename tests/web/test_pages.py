"""
Tests of `sseserver.web.pages`: how many items of a list a client asks for.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from sseserver.errors import BadRequest
from sseserver.web.pages import MAX_PAGE, makeLimit, readLimit


def read(*values: bytes) -> int:
    """Read the parameter of a request with these values."""
    request = DummyRequest([b""])
    request.args = {b"limit": list(values)} if values else {}
    return readLimit(request)


class LimitTests(SynchronousTestCase):
    """The parameter `limit`."""

    def test_read(self) -> None:
        """It is a whole number of items; without it a page is as large as may be."""
        self.assertEqual([read(b"1"), read(b"007"), read(b"100"), read(b""), read()], [1, 7, *[MAX_PAGE] * 3])

    def test_malformed(self) -> None:
        """Anything else is an error that names the range."""
        for value in (b"0", b"101", b"-1", b"1.0", b"+1", b" 1", "²".encode(), b"1" * 5000):
            with self.subTest(value=value[:10]):
                error = self.assertRaises(BadRequest, read, value)
                self.assertIn("limit must be a whole number from 1 to 100", str(error))

    def test_described(self) -> None:
        """The description has the range that is read."""
        parameter = makeLimit("streams")
        self.assertEqual((parameter.name, parameter.description), ("limit", "Number of streams of the page."))
        self.assertEqual((parameter.schema["minimum"], parameter.schema["maximum"]), (1, MAX_PAGE))
