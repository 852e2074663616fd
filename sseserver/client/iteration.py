"""
What stands between events that come and a loop that takes them.
"""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure

from sseserver.wire import Event

#: Events that wait for the loop; then the producer is paused.
LENGTH = 64


class Queue:
    """
    Keeps events for one loop, and pauses who produces them while it is full.

    Args:
        producer: Makes the events.

    Attributes:
        events: What waits.
    """

    def __init__(self, producer: IPushProducer) -> None:
        self.events: deque[Event] = deque()
        self._producer = producer
        self._paused = False
        self._ended = False
        self._failure: Failure | None = None
        self._waiter: Deferred[None] | None = None

    def put(self, event: Event) -> None:
        """Take an event."""
        self.events.append(event)
        if len(self.events) >= LENGTH and not self._paused:
            self._paused = True
            self._producer.pauseProducing()
        self._wake()

    def end(self, result: Failure | None) -> None:
        """No event follows."""
        self._ended = True
        self._failure = result
        self._wake()

    async def ready(self) -> bool:
        """
        Wait for an event.

        Returns:
            Whether there is one; else it is the end.

        Raises:
            What ended it.
        """
        while not self.events:
            if self._ended:
                if self._failure is not None:
                    self._failure.raiseException()
                return False
            if self._paused:
                self._paused = False
                self._producer.resumeProducing()
            else:
                self._waiter = Deferred()
                await self._waiter
        return True

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)
