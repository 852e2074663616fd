"""
Reference cycles of the client: a closed EventSource leaves nothing of its own to the garbage collector.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from sseserver.client import EventSource
from tests.client.clients import ClientTestCase
from tests.cycles import findCycles

#: Types of this package. Twisted's client leaves the parser of a response in chunks, which knows its decoder.
OURS = {"Core", "Decoder", "EventSource", "PatientCall", "ResponseReader"}


class EventSourceTests(ClientTestCase):
    """The ends of an EventSource."""

    def act(self, end: Callable[[EventSource], object]) -> None:
        """Open an EventSource, and end it."""
        source = self.open(b"data: a\n\n")
        self.done.addErrback(lambda failure: None)
        end(source)
        self.reactor.advance(1)
        for wire in self.wires:
            wire.take()
            wire.close()
        self.reactor.advance(1)
        for kept in (self.wires, self.sources, self.events, self.opened, self.retries):
            kept.clear()  # type: ignore[attr-defined]

    def test_F108_closed(self) -> None:
        """F108: neither one that is closed is left, nor one whose stream has ended or whose connection was lost."""

        def lose(source: EventSource) -> None:
            self.wires[-1].close()
            self.reactor.advance(0)
            source.close()

        def finish(source: EventSource) -> None:
            self.wires[-1].send(b"0\r\n\r\n")
            source.close()

        for end in (EventSource.close, lose, finish):
            left = findCycles(lambda end=end: self.act(end), OURS)  # type: ignore[misc]
            self.assertEqual(left, Counter(), end)
