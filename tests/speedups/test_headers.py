"""
Tests of `sseserver.speedups.headers`: fast headers do what Twisted's do.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers, InvalidHeaderName

from sseserver.speedups.headers import HEADERS, FastHeaders, keepLogged, looksUpHeaders

#: Names: usual ones in three forms, another one, and text.
NAMES = (b"Host", b"host", b"HOST", b"X-Other", b"x-other", "host", "X-Other")

#: Values: of one line, of several, empty, and text.
VALUES = (b"one", b"a\r\nb: c", b"a\nb", b"", b"\n", "text", "two\r\nlines")


class FastHeadersTests(SynchronousTestCase):
    """The operations of fast headers, beside those of Twisted's."""

    def test_probe(self) -> None:
        """
        The fast headers are used with this Twisted.
        """
        self.assertTrue(looksUpHeaders())
        self.assertIs(HEADERS, FastHeaders)

    def test_encode(self) -> None:
        """#16: the lines of an answer: all values in order, no `Server`, and the protection unless it has one."""
        headers = FastHeaders({b"server": [b"a"], b"Vary": [b"b", b"c"], b"x-other": [b"d"]})
        self.assertEqual(headers.encode(b"P: p\r\n"), b"Vary: b\r\nVary: c\r\nX-Other: d\r\nP: p\r\n")
        headers.setRawHeaders(b"cross-origin-resource-policy", [b"cross-origin"])
        self.assertNotIn(b"P: p", headers.encode(b"P: p\r\n"))
        self.assertEqual(FastHeaders().encode(b""), b"")

    def test_set(self) -> None:
        """
        A value that is set is found by every form of its name, and its line ends are gone.
        """
        for name in NAMES:
            for value in VALUES:
                fast, plain = FastHeaders(), Headers()
                for headers in (fast, plain):
                    headers.setRawHeaders(name, [value])
                self._compare(fast, plain)

    def test_add(self) -> None:
        """
        Values that are added stand in their order.
        """
        for name in NAMES:
            fast, plain = FastHeaders(), Headers()
            for value in VALUES:
                for headers in (fast, plain):
                    headers.addRawHeader(name, value)
                self._compare(fast, plain)

    def test_several(self) -> None:
        """
        Several values, or none, replace the ones before.
        """
        for values in ([b"a", b"b\nc"], (b"a",), []):
            fast, plain = FastHeaders({b"host": [b"before"]}), Headers({b"host": [b"before"]})
            for headers in (fast, plain):
                headers.setRawHeaders(b"host", values)
            self._compare(fast, plain)

    def test_remove(self) -> None:
        """
        A field is removed by every form of its name; a second time is harmless.
        """
        for name in NAMES:
            fast, plain = FastHeaders({name: ["a"]}), Headers({name: ["a"]})
            for _ in range(2):
                for headers in (fast, plain):
                    headers.removeHeader(name)
                self._compare(fast, plain)

    def test_malformed(self) -> None:
        """
        A name that is no token is refused.
        """
        self.assertRaises(InvalidHeaderName, FastHeaders().setRawHeaders, b"a b", [b""])
        self.assertRaises(InvalidHeaderName, FastHeaders().addRawHeader, b"", b"")

    def _compare(self, fast: FastHeaders, plain: Headers) -> None:
        """Compare everything that can be read."""
        self.assertEqual(list(fast.getAllRawHeaders()), list(plain.getAllRawHeaders()))
        self.assertEqual(fast, plain)
        for name in NAMES:
            self.assertEqual(fast.hasHeader(name), plain.hasHeader(name))
            self.assertEqual(fast.getRawHeaders(name), plain.getRawHeaders(name))
            self.assertEqual(fast.getRawHeaders(name, ()), plain.getRawHeaders(name, ()))


class KeepLoggedTests(SynchronousTestCase):
    """The fields that are kept of a request whose response lasts."""

    def test_fields(self) -> None:
        """The fields that access logs show are kept, once each; requests with the same ones share them."""
        given = ((b"user-agent", b"a"), (b"Host", b"b"), (b"Referer", b"c"), (b"Referer", b"d"), (b"Cookie", b"e"))
        kept = []
        for kind in (FastHeaders, Headers):
            headers = kind()
            for name, value in given:
                headers.addRawHeader(name, value)
            kept.append(keepLogged(headers))
        self.assertIs(kept[0], kept[1])
        self.assertEqual(list(kept[0].getAllRawHeaders()), [(b"Referer", [b"c"]), (b"User-Agent", [b"a"])])
        self.assertIs(keepLogged(kept[0]), kept[0])
        self.assertEqual(list(keepLogged(Headers()).getAllRawHeaders()), [])

    def test_unchanged(self) -> None:
        """A change for one request shows in no other one."""
        kept = keepLogged(Headers({b"User-Agent": [b"a"]}))
        kept.setRawHeaders(b"User-Agent", [b"b"])
        kept.addRawHeader(b"Referer", b"c")
        kept.removeHeader(b"User-Agent")
        self.assertEqual(list(kept.getAllRawHeaders()), [(b"User-Agent", [b"a"])])
