"""
The format `ui`: the UI message stream of the Vercel AI SDK.

Its readers are not EventSources and know no IDs: they count the parts of a message. No event has a type, and none is
without data.
"""

from __future__ import annotations

from sseserver.errors import GapError
from sseserver.formats.parts import PartTranslator
from sseserver.formats.rendering import describeGap
from sseserver.formats.translation import TranslatedFormat, TranslatedRendering
from sseserver.interfaces import IStreamLog
from sseserver.protocols.answerparts import AnswerParts
from sseserver.protocols.uimessages import HEADER, MessageWriter, writePart, writeProblem
from sseserver.streams.ids import findFirstEpoch
from sseserver.wire import HEARTBEAT


class _UIRendering(TranslatedRendering):
    """A rendering in parts without IDs. A message that cannot be whole ends with an error."""

    __slots__ = ()

    takesTexts = True

    def head(self, cursor: int, retry: int, url: str) -> bytes:
        """See `IRendering.head`. These clients have reconnection times of their own."""
        return HEARTBEAT

    def gap(self, asked: str, gap: GapError) -> bytes:
        """See `IRendering.gap`. The message follows from its start."""
        return writePart("error", errorText=describeGap(gap))

    def writeFailure(self, reason: str, message: str) -> bytes:
        """See `TranslatedRendering.writeFailure`."""
        return writeProblem(message)


class UIFormat(TranslatedFormat):
    """The format `ui`, version 1 of the UI message stream."""

    name = "ui"
    headers = (HEADER,)

    def makeRendering(self, streamLog: IStreamLog) -> TranslatedRendering:
        """See `TranslatedFormat.makeRendering`."""
        return _UIRendering(streamLog, _makeTranslator)


def _makeTranslator(streamLog: IStreamLog, _: int) -> PartTranslator:
    """Make the translator of a log. See `MakeTranslator`."""
    return PartTranslator(AnswerParts(MessageWriter(f"msg-{findFirstEpoch(streamLog)}")))
