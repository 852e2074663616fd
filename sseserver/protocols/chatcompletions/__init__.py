"""
OpenAI's chat completions: requests (`request`), chunks of a streamed answer (`chunk`), a completion put together
from them (`completion`), and what an answer took (`usage`).

Reference: https://platform.openai.com/docs/api-reference/chat.
"""

from sseserver.protocols.chatcompletions.chunk import (
    FINISH_REASONS,
    ChunkWriter,
    ErrorChunk,
    readChunk,
    writeError,
)
from sseserver.protocols.chatcompletions.completion import CompletionBuilder
from sseserver.protocols.chatcompletions.request import CompletionRequest, readCompletion
from sseserver.protocols.chatcompletions.usage import addUsage

__all__ = [
    "FINISH_REASONS",
    "ChunkWriter",
    "CompletionBuilder",
    "CompletionRequest",
    "ErrorChunk",
    "addUsage",
    "readChunk",
    "readCompletion",
    "writeError",
]
