"""
Tests for `sseserver.command.workers.sockets` and `sseserver.command.workers.inherited`: both sides of a shared address.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.command.listening import BadEndpoint
from sseserver.command.workers.inherited import PAUSE, InheritedReactor, SharedPort
from sseserver.command.workers.sockets import SharedSocket, makeHost


class _UNIXPort:
    """A port of a reactor."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen()
        self.fileno = self.socket.fileno
        self.reads = True
        self.open = True

    def stopReading(self) -> None:
        self.reads = False

    def stopListening(self) -> None:
        self.open = False
        self.socket.close()


class Reactor(Clock):
    """
    A reactor that opens Unix sockets and adopts the sockets of others.

    Attributes:
        ports: The ports that it has opened.
        adopted: Families of the connections and ports that it has adopted.
        reading: What it reads.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ports: list[_UNIXPort] = []
        self.adopted: list[tuple[str, int]] = []
        self.reading: set[Any] = set()

    def listenUNIX(self, address: str, *_: Any) -> _UNIXPort:
        """See `IReactorUNIX.listenUNIX`."""
        self.ports.append(_UNIXPort(address))
        return self.ports[-1]

    def adoptStreamPort(self, descriptor: int, family: int, factory: Factory) -> str:
        """See `IReactorSocket.adoptStreamPort`."""
        os.close(os.dup(descriptor))
        self.adopted.append(("port", family))
        return "port"

    def adoptStreamConnection(self, descriptor: int, family: int, factory: Factory) -> None:
        """See `IReactorSocket.adoptStreamConnection`."""
        assert not os.get_blocking(descriptor)
        self.adopted.append(("connection", family))

    def addReader(self, reader: Any) -> None:
        """See `IReactorFDSet.addReader`."""
        self.reading.add(reader)

    def removeReader(self, reader: Any) -> None:
        """See `IReactorFDSet.removeReader`."""
        self.reading.discard(reader)


class SharedSocketTests(SynchronousTestCase):
    """The sockets that a pool opens."""

    def make(self, description: str, workers: int = 2) -> SharedSocket:
        """Open the sockets of an endpoint."""
        self.reactor = Reactor()
        made = SharedSocket(self.reactor, description, workers)
        self.addCleanup(made.close)
        made.open()
        return made

    def connect(self, made: SharedSocket) -> None:
        """Connect to an address."""
        client = socket.create_connection(made.find(1).getsockname())
        self.addCleanup(client.close)

    def countWaiting(self, listening: socket.socket) -> int:
        """Accept all connections that wait at a socket; return how many they were."""
        count = 0
        while True:
            try:
                listening.accept()[0].close()
            except BlockingIOError:
                return count
            count += 1

    def test_everyWorkerHasItsShare(self) -> None:
        """Workers that listen get about the same number of connections, and one that does not listen yet gets none."""
        made = self.make("tcp:0:interface=127.0.0.1", 3)
        self.assertFalse(made.isShared)
        for worker in (1, 2):
            made.find(worker).listen(4096)
        for _ in range(200):
            self.connect(made)
        shares = [self.countWaiting(made.find(worker)) for worker in (1, 2)]
        self.assertEqual(sum(shares), 200)
        # By chance less than one time in a million.
        self.assertGreater(min(shares), 60)

    def test_paused(self) -> None:
        """Connections do not go to a worker that has ended, until it listens again."""
        made = self.make("tcp:0:interface=127.0.0.1")
        for worker in (1, 2):
            made.find(worker).listen(4096)
        made.pause(1)
        for _ in range(50):
            self.connect(made)
        self.assertEqual(self.countWaiting(made.find(2)), 50)
        made.find(1).listen(4096)
        for _ in range(200):
            self.connect(made)
        self.assertGreater(self.countWaiting(made.find(1)), 60)

    def test_unprivileged(self) -> None:
        """A worker listens again on the same socket: the right to bind its address may be gone by then."""
        made = self.make("tcp:0:interface=127.0.0.1")
        before = made.find(1)

        def refuse(*_: Any) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        self.patch(socket, "socket", refuse)
        # It ends before it listens, and afterwards.
        for _ in range(2):
            made.pause(1)
            self.assertIs(made.find(1), before)
            before.listen(4096)
        self.assertEqual(before.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), 1)

    def test_inUse(self) -> None:
        """An address that another server has is refused, also if that is one with workers; nothing stays open."""
        other = self.make("tcp:0:interface=127.0.0.1")
        other.find(1).listen()
        port = other.find(1).getsockname()[1]
        with self.assertRaises(BadEndpoint) as caught:
            self.make(f"tcp:{port}:interface=127.0.0.1")
        self.assertEqual(str(caught.exception), f"--listen tcp:{port}:interface=127.0.0.1: Address already in use")

    def test_unix(self) -> None:
        """A Unix socket is one for all workers. The pool does not accept from it, and deletes its file."""
        path = self.mktemp()
        made = self.make(f"unix:{path}")
        self.assertTrue(made.isShared)
        self.assertIs(made.find(1), made.find(2))
        (port,) = self.reactor.ports
        self.assertFalse(port.reads)
        made.pause(1)
        self.assertIs(made.find(1), made.find(2))
        self.successResultOf(made.close())
        self.assertFalse(port.open)

    def test_systemd(self) -> None:
        """A socket of systemd is one for all workers."""
        made = SharedSocket(Reactor(), "systemd:domain=INET:index=0", 2)
        with socket.create_server(("127.0.0.1", 0)) as inherited:
            made.adoptStreamPort(inherited.fileno(), socket.AF_INET, Factory())
            self.assertTrue(made.isShared)
            self.assertEqual(made.find(2).getsockname(), inherited.getsockname())
        self.successResultOf(made.close())

    def test_hosts(self) -> None:
        """The address of a socket is as ports tell theirs."""
        with socket.socket() as one, socket.socket(socket.AF_UNIX) as two, socket.socket(socket.AF_INET6) as three:
            self.assertEqual(makeHost(one), IPv4Address("TCP", "0.0.0.0", 0))
            self.assertIsInstance(makeHost(two), UNIXAddress)
            self.assertIsInstance(makeHost(three), IPv6Address)


class InheritedTests(SynchronousTestCase):
    """The sockets as workers use them."""

    def setUp(self) -> None:
        """Bind a socket, as a pool does."""
        self.reactor = Reactor()
        self.socket = socket.socket()
        self.addCleanup(self.socket.close)
        self.socket.bind(("127.0.0.1", 0))
        self.address = self.socket.getsockname()

    def connect(self) -> socket.socket:
        """Connect to the address."""
        client = socket.create_connection(self.address)
        self.addCleanup(client.close)
        return client

    def test_own(self) -> None:
        """A worker listens on its own socket, which the reactor then has."""
        inherited = InheritedReactor(self.reactor, self.socket.dup().detach(), False)
        self.assertEqual(inherited.listenTCP(0, Factory(), 7), "port")
        self.assertEqual(self.reactor.adopted, [("port", socket.AF_INET)])
        self.connect()
        self.assertEqual(inherited.seconds(), 0)

    def test_shared(self) -> None:
        """A worker takes one connection at a time from a shared socket, and none that another one has taken."""
        port = InheritedReactor(self.reactor, self.socket.dup().detach(), True).listenUNIX("", Factory(), 7)
        self.assertEqual(port.getHost().port, self.address[1])
        self.assertEqual(self.reactor.reading, {port})
        for _ in range(2):
            self.connect()
        port.doRead()
        self.assertEqual(len(self.reactor.adopted), 1)
        port.doRead()
        port.doRead()
        self.assertEqual(self.reactor.adopted, [("connection", socket.AF_INET)] * 2)
        self.successResultOf(port.stopListening())
        self.successResultOf(port.stopListening())
        self.assertEqual(self.reactor.reading, set())
        # The others listen still.
        self.connect()

    def test_systemd(self) -> None:
        """A socket of systemd, which listens already, is shared as well."""
        self.socket.listen()
        port = InheritedReactor(self.reactor, self.socket.dup().detach(), True).adoptStreamPort(
            9, socket.AF_INET, Factory()
        )
        self.assertIsInstance(port, SharedPort)
        self.successResultOf(port.stopListening())

    def test_noDescriptors(self) -> None:
        """A process that can open nothing pauses, and does not turn in circles."""

        class Full:
            """A socket whose connections cannot be taken."""

            def accept(self) -> None:
                raise OSError(errno.EMFILE, "Too many open files")

            def fileno(self) -> int:
                return 0

            def close(self) -> None:
                pass

        full: Any = Full()
        port = SharedPort(self.reactor, full, Factory())
        port.startListening()
        port.doRead()
        self.assertEqual(self.reactor.reading, set())
        self.reactor.advance(PAUSE)
        self.assertEqual(self.reactor.reading, {port})
        port.doRead()
        self.successResultOf(port.stopListening())
        self.assertEqual(self.reactor.getDelayedCalls(), [])
