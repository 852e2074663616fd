"""
Mutated requests: valid ones of all APIs, with parts that are cut, doubled, moved or replaced.
"""

from __future__ import annotations

from random import Random

_JSON = b"Content-Type: application/json\r\n"


def _post(path: bytes, body: bytes, fields: bytes = _JSON) -> bytes:
    """Return a POST."""
    return b"POST %b HTTP/1.1\r\nHost: localhost\r\n%bContent-Length: %d\r\n\r\n%b" % (path, fields, len(body), body)


def _get(path: bytes, fields: bytes = b"") -> bytes:
    """Return a GET."""
    return b"GET %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n" % (path, fields)


#: Requests that are mutated.
REQUESTS = (
    _get(b"/", b"Accept: text/event-stream\r\n"),
    _get(b"/", b"Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nAccept-Encoding: gzip\r\n"),
    _get(b"/streams?limit=2&after=a"),
    _get(b"/streams/a", b"Accept: application/json\r\n"),
    _get(b"/streams/a?from=now", b"Accept: text/event-stream\r\nLast-Event-ID: abcdefghijklmnopqrstuv-3\r\n"),
    _get(b"/streams/a?format=openai", b'If-None-Match: "x", W/"y"\r\nCookie: a=b; c\r\n'),
    _get(b"/streams/a", b"Accept: text/plain;q=0.5, text/html;q=0\r\nRange: bytes=0-5\r\n"),
    _get(b"/assets/app.js", b"If-None-Match: *\r\n"),
    _get(b"/v1/models/script"),
    _get(b"/api/chat/x/stream"),
    _get(b"/api/chat/x/stream?startIndex=-1"),
    _get(b"/agui?offset=-1&runId=r", b"X-Run-Id: r\r\nLast-Event-ID: abcdefghijklmnopqrstuv.3\r\n"),
    _get(b"/healthz"),
    b"HEAD /streams/a HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"OPTIONS /streams HTTP/1.1\r\nHost: localhost\r\nOrigin: http://a\r\nAccess-Control-Request-Method: PUT\r\n\r\n",
    b"DELETE /streams/b HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"PUT /streams/c HTTP/1.1\r\nHost: localhost\r\nStream-Closed: true\r\nContent-Length: 0\r\n\r\n",
    b"POST /streams/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\n{}\r\n0\r\nX: y\r\n\r\n",
    b"POST /streams/a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    b"GET /streams HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET http://localhost:8000/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n",
    _post(b"/streams", b'{"prompt": "x"}'),
    _post(b"/streams", b'{"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}'),
    _post(b"/streams/a", b'[{"event": "x", "data": "y"}, {"token": "z"}]', _JSON + b"Idempotency-Key: k\r\n"),
    _post(
        b"/streams/a", b"event: x\ndata: y\nid: 1\nretry: 5\n\n: c\ndata: z\n\n", b"Content-Type: text/event-stream\r\n"
    ),
    _post(b"/streams/a", b"text \xc3\xbc", b"Content-Type: text/plain; charset=utf-8\r\n"),
    _post(b"/streams/a/cancel", b""),
    _post(b"/v1/chat/completions", b'{"model": "script", "n": 1, "messages": [{"role": "user", "content": "x"}]}'),
    _post(
        b"/v1/chat/completions",
        b'{"stream": true, "stream_options": {"include_usage": true}, "messages": [{"role": "user", "content": "x"}]}',
    ),
    _post(b"/agui", b'{"threadId": "t", "runId": "r", "messages": [{"role": "user", "content": "x"}]}'),
    _post(b"/api/chat", b'{"id": "x", "trigger": "submit-message", "messages": [{"role": "user", "parts": []}]}'),
)

#: Bytes that mean something somewhere.
_WORDS = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\0", b" ", b"\t", b":", b";", b",", b"/", b"//", b"/../", b"%00",
    b"%2f", b"%ff", b"%", b"?", b"&", b"#", b"*", b"=", b'"', b"\\", b"\\u0000", b"\\ud800", b"\xff", b"\xc3",
    b"\xed\xa0\x80", b"\xf0\x9f", b"-1", b"0", b"9" * 30, b"9" * 5000, b"1e999", b"NaN", b"null", b"true",
    b"[]", b"{}", b"[" * 150, b"]" * 150, b"{" * 1000, b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2.0", b"GET ", b"POST ",
    b"PATCH ", b"CONNECT ", b"BREW ", b"http://a/", b"Host: b\r\n", b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Expect: x\r\n",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n", b"Content-Encoding: gzip\r\n",
    b"Accept: */*\r\n", b"Accept: ;q=x\r\n", b"Origin: null\r\n", b"Authorization: Bearer \xff\r\n",
    b"Last-Event-ID: \xff-1\r\n", b"Idempotency-Key: k\r\n", b"X: " + b"y" * 9000 + b"\r\n",
    b"Content-Type: multipart/form-data; boundary=\r\n", b"Range: bytes=-\r\n",
)  # fmt: skip


def mutate(random: Random) -> bytes:
    """Return a mutated request. For half of those with a body, only the body is mutated, and its length is right."""
    head, end, body = random.choice(REQUESTS).partition(b"\r\n\r\n")
    if not body or random.random() < 0.5:
        return _mutate(random, head + end + body)
    body = _mutate(random, body)
    lines = [line for line in head.split(b"\r\n") if not line.startswith((b"Content-Length", b"Transfer-Encoding"))]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


def _mutate(random: Random, whole: bytes) -> bytes:
    """Return bytes with some changes."""
    data = bytearray(whole)
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        start = random.randrange(len(data) + 1)
        end = min(len(data), start + random.choice((1, 1, 2, 5, 20, 100)))
        kind = random.randrange(7)
        if kind == 0:
            data[start:end] = b""
        elif kind == 1:
            data[start:start] = data[start:end]
        elif kind == 2:
            data[start:end] = random.randbytes(end - start)
        elif kind == 3:
            data[start:end] = bytes(data[start:end]).swapcase()
        elif kind == 4:
            data[start:] = random.choice(REQUESTS)[start:]
        else:
            data[start : random.choice((start, end))] = random.choice(_WORDS)
    return bytes(data)
