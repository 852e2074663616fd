"""
The format `messages`: a message of Anthropic's API, as its clients read it.
"""

from __future__ import annotations

from zope.interface import classImplements

from sseserver.errors import BadRequest
from sseserver.formats.translation import TranslatedRendering
from sseserver.interfaces import IBeatingFormat, IRendering, IStreamLog
from sseserver.protocols.messages import PING, MessagesOverloaded, MessagesTranslator, writeProblem
from sseserver.streams.ids import findFirstEpoch

#: Reasons for which the answer is there for a client that asks again.
_AGAIN = frozenset({"retired", "restarted"})


class _MessagesRendering(TranslatedRendering):
    """A rendering in the events of a message, with IDs, which Anthropic's clients ignore."""

    __slots__ = ()

    hasIDs = True
    takesTexts = True

    def writeFailure(self, reason: str, message: str) -> bytes:
        """See `TranslatedRendering.writeFailure`."""
        return writeProblem((MessagesOverloaded if reason in _AGAIN else BadRequest)(message))


classImplements(_MessagesRendering, IRendering)


class MessagesFormat:
    """
    The format `messages`.

    The text, the reasoning and the tool calls of an answer are content blocks of a message. Its last event is
    `message_stop`, or `error` if the stream failed, was cancelled, or has begun anew.

    Args:
        model: Name of the model in answers whose chunks name none.
    """

    name = "messages"
    headers = ()
    reconnects = False
    heartbeat = PING

    def __init__(self, model: str) -> None:
        self._model = model

    def render(self, streamLog: IStreamLog) -> IRendering:
        """See `IFormat.render`."""
        return _MessagesRendering(streamLog, self._makeTranslator)

    def _makeTranslator(self, streamLog: IStreamLog, count: int) -> MessagesTranslator:
        return MessagesTranslator(nameMessage(streamLog), self._model)


classImplements(MessagesFormat, IBeatingFormat)


def nameMessage(streamLog: IStreamLog) -> str:
    """Return the ID of the message that a stream is."""
    return f"msg_{findFirstEpoch(streamLog)}"
