"""
The format `ui`: the UI message stream of the Vercel AI SDK.

Its clients are no EventSources and have no IDs. So there are no event types here, and no event without data.
"""

from __future__ import annotations

import json

from zope.interface import classImplements

from sseserver.errors import GapError
from sseserver.formats.rendering import REFUSED, EntryRendering, failureMessage, gapMessage
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.jsontext import toJSON
from sseserver.values import Kind

_DONE = b"data: [DONE]\n\n"


def _part(value: object) -> bytes:
    """Write an event of JSON that has no ID."""
    return b"data: %b\n\n" % toJSON(value)


class _UIRendering(EntryRendering):
    """Parts without IDs, always from the start; what cannot be whole breaks off with an error."""

    __slots__ = ()

    def start(self, fromNow: bool) -> int:
        """See L{IRendering.start}. From the very start, whatever was trimmed: a message is whole or breaks off."""
        return self._log.last if fromNow else 0

    def head(self, cursor: int, retry: int, url: str) -> bytes:
        """See L{IRendering.head}: what opens the message, where the first entry, which has that, does not follow."""
        return self._opening() if cursor else b":\n"

    def read(self, cursor: int, maxBytes: int, joined: bool) -> tuple[int, bytes]:
        """See L{IRendering.read}. Where entries are missing the viewer has no use for the rest."""
        if cursor + 1 < self._buffer.first:
            missed = self._buffer.first - 1 - cursor
            problem = _problem(f"{missed} entries are no longer kept (trimmed): the message cannot be whole.")
            return REFUSED, problem + _DONE
        return EntryRendering.read(self, cursor, maxBytes, joined)

    def retire(self, retry: int) -> bytes:
        """See L{IRendering.retire}."""
        return _problem("The server is being stopped.") + _DONE

    def gap(self, asked: str, gap: GapError) -> bytes:
        """See L{IRendering.gap}."""
        return _problem(gapMessage(gap))

    def complete(self, cursor: int) -> bool:
        """See L{IRendering.complete}."""
        return cursor == REFUSED or EntryRendering.complete(self, cursor)

    def piece(self, number: int, text: bytes, index: int) -> bytes:
        """See L{EntryRendering.piece}."""
        opening = self._opening() if index + self._buffer.first == 1 else b""
        if not text:
            return opening
        delta = toJSON(text.decode("utf-8"))
        return b'%bdata: {"type":"text-delta","id":"0","delta":%b}\n\n' % (opening, delta)

    def single(self, number: int, kind: Kind, data: bytes) -> bytes:
        """See L{EntryRendering.single}. Published events do not appear."""
        opening = self._opening() if number == 1 else b""
        if kind == Kind.EVENT:
            return opening
        if kind == Kind.DONE:
            return opening + _UI_END + _DONE
        if kind == Kind.CANCELLED:
            return opening + _part({"type": "abort"}) + _DONE
        return opening + _problem(failureMessage(kind, json.loads(data))) + _DONE

    def _opening(self) -> bytes:
        """Make the parts before the first text."""
        start = _part({"type": "start", "messageId": f"msg-{self._log.epoch}"})
        return start + _part({"type": "start-step"}) + _part({"type": "text-start", "id": "0"})


classImplements(_UIRendering, IRendering)


#: The parts after the last text. The SDK's 5.0 refuses a part with any member more, so there is no finish reason.
_UI_END = b"".join(map(_part, [{"type": "text-end", "id": "0"}, {"type": "finish-step"}, {"type": "finish"}]))


def _problem(text: str) -> bytes:
    """Write an error as the Vercel AI SDK has it."""
    return _part({"type": "error", "errorText": text})


class UIFormat:
    """`ui`: the UI message stream of the Vercel AI SDK, version 1."""

    name = "ui"
    headers = ((b"x-vercel-ai-ui-message-stream", b"v1"),)
    reconnects = False

    def render(self, streamLog: IStreamLog) -> IRendering:
        """See L{IFormat.render}."""
        return _UIRendering(streamLog)


classImplements(UIFormat, IFormat)
