"""
Short turns of the reactor: the events that it handles between two looks at its delayed calls are limited.

Twisted asks epoll for the events of all connections at once. When ten thousand viewers leave together, their turn takes
a fifth of a second, and everybody else waits that long. Here connections that have ended wait behind those that have
something to say. `twistd sseserver` limits its reactor; embedders decide for their own process.

Work that is not an event, such as the tokens of a thousand streams, can take milliseconds, too. It looks whether
somebody has come meanwhile (`LimitedPoller.hasEvents`).
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any

from sseserver.speedups.probes import probe

#: Number of events that a turn handles at most. A request, or the end of a connection, takes 20 to 100 µs.
EVENTS = 64

#: Number of events among them that are ends of connections, if there are that many, however busy the others are.
ENDS = 16

#: Number of events that need not wait for other work. More of them are a crowd, which takes its turn.
FEW = 8

#: Number of events that are looked at in a turn. epoll reports in turn: the others come first in the next one.
LOOK = 2048

#: epoll's event for a connection whose peer has ended it. Other events of it are reported with it.
_END = getattr(select, "EPOLLRDHUP", 0)


class LimitedPoller:
    """
    The epoll object of a reactor, with a limit for each poll.

    Args:
        poller: The epoll object. It reports an event again until it is handled.

    Attributes:
        close: See `select.epoll.close`.
        unregister: See `select.epoll.unregister`.
    """

    __slots__ = ("_modify", "_poll", "_register", "close", "unregister")

    def __init__(self, poller: Any) -> None:
        self._modify, self._poll, self._register = poller.modify, poller.poll, poller.register
        self.close, self.unregister = poller.close, poller.unregister

    def register(self, descriptor: int, events: int) -> None:
        """See `select.epoll.register`."""
        self._register(descriptor, events | _END)

    def modify(self, descriptor: int, events: int) -> None:
        """See `select.epoll.modify`."""
        self._modify(descriptor, events | _END)

    def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
        """
        Wait for events.

        Args:
            timeout: Seconds; negative to wait without an end.
            most: Number of events at most.

        Returns:
            Descriptors, each with a mask of its events: no more than `EVENTS`, and the ends of connections last.
        """
        ready: list[tuple[int, int]] = self._poll(timeout, min(most, LOOK))
        if len(ready) <= EVENTS:
            return ready
        others = [one for one in ready if not one[1] & _END]
        ends = [one for one in ready if one[1] & _END]
        others = others[: EVENTS - min(len(ends), ENDS)]
        return others + ends[: EVENTS - len(others)]

    def hasEvents(self) -> bool:
        """Return whether there are a few events, each of which the next `poll` reports."""
        return 0 < len(self._poll(0, FEW + 1)) <= FEW


def limitTurns(reactor: Any) -> Callable[[], bool] | None:
    """
    Limit the events of each turn of a reactor, if it is Twisted's epoll reactor. Harmless if they are limited.

    Args:
        reactor: The reactor.

    Returns:
        Tells whether the reactor has a few events to handle; `None` for another reactor.
    """
    poller = getattr(reactor, "_poller", None)
    if hasattr(select, "epoll") and isinstance(poller, select.epoll) and asksPoller():
        poller = reactor._poller = LimitedPoller(poller)
    return poller.hasEvents if isinstance(poller, LimitedPoller) else None


@probe
def asksPoller() -> bool:
    """Probe `limitTurns`: Twisted's epoll reactor asks the poller of this name, and each time for all descriptors."""
    from twisted.internet.epollreactor import EPollReactor  # noqa: PLC0415  (some systems have no epoll)

    class Asked:
        """A reactor without descriptors, which is its own poller."""

        def __init__(self) -> None:
            self._poller, self._selectables, self._doReadOrWrite = self, {5: self, 6: self}, None
            self.asked: list[tuple[float, int]] = []

        def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
            """See `select.epoll.poll`."""
            self.asked.append((timeout, most))
            return []

    asked: Any = Asked()
    EPollReactor.doPoll(asked, 0)
    return bool(asked.asked == [(0, 2)])
