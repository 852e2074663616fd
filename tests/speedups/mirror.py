"""
Requests of all kinds, and a resource that shows what it sees of them.
"""

from __future__ import annotations

from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

# Requests of browsers, with difficult cases for a parser.
GOOD = {
    "plain": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "lower-case names": b"GET /x HTTP/1.1\r\nhost: a\r\naccept: text/event-stream\r\nlast-event-id: e-1\r\n\r\n",
    "query": b"GET /a%20b/c//d?x=1&x=2&y=&z&%C3%BC=%FF HTTP/1.1\r\nHost: a\r\n\r\n",
    "spaces": b"GET / HTTP/1.1\r\nHost:a\r\nAccept: \t text/html , */* \t\r\nX-Empty:\r\nX-Colon: a:b:\r\n\r\n",
    "bytes": b"GET / HTTP/1.1\r\nHost: a\r\nX-Name: \xc3\xbc\xff\x85\x0b\x0cend\r\n\r\n",
    "repeated": b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1; b\r\nX-A: 1\r\nx-a: 2\r\nCookie: c=3\r\n\r\n",
    "body": b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "empty body": b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "chunked": b"POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "form": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Content-Length: 3\r\n\r\na=b",
    "head": b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    "star": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute": b"GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "unknown method": b"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two parts": b"GET /parts HTTP/1.1\r\nHost: a\r\n\r\n",
    "no content": b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n",
    "headers of its own": b"GET /own HTTP/1.1\r\nHost: a\r\n\r\n",
    "expect": b"POST /b HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
    "empty line before": b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
}

# After these the connection is closed.
LAST = {
    "close": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "close among others": b"GET /parts HTTP/1.1\r\nHost: a\r\nconnection: Keep-Alive Close\r\n\r\n",
    "1.0": b"GET /parts HTTP/1.0\r\n\r\n",
    "1.0 kept": b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "future": b"GET / HTTP/1.2\r\n\r\n",
    "folded": b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: a\r\n  b\r\n\tc\r\n\r\n",
    "identity": b"POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "length and chunked": b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na",
    "no length": b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na",
    "unknown coding": b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
    "bad chunk": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "old line ends": b"GET / HTTP/1.1\nHost: a\n\n\r\n\r\n",
    "bytes in the target": b"GET /\xc3\xbc HTTP/1.1\r\nHost: a\r\n\r\n",
    "no line": b"hello\r\n\r\n",
    "two words": b"GET /\r\n\r\n",
    "four words": b"GET / / HTTP/1.1\r\n\r\n",
    "no HTTP": b"GET / FTP/1.1\r\n\r\n",
    "bad method": b"G(T / HTTP/1.1\r\n\r\n",
    "space before the colon": b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost\r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\n: a\r\n\r\n",
    "bad name": b"GET / HTTP/1.1\r\nH\xc3\xb6st: a\r\n\r\n",
    "nul": b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n",
    "bare CR": b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\r\nHost: a\nb\r\n\r\n",
    "control in the target": b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
    "folded first": b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "too many": b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % number for number in range(501)) + b"\r\n",
    "not too many": b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % number for number in range(500)) + b"\r\n",
    "line not too long": b"GET / HTTP/1.1\r\nX: " + b"a" * 16300 + b"\r\n\r\n",
}


class Mirror(Resource):
    """Says what it sees, in ways that the path names."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[object] = []

    def render(self, request: Request) -> Any:
        assert request.content is not None
        self.seen.append(
            (
                (request.method, request.uri, request.path, request.clientproto, request.args),
                list(request.requestHeaders.getAllRawHeaders()),
                (request.content.read(), request.prepath, request.postpath, request.received_cookies),
                (request.client, request.host, request.getClientAddress(), request.isSecure()),
            )
        )
        if request.path == b"/parts":
            request.write(b"one")
            request.write(b"two")
            request.finish()
            return NOT_DONE_YET
        if request.path == b"/nothing":
            request.setResponseCode(204)
        if request.path == b"/own":
            request.setETag(b'"x"')
            request.setLastModified(0)
            request.addCookie(b"a", b"b")
            request.responseHeaders.setRawHeaders(b"X-Two", [b"1", b"2\r\n3"])
        return b"" if request.path == b"/nothing" else b"whole"
