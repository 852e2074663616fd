"""
The access log: one line for each request at its end, also for clients that leave and for responses that are cut.

A line has the fields of the combined format and, after them, the number of events, the seconds, and the reason of the
end. With `--log-format json` it is an object.

`StreamSite` writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from time import monotonic, time
from typing import Any

from twisted.web.http import datetimeToLogString
from twisted.web.iweb import IAccessLogFormatter
from zope.interface import implementer

from sseserver.jsontext import toJSON
from sseserver.redaction import ShownRequest, escapeJSON
from sseserver.speedups.privates import readLine

#: Writes the combined format for a timestamp and a request.
Combined = Callable[[str, Any], str]


@implementer(IAccessLogFormatter)
class TextLine:
    """
    Writes lines of text.

    Args:
        combined: Writes the fields of the combined format.
    """

    def __init__(self, combined: Combined) -> None:
        self._combined = combined
        # The timestamp of a second.
        self._second = -1
        self._timestamp = ""

    def __call__(self, timestamp: str, request: Any) -> str:
        """See `IAccessLogFormatter`. A site takes the timestamp from its reactor, whose time may be another one."""
        second = int(time())
        if second != self._second:
            self._second, self._timestamp = second, datetimeToLogString(second)
        line = self._combined(self._timestamp, request)
        name: str = getattr(request, "principalName", "")
        if name:
            line = line.replace(" - - ", f" - {_escapeName(name)} ", 1)
        reason, events = findOutcome(request)
        return f"{line} {events} {measureTime(request):.3f} {reason}"


@implementer(IAccessLogFormatter)
class JSONLine:
    """Writes lines that are JSON objects."""

    def __call__(self, timestamp: str, request: Any) -> str:
        """See `IAccessLogFormatter`."""
        members = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **describeRequest(request)}
        return escapeJSON(toJSON(members).decode("utf-8"))


#: The formats of the access log that need no request object of Twisted.
LINES = (TextLine, JSONLine)


def describeRequest(request: Any) -> dict[str, object]:
    """
    Return what the log tells about a request, by name; not the time, which events of Twisted's log have as well.

    Args:
        request: The request, which has ended.
    """
    shown = ShownRequest(request)
    reason, events = findOutcome(request)
    return {
        "client": getattr(request.getClientAddress(), "host", None),
        "principal": findPrincipal(request),
        "method": _decode(request.method),
        "target": _decode(shown.uri),
        "status": request.code if wasAnswered(request) else None,
        "bytes": int(request.sentLength),
        "events": events,
        "duration": round(measureTime(request), 3),
        "reason": reason,
        "referer": _decode(shown.getHeader(b"referer")),
        "agent": _decode(request.getHeader(b"user-agent")),
    }


def findPrincipal(request: Any) -> str:
    """Return the name of the principal of a request, with its control characters and spaces escaped; `-` for nobody."""
    name: str = getattr(request, "principalName", "")
    return _escapeName(name) if name else "-"


def findOutcome(request: Any) -> tuple[str, int]:
    """
    Return the reason of the end of a request, one word, and the number of events that it was sent.

    Args:
        request: The request, which has ended.
    """
    outcome: tuple[str, int] | None = getattr(request, "outcome", None)
    # A request loses its channel with the connection.
    return outcome or ("left" if getattr(request, "channel", request) is None else "complete", 0)


def measureTime(request: Any) -> float:
    """Return the seconds since a request began; 0 if that is unknown."""
    begun: float | None = getattr(request, "begun", None)
    return 0.0 if begun is None else monotonic() - begun


def wasAnswered(request: Any) -> bool:
    """Tell whether the response of a request has begun."""
    return bool(getattr(request, "startedWriting", True))


class RefusedRequest:
    """
    A request that was refused before it was complete, as the access log needs it; see `IRequest`.

    Args:
        channel: Its connection.
        answer: The answer, from its first byte on.
        line: Its method, target and version; `None` if the channel is still reading it.
    """

    outcome = ("refused", 0)

    def __init__(self, channel: Any, answer: bytes, line: Sequence[bytes] | None = None) -> None:
        self.method, self.uri, self.clientproto = line or readLine(channel)
        self.code = int(answer[9:12])
        self.sentLength = len(answer.partition(b"\r\n\r\n")[2])
        self._channel = channel
        self._request = channel.requests[-1] if channel.requests else None
        self.begun: float | None = getattr(self._request, "begun", None)

    def getHeader(self, name: bytes) -> bytes | None:
        """See `IRequest.getHeader`: what was read of the head."""
        return None if self._request is None else self._request.getHeader(name)

    def getClientAddress(self) -> Any:
        """See `twisted.web.http.Request.getClientAddress`."""
        return self._channel.getPeer()


@lru_cache(256)
def _escapeName(name: str) -> str:
    return ascii(name)[1:-1].replace(" ", "\\x20")


def _decode(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")
