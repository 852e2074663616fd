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
HEADS = 1024

#: The only heads that are read: a path below another one, of unreserved characters, without a query.
_HEAD = re.compile(
    rb"POST ((?:/[A-Za-z0-9._~-]+){2,}) HTTP/1\.1\r\n((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\0\r\n]*\r\n)+)\r\n"
)

#: The only header fields that such a head may have. No other one has a meaning for such a request.
_FIELDS = frozenset(
    b"accept accept-encoding accept-language authorization cache-control connection content-length content-type host"
    b" pragma referer user-agent".split()
)

#: The one field whose value differs from request to request, as nearly all clients write it.
_KEY = re.compile(rb"\r\n[Ii]dempotency-[Kk]ey:[ \t]*([!-~]{1,255})[ \t]*(?=\r\n)")

#: An answer with an empty body, around the date and the length.
_SAMPLE = re.compile(rb"(HTTP/1\.1 200 .*\r\nDate: )[^\r]*(\r\n.*Content-Length: )0(\r\n.*\r\n)", re.DOTALL)

_LENGTH = re.compile(rb"[1-9][0-9]{0,4}")


class DirectHead:
    """
    The head of a POST, without its idempotency key.

    Args:
        path: The path, without a query.
        fields: The header fields by their names in lower case.
        length: Bytes of the body.

    Attributes:
        authorization: Value of the field `Authorization`, if there is one.
        contentType: Value of the field `Content-Type`, or an empty text.
        fields: See above.
        length: See above.
        note: What the answers keep for the next request with this head.
        path: See above.
    """

    __slots__ = ("authorization", "contentType", "fields", "length", "note", "path")

    def __init__(self, path: bytes, fields: dict[bytes, bytes], length: int) -> None:
        self.path = path
        self.fields = fields
        self.length = length
        self.authorization = fields.get(b"authorization")
        self.contentType = fields.get(b"content-type", b"").decode("ascii", "replace")
        self.note: Any = None


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
    return DirectHead(match[1], fields, int(length))


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

    def respond(self, head: DirectHead, key: str, body: bytes, peer: Any) -> bytes | Deferred[bytes] | None:
        """
        Answer a POST whose head is admitted.

        Args:
            head: The head.
            key: Value of the field `Idempotency-Key`; empty if there is none.
            body: The body.
            peer: Address of the client.

        Returns:
            The body of an answer 200 in JSON, or a Deferred that fires with it. `None` if the request is to go the
            usual way. If the Deferred fails, it goes the usual way, too: nothing must have changed.
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
    """

    __slots__ = ("_answers", "_form", "_heads", "_logs", "_site")

    def __init__(self, site: DirectSite, form: AnswerForm, logs: bool) -> None:
        self._site = site
        self._form = form
        self._logs = logs
        # Heads that were read; `None` for those whose requests must go the usual way. All by these answers.
        self._heads: dict[bytes, DirectHead | None] = {}
        self._answers: DirectAnswers | None = None

    @property
    def heads(self) -> int:
        """Number of the heads that are kept."""
        return len(self._heads)

    def receive(self, channel: Any, data: bytes) -> bool:
        """
        Answer a request, if the bytes are one that can be answered directly.

        Args:
            channel: A `FastChannel`.
            data: The bytes that it has received.

        Returns:
            Whether the request is answered or will be; if not, nothing was read.
        """
        answers: DirectAnswers | None = getattr(self._site.resource, "direct", None)
        if answers is None:
            return False
        if answers is not self._answers:
            self._heads.clear()
            self._answers = answers
        end = data.find(b"\r\n\r\n", 0, _SHORT_HEAD) + 4
        start = data[:end]
        head, key = self._heads.get(start), ""
        if head is None:
            keyed = _KEY.search(start)
            if keyed is not None:
                key = keyed[1].decode("ascii")
                start = start[: keyed.start()] + start[keyed.end() :]
            head = self._findHead(start, answers)
        if head is None or len(data) != end + head.length or not isBetweenRequests(channel) or isBlocked(channel):
            return False
        if head.length > self._site.maxBody:
            return False
        begun = monotonic() if self._logs else 0.0
        answer = answers.respond(head, key, data[end:], channel.getPeer())
        if answer is None:
            return False
        channel.setTimeout(channel.timeOut)
        logged = DirectRequest(channel, head, begun, answers.principalName) if self._logs else None
        if isinstance(answer, bytes):
            self.write(channel, answer, logged)
            return True
        return self._await(channel, data, logged, answer)

    def _findHead(self, start: bytes, answers: DirectAnswers) -> DirectHead | None:
        """Find a head, or read it and keep it; return `None` if its requests must go the usual way."""
        heads = self._heads
        if start in heads:
            return heads[start]
        head = readHead(start)
        if head is not None and not answers.admits(head.fields):
            head = None
        while len(heads) >= HEADS:
            del heads[next(iter(heads))]
        heads[start] = head
        return head

    def _await(self, channel: Any, data: bytes, logged: DirectRequest | None, answering: Deferred[bytes]) -> bool:
        """Answer a request when its answer is there; return whether that will be so."""
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


def _forget(failure: Failure) -> None:
    """Ignore a failure: the usual way will find it, too."""
    forgetFailure(failure)
