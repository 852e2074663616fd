"""
Streams for tests of what a `PersistentStore` writes.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.stores.groups import KeptStream
from sseserver.streams.account import Account
from sseserver.streams.keeper import Keeper
from sseserver.streams.log import StreamLog
from sseserver.timing.ticker import Ticker
from sseserver.values import Kind, StoredStream


class GroupTestCase(SynchronousTestCase):
    """Makes streams with durable logs that no store keeps."""

    def makeStream(self, name: str, *tokens: bytes) -> tuple[KeptStream, StreamLog]:
        """Make a stream whose log has tokens that are not stored."""
        stream = KeptStream(StoredStream(name, f"epoch-{name}", True, 5.0, None, 1, 0, 0, 0), Account())
        ticker = Ticker(Clock(), 0.005)
        streamLog = StreamLog(name, stream.epoch, ticker, 100_000, Keeper(durable=True), published=True)
        for data in tokens:
            streamLog.append(Kind.TOKEN, data)
        stream.hold(streamLog)
        return stream, streamLog
