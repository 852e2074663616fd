"""
Translation of an answer into lines of JSON (NDJSON), as Ollama streams it.
"""

from __future__ import annotations

import json

from sseserver.errors import RunCancelled, SourceError, SSEServerError
from sseserver.jsontext import toJSON
from sseserver.protocols.chatcompletions import (
    CallArguments,
    CallStart,
    Delta,
    DeltaReader,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    Usage,
    readModel,
    readUsage,
)
from sseserver.protocols.ollama.answer import AnswerWriter
from sseserver.values import Kind, Reason

#: Characters. Limit of the arguments of all tool calls together: they are written when they are complete.
MOST_ARGUMENTS = 4 * 1024 * 1024

# Looked up for each entry.
_TOKEN = Kind.TOKEN
_CHUNKS = (Kind.CHUNK, Kind.SILENT_CHUNK)


class OllamaTranslator:
    """
    Writes the entries of one answer as lines of JSON; see `sseserver.formats.translation.Translator`.

    Args:
        writer: Makes the objects of the lines.
    """

    __slots__ = ("_calls", "_isNamed", "_reader", "_reason", "_size", "_usage", "_writer")

    def __init__(self, writer: AnswerWriter) -> None:
        self._writer = writer
        self._reader = DeltaReader()
        # The tool calls and the pieces of their arguments, by their numbers.
        self._calls: dict[int, tuple[CallStart, list[str]]] = {}
        self._size = 0
        # Whether the model of an upstream's first chunk is known.
        self._isNamed = False
        self._reason: str | None = None
        self._usage: Usage | None = None

    def fork(self) -> OllamaTranslator:
        """See `Translator.fork`."""
        other = OllamaTranslator(self._writer)
        other._reader = self._reader.fork()
        other._calls = {number: (start, list(pieces)) for number, (start, pieces) in self._calls.items()}
        other._size, other._isNamed = self._size, self._isNamed
        other._reason, other._usage = self._reason, self._usage
        return other

    def translate(self, kind: Kind, data: bytes) -> list[bytes]:
        """See `Translator.translate`. Each event is a line."""
        if kind == _TOKEN:
            return [_writeLine(self._writer.makePiece(data.decode("utf-8")))]
        lines: list[bytes] = []
        if kind in _CHUNKS:
            # The text follows in a line of its own.
            chunk = data.partition(b"\n")[0]
            if not self._isNamed:
                self._isNamed = True
                self._writer = self._writer.rename(readModel(chunk))
            for delta in self._reader.read(chunk):
                self._add(delta, lines)
            return lines
        terminal = json.loads(data)
        if kind == Kind.FAILED:
            return [writeProblemLine(SourceError.fromEntry(terminal))]
        if kind == Kind.CANCELLED:
            return [writeProblemLine(RunCancelled(f"The answer was cancelled ({terminal.get('reason')})."))]
        told = terminal.get("usage")
        known = readUsage(told) if isinstance(told, dict) else Usage(0, terminal.get("tokens") or 0, 0, 0)
        try:
            self._addCalls(lines)
        except SourceError as problem:
            return [writeProblemLine(problem)]
        reason = self._reason or terminal.get("reason")
        end = self._writer.makeEnd(reason, self._usage or known, terminal.get("durations"))
        lines.append(_writeLine(end))
        return lines

    def _add(self, delta: Delta, lines: list[bytes]) -> None:
        """Add what a chunk adds."""
        if isinstance(delta, TextDelta | RefusalDelta):
            lines.append(_writeLine(self._writer.makePiece(delta.text)))
        elif isinstance(delta, ReasoningDelta):
            lines.append(_writeLine(self._writer.makePiece("", delta.text)))
        elif isinstance(delta, CallStart):
            self._calls[delta.number] = (delta, [])
        elif isinstance(delta, CallArguments):
            self._size += len(delta.json)
            if self._size <= MOST_ARGUMENTS:
                self._calls[delta.number][1].append(delta.json)
        elif isinstance(delta, Finish):
            self._reason = delta.reason
        elif isinstance(delta, Usage):
            self._usage = delta

    def _addCalls(self, lines: list[bytes]) -> None:
        """
        Write all tool calls: Ollama has the arguments of a call in one piece.

        Raises:
            SourceError: There are too many arguments, or they are no JSON object.
        """
        if self._size > MOST_ARGUMENTS:
            raise SourceError(f"The tool calls have more than {MOST_ARGUMENTS} characters.", Reason.MALFORMED)
        if self._calls:
            calls = [
                {"id": start.id, "function": {"name": start.name, "arguments": "".join(pieces)}}
                for start, pieces in self._calls.values()
            ]
            lines.append(_writeLine(self._writer.makeCalls(calls)))


def writeProblemLine(error: SSEServerError) -> bytes:
    """Write the line that ends an answer because of an error."""
    return _writeLine({"error": str(error)})


def _writeLine(value: object) -> bytes:
    return toJSON(value) + b"\n"
