"""
The format `responses`: the events of OpenAI's Responses.

Their readers know no event IDs: each event has a number, and a client goes on after it with `starting_after`.
"""

from __future__ import annotations

from zope.interface import classImplements

from sseserver.formats.translation import TranslatedFormat, TranslatedRendering
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.protocols.responses.response import Identity
from sseserver.protocols.responses.translation import ResponseTranslator, writeProblem
from sseserver.values import Kind


class _ResponsesRendering(TranslatedRendering):
    """A rendering in the events of a response."""

    __slots__ = ()

    unseen = bytes((Kind.RESTART, Kind.INPUT))
    unread = bytes((Kind.EVENT,))
    readsInput = True
    takesTexts = True

    def writeFailure(self, reason: str, message: str) -> bytes:
        """See `TranslatedRendering.writeFailure`."""
        return writeProblem(message, reason)


classImplements(_ResponsesRendering, IRendering)


class ResponsesFormat(TranslatedFormat):
    """
    The format `responses`.

    Args:
        model: Name of the model in answers whose requests name none.
    """

    name = "responses"

    def __init__(self, model: str) -> None:
        super().__init__()
        self._model = model

    def makeRendering(self, streamLog: IStreamLog) -> TranslatedRendering:
        """See `TranslatedFormat.makeRendering`."""
        return _ResponsesRendering(streamLog, self.makeTranslator)

    def makeTranslator(self, streamLog: IStreamLog, number: int = 0) -> ResponseTranslator:
        """
        Make a translator of a log.

        Args:
            streamLog: The log.
            number: Number of its first event.
        """
        identity = Identity(streamLog.name, int(streamLog.created), self._model)
        return ResponseTranslator(identity, number, streamLog.account)


classImplements(ResponsesFormat, IFormat)
