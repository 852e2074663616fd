"""
Ollama's API, without I/O.

The modules are `request` (the bodies of requests), `answer` (the objects of an answer, which stand one in each line of
a stream) and `translation` (of the entries of a log into such lines).

Reference: https://docs.ollama.com/api.
"""

from sseserver.protocols.ollama.answer import CHAT, GENERATE, AnswerWriter, describeModel, showModel, writeStamp
from sseserver.protocols.ollama.request import (
    OllamaChatBody,
    OllamaGenerateBody,
    OllamaRequest,
    OllamaShowBody,
    readOllamaChat,
    readOllamaGenerate,
    readOllamaShow,
)
from sseserver.protocols.ollama.translation import OllamaTranslator, writeProblemLine

__all__ = [
    "CHAT",
    "GENERATE",
    "AnswerWriter",
    "OllamaChatBody",
    "OllamaGenerateBody",
    "OllamaRequest",
    "OllamaShowBody",
    "OllamaTranslator",
    "describeModel",
    "readOllamaChat",
    "readOllamaGenerate",
    "readOllamaShow",
    "showModel",
    "writeProblemLine",
    "writeStamp",
]
