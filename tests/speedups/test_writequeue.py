"""
Tests of `sseserver.speedups.writequeue`: the probes pass on this Twisted, and fail where a name has changed.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.tcp import Connection
from twisted.trial.unittest import SynchronousTestCase

from sseserver.speedups import writequeue
from sseserver.speedups.writequeue import countQueued, resumesProducers, seesQueue
from tests.speedups.cases import look


class Queue:
    """The write queue of a transport: two writes, and the rest of a send."""

    def __init__(self) -> None:
        self._tempDataBuffer = [b"1", b"22"]
        self.dataBuffer = b"sent333"
        self.offset = 4


class QueueTests(SynchronousTestCase):
    """The queue, and its probes."""

    def test_pass(self) -> None:
        """
        With the Twisted that is installed the probes pass: see `tests.speedups.test_privates`.
        """
        self.assertTrue(seesQueue())
        self.assertTrue(resumesProducers())

    def test_queueElsewhere(self) -> None:
        """
        A transport whose writes go to another queue is not bypassed.
        """

        def write(transport: Any, data: bytes) -> None:
            transport.elsewhere = data

        self.patch(FileDescriptor, "write", write)
        self.patch(Connection, "write", write)
        self.assertFalse(look(seesQueue))

    def test_queueOfAnotherName(self) -> None:
        """
        A transport without the queue that is looked at is not bypassed.
        """

        def hasNoSuchQueue(transport: Any) -> bool:
            return bool(transport.anotherName)

        self.patch(writequeue, "isQueueEmpty", hasNoSuchQueue)
        self.assertFalse(look(seesQueue))

    def test_producersElsewhere(self) -> None:
        """
        No producer waits for room on a transport that would not resume it.
        """
        self.patch(FileDescriptor, "doWrite", FileDescriptor.stopWriting)
        self.assertFalse(look(resumesProducers))

    def test_countsTheQueue(self) -> None:
        """
        Queued bytes are counted wherever they are; where the probe fails, the rest of the last send
        is.
        """
        queue = Queue()
        self.assertEqual(countQueued(queue), 1 + 2 + 3)
        self.patch(writequeue, "seesQueue", lambda: False)
        self.assertEqual(countQueued(queue), 3)
