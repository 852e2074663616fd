"""
Requests whose end a proxy and a server may see at different places ("request smuggling").

Each form is followed by a whole second request. A server that takes the form for complete, or ignores what it does not
understand, answers both. It must answer once, and close.
"""

from __future__ import annotations

#: The request behind each form.
SECOND = b"GET /second HTTP/1.1\r\nHost: localhost\r\n\r\n"

_LINE = b"POST /streams HTTP/1.1\r\n"
_HOST = b"Host: localhost\r\n"
_TYPE = b"Content-Type: application/json\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_EMPTY = b"0\r\n\r\n"


def _post(fields: bytes, body: bytes = _EMPTY) -> bytes:
    """Return a POST with these fields."""
    return _LINE + _HOST + _TYPE + fields + b"\r\n" + body


def _chunks(body: bytes) -> bytes:
    """Return a POST with a chunked body."""
    return _post(_CHUNKED, body)


#: Lengths that are none. The body has five bytes.
_LENGTHS = {
    "sign": b"+5",
    "minus": b"-5",
    "hex": b"0x5",
    "space inside": b"5 5",
    "underscore": b"0_5",
    "list": b"5, 5",
    "list of two": b"5, 6",
    "comma": b"5,",
    "fraction": b"5.0",
    "exponent": b"5e0",
    "letter": b"5a",
    "empty": b"",
    "quoted": b'"5"',
    "arabic digit": "\u0665".encode(),
    "superscript": b"\xb2",
    "5,000 digits": b"5" * 5000,
    "5,000 zeros": b"0" * 5000 + b"5",
    "vertical tab": b"\x0b5",
    "form feed": b"5\x0c",
    "no-break space": b"\xa05",
    "semicolon": b"5;",
}

#: Transfer codings other than exactly `chunked`.
_CODINGS = {
    "identity": b"identity",
    "Identity": b"Identity",
    "gzip": b"gzip",
    "gzip, chunked": b"gzip, chunked",
    "chunked, gzip": b"chunked, gzip",
    "chunked, identity": b"chunked, identity",
    "identity, chunked": b"identity, chunked",
    "chunked, chunked": b"chunked, chunked",
    "chunked,": b"chunked,",
    ", chunked": b", chunked",
    "xchunked": b"xchunked",
    "chunkedx": b"chunkedx",
    "quoted": b'"chunked"',
    "parameter": b"chunked;q=1",
    "empty": b"",
    "vertical tab": b"\x0bchunked",
    "form feed": b"chunked\x0c",
    "no-break space": b"\xa0chunked",
    "end of text": b"chunked\x04",
    "sign of kelvins": "chun\u212aed".encode(),
    "cow": b"cow",
    "null": b"\x00chunked",
    "bare CR": b"\rchunked",
    "bare CR behind": b"chunked\r",
    "bare LF": b"\nchunked",
}

#: Field lines that are no fields, or name a length in another way. The body has five bytes.
_FIELDS = {
    "space before colon": b"Content-Length : 5\r\n",
    "tab before colon": b"Content-Length\t: 5\r\n",
    "space before colon, chunked": b"Transfer-Encoding : chunked\r\n",
    "space before name": b" Content-Length: 5\r\n",
    "tab before name": b"\tTransfer-Encoding: chunked\r\n",
    "folded length": b"Content-Length:\r\n 5\r\n",
    "folded coding": b"Transfer-Encoding:\r\n chunked\r\n",
    "folded coding, tab": b"Transfer-Encoding:\r\n\tchunked\r\n",
    "folded other": b"X: a\r\n Content-Length: 5\r\n",
    "folded without a field": b"X: a\r\n \r\nContent-Length: 5\r\n",
    "no colon": b"Content-Length 5\r\n",
    "no name": b": 5\r\n",
    "null in name": b"Content\x00-Length: 5\r\n",
    "CR in name": b"Content\r-Length: 5\r\n",
    "brackets in name": b"Content(Length): 5\r\n",
    "byte in name": b"Content-Length\xa0: 5\r\n",
    "null in value": b"X: \x00\r\nContent-Length: 5\r\n",
    "bare CR in value": b"X: a\rContent-Length: 5\r\n",
    "bare LF in value": b"X: a\nContent-Length: 5\r\n",
    "bare LF ends": b"Content-Length: 5\n",
    "two lengths": b"Content-Length: 5\r\nContent-Length: 5\r\n",
    "two other lengths": b"Content-Length: 5\r\nContent-Length: 6\r\n",
    "two lengths, none": b"Content-Length: 0\r\nContent-Length: 5\r\n",
    "length, then chunked": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "chunked, then length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    "lower case, both": b"content-length: 5\r\ntransfer-encoding: chunked\r\n",
    "chunked twice": _CHUNKED * 2,
    "chunked and identity": _CHUNKED + b"Transfer-Encoding: identity\r\n",
    "identity and chunked": b"Transfer-Encoding: identity\r\n" + _CHUNKED,
    "identity and length": b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n",
    "length and identity": b"Content-Length: 5\r\nTransfer-Encoding: identity\r\n",
}

#: Chunked bodies that are none.
_CHUNKS = {
    "sign": b"+2\r\nab\r\n",
    "minus": b"-2\r\nab\r\n",
    "prefix": b"0x2\r\nab\r\n",
    "underscore": b"0_2\r\nab\r\n",
    "space before": b" 2\r\nab\r\n",
    "space behind": b"2 \r\nab\r\n",
    "empty": b"\r\nab\r\n",
    "letter": b"g\r\nab\r\n",
    "no extension name": b"2;\x00\r\nab\r\n",
    "bare LF in extension": b"2;\n\r\nab\r\n",
    "bare CR in extension": b"2;a\rb\r\nab\r\n",
    "bare LF behind the size": b"2\nab\r\n",
    "bare LF behind the data": b"2\r\nab\n",
    "too much data": b"2\r\nabc\r\n",
    "too little data": b"3\r\nab\r\n0\r\n\r\n",
    "long size": b"0" * 2000 + b"2\r\nab\r\n",
    "long extension": b"2;" + b"a" * 2000 + b"\r\nab\r\n",
}

#: Heads with another line.
_LINES = {
    "HTTP/1.0, chunked": b"POST /streams HTTP/1.0\r\n" + _HOST + _TYPE + _CHUNKED + b"\r\n" + _EMPTY,
    "HTTP/1.0 without a host, chunked": b"POST /streams HTTP/1.0\r\n" + _CHUNKED + b"\r\n" + _EMPTY,
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\n" + _HOST + b"\r\n",
    "preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": b"GET / \r\n" + _HOST + b"\r\n",
    "HTTP/1.1x": b"GET / HTTP/1.1x\r\n" + _HOST + b"\r\n",
    "http/1.1": b"GET / http/1.1\r\n" + _HOST + b"\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\n" + _HOST + b"\r\n",
    "tab": b"GET\t/ HTTP/1.1\r\n" + _HOST + b"\r\n",
    "space in target": b"GET /a b HTTP/1.1\r\n" + _HOST + b"\r\n",
    "space first": b" GET / HTTP/1.1\r\n" + _HOST + b"\r\n",
    "space last": b"GET / HTTP/1.1 \r\n" + _HOST + b"\r\n",
    "null in target": b"GET /\x00 HTTP/1.1\r\n" + _HOST + b"\r\n",
    "CR in target": b"GET /\r HTTP/1.1\r\n" + _HOST + b"\r\n",
    "no slash": b"GET index HTTP/1.1\r\n" + _HOST + b"\r\n",
    "other scheme": b"GET ftp://localhost/ HTTP/1.1\r\n" + _HOST + b"\r\n",
    "credentials": b"GET http://a@localhost/ HTTP/1.1\r\n" + _HOST + b"\r\n",
    "no authority": b"GET http:/// HTTP/1.1\r\n" + _HOST + b"\r\n",
    "authority": b"GET localhost:80 HTTP/1.1\r\n" + _HOST + b"\r\n",
    "connect": b"CONNECT localhost:80 HTTP/1.1\r\n" + _HOST + b"\r\n",
    "bracket in method": b"GE[T / HTTP/1.1\r\n" + _HOST + b"\r\n",
    "folded first": b"GET / HTTP/1.1\r\n " + _HOST + b"\r\n",
    "bare LF": b"GET / HTTP/1.1\n" + _HOST + b"\r\n",
    "expectation": _post(b"Expect: 200-ok\r\nContent-Length: 5\r\n"),
    "expectations": _post(b"Expect: 100-continue, x\r\nContent-Length: 5\r\n"),
    "compressed": _post(b"Content-Encoding: gzip\r\nContent-Length: 5\r\n"),
}

#: All forms, by their names.
FORMS = {
    **{f"length: {name}": _post(b"Content-Length: %b\r\n" % value) for name, value in _LENGTHS.items()},
    **{f"coding: {name}": _post(b"Transfer-Encoding: %b\r\n" % value) for name, value in _CODINGS.items()},
    **{f"field: {name}": _post(value) for name, value in _FIELDS.items()},
    **{f"chunk: {name}": _chunks(value) for name, value in _CHUNKS.items()},
    **{f"line: {name}": value for name, value in _LINES.items()},
}
