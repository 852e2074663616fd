"""
Direct answers: a small POST that arrives in one piece is answered without a request object.

A program that publishes token by token sends thousands of requests a second over connections that
it keeps, with the same head each time. twisted.web makes a request object for each, parses and
writes header by header, and walks through the tree of resources: five times the work of the publish
itself. Here a head is read once and recognized from then on, and the answer is written in one piece.

Only plain requests are answered so. Every other one, and every one that is refused, goes the usual
way from its first byte: nothing has happened to it yet. `sseserver.web.site` chooses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic, time
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.http import OK, datetimeToString

from sseserver.speedups.privates import beginWait, isBetweenRequests, isBlocked, receiveAgain
from sseserver.tracebacks import forgetFailure

#: Bytes. Limit of the head of such a request.
_SHORT_HEAD = 2048

#: Heads that are recognized; a publisher has one for each length of its bodies.
_HEADS = 1024

#: The only heads that are read: a path below another one, of unreserved characters, without a query.
_HEAD = re.compile(
    rb"POST ((?:/[A-Za-z0-9._~-]+){2,}) HTTP/1\.1\r\n((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\0\r\n]*\r\n)+)\r\n"
)

#: The only header fields that such a head may have. No other one has a meaning for such a request.
_FIELDS = frozenset(
    b"accept accept-encoding accept-language authorization cache-control connection content-length content-type host"
    b" pragma referer user-agent".split()
)

#: An answer with an empty body, around the date and the length.
_SAMPLE = re.compile(rb"(HTTP/1\.1 200 .*\r\nDate: )[^\r]*(\r\n.*Content-Length: )0(\r\n.*\r\n)", re.DOTALL)

_LENGTH = re.compile(rb"[1-9][0-9]{0,4}")


@dataclass(slots=True)
class DirectHead:
    """
    The head of a POST.

    Attributes:
        path: The path, without a query.
        fields: The header fields by their names in lower case.
        contentType: Value of the field `Content-Type`, or an empty text.
        length: Bytes of the body.
        note: What the answers keep for the next request with this head.
    """

    path: bytes
    fields: dict[bytes, bytes]
    contentType: str
    length: int
    note: Any = None


def readHead(head: bytes) -> DirectHead | None:
    """
    Read the head of a POST.

    Args:
        head: All bytes up to the body.

    Returns:
        The head, or `None` if it is anything but a plain POST with a body and a kept connection.
    """
    match = _HEAD.fullmatch(head)
    if match is None:
        return None
    fields: dict[bytes, bytes] = {}
    for line in match[2].split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        name = name.lower()
        if name in fields or name not in _FIELDS:
            return None
        fields[name] = value.strip(b" \t")
    length = fields.get(b"content-length", b"")
    if not _LENGTH.fullmatch(length) or fields.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return None
    contentType = fields.get(b"content-type", b"").decode("ascii", "replace")
    return DirectHead(match[1], fields, contentType, int(length))


class DirectAnswers(Protocol):
    """
    Answers POSTs.

    Attributes:
        principalName: Name of the principal of the request that was answered last, for the access log; empty for
            nobody.
    """

    principalName: str

    def admits(self, fields: Mapping[bytes, bytes]) -> bool:
        """
        Return whether requests with a head may be answered directly. The result is kept with the head.

        Args:
            fields: The header fields of the head.
        """

    def respond(self, head: DirectHead, body: bytes, peer: Any) -> Deferred[bytes] | None:
        """
        Answer a POST whose head is admitted.

        Args:
            head: The head.
            body: The body.
            peer: Address of the client.

        Returns:
            `None` if the request is to go the usual way; otherwise fires with the body of an answer 200 in JSON. If it
            fails, the request goes the usual way, too: nothing must have changed.
        """


class DirectRequest:
    """
    A request that was answered directly, as the access log needs it; see `IRequest`.

    Args:
        channel: Its connection.
        head: Its head.
        begun: When it came, in seconds of `time.monotonic`.
        principalName: Name of the principal; empty for nobody.

    Attributes:
        sentLength: Bytes of the body of the answer.
    """

    __slots__ = ("_channel", "_fields", "begun", "principalName", "sentLength", "uri")

    method = b"POST"
    clientproto = b"HTTP/1.1"
    code = OK

    def __init__(self, channel: Any, head: DirectHead, begun: float, principalName: str) -> None:
        self.begun = begun
        self.principalName = principalName
        self._channel = channel
        self._fields = head.fields
        self.uri = head.path
        self.sentLength = 0

    def getHeader(self, name: bytes) -> bytes | None:
        """See `IRequest.getHeader`."""
        return self._fields.get(name)

    def getClientAddress(self) -> Any:
        """See `twisted.web.http.Request.getClientAddress`."""
        return self._channel.getPeer()


class AnswerForm:
    """
    The form of all direct answers.

    Args:
        sample: An answer that was written in the usual way, with an empty body.

    Raises:
        ValueError: The sample is of another kind.
    """

    def __init__(self, sample: bytes) -> None:
        match = _SAMPLE.fullmatch(sample)
        if match is None:
            raise ValueError("An answer needs a date, a length and an empty body.")
        self._start, self._fields, self._end = match.groups()
        self._second = -1
        # The head up to the length, with the date of that second.
        self._head = b""

    def fill(self, body: bytes) -> bytes:
        """Return the answer that has a body."""
        second = int(time())
        if second != self._second:
            self._second = second
            self._head = self._start + datetimeToString(second) + self._fields
        return b"%b%d%b%b" % (self._head, len(body), self._end, body)


class DirectSite(Protocol):
    """
    The site of the requests.

    Attributes:
        resource: The root. If it answers requests directly, it has an attribute `direct`, its `DirectAnswers`.
        maxBody: Bytes. Limit of the body of a request.
    """

    resource: Any
    maxBody: int

    def log(self, request: Any) -> None:
        """Write a line into the access log."""


class DirectWay:
    """
    Answers requests of one site directly.

    Args:
        site: The site.
        form: The form of the answers.
        logs: Whether answers are logged.

    Attributes:
        heads: Reads a head; see `readHead`. It keeps the result.
    """

    def __init__(self, site: DirectSite, form: AnswerForm, logs: bool) -> None:
        self._site = site
        self._form = form
        self._logs = logs
        self.heads = lru_cache(_HEADS)(_readAdmitted)

    def receive(self, channel: Any, data: bytes) -> bool:
        """
        Answer a request, if the bytes are one that can be answered directly.

        Args:
            channel: A `FastChannel`.
            data: The bytes that it has received.

        Returns:
            Whether the request is answered or will be; if not, nothing was read.
        """
        answers = getattr(self._site.resource, "direct", None)
        if answers is None:
            return False
        end = data.find(b"\r\n\r\n", 0, _SHORT_HEAD) + 4
        head = self.heads(data[:end], answers)
        if head is None or len(data) != end + head.length or not isBetweenRequests(channel) or isBlocked(channel):
            return False
        if head.length > self._site.maxBody:
            return False
        begun = monotonic() if self._logs else 0.0
        answering = answers.respond(head, data[end:], channel.getPeer())
        if answering is None:
            return False
        channel.setTimeout(channel.timeOut)
        logged = DirectRequest(channel, head, begun, answers.principalName) if self._logs else None
        result = answering.result if answering.called else None
        if isinstance(result, bytes):
            self.write(channel, result, logged)
            return True
        if isinstance(result, Failure):
            answering.addErrback(_forget)
            return False
        waiting = _Waiting(self, channel, data, logged)
        answering.addCallbacks(waiting.answer, waiting.refuse)
        return True

    def write(self, channel: Any, body: bytes, logged: DirectRequest | None) -> None:
        """
        Write an answer, and its line in the access log.

        Args:
            channel: The connection.
            body: Body of the answer.
            logged: The request, for the log; `None` if there is none.
        """
        buffer = channel.sendBuffer
        buffer.hold()
        buffer.put(self._form.fill(body))
        buffer.release()
        if logged is not None:
            logged.sentLength = len(body)
            self._site.log(logged)


class _Waiting:
    """
    A request whose answer is not there yet. Its channel treats it as it treats a request object.

    Args:
        way: Writes the answer.
        channel: The connection.
        data: The whole request.
        logged: The request, for the log; `None` if there is none.
    """

    __slots__ = ("_channel", "_data", "_logged", "_way")

    def __init__(self, way: DirectWay, channel: Any, data: bytes, logged: DirectRequest | None) -> None:
        self._way = way
        self._channel = channel
        self._data = data
        self._logged = logged
        beginWait(channel, self)

    def connectionLost(self, reason: Failure) -> None:
        """See `Request.connectionLost`."""
        self._channel = None

    def answer(self, body: bytes) -> None:
        """Write the answer, and let the channel go on."""
        channel = self._channel
        if channel is not None:
            self._way.write(channel, body, self._logged)
            channel.requestDone(self)

    def refuse(self, failure: Failure) -> None:
        """Let the request go the usual way, which answers with the error."""
        forgetFailure(failure)
        if self._channel is not None:
            receiveAgain(self._channel, self, self._data)


def _readAdmitted(head: bytes, answers: DirectAnswers) -> DirectHead | None:
    """Read a head; return `None` as well if its requests must go the usual way."""
    read = readHead(head)
    return read if read is not None and answers.admits(read.fields) else None


def _forget(failure: Failure) -> None:
    """Ignore a failure: the usual way will find it, too."""
    forgetFailure(failure)
