"""
HTTP/1 in the tests: requests as bytes, and a strict parser of the responses that came back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from sseserver.wire import HEARTBEAT, Decoder, Event

#: `Accept` headers that browsers send for a page opened by its address, copied from the current releases.
CHROME = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
SAFARI = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
EVENTSOURCE = "text/event-stream"


@dataclass
class Response:
    """
    One response, as far as it has arrived.

    Attributes:
        headers: By lower-case name; a repeated name is an error here.
        body: Without the framing of chunks.
        complete: Whether the end has arrived, too.
    """

    version: str
    status: int
    headers: dict[str, str]
    body: bytes
    complete: bool

    @property
    def events(self) -> list[Event]:
        """The events of the body."""
        return Decoder().feed(self.body)

    @property
    def texts(self) -> list[str]:
        """The data of its events of the default type."""
        return [event.data for event in self.events if event.type == "message"]

    @property
    def types(self) -> list[str]:
        """The types of its events."""
        return [event.type for event in self.events]

    @property
    def turnedAway(self) -> bool:
        """Whether the viewer is told to come back later: the stream of events is complete, and has none."""
        return self.status == 200 and self.complete and self.body.startswith(b"retry: ") and not self.events

    @property
    def heartbeats(self) -> int:
        """Number of heartbeats in the body."""
        return self.body.split(b"\n").count(HEARTBEAT.rstrip(b"\n"))

    @property
    def json(self) -> Any:
        """The body, parsed as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error object of a complete JSON response, in the shape of OpenAI's API."""
        assert self.headers["content-type"] == "application/json", self
        assert self.complete, self
        told: dict[str, Any] = self.json["error"]
        assert set(told) - {"param"} == {"message", "type", "code"}, told
        return told


def parseResponses(data: bytes, methods: list[str], closed: bool) -> list[Response]:
    """
    Parse the responses that arrived on one connection.

    Args:
        data: All bytes from the server, from the first on.
        methods: Methods of the requests, in order.
        closed: Whether the server has closed the connection.

    Raises:
        AssertionError: The bytes are not HTTP, or more responses than requests.
    """
    responses = []
    for method in methods:
        if b"\r\n\r\n" not in data:
            break
        response, data = _parseResponse(data, method, closed)
        responses.append(response)
        if not response.complete:
            break
    else:
        assert not data, f"more bytes than responses: {data!r}"
    return responses


def _parseResponse(data: bytes, method: str, closed: bool) -> tuple[Response, bytes]:
    """Parse one response whose head is complete, and return it with the bytes that follow it."""
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    version, status, _ = first.split(" ", 2)
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(": ")
        assert colon, head
        assert name.lower() not in headers, head
        headers[name.lower()] = value
    response = Response(version, int(status), headers, b"", True)
    if method == "HEAD" or response.status in {204, 304}:
        return response, rest
    if "transfer-encoding" in headers:
        assert headers["transfer-encoding"] == "chunked", head
        assert "content-length" not in headers, head
        response.body, rest, response.complete = dechunk(rest)
    elif "content-length" in headers:
        size = int(headers["content-length"])
        response.body, rest, response.complete = rest[:size], rest[size:], len(rest) >= size
    else:
        response.body, rest, response.complete = rest, b"", closed
    return response, rest


def dechunk(data: bytes) -> tuple[bytes, bytes, bool]:
    """
    Decode the chunked transfer coding (RFC 9112 section 7.1), strictly.

    Returns:
        The body so far, with the received part of an unfinished chunk; the bytes after its end; and whether the end was
        seen.
    """
    parts = []
    place = 0
    while (end := data.find(b"\r\n", place)) >= 0:
        size = int(data[place:end], 16)
        assert data[place:end] == b"%x" % size, data[place:end]
        place = end + 2 + size
        parts.append(data[end + 2 : place])
        after = data[place : place + 2]
        assert b"\r\n".startswith(after), after
        if len(after) < 2:
            break
        place += 2
        if size == 0:
            return b"".join(parts), data[place:], True
    return b"".join(parts), b"", False


class RequestParts(TypedDict, total=False):
    """
    The parts of a request that most tests leave out.

    By default it is HTTP/1.1, with the headers `Host`, `Accept`, and those of the body. A header that is `None` is not
    sent.
    """

    version: str
    headers: Mapping[str, str | None] | None


def makeRequest(
    path: str = "/",
    accept: str | None = None,
    method: str = "GET",
    body: bytes | None = None,
    **rest: Unpack[RequestParts],
) -> bytes:
    """
    Return a request as bytes.

    Args:
        path: The target.
        accept: Value of the `Accept` header, or `None` for no such header.
        method: The method.
        body: The body, in JSON unless the headers say otherwise; none is sent for `None`.
        **rest: See `RequestParts`.
    """
    fields: dict[str, str | None] = {"Host": "localhost", "Accept": accept}
    if body is not None:
        fields |= {"Content-Length": str(len(body)), "Content-Type": "application/json" if body else None}
    fields |= rest.get("headers") or {}
    lines = [f"{method} {path} HTTP/{rest.get('version', '1.1')}"]
    lines += [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")
