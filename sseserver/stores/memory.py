"""
MemoryStore: stream logs in this process's memory. They end with it.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from sseserver.errors import StreamNotFound
from sseserver.interfaces import IStreamLog, IStreamStore
from sseserver.streamlog import FLUSH_TICK, StreamLog, makeEpoch
from sseserver.ticker import Ticker


@implementer(IStreamStore)
class MemoryStore:
    """
    Keeps stream logs in memory.

    Args:
        clock: A reactor or a L{task.Clock}.
        window: Bytes that each stream keeps; see L{StreamLog}.
    """

    def __init__(self, clock: Any, window: int) -> None:
        self._ticker = Ticker(clock, FLUSH_TICK / 4)
        self._window = window
        self._logs: dict[str, IStreamLog] = {}

    def create(self) -> Deferred[IStreamLog]:
        """See L{IStreamStore.create}."""
        epoch = makeEpoch()
        streamLog: IStreamLog = StreamLog(epoch, epoch, self._ticker, self._window)
        self._logs[epoch] = streamLog
        return succeed(streamLog)

    def find(self, name: str) -> Deferred[IStreamLog]:
        """See L{IStreamStore.find}."""
        streamLog = self._logs.get(name)
        return fail(_notFound(name)) if streamLog is None else succeed(streamLog)

    def delete(self, name: str) -> Deferred[None]:
        """See L{IStreamStore.delete}."""
        return fail(_notFound(name)) if self._logs.pop(name, None) is None else succeed(None)


def _notFound(name: str) -> StreamNotFound:
    return StreamNotFound(f"There is no stream {name!r} here: it never was, or it is no longer kept.")
