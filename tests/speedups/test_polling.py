"""
Tests for `sseserver.speedups.polling`.
"""

from __future__ import annotations

import select
import socket
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.speedups.polling import ENDS, EVENTS, FEW, LimitedPoller, asksPoller, limitTurns
from sseserver.timing.turnend import TurnEnd


class Descriptor:
    """
    A descriptor that counts its reads.

    Args:
        side: A socket.
        peer: Its peer.
    """

    def __init__(self, side: socket.socket, peer: socket.socket) -> None:
        self.side = side
        self.peer = peer
        self.reads = 0

    def fileno(self) -> int:
        """See `IFileDescriptor.fileno`."""
        return self.side.fileno()

    def doRead(self) -> None:
        """See `IReadDescriptor.doRead`. The byte stays there."""
        self.reads += 1

    doWrite = doRead

    def logPrefix(self) -> str:
        """See `ILoggingContext.logPrefix`."""
        return "test"


class LimitTests(SynchronousTestCase):
    """A reactor whose turns are limited."""

    def makeReactor(self, count: int) -> tuple[Any, list[Descriptor]]:
        """Make a reactor with descriptors that can all be read."""
        reactor: Any = EPollReactor()
        self.addCleanup(reactor.fireSystemEvent, "shutdown")
        self.turnEnd = TurnEnd(reactor)
        limitTurns(reactor, TurnEnd(reactor))
        limitTurns(reactor, self.turnEnd)
        descriptors = []
        for _ in range(count):
            descriptors.append(Descriptor(*socket.socketpair()))
            for side in (descriptors[-1].side, descriptors[-1].peer):
                self.addCleanup(side.close)
            descriptors[-1].peer.send(b"x")
            reactor.addReader(descriptors[-1])
            self.addCleanup(reactor.removeReader, descriptors[-1])
        return reactor, descriptors

    def turn(self, reactor: Any, *groups: list[Descriptor]) -> list[int]:
        """Let the reactor turn; return the number of reads of each group of descriptors meanwhile."""
        before = [_countReads(group) for group in groups]
        reactor.doIteration(0)
        return [_countReads(group) - count for group, count in zip(groups, before, strict=True)]

    def test_limit(self) -> None:
        """A turn handles no more events than the limit, and in some turns all of them come."""
        reactor, descriptors = self.makeReactor(3 * EVENTS)
        for _ in range(3):
            self.assertEqual(self.turn(reactor, descriptors), [EVENTS])

    def test_ends(self) -> None:
        """Connections that have ended wait behind the others, and yet some of them are handled in each turn."""
        reactor, descriptors = self.makeReactor(3 * EVENTS)
        few, many, ended = descriptors[:5], descriptors[: 2 * EVENTS], descriptors[2 * EVENTS :]
        for one in ended:
            one.peer.close()
        self.assertEqual(self.turn(reactor, many, ended), [EVENTS - ENDS, ENDS])
        for one in many[5:]:
            reactor.removeReader(one)
        self.assertEqual(self.turn(reactor, few, ended), [5, EVENTS - 5])

    def test_writes(self) -> None:
        """An end is seen in a connection that waits for room to write, too."""
        reactor, descriptors = self.makeReactor(2 * EVENTS)
        for one in descriptors:
            reactor.addWriter(one)
            self.addCleanup(reactor.removeWriter, one)
        ended = descriptors[::2]
        for one in ended:
            one.peer.close()
        # Each is read, and written to.
        self.assertEqual(self.turn(reactor, descriptors, ended), [2 * EVENTS, 2 * ENDS])

    def test_hasEvents(self) -> None:
        """#16: few events are told from none and from many. To ask takes none of them away."""
        reactor, descriptors = self.makeReactor(FEW + 1)
        hasEvents: Any = self.turnEnd.hasEvents
        self.assertFalse(hasEvents())
        reactor.removeReader(descriptors[0])
        for _ in range(3):
            self.assertTrue(hasEvents())
        self.assertEqual(self.turn(reactor, descriptors[1:]), [FEW])
        for one in descriptors[1:]:
            reactor.removeReader(one)
        self.assertFalse(hasEvents())

    def test_otherReactors(self) -> None:
        """A reactor of another kind stays as it is, and nobody knows its events."""
        reactor: Any = object()
        turnEnd = TurnEnd(Clock())
        limitTurns(reactor, turnEnd)
        self.assertIsNone(turnEnd.hasEvents)

    def test_probe(self) -> None:
        """The reactor of this version of Twisted asks the poller."""
        self.assertTrue(asksPoller())
        poller = select.epoll()
        self.addCleanup(poller.close)
        limited = LimitedPoller(poller, self.makeReactor(0)[0], self.turnEnd)
        self.assertEqual(limited.poll(0, 10), [])

    def test_batch(self) -> None:
        """#16: the events of a turn are a batch: its end comes after the last one."""
        reactor, descriptors = self.makeReactor(3)
        seen: list[str] = []

        def read() -> None:
            seen.append("read")
            self.turnEnd.atEnd(lambda: seen.append("end"))

        for one in descriptors:
            self.patch(one, "doRead", read)
        reactor.doIteration(0)
        self.assertEqual(seen, ["read"] * 3 + ["end"] * 3)

    def test_failure(self) -> None:
        """A descriptor whose event cannot be handled is logged, and the others are handled."""
        reactor, descriptors = self.makeReactor(3)
        # Raises outside of Twisted's own precautions.
        self.patch(descriptors[0], "doRead", lambda: {}["swordfish"])
        self.patch(reactor, "removeReader", lambda one: {}["bluefin"])
        self.assertEqual(self.turn(reactor, descriptors[1:]), [2])
        failures = self.flushLoggedErrors(KeyError)
        self.assertEqual([failure.value.args for failure in failures], [("swordfish",), ("bluefin",)])

    def test_gone(self) -> None:
        """An event of a descriptor that another event of its turn has removed is dropped."""
        reactor, descriptors = self.makeReactor(2)
        for one, other in (descriptors, descriptors[::-1]):
            self.patch(
                one, "doRead", lambda one=one, other=other: (Descriptor.doRead(one), reactor.removeReader(other))[0]
            )
        self.assertEqual(self.turn(reactor, descriptors), [1])


def _countReads(descriptors: list[Descriptor]) -> int:
    """Count the reads of descriptors."""
    return sum(each.reads for each in descriptors)
