"""
The heads of requests, each read as one piece, and recognized when it comes again.

A client sends the same head with each request, and so do all browsers of one kind that open the same stream. To read
the fourteen fields of a browser takes as long as the rest of a small request.

`sseserver.speedups.channel` uses them.
"""

from __future__ import annotations

import re
from functools import lru_cache

from twisted.web.http_headers import Headers

from sseserver.speedups.headers import CHECKED, HEADERS, FastHeaders, takeUsual

#: A head as nearly all clients write it (RFC 9112 3 and 5): no more than Twisted takes, with the
#: same checks. Twisted reads every other head itself.
_HEAD = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~]+) (HTTP/1\.[01])\r\n"
    rb"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\0\r\n]*\r\n)*)\r\n"
)

#: Words of request lines. Requests share them: a viewer keeps those of its own.
_SHARED = {word: word for word in (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"HTTP/1.0", b"HTTP/1.1")}

#: Bytes. Limit of such a head, and the number of its header lines: well below Twisted's limits.
SHORT_HEAD = 8192
_FEW_LINES = 100

#: Bytes. A longer head is not kept; and the number of heads that are.
_KEPT = 2048
_HEADS = 256


class Head:
    """
    The head of a request.

    Args:
        requestLine: The method, the target and the version.
        headers: The fields that are not checked.
        checked: The lines of the fields that the channel checks.

    Attributes:
        requestLine: See above.
        checked: See above.
        isPlain: Whether Twisted has nothing to look at: a request of HTTP/1.1 for a path, without a body and without a
            field that it reads itself.
        closes: Whether the client closes the connection after such a request.
    """

    __slots__ = ("_headers", "checked", "closes", "isPlain", "requestLine")

    def __init__(self, requestLine: tuple[bytes, ...], headers: Headers, checked: tuple[bytes, ...]) -> None:
        self.requestLine = requestLine
        self.checked = checked
        self._headers = headers
        asked = headers.getRawHeaders(b"Connection", [b""])
        self.closes = asked == [b"close"]
        _, target, version = requestLine
        isUsual = isinstance(headers, FastHeaders) and not headers.hasRare() and (self.closes or asked == [b""])
        self.isPlain = isUsual and not checked and version == b"HTTP/1.1" and target[:1] == b"/"

    def makeHeaders(self) -> Headers:
        """Return headers with the fields that are not checked. The caller may change them."""
        return self._headers.copy()


def readHead(head: bytes) -> Head | None:
    """
    Read the head of a request.

    Args:
        head: All bytes up to the body, with the empty line.

    Returns:
        The head; `None` if Twisted must read it.
    """
    return _recall(head) if len(head) <= _KEPT else _read(head)


def _read(head: bytes) -> Head | None:
    match = _HEAD.fullmatch(head)
    if match is None or match[4].count(b"\n") > _FEW_LINES:
        return None
    headers, checked = HEADERS(), []
    for field in takeUsual(headers, match[4].split(b"\r\n")[:-1]):
        name, _, value = field.partition(b":")
        if name.lower() in CHECKED:
            checked.append(field)
        else:
            headers.addRawHeader(name, value.strip(b" \t"))
    method, target, version = match.group(1, 2, 3)
    line = (_SHARED.get(method, method), target, _SHARED.get(version, version))
    return Head(line, headers, tuple(checked))


_recall = lru_cache(_HEADS)(_read)
