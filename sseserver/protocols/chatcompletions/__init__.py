"""
OpenAI's chat completions, without I/O.

The modules are `request`, `content` (of a message), `chunk` (one piece of a streamed answer), `completion` (an answer
in one piece), `accumulation` (its members, put together from those of chunks), `deltas` (what a chunk adds, for the
formats of other protocols), `textframe` (their shortest way to the text of a chunk) and `usage`.

Reference: https://platform.openai.com/docs/api-reference/chat.
"""

from sseserver.protocols.chatcompletions.accumulation import FOLDING, build
from sseserver.protocols.chatcompletions.chunk import (
    FINISH_REASONS,
    ChunkEnd,
    ChunkReader,
    ChunkWriter,
    ErrorChunk,
    writeError,
)
from sseserver.protocols.chatcompletions.completion import CompletionBuilder, convertCompletion, listCalls, readCall
from sseserver.protocols.chatcompletions.deltas import (
    CallArguments,
    CallStart,
    Citation,
    Delta,
    DeltaReader,
    Finish,
    Picture,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    Usage,
    readModel,
    readUsage,
)
from sseserver.protocols.chatcompletions.request import CompletionRequest, readCompletion
from sseserver.protocols.chatcompletions.textframe import TextFrame
from sseserver.protocols.chatcompletions.usage import makeSummary, wantsUsage

__all__ = [
    "FINISH_REASONS",
    "FOLDING",
    "CallArguments",
    "CallStart",
    "ChunkEnd",
    "ChunkReader",
    "ChunkWriter",
    "Citation",
    "CompletionBuilder",
    "CompletionRequest",
    "Delta",
    "DeltaReader",
    "ErrorChunk",
    "Finish",
    "Picture",
    "ReasoningDelta",
    "RefusalDelta",
    "TextDelta",
    "TextFrame",
    "Usage",
    "build",
    "convertCompletion",
    "listCalls",
    "makeSummary",
    "readCall",
    "readCompletion",
    "readModel",
    "readUsage",
    "wantsUsage",
    "writeError",
]
