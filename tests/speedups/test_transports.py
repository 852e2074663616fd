"""
Tests for `sseserver.speedups.transports`.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
from typing import Any, ClassVar
from unittest import mock, skipUnless

from twisted.internet.defer import succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.tcp import Port, Server
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from sseserver.delivery.socketoptions import TunedEndpoint, tune
from sseserver.speedups import transports
from sseserver.speedups.probes import ProbeTransport, probe
from sseserver.speedups.transports import FastPort, FastServer, managesReads, quicken
from sseserver.speedups.writequeue import awaitRoom
from sseserver.web.deadlines import Phase
from sseserver.web.site import StreamSite
from tests.speedups.mirror import GOOD, Mirror


class Noting(Protocol):
    """
    A protocol that notes its events, and sends the bytes back that it receives.

    Attributes:
        seen: The bytes that came, and the type of the end.
    """

    def __init__(self) -> None:
        self.seen: list[object] = []

    def dataReceived(self, data: bytes) -> None:
        """See `Protocol.dataReceived`."""
        self.seen.append(data)
        assert self.transport is not None
        self.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See `Protocol.connectionLost`."""
        self.seen.append(reason.type)


class NotingFactory(Factory):
    """
    Makes protocols, and keeps them.

    Attributes:
        made: The protocols.
        error: Raised instead of making the next one, if it is set.
        refuses: Whether it makes none.
    """

    noisy = False

    def __init__(self) -> None:
        self.made: list[Noting] = []
        self.error: Exception | None = None
        self.refuses = False

    def buildProtocol(self, addr: Any) -> Any:
        """See `Factory.buildProtocol`."""
        error, self.error = self.error, None
        if error is not None:
            raise error
        if self.refuses:
            return None
        self.made.append(Noting())
        return self.made[-1]


class FailingSocket:
    """
    A listening socket whose next accept fails, also that of Twisted.

    Args:
        handle: The socket.
        code: The error.
    """

    def __init__(self, handle: socket.socket, code: int) -> None:
        self._handle = handle
        self._code = code

    def accept(self) -> Any:
        """See `socket.accept`."""
        raise OSError(self._code, "")

    _accept = accept

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handle, name)


@implementer(IStreamServerEndpoint)
class GivenEndpoint:
    """
    An endpoint with a port.

    Args:
        port: The port.
    """

    def __init__(self, port: Any) -> None:
        self._port = port

    def listen(self, protocolFactory: Any) -> Any:
        """See `IStreamServerEndpoint.listen`."""
        return succeed(self._port)


@skipUnless(hasattr(select, "epoll"), "The reactor needs epoll.")
class FastPortTests(SynchronousTestCase):
    """A port that accepts connections in fewer steps."""

    families: ClassVar = {"127.0.0.1": socket.AF_INET, "::1": socket.AF_INET6}

    def setUp(self) -> None:
        from twisted.internet.epollreactor import EPollReactor

        self.reactor: Any = EPollReactor()
        self.addCleanup(self.reactor.fireSystemEvent, "shutdown")
        self.factory = NotingFactory()

    def listen(self, interface: str = "127.0.0.1") -> Any:
        """Listen, and let the port be quick."""
        port: Any = self.reactor.listenTCP(0, self.factory, interface=interface)
        self.addCleanup(self.turn)
        self.addCleanup(port.connectionLost, None)
        quicken(port)
        self.assertIs(type(port), FastPort)
        return port

    def connect(self, port: Any) -> socket.socket:
        """Connect to a port."""
        address = port.getHost()
        client = socket.create_connection((address.host, address.port))
        client.settimeout(5)
        self.addCleanup(client.close)
        return client

    def turn(self) -> None:
        """Handle the events that are there."""
        self.reactor.runUntilCurrent()
        self.reactor.doIteration(0)

    def end(self, client: socket.socket) -> None:
        """Close a client, and let the server notice."""
        client.close()
        self.turn()

    def test_connection(self) -> None:
        """Connections of both families are accepted, read, written and ended, and know their peers."""
        for interface in self.families if socket.has_ipv6 else ("127.0.0.1",):
            port = self.listen(interface)
            client = self.connect(port)
            self.turn()
            noting = self.factory.made.pop()
            transport: Any = noting.transport
            self.assertIs(type(transport), FastServer)
            self.assertEqual((transport.getPeer().host, transport.getPeer().port), client.getsockname()[:2])
            self.assertEqual((transport.getHost().host, transport.getHost().port), client.getpeername()[:2])
            client.sendall(b"ab")
            self.turn()
            self.turn()
            self.assertEqual(client.recv(9), b"ab")
            self.end(client)
            self.assertEqual(noting.seen, [b"ab", ConnectionDone])

    def test_sameHost(self) -> None:
        """Connections from one host, such as a proxy, share the string; others have their own."""
        port = self.listen()
        hosts = []
        for host in ("127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.1"):
            client = socket.create_connection(("127.0.0.1", port.getHost().port), source_address=(host, 0))
            self.addCleanup(client.close)
            self.turn()
            transport: Any = self.factory.made.pop().transport
            self.assertEqual(transport.getPeer().port, client.getsockname()[1])
            hosts.append(transport.getPeer().host)
        self.assertEqual(hosts, ["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.1"])
        self.assertIs(hosts[0], hosts[1])

    def test_closed(self) -> None:
        """A connection that the server closes or aborts is gone: its client sees the end, and epoll forgets it."""
        port = self.listen()
        before = set(self.reactor.getReaders())
        for end, seen in (("loseConnection", ConnectionDone), ("abortConnection", ConnectionAborted)):
            client = self.connect(port)
            self.turn()
            noting = self.factory.made.pop()
            getattr(noting.transport, end)()
            self.turn()
            self.turn()
            self.assertEqual(noting.seen, [seen])
            self.assertEqual(set(self.reactor.getReaders()), before)
            if seen is ConnectionDone:
                self.assertEqual(client.recv(9), b"")
            else:
                self.assertRaises(ConnectionResetError, client.recv, 9)

    def test_lostTwice(self) -> None:
        """The end of a connection is told once."""
        port = self.listen()
        self.connect(port)
        self.turn()
        noting = self.factory.made.pop()
        transport: Any = noting.transport
        for _ in range(2):
            transport.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(noting.seen, [ConnectionDone])

    def test_paused(self) -> None:
        """A paused connection is not read, also one that has bytes to send; it is read again when it is resumed."""
        port = self.listen()
        client = self.connect(port)
        self.turn()
        noting = self.factory.made.pop()
        transport: Any = noting.transport
        for pending in (b"", b"pending"):
            transport.write(pending)
            transport.pauseProducing()
            client.sendall(b"x")
            self.turn()
            self.assertEqual(noting.seen, [])
            transport.resumeProducing()
            self.turn()
            self.assertEqual(noting.seen, [b"x"])
            noting.seen.clear()
            self.turn()

    def test_awaitsRoom(self) -> None:
        """A producer that waits for room is resumed once the client reads, and nothing is sent before."""
        port = self.listen()
        client = self.connect(port)
        self.turn()
        transport: Any = self.factory.made.pop().transport
        producer = ProbeTransport()
        transport.registerProducer(producer, True)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                sent += transport.getHandle().send(bytes(100_000))
        awaitRoom(transport)
        with mock.patch.object(transport, "writeSomeData") as send:
            for _ in range(3):
                self.turn()
                self.assertTrue(producer.paused)
            while sent:
                sent -= len(client.recv(sent))
            self.turn()
            self.assertFalse(producer.paused)
            send.assert_not_called()
        transport.write(b"next")
        self.turn()
        self.assertEqual(client.recv(9), b"next")
        self.assertEqual(self.reactor.getWriters(), [])
        transport.unregisterProducer()

    def test_noDelay(self) -> None:
        """Connections send small writes at once, and can be told not to."""
        port = self.listen()
        self.connect(port)
        self.turn()
        transport: Any = self.factory.made.pop().transport
        self.assertTrue(transport.getTcpNoDelay())
        transport.setTcpNoDelay(True)
        self.assertTrue(transport.getTcpNoDelay())
        transport.setTcpNoDelay(False)
        self.assertFalse(transport.getTcpNoDelay())

    def test_tuned(self) -> None:
        """The options of viewers are inherited from a port that has them, and set on the viewers of another one."""
        for isTuned in (False, True):
            port: Any = self.reactor.listenTCP(0, self.factory, interface="127.0.0.1")
            self.addCleanup(port.connectionLost, None)
            if isTuned:
                TunedEndpoint(GivenEndpoint(port), isFast=True).listen(self.factory)
            else:
                quicken(port)
            self.assertIs(port.isTuned, isTuned)
            self.connect(port)
            self.turn()
            transport: Any = self.factory.made.pop().transport
            self.assertEqual(transport.getTcpKeepAlive(), isTuned)
            with mock.patch("sseserver.delivery.socketoptions._setOptions") as setOptions:
                tune(transport)
            self.assertIs(setOptions.called, not isTuned)

    def test_many(self) -> None:
        """A crowd is accepted in a few turns; after it, one connection in one."""
        port = self.listen()
        port.numberAccepts = 1
        crowd = [self.connect(port) for _ in range(15)]
        for known in (1, 3, 7, 15):
            self.turn()
            self.assertEqual(len(self.factory.made), known)
        for client in crowd:
            self.end(client)
        self.connect(port)
        self.turn()
        self.assertEqual(len(self.factory.made), 16)
        self.assertLess(port.numberAccepts, 3)

    def test_refused(self) -> None:
        """A connection for which there is no protocol is closed, and the next one is accepted."""
        port = self.listen()
        self.factory.refuses = True
        client = self.connect(port)
        self.turn()
        self.assertEqual(client.recv(9), b"")
        self.factory.refuses = False
        self.connect(port)
        self.turn()
        self.assertEqual(len(self.factory.made), 1)

    def test_broken(self) -> None:
        """An exception of the factory is logged, and affects no other connection."""
        port = self.listen()
        self.factory.error = RuntimeError("broken")
        client = self.connect(port)
        self.connect(port)
        self.turn()
        self.assertEqual(client.recv(9), b"")
        self.assertEqual(len(self.factory.made), 1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_site(self) -> None:
        """A channel of a site is the producer of its connection, as it is on one of Twisted's, and answers."""
        seen = []
        for fast in (False, True):
            self.factory = StreamSite(Mirror(), reactor=self.reactor, accessLog=None)  # type: ignore[assignment]
            port: Any = self.reactor.listenTCP(0, self.factory, interface="127.0.0.1")
            if fast:
                quicken(port)
            client = self.connect(port)
            self.turn()
            (channel,) = self.factory.connections.waiting  # type: ignore[attr-defined]
            transport = channel.transport
            seen.append((type(transport), transport.producer is channel, transport.streamingProducer))
            client.sendall(GOOD["plain"])
            self.turn()
            self.turn()
            self.assertTrue(client.recv(99).startswith(b"HTTP/1.1 200 "))
            self.end(client)
            self.factory.ticker.stop()  # type: ignore[attr-defined]
            port.connectionLost(None)
        self.assertEqual(seen, [(Server, True, True), (FastServer, True, True)])

    def test_firstRead(self) -> None:
        """The first bytes of a client are read at once, within the limits. A deadline begins if more must follow."""
        long = b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000
        for sent, answer, waits in (
            (GOOD["plain"], b"200", None),
            (long, b"431", None),
            (b"GET /", b"", Phase.WAITING),
        ):
            self.factory = site = StreamSite(Mirror(), reactor=self.reactor, accessLog=None)  # type: ignore[assignment]
            port = self.listen()
            client = self.connect(port)
            client.sendall(sent)
            self.turn()
            if waits is None:
                # The plain channel takes more turns.
                for _ in range(5):
                    self.turn()
                self.assertEqual(client.recv(12)[9:], answer)
            else:
                (channel,) = site.connections.waiting  # type: ignore[attr-defined]
                self.assertIs(channel.deadline.phase, waits)
            self.end(client)
            self.turn()
            self.assertEqual(site.connections.count, 0)  # type: ignore[attr-defined]
            site.ticker.stop()  # type: ignore[attr-defined]

    def test_errors(self) -> None:
        """An error of the system is handled by Twisted, and the port goes on."""
        port = self.listen()
        handle = port.socket
        port.socket = FailingSocket(handle, errno.ENOBUFS)
        self.connect(port)
        self.turn()
        self.assertEqual(self.factory.made, [])
        port.socket = handle
        self.turn()
        self.assertEqual(len(self.factory.made), 1)

    def test_stopped(self) -> None:
        """A port that is closed by the first of two new connections leaves the second alone."""
        port = self.listen()

        def stop(address: object) -> None:
            port.connected = False

        self.patch(self.factory, "buildProtocol", stop)
        self.connect(port)
        self.connect(port)
        self.turn()
        self.assertEqual(port.sessionno, 0)
        port.connected = True

    def test_others(self) -> None:
        """Ports of other kinds, and of other reactors, stay as they are."""

        class OtherPort(Port):
            """A port of somebody else."""

        port: Any = self.listen()
        for kind, reactor in ((OtherPort, self.reactor), (Port, object())):
            port.__class__, port.reactor = kind, reactor
            quicken(port)
            self.assertIs(type(port), kind)
        port.reactor = self.reactor
        for name in ("managesReads", "resumesProducers"):
            with mock.patch.object(transports, name, lambda: False):
                quicken(port)
            self.assertIs(type(port), Port)


class ProbeTests(SynchronousTestCase):
    """The probe of `FastServer`."""

    def test_probe(self) -> None:
        """It passes on this Twisted, and fails on one whose connections have another attribute."""
        cached: Any = managesReads
        self.assertTrue(probe(cached.__wrapped__)())
        begin: Any = Server.__init__

        def beginOtherwise(self: Any, *arguments: Any) -> None:
            begin(self, *arguments)
            self.another = True

        self.patch(Server, "__init__", beginOtherwise)
        self.assertFalse(probe(cached.__wrapped__)())
