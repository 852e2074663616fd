"""
Short turns of the reactor: the events that it handles between two looks at its delayed calls are limited.

Twisted asks epoll for the events of all connections at once. When ten thousand viewers leave together, their turn takes
a fifth of a second, and everybody else waits that long. Here connections that have ended wait behind those that have
something to say. `twistd sseserver` limits its reactor; embedders decide for their own process.

Twisted also enters a context of its old logging for each event, which this project's log lines do not have. That is a
tenth of a small publish, and is left out.

The events of a turn are a batch: what they cause is done and sent when the last of them is handled.

Work that is not an event, such as the tokens of a thousand streams, can take milliseconds, too. It looks whether
somebody has come meanwhile (`LimitedPoller.hasEvents`).
"""

from __future__ import annotations

import select
from typing import Any

from twisted.logger import Logger

from sseserver.speedups.probes import probe
from sseserver.timing.turnend import TurnEnd

log = Logger(__name__)

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
    The epoll object of a reactor, with a limit for each poll. It hands the events over itself.

    Args:
        poller: The epoll object. It reports an event again until it is handled.
        reactor: The reactor.
        turnEnd: The events of a turn are a batch of it.

    Attributes:
        close: See `select.epoll.close`.
        turnEnd: See above.
        unregister: See `select.epoll.unregister`.
    """

    __slots__ = ("_handle", "_modify", "_poll", "_register", "_selectables", "close", "turnEnd", "unregister")

    def __init__(self, poller: Any, reactor: Any, turnEnd: TurnEnd) -> None:
        self.turnEnd = turnEnd
        self._handle, self._selectables = reactor._doReadOrWrite, reactor._selectables
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
        Wait for events, and let the reactor handle them: no more than `EVENTS`, and the ends of connections last.

        Args:
            timeout: Seconds; negative to wait without an end.
            most: Number of events at most.

        Returns:
            The events that are left for the reactor: none.
        """
        ready = self._wait(timeout, most)
        if ready:
            self.turnEnd.begin()
            try:
                self._handleAll(ready)
            finally:
                self.turnEnd.end()
        return []

    def _handleAll(self, ready: list[tuple[int, int]]) -> None:
        for descriptor, events in ready:
            # An event before this one may have removed it.
            selectable = self._selectables.get(descriptor)
            if selectable is not None:
                try:
                    self._handle(selectable, descriptor, events)
                except KeyboardInterrupt:
                    raise
                except BaseException:
                    log.failure("An event could not be handled")

    def _wait(self, timeout: float, most: int) -> list[tuple[int, int]]:
        """Wait for events; return those that are handled in this turn."""
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


def limitTurns(reactor: Any, turnEnd: TurnEnd) -> None:
    """
    Limit the events of each turn of a reactor, if it is Twisted's epoll reactor. Harmless if they are limited.

    Args:
        reactor: The reactor.
        turnEnd: The end of its turns. It is told whether there are events.
    """
    poller = getattr(reactor, "_poller", None)
    if isinstance(poller, LimitedPoller):
        poller.turnEnd = turnEnd
    elif hasattr(select, "epoll") and isinstance(poller, select.epoll) and asksPoller():
        poller = reactor._poller = LimitedPoller(poller, reactor, turnEnd)
    else:
        return
    turnEnd.hasEvents = poller.hasEvents


@probe
def asksPoller() -> bool:
    """Probe `limitTurns`: Twisted's epoll reactor asks its poller for all descriptors, and handles events as we do."""
    from twisted.internet.epollreactor import EPollReactor  # noqa: PLC0415  (some systems have no epoll)

    class Asked:
        """A reactor without descriptors, which is its own poller."""

        def __init__(self) -> None:
            self._poller, self._selectables = self, {5: self, 6: self}
            self.asked: list[tuple[object, ...]] = []

        def logPrefix(self) -> str:
            """See `ILoggingContext.logPrefix`."""
            return ""

        def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
            """See `select.epoll.poll`."""
            self.asked.append((timeout, most))
            return [(6, 1), (7, 1)]

        def _doReadOrWrite(self, selectable: object, descriptor: int, events: int) -> None:
            self.asked.append((selectable, descriptor, events))

    asked: Any = Asked()
    EPollReactor.doPoll(asked, 0)
    return bool(asked.asked == [(0, 2), (asked, 6, 1)])
