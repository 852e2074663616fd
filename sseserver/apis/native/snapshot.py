"""
The snapshot of a stream: its text so far, from the last restart of its run on. Used by `streams`.
"""

from __future__ import annotations

from collections.abc import Iterator

from twisted.web.server import Request

from sseserver.delivery.document import STEP_BYTES, Document
from sseserver.errors import GapError
from sseserver.interfaces import IEntryBuffer, IStreamLog
from sseserver.streams.buffer import ENTRY_COST, joinText
from sseserver.streams.entries import areTokens, findRestart
from sseserver.values import TERMINAL
from sseserver.web.answers import setContentType


def answerText(request: Request, streamLog: IStreamLog) -> bytes | Document:
    """
    Set the headers of a text, and return the text of a stream so far.

    The header `Stream-Gap` has the number of entries that were trimmed before it.

    Args:
        request: Its response has not begun.
        streamLog: The stream.
    """
    setContentType(request, "text/plain; charset=utf-8")
    # Visible entries only: a crash could take back the others.
    buffer, first, last = streamLog.buffer, streamLog.buffer.first, streamLog.last
    restart = findRestart(buffer.kinds, last + 1 - first)
    if restart >= 0:
        first += restart + 1
    elif first > 1:
        request.responseHeaders.setRawHeaders(b"Stream-Gap", [b"%d" % (first - 1)])
    if buffer.measure(first, last) <= STEP_BYTES:
        return joinText(buffer, first, last)
    return Document(_readTexts(buffer, first, last), _measureText(buffer, first, last))


def _readTexts(buffer: IEntryBuffer, first: int, last: int) -> Iterator[bytes]:
    """
    Read the text of a range step by step.

    Raises:
        GapError: The rest of it was trimmed meanwhile.
    """
    while first <= last:
        _checkKept(buffer, first)
        end = buffer.fit(first, last, STEP_BYTES)
        if end > first and buffer.measure(end, end) > STEP_BYTES:
            # A large entry is read by itself.
            end -= 1
        if end > first:
            yield joinText(buffer, first, end)
        else:
            yield from _readParts(buffer, first)
        first = end + 1


def _readParts(buffer: IEntryBuffer, number: int) -> Iterator[bytes]:
    """
    Read the text of one entry step by step.

    Raises:
        GapError: It was trimmed meanwhile.
    """
    start = 0
    while part := buffer.part(number, start, STEP_BYTES):
        yield part
        start += len(part)
        _checkKept(buffer, number)


def _checkKept(buffer: IEntryBuffer, number: int) -> None:
    """
    Check that an entry is still there.

    Raises:
        GapError: It was trimmed.
    """
    if number < buffer.first:
        raise GapError("trimmed", buffer.first - 1, buffer.first - number)


def _measureText(buffer: IEntryBuffer, first: int, last: int) -> int | None:
    """Return the bytes of the text of a range, or `None` if it has other entries than tokens and a terminal one."""
    kinds = buffer.kinds[first - buffer.first : last + 1 - buffer.first]
    tokens = last if areTokens(kinds) else last - 1
    if not areTokens(kinds[: tokens + 1 - first]) or (tokens < last and buffer.kind(last) not in TERMINAL):
        return None
    return buffer.measure(first, tokens) - ENTRY_COST * (tokens + 1 - first)
