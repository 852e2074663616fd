"""
OpenAI's chat completions: requests (`request`), chunks of a streamed answer (`chunk`), a completion put together
from them (`completion`), and what an answer took (`usage`).

Reference: https://platform.openai.com/docs/api-reference/chat.
"""

from sseserver.protocols.chatcompletions.chunk import (
    FINISH_REASONS,
    ChunkEnd,
    ChunkReader,
    ChunkWriter,
    ErrorChunk,
    writeError,
)
from sseserver.protocols.chatcompletions.completion import CompletionBuilder, convertCompletion
from sseserver.protocols.chatcompletions.request import CompletionRequest, readCompletion
from sseserver.protocols.chatcompletions.usage import makeSummary, wantsUsage

__all__ = [
    "FINISH_REASONS",
    "ChunkEnd",
    "ChunkReader",
    "ChunkWriter",
    "CompletionBuilder",
    "CompletionRequest",
    "ErrorChunk",
    "convertCompletion",
    "makeSummary",
    "readCompletion",
    "wantsUsage",
    "writeError",
]
