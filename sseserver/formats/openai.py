"""
The format `openai`: the chunks of OpenAI's chat completions.

Its clients are no EventSources: they take every event for JSON. So there are no event types here, and no event
without data.
"""

from __future__ import annotations

import json
import re

from zope.interface import classImplements

from sseserver.errors import GapError
from sseserver.formats.rendering import EntryRendering, failureMessage, gapMessage
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.jsontext import toJSON
from sseserver.streams.entries import unpack
from sseserver.values import Kind

#: The finish reasons that OpenAI's API reference lists; its clients check them.
FINISH_REASONS = {"stop", "length", "content_filter", "tool_calls", "function_call"}

#: Tokens, and as many as stand in a row. Chunks are never joined: each has more in it than its text.
_TOKEN = bytes((Kind.TOKEN,))
_TOKENS = re.compile(b"[%b]+" % _TOKEN)

_DONE = b"data: [DONE]\n\n"


class _OpenAIRendering(EntryRendering):
    """One chunk for each token, an upstream's own chunks as they are."""

    __slots__ = ("_before", "_model")

    pieces = _TOKEN
    row = _TOKENS

    def __init__(self, streamLog: IStreamLog, model: str) -> None:
        super().__init__(streamLog)
        self._model = model
        # What stands before the text of a chunk, which is written for each token.
        self._before = self._chunk([self._choice({"content": ""}, None)]).partition(b'""')[0]

    def head(self, cursor: int, retry: int, url: str) -> bytes:
        """See L{IRendering.head}: a field of the event that follows. By itself it would be an event without data."""
        return b"retry: %d\n" % retry

    def retire(self, retry: int) -> bytes:
        """See L{IRendering.retire}."""
        return b"retry: %d\n%b" % (retry, _error("shutdown", "The server is being stopped; the stream goes on later."))

    def gap(self, asked: str, gap: GapError) -> bytes:
        """See L{IRendering.gap}."""
        return b"id: %b-%d\n%b" % (self._epoch, gap.cursor, _error("gap", gapMessage(gap)))

    def piece(self, number: int, text: bytes, index: int) -> bytes:
        """See L{EntryRendering.piece}. In JSON a CR and a LF are what they are, however a text is cut."""
        content = toJSON(text.decode("utf-8"))
        opening = self._opening() if index + self._buffer.first == 1 else b""
        return b'%bid: %b-%d\ndata: %b%b},"finish_reason":null}]}\n\n' % (
            opening,
            self._epoch,
            number,
            self._before,
            content,
        )

    def single(self, number: int, kind: Kind, data: bytes) -> bytes:
        """See L{EntryRendering.single}. Published events do not appear."""
        if kind in (Kind.CHUNK, Kind.SILENT_CHUNK):
            return b"id: %b-%d\ndata: %b\n\n" % (self._epoch, number, unpack(data)[0])
        opening = self._opening() if number == 1 else b""
        if kind == Kind.EVENT:
            # The ID belongs to the one event that there is, if any.
            return opening and b"id: %b-%d\n%b" % (self._epoch, number, opening)
        terminal = json.loads(data)
        if kind == Kind.DONE:
            return b"%b%bid: %b-%d\n%b" % (opening, self._closing(terminal), self._epoch, number, _DONE)
        return b"id: %b-%d\n%b" % (self._epoch, number, _error(terminal.get("reason"), failureMessage(kind, terminal)))

    def _opening(self) -> bytes:
        """Make the chunk that says who speaks."""
        return b"data: %b\n\n" % self._chunk([self._choice({"role": "assistant", "content": ""}, None)])

    def _closing(self, terminal: dict[str, object]) -> bytes:
        """Make the chunks before the end: why it ended, and what it took. An upstream's chunks have said that."""
        kinds = self._buffer.kinds
        if Kind.CHUNK in kinds or Kind.SILENT_CHUNK in kinds:
            return b""
        reason = terminal.get("reason")
        chunks = [self._chunk([self._choice({}, reason if reason in FINISH_REASONS else "stop")])]
        if isinstance(terminal.get("usage"), dict):
            chunks.append(self._chunk([], usage=terminal["usage"]))
        return b"".join([b"data: %b\n\n" % chunk for chunk in chunks])

    def _choice(self, delta: dict[str, str], finishReason: object) -> dict[str, object]:
        return {"index": 0, "delta": delta, "finish_reason": finishReason}

    def _chunk(self, choices: list[dict[str, object]], **more: object) -> bytes:
        chunk = {
            "id": f"chatcmpl-{self._log.epoch}",
            "object": "chat.completion.chunk",
            "created": int(self._log.created),
            "model": self._model,
            "choices": choices,
        }
        return toJSON({**chunk, **more})


classImplements(_OpenAIRendering, IRendering)


def _error(code: object, message: str) -> bytes:
    """Write an error as OpenAI's clients raise it."""
    error = {"message": message, "type": "server_error", "param": None, "code": code}
    return b"data: %b\n\n" % toJSON({"error": error})


class OpenAIFormat:
    """
    `openai`: each token is a C{chat.completion.chunk}; after the last comes
    C{[DONE]}, and instead of it an error where the stream failed.

    Args:
        model: What the chunks name as their model.
    """

    name = "openai"
    headers = ()
    reconnects = False

    def __init__(self, model: str) -> None:
        self._model = model

    def render(self, streamLog: IStreamLog) -> IRendering:
        """See L{IFormat.render}."""
        return _OpenAIRendering(streamLog, self._model)


classImplements(OpenAIFormat, IFormat)
