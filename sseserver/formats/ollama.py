"""
The formats of Ollama's API: an answer as lines of JSON.

No viewer can ask for them by name: the lines are no event stream. `apis/ollama` answers in them.
"""

from __future__ import annotations

from zope.interface import classImplements

from sseserver.errors import Overloaded
from sseserver.formats.translation import TranslatedRendering
from sseserver.interfaces import IBeatingFormat, IRendering, IStreamLog
from sseserver.protocols.ollama import AnswerWriter, OllamaTranslator, writeProblemLine


class _OllamaRendering(TranslatedRendering):
    """A rendering in lines of JSON."""

    __slots__ = ()

    def head(self, cursor: int, retry: int, url: str) -> bytes:
        """See `IRendering.head`."""
        return b""

    def writeFailure(self, reason: str, message: str) -> bytes:
        """See `TranslatedRendering.writeFailure`."""
        return writeProblemLine(Overloaded(message))


classImplements(_OllamaRendering, IRendering)


class OllamaFormat:
    """
    The format of one of Ollama's endpoints.

    Args:
        endpoint: `CHAT` or `GENERATE`.
        model: Name of the model in answers whose chunks name none.
    """

    headers = ((b"Content-Type", b"application/x-ndjson"),)
    reconnects = False
    # Space before a value means nothing, but an empty line is no value.
    heartbeat = b" "

    def __init__(self, endpoint: str, model: str) -> None:
        self.name = f"ollama {endpoint}"
        self._endpoint = endpoint
        self._model = model

    def render(self, streamLog: IStreamLog) -> IRendering:
        """See `IFormat.render`."""
        return _OllamaRendering(streamLog, self._makeTranslator)

    def _makeTranslator(self, streamLog: IStreamLog, count: int) -> OllamaTranslator:
        return OllamaTranslator(AnswerWriter(self._endpoint, self._model, streamLog.created))


classImplements(OllamaFormat, IBeatingFormat)
