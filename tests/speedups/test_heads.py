"""
Tests of `sseserver.speedups.heads`. Those of the channel compare what is read with what Twisted reads.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.speedups.heads import SHORT_HEAD, Head, readHead

HEAD = b"GET /a?b HTTP/1.1\r\nHost: a\r\nx-other:  1 \r\nX-Other: 2\r\nAccept: c\r\naccept: d\r\n\r\n"


class HeadTests(SynchronousTestCase):
    """Heads that are read as one piece."""

    def read(self, data: bytes) -> Head:
        """Read a head that must be taken."""
        head = readHead(data)
        assert head is not None, data
        return head

    def test_fields(self) -> None:
        """All fields are in the headers, the repeated ones in their order."""
        head = self.read(HEAD)
        self.assertEqual(head.requestLine, (b"GET", b"/a?b", b"HTTP/1.1"))
        fields = dict(head.makeHeaders().getAllRawHeaders())
        self.assertEqual(fields, {b"Host": [b"a"], b"X-Other": [b"1", b"2"], b"Accept": [b"c", b"d"]})
        self.assertEqual(head.checked, ())

    def test_checked(self) -> None:
        """Fields that tell where the body ends, or ask for something, are left to the channel, as they came."""
        lines = (
            b"content-length: 3",
            b"Expect:x",
            b"Transfer-Encoding: a",
            b"Content-Encoding: b",
            b"Content-Length: 4",
        )
        head = self.read(b"POST / HTTP/1.1\r\nHost: a\r\n" + b"\r\n".join(lines) + b"\r\n\r\n")
        self.assertEqual(head.checked, lines)
        self.assertEqual(list(head.makeHeaders().getAllRawHeaders()), [(b"Host", [b"a"])])

    def test_recognized(self) -> None:
        """#16: a head that comes again is not read again, unless it is long or many others came meanwhile."""
        self.assertIs(readHead(HEAD), readHead(bytes(bytearray(HEAD))))
        long = HEAD[:-2] + b"Cookie: " + b"x" * 3000 + b"\r\n\r\n"
        self.assertIsNot(self.read(long), self.read(long))
        first = readHead(HEAD)
        for number in range(300):
            self.read(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
        self.assertIsNot(readHead(HEAD), first)

    def test_ofEachRequest(self) -> None:
        """#16: a request may change its headers; the next one with the same head has those of the head."""
        headers = self.read(HEAD).makeHeaders()
        before = list(headers.getAllRawHeaders())
        self.assertEqual(before, list(self.read(HEAD).makeHeaders().getAllRawHeaders()))
        headers.addRawHeader(b"Accept", b"e")
        headers.addRawHeader(b"X-Other", b"3")
        headers.removeHeader(b"Host")
        self.assertEqual(before[0], (b"Host", [b"a"]))
        fields = dict(self.read(HEAD).makeHeaders().getAllRawHeaders())
        self.assertEqual(fields, {b"Host": [b"a"], b"X-Other": [b"1", b"2"], b"Accept": [b"c", b"d"]})

    def test_others(self) -> None:
        """Twisted reads every other head."""
        for head in (
            b"",
            b"GET",
            b"GET / HTTP/1.1\r\nHost: a\r\n",
            b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\0\r\n\r\n",
            b"GET / HTTP/1.1\nHost: a\n\n",
            HEAD + b"x",
            b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n",
        ):
            self.assertIsNone(readHead(head), head)
        self.assertEqual(SHORT_HEAD, 8192)
