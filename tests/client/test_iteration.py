"""Tests for `sseserver.client.iteration`: `async for`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from sseserver.client import EventSource, EventSourceError, ResponseTruncated
from sseserver.client.iteration import QUEUE_LENGTH, EventQueue
from tests.client.clients import URL, ClientTestCase


class LoopTests(ClientTestCase):
    """`async for` over a client."""

    def loop(self, source: EventSource, until: int | None = None) -> Deferred[None]:
        """Loop over the events, up to a number of them."""

        async def take() -> None:
            async for event in source:
                self.events.append(event)
                if len(self.events) == until:
                    break

        return Deferred.fromCoroutine(take())

    def begin(self, url: str = URL, **keywords: Any) -> EventSource:
        """Make a client and loop over it."""
        until = keywords.pop("until", None)
        source = self.make(url, onEvent=None, **keywords)
        self.done = self.loop(source, until)
        self.reactor.turn()
        return source

    def test_events(self) -> None:
        """The loop gets the events over lost connections, and ends with the stream."""
        self.begin()
        self.respond()
        self.chunk(b"data: 1\n\n")
        self.assertEqual(self.data, ["1"])
        self.chunk(b"data: 2\n\ndata: 3\n\n")
        self.finish()
        self.reactor.advance(3)
        self.respond(body=b"data: 4\n\n")
        self.reactor.advance(3)
        self.respond("204 No Content", {}, b"")
        self.assertIsNone(self.successResultOf(self.done))
        self.assertEqual(self.data, ["1", "2", "3", "4"])
        self.assertOver()

    def test_error(self) -> None:
        """An error is raised in the loop, after the events before it."""
        self.begin(retry=None)
        self.respond()
        self.chunk(b"data: 1\n\ndata: 2\n\n")
        self.wires[-1].close()
        self.assertFails(ResponseTruncated)
        self.assertEqual(self.data, ["1", "2"])
        self.begin()
        self.respond("404 Not Found", {}, b"")
        self.assertFails(EventSourceError)

    def test_F115_lastEventID(self) -> None:
        """F115: the last event ID is that of the event that the loop received last, while others are queued for it."""
        body = b"".join(b"id: %d\ndata: %d\n\n" % (number, number) for number in range(1, 101))
        source = self.begin(until=3, lastEventID="0")
        self.assertEqual(source.lastEventID, "0")
        self.respond()
        self.chunk(body)
        self.assertIsNone(self.successResultOf(self.done))
        self.assertEqual((self.data, source.lastEventID), (["1", "2", "3"], "3"))

    def test_F115_nothingTaken(self) -> None:
        """F115: before the loop has received an event, the last event ID is the first request's."""
        source = self.make(onEvent=None, lastEventID="0")
        # It is referenced here, so that the garbage collector does not end the loop.
        never: Deferred[None] = Deferred()

        async def start() -> None:
            async for _ in source:
                await never

        Deferred.fromCoroutine(start())
        queue = EventQueue(source)
        self.assertEqual((queue.isBehind, queue.lastEventID), (False, None))
        self.respond()
        self.chunk(b"id: 1\ndata: 1\n\nid: 2\ndata: 2\n\nid: 3\n\n")
        self.assertEqual(source.lastEventID, "1")
        self.finish()
        self.reactor.advance(3)
        # Queued events are not lost by the reconnection: the loop still gets them.
        self.assertEqual((self.request()[1]["last-event-id"], source.lastEventID), ("3", "1"))

    def test_left(self) -> None:
        """Leaving the loop closes the client."""
        self.begin(until=2)
        self.respond()
        self.chunk(b"data: 1\n\ndata: 2\n\ndata: 3\n\n")
        self.assertIsNone(self.successResultOf(self.done))
        self.assertEqual(self.data, ["1", "2"])
        self.assertOver()

    def test_cancelled(self) -> None:
        """Cancelling the coroutine that waits in the loop closes the client."""
        self.begin()
        self.respond()
        self.done.cancel()
        self.assertFails(CancelledError)

    def test_slow(self) -> None:
        """
        While the loop is busy only a few events are queued and the rest stays in the network; all of them
        arrive.
        """
        gate: list[Deferred[None]] = []

        async def take() -> None:
            async for event in source:
                self.events.append(event)
                gate.append(Deferred())
                await gate[-1]

        source = self.make(onEvent=None)
        self.done = Deferred.fromCoroutine(take())
        self.respond()
        for number in range(3 * QUEUE_LENGTH):
            self.chunk(b"data: %d\n\n" % number)
        self.assertEqual(len(self.events), 1)
        self.assertGreater(self.wires[-1].unread, QUEUE_LENGTH)
        while gate:
            gate.pop().callback(None)
            self.reactor.turn()
        self.assertEqual(self.data, [str(number) for number in range(3 * QUEUE_LENGTH)])
        self.assertEqual(self.wires[-1].unread, 0)
        self.done.cancel()
        self.failureResultOf(self.done, CancelledError)

    def test_closedElsewhere(self) -> None:
        """Closing the client elsewhere ends the loop without the queued events."""
        gate: Deferred[None] = Deferred()

        async def take() -> None:
            async for event in source:
                self.events.append(event)
                await gate

        source = self.make(onEvent=None)
        self.done = Deferred.fromCoroutine(take())
        self.respond()
        self.chunk(b"data: 1\n\ndata: 2\n\n")
        source.close()
        gate.callback(None)
        self.assertIsNone(self.successResultOf(self.done))
        self.assertEqual(self.data, ["1"])
        self.assertOver()

    def test_callbackToo(self) -> None:
        """A client with a callback cannot be looped over."""
        source = self.make()
        self.failureResultOf(self.loop(source), RuntimeError)
        source.close()
