"""
Tests for `sseserver.stores.grouping`.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.stores.grouping import GroupingKeeper
from sseserver.streams.log import StreamLog
from sseserver.timing.ticker import Ticker
from sseserver.values import Kind


class Scheduled:
    """A writer that counts how often it is to write."""

    def __init__(self) -> None:
        self.count = 0

    def schedule(self) -> None:
        """See `Writer.schedule`."""
        self.count += 1


class KeeperTests(SynchronousTestCase):
    """Changes are gathered until a group takes them."""

    def test_gathers(self) -> None:
        """The first entry of a group schedules it; logs are noted once, in the order of their first entries."""
        keeper, writer = GroupingKeeper(), Scheduled()
        keeper.writer = writer
        logs = []
        for name in ("a", "b"):
            streamLog = StreamLog(name, name, Ticker(Clock(), 1), 1000, keeper)
            streamLog.kept = name
            logs.append(streamLog)
        for streamLog in (logs[1], logs[0], logs[1]):
            streamLog.append(Kind.TOKEN, b"x")
        self.assertEqual(list(keeper.pending.dirty.items()), [("b", logs[1]), ("a", logs[0])])
        self.assertEqual((writer.count, logs[1].last), (1, 0))
        keeper.trim(logs[0])
        self.assertEqual((keeper.pending.trimmed, writer.count), ({"a": logs[0]}, 2))
