"""
Tests for `sseserver.speedups.intake`: connections that it reads are read as ever.
"""

from __future__ import annotations

import contextlib
import select
import socket
from typing import Any

from twisted.internet import reactor as realReactor
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from sseserver.speedups import intake
from sseserver.speedups.intake import MORE_BYTES, READ_BYTES, Intake, makeIntake
from sseserver.timing.turnend import TurnEnd

reactor: Any = realReactor


class Listening(Protocol):
    """A protocol that keeps its bytes, and may call the test for each read."""

    transport: Any

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.lost: Failure | None = None
        self.onData: Any = lambda: None

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)
        self.onData()

    @property
    def received(self) -> bytes:
        """All bytes so far."""
        return b"".join(self.pieces)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


class _One(Factory):
    """Builds the protocol that it was made with."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, address: object) -> Protocol:
        return self._protocol


class IntakeTests(TestCase):
    """Real sockets, one end of each in an intake."""

    def setUp(self) -> None:
        if not hasattr(select, "epoll"):
            raise SkipTest("There is no epoll on this system.")
        self.turnEnd = TurnEnd(reactor)
        self.intake = Intake(reactor, self.turnEnd)
        self.peers: list[socket.socket] = []
        self.ends: list[Listening] = []

    def tearDown(self) -> None:
        for peer in self.peers:
            peer.close()
        for end in self.ends:
            self.intake.remove(end.transport)
            end.transport.abortConnection()
        self.assertNotIn(self.intake, reactor.getReaders())

    def open(self) -> tuple[Listening, socket.socket]:
        """Connect two sockets; the first is read by the intake."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        end = Listening()
        reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, _One(end))
        ours.close()
        self.peers.append(theirs)
        self.ends.append(end)
        self.intake.add(end)
        return end, theirs

    async def until(self, condition: Any) -> None:
        """Let the reactor turn until a condition is true."""
        for _ in range(5000):
            if condition():
                return
            await deferLater(reactor, 0.001)
        self.fail("It does not come about.")

    async def turns(self, count: int = 5) -> None:
        """Let the reactor turn a few times, enough for an error to show."""
        for _ in range(count):
            await deferLater(reactor, 0)

    async def test_reads(self) -> None:
        """
        Bytes of each connection reach its protocol; the reactor has one read descriptor for all.
        """
        opened = [self.open() for _ in range(5)]
        readers = reactor.getReaders()
        self.assertIn(self.intake, readers)
        self.assertFalse({end.transport for end, _ in opened} & set(readers))
        for number, (_, peer) in enumerate(opened):
            peer.sendall(b"%d" % number)
        await self.until(lambda: all(end.received for end, _ in opened))
        self.assertEqual([end.received for end, _ in opened], [b"0", b"1", b"2", b"3", b"4"])

    async def test_together(self) -> None:
        """All connections are read before any of their bytes is worked on."""
        opened = [self.open() for _ in range(3)]
        for end, peer in opened:
            peer.sendall(b"first")
            # The first one makes all the others send more.
            end.onData = lambda: [peer.send(b"second") for peer in self.peers]
        await self.until(lambda: opened[2][0].pieces)
        self.assertEqual([end.pieces[0] for end, _ in opened], [b"first"] * 3)

    async def test_oneTurn(self) -> None:
        """
        The bytes of one go are one batch of the turn end: its calls come after all of them, without
        the reactor.
        """
        opened = [self.open() for _ in range(3)]
        done: list[str] = []

        def work() -> None:
            done.append("work")
            self.turnEnd.atEnd(lambda: done.append("end"))

        for end, peer in opened:
            end.onData = work
            peer.sendall(b"token")
        await self.until(lambda: "end" in done)
        self.assertEqual(done, ["work"] * 3 + ["end"] * 3)

    async def test_long(self) -> None:
        """Bytes for more than one read arrive whole and in order."""
        end, peer = self.open()
        sent = b"".join(b"%07d," % number for number in range(READ_BYTES))
        peer.setblocking(False)
        rest = sent

        def send() -> bool:
            nonlocal rest
            with contextlib.suppress(BlockingIOError):
                rest = rest[peer.send(rest) :]
            return end.received == sent

        await self.until(send)

    async def test_pause(self) -> None:
        """A paused connection is not read until it is resumed."""
        end, peer = self.open()
        end.transport.pauseProducing()
        peer.sendall(b"data")
        await self.turns()
        self.assertEqual(end.received, b"")
        end.transport.resumeProducing()
        end.transport.resumeProducing()
        await self.until(lambda: end.received == b"data")

    async def test_pausedByAnother(self) -> None:
        """Bytes that were read before a pause arrive, as from the reactor; no others do."""
        opened = [self.open() for _ in range(2)]
        for end, peer in opened:
            peer.sendall(b"data")
            end.onData = lambda: [end.transport.pauseProducing() for end in self.ends]
        await self.until(lambda: all(end.pieces for end, _ in opened))
        opened[0][1].sendall(b"more")
        await self.turns()
        self.assertEqual(opened[0][0].received, b"data")

    async def test_closedByAnother(self) -> None:
        """A connection that is closed by the bytes of another gets no more bytes."""
        opened = [self.open() for _ in range(2)]
        for end, peer in opened:
            peer.sendall(b"data")
            other = next(one for one in self.ends if one is not end)
            end.onData = other.transport.abortConnection
        await self.until(lambda: any(end.pieces for end, _ in opened))
        await self.until(lambda: any(end.lost for end, _ in opened))
        self.assertEqual(sum(len(end.pieces) for end, _ in opened), 1)

    async def test_removed(self) -> None:
        """
        The reactor reads a connection that was removed; a paused one stays paused. Removing it
        again does nothing.
        """
        end, peer = self.open()
        self.intake.remove(end.transport)
        self.intake.remove(end.transport)
        self.assertIn(end.transport, reactor.getReaders())
        self.assertNotIn(self.intake, reactor.getReaders())
        peer.sendall(b"data")
        await self.until(lambda: end.received == b"data")
        self.intake.add(end)
        end.transport.pauseProducing()
        self.intake.remove(end.transport)
        self.assertNotIn(end.transport, reactor.getReaders())

    async def test_closedByPeer(self) -> None:
        """The end of a connection is reported as by the reactor."""
        end, peer = self.open()
        stays, _ = self.open()
        peer.close()
        await self.until(lambda: end.lost)
        assert end.lost is not None
        self.assertTrue(end.lost.check(ConnectionDone))
        self.assertIsNone(stays.lost)
        self.assertIn(self.intake, reactor.getReaders())

    async def test_closedBehindData(self) -> None:
        """An end that comes before the data in front of it is read is reported too."""
        for data in (b"data", b"x" * READ_BYTES):
            end, peer = self.open()
            peer.sendall(data)
            peer.close()
            await self.until(lambda end=end: end.lost)
            self.assertEqual(end.received, data)

    async def test_receiver(self) -> None:
        """
        Bytes go to the receiver that was added, and after `remove` to the protocol of the
        connection.
        """
        end, peer = self.open()
        self.intake.remove(end.transport)
        other = Listening()
        other.transport = end.transport
        self.intake.add(other)
        peer.sendall(b"one")
        await self.until(lambda: other.pieces)
        self.intake.remove(end.transport)
        peer.sendall(b"two")
        await self.until(lambda: end.pieces)
        self.assertEqual((other.received, end.received), (b"one", b"two"))

    async def test_closedByUs(self) -> None:
        """
        A connection that is closed on this side leaves the intake; its descriptor can be reused.
        """
        end, _ = self.open()
        end.transport.loseConnection()
        await self.until(lambda: end.lost)
        self.intake.remove(end.transport)
        another, peer = self.open()
        peer.sendall(b"data")
        await self.until(lambda: another.received == b"data")

    async def test_protocolThatBreaks(self) -> None:
        """An exception of a protocol is logged and costs its connection, no other."""
        end, peer = self.open()
        other, its = self.open()
        end.onData = lambda: 1 / 0
        peer.sendall(b"data")
        its.sendall(b"data")
        await self.until(lambda: end.lost and other.received)
        assert end.lost is not None
        self.assertTrue(end.lost.check(ConnectionLost))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_busy(self) -> None:
        """
        Bytes right after a read wait shortly for others; after a silence the reactor reports the
        next.
        """
        opened = [self.open() for _ in range(3)]
        first, _ = opened[0]
        self.patch(intake, "BUSY", 0.05)
        self.patch(intake, "CROWD", 1)
        first.onData = lambda: [peer.send(b"more") for _, peer in opened if len(first.pieces) == 1]
        opened[0][1].sendall(b"first")
        await self.until(lambda: self.intake not in reactor.getReaders())
        self.assertEqual([end.received for end, _ in opened], [b"first", b"", b""])
        await self.until(lambda: opened[2][0].received)
        self.assertEqual([end.received for end, _ in opened], [b"firstmore", b"more", b"more"])
        await self.until(lambda: self.intake in reactor.getReaders())

    async def test_allLeaveWhileBusy(self) -> None:
        """
        Connections that leave while the intake is busy leave nothing behind; new ones are read.
        """
        end, peer = self.open()
        self.patch(intake, "BUSY", 0.05)
        self.patch(intake, "CROWD", 1)
        end.onData = lambda: peer.send(b"more") if len(end.pieces) == 1 else None
        peer.sendall(b"first")
        await self.until(lambda: end.pieces and self.intake not in reactor.getReaders())
        self.intake.remove(end.transport)
        await self.until(lambda: end.received == b"firstmore")
        self.intake.add(end)
        peer.sendall(b"last")
        await self.until(lambda: end.received == b"firstmorelast")

    async def test_F114_few(self) -> None:
        """
        F114: without a crowd no read is delayed.
        """
        self.patch(intake, "BUSY", 60)
        end, peer = self.open()
        end.onData = lambda: peer.send(b"more") if len(end.pieces) < 10 else None
        peer.sendall(b"first")
        await self.until(lambda: len(end.pieces) == 10)

    async def test_F114_fast(self) -> None:
        """
        F114: in a crowd, too, a connection that has more bytes than a read takes is read without delay.
        """
        self.patch(intake, "BUSY", 60)
        self.patch(intake, "CROWD", 1)
        end, peer = self.open()
        end.transport.pauseProducing()
        peer.setblocking(False)
        sent = peer.send(b"x" * 1_000_000)
        self.assertGreater(sent, 2 * (READ_BYTES + MORE_BYTES))
        end.transport.resumeProducing()
        await self.until(lambda: len(end.received) > sent - READ_BYTES - MORE_BYTES)
        self.assertEqual(max(map(len, end.pieces)), READ_BYTES + MORE_BYTES)

    async def test_F56_exit(self) -> None:
        """
        F56: `SystemExit` in a receiver costs its own connection only, and the turn ends for all others.
        """
        opened = [self.open() for _ in range(3)]
        done: list[str] = []

        def leave() -> None:
            raise SystemExit

        for end, peer in opened:
            end.onData = lambda: self.turnEnd.atEnd(lambda: done.append("end"))
            peer.sendall(b"data")
        opened[0][0].onData = leave
        await self.until(lambda: opened[0][0].lost and len(done) == 2)
        opened[1][1].sendall(b"more")
        await self.until(lambda: opened[1][0].received == b"datamore")
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)

    async def test_F56_readAgain(self) -> None:
        """
        F56: an intake that the reactor has dropped after an error is read again as long as it has connections.
        """
        end, peer = self.open()
        reactor.removeReader(self.intake)
        self.intake.connectionLost(Failure(SystemExit()))
        peer.sendall(b"data")
        await self.until(lambda: end.received)
        self.intake.remove(end.transport)
        self.intake.connectionLost(Failure(SystemExit()))
        self.assertNotIn(self.intake, reactor.getReaders())

    async def test_connecting(self) -> None:
        """A connection can be added and removed inside its own `dataReceived`."""
        end, peer = self.open()
        end.onData = lambda: self.intake.remove(end.transport)
        peer.sendall(b"one")
        await self.until(lambda: end.received == b"one")
        end.onData = lambda: self.intake.add(end)
        peer.sendall(b"two")
        await self.until(lambda: end.received == b"onetwo")
        end.onData = lambda: None
        peer.sendall(b"three")
        await self.until(lambda: end.received == b"onetwothree")


class MakeIntakeTests(SynchronousTestCase):
    """The reactors that have an intake."""

    def test_clock(self) -> None:
        """
        A clock has none.
        """
        for clock in (Clock(), None):
            self.assertIsNone(makeIntake(clock, TurnEnd(Clock())))

    def test_reactor(self) -> None:
        """
        A reactor has one, unless the system has no epoll.
        """
        self.assertIsInstance(makeIntake(reactor, TurnEnd(reactor)), Intake)
        self.patch(select, "epoll", None)
        del select.epoll
        self.assertIsNone(makeIntake(reactor, TurnEnd(reactor)))

    def test_abortThatCannotBeSeen(self) -> None:
        """There is no intake if the probe does not see an abort."""
        self.patch(intake, "seesAbort", lambda: False)
        self.assertIsNone(makeIntake(reactor, TurnEnd(reactor)))
