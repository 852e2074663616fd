"""
Iteration over the events of an `EventSource`: the queue between them and the `async for` loop that takes them.

`EventSource.__aiter__` makes one `EventQueue`.
"""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure

from sseserver.wire import Event

#: Events in a full queue. The producer is paused then, and resumed when the queue is empty.
QUEUE_LENGTH = 64


class EventQueue:
    """
    Queue of events for one loop. While it is full, the producer of the events is paused.

    Args:
        producer: Produces the events, and calls `put` and `end`.

    Attributes:
        isBehind: Whether the loop lacks events that were put.
        lastEventID: Last event ID of the event that the loop took last; `None` before the first.
    """

    def __init__(self, producer: IPushProducer) -> None:
        self.isBehind = False
        self.lastEventID: str | None = None
        self._events: deque[Event] = deque()
        self._producer = producer
        self._paused = False
        self._ended = False
        self._failure: Failure | None = None
        self._waiter: Deferred[None] | None = None

    def put(self, event: Event) -> None:
        """Add an event."""
        self.isBehind = True
        self._events.append(event)
        if len(self._events) >= QUEUE_LENGTH and not self._paused:
            self._paused = True
            self._producer.pauseProducing()
        self._wakeLoop()

    def end(self, result: Failure | None) -> None:
        """
        Mark the end of the events.

        Args:
            result: The error to raise in the loop behind the last event, or `None`.
        """
        self._ended = True
        self._failure = result
        self._wakeLoop()

    def clear(self) -> None:
        """Drop the queued events."""
        self._events.clear()

    async def take(self) -> Event | None:
        """
        Wait for an event.

        Returns:
            The next event, or `None` at the end.

        Raises:
            Exception: The error given to `end`, after the last event.
        """
        while not self._events:
            if self._ended:
                if self._failure is not None:
                    self._failure.raiseException()
                return None
            if self._paused:
                self._paused = False
                self._producer.resumeProducing()
            else:
                self._waiter = Deferred()
                await self._waiter
        event = self._events.popleft()
        self.isBehind = bool(self._events)
        self.lastEventID = event.id or ""
        return event

    def _wakeLoop(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)
