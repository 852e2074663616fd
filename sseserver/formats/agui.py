"""
The format `agui`: the events of AG-UI, each with an ID.

The IDs count events, since clients drop an event whose ID they have seen. They are no event IDs of other formats.
"""

from __future__ import annotations

from sseserver.formats.parts import PartTranslator
from sseserver.formats.places import MakeTranslator
from sseserver.formats.translation import TranslatedFormat, TranslatedRendering
from sseserver.interfaces import IStreamLog
from sseserver.protocols.agui import IDs, RunWriter, writeProblem
from sseserver.protocols.answerparts import AnswerParts
from sseserver.streams.ids import findFirstEpoch
from sseserver.wire import HEARTBEAT


class _AGUIRendering(TranslatedRendering):
    """
    A rendering in events with IDs of their own.

    Args:
        streamLog: The log.
        makeTranslator: See `TranslatedRendering`.
        ids: The first half of the IDs.
    """

    __slots__ = ("_ids", "_named")

    readsInput = True
    takesTexts = True

    def __init__(self, streamLog: IStreamLog, makeTranslator: MakeTranslator, ids: IDs) -> None:
        super().__init__(streamLog, makeTranslator)
        self._ids = ids
        # The log. That of the base class is a member of C in the compiled build.
        self._named = streamLog

    def renew(self) -> None:
        """See `IRendering.renew`."""
        super().renew()
        self._ids.set(self._named.epoch)

    def head(self, cursor: int, retry: int, url: str) -> bytes:
        """See `IRendering.head`. These clients have reconnection times of their own."""
        return HEARTBEAT

    def writeFailure(self, reason: str, message: str) -> bytes:
        """See `TranslatedRendering.writeFailure`."""
        return writeProblem(message, reason)

    def retire(self, retry: int) -> bytes:
        """See `IRendering.retire`. An error would end the run for clients that return with the last ID otherwise."""
        return HEARTBEAT


class AGUIFormat(TranslatedFormat):
    """
    The format `agui`.

    Thread and run have the names that the stream begins with, which its API keeps there. In other streams both are
    named by the stream's first epoch.
    """

    name = "agui"

    def makeRendering(self, streamLog: IStreamLog) -> TranslatedRendering:
        """See `TranslatedFormat.makeRendering`."""
        answer, ids = findFirstEpoch(streamLog), IDs(streamLog.epoch)

        def makeTranslator(_: IStreamLog, count: int) -> PartTranslator:
            return PartTranslator(AnswerParts(RunWriter(ids, answer, count)))

        return _AGUIRendering(streamLog, makeTranslator, ids)
