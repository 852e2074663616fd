"""
Tests for `sseserver.speedups.readpath`: with it and without it the same bytes arrive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web._newclient import HTTP11ClientProtocol, Request
from twisted.web.client import Agent
from twisted.web.http_headers import Headers

from sseserver.client.agent import makeAgent
from sseserver.speedups import readpath
from sseserver.speedups.readpath import PROMPT, FastReadPath

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

EVENTS = [b"data: %d\n\n" % number for number in range(20)]


def chunk(data: bytes) -> bytes:
    """Frame a chunk as most servers do."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Plain(Connection, StringTransport):
    """A fake connection that is a `Connection`, as real ones are."""

    def __init__(self) -> None:
        StringTransport.__init__(self)
        self.TLS = False
        self.reactor: Any = None

    write = StringTransport.write
    writeSequence = StringTransport.writeSequence
    pauseProducing = StringTransport.pauseProducing
    resumeProducing = StringTransport.resumeProducing
    loseConnection = StringTransport.loseConnection
    registerProducer = StringTransport.registerProducer
    unregisterProducer = StringTransport.unregisterProducer

    def setTcpNoDelay(self, enabled: bool) -> None:
        """There is no socket."""

    setTcpKeepAlive = setTcpNoDelay


class Outer(Protocol):
    """A protocol between the transport and twisted.web's client, as endpoints have one."""

    def __init__(self, inner: Protocol) -> None:
        self._wrappedProtocol = inner

    def connectionMade(self) -> None:
        self._wrappedProtocol.makeConnection(self.transport)

    def dataReceived(self, data: bytes) -> None:
        self._wrappedProtocol.dataReceived(data)


class Body(Protocol):
    """Reads a body through the fast read path."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ended: Failure | None = None
        self.remove: Callable[[], None] = lambda: None

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended = reason
        self.remove()


class ReadPathTests(SynchronousTestCase):
    """The fast read path, on a fake connection."""

    def setUp(self) -> None:
        self.readPath = FastReadPath()
        self.transport = Plain()
        self.client = HTTP11ClientProtocol()
        self.outer: Any = Outer(self.client)
        self.transport.protocol = self.outer  # type: ignore[assignment]
        self.outer.makeConnection(self.transport)
        # Bytes that went through twisted.web's client.
        self.long: list[bytes] = []
        through = self.client.dataReceived

        def dataReceived(data: bytes) -> None:
            self.long.append(data)
            through(data)

        self.client.dataReceived = dataReceived  # type: ignore[method-assign]

    def read(self) -> Body:
        """Send a request, and read the body of the response."""
        asked: Any = self.client.request(Request(b"GET", b"/", Headers({b"Host": [b"a"]}), None, persistent=True))
        self.outer.dataReceived(HEAD)
        body = Body()
        self.successResultOf(asked).deliverBody(body)
        body.remove = self.readPath.attach(body.transport, body.dataReceived)
        self.long.clear()
        return body

    def installed(self) -> bool:
        """Whether a receiver is attached."""
        return "dataReceived" in vars(self.outer)

    def test_taken(self) -> None:
        """
        Whole chunks are handed on at once, each as one piece; the end comes
        the long way, and after it the shortcut is gone.
        """
        body = self.read()
        for event in EVENTS:
            self.outer.dataReceived(chunk(event))
        self.assertEqual((body.pieces, self.long), (EVENTS, []))
        self.outer.dataReceived(b"0\r\n\r\n")
        self.assertIsNotNone(body.ended)
        self.assertFalse(self.installed())

    def intake(self) -> list[object]:
        """Make an intake that reads nothing; return the list of the receivers added to it."""
        added: list[object] = []

        class Nothing:
            def add(self, receiver: object) -> None:
                added.append(receiver)

            def remove(self, transport: object) -> None:
                del added[:]

        pretended: Any = Nothing()
        self.readPath = FastReadPath(pretended)
        return added

    def test_prompt(self) -> None:
        """
        The first reads of a body are the reactor's; after them the connection goes to the intake,
        once.
        """
        added = self.intake()
        body = self.read()
        for event in EVENTS[:PROMPT]:
            self.assertEqual(added, [])
            self.outer.dataReceived(chunk(event))
        for event in EVENTS[PROMPT:]:
            self.assertEqual(len(added), 1)
            self.outer.dataReceived(chunk(event))
        self.assertEqual(body.pieces, EVENTS)
        self.outer.dataReceived(b"0\r\n\r\n")
        self.assertEqual(added, [])

    def test_endsPromptly(self) -> None:
        """A body that ends with its first reads never goes to the intake."""
        added = self.intake()
        body = self.read()
        for event in EVENTS[: PROMPT - 1]:
            self.outer.dataReceived(chunk(event))
        body.remove()
        self.outer.dataReceived(chunk(b"more") + b"0\r\n\r\n")
        self.assertEqual((added, body.pieces), ([], [*EVENTS[: PROMPT - 1], b"more"]))

    def test_anyPieces(self) -> None:
        """However the bytes are cut into reads, the same body and its end arrive."""
        stream = b"".join(map(chunk, EVENTS[:4])) + b"0\r\n\r\n"
        for size in range(1, len(stream) + 1):
            self.setUp()
            body = self.read()
            for start in range(0, len(stream), size):
                self.outer.dataReceived(stream[start : start + size])
            self.assertEqual(b"".join(body.pieces), b"".join(EVENTS[:4]), size)
            self.assertIsNotNone(body.ended)

    def test_cutOnce(self) -> None:
        """A chunk that is cut in two goes through twisted.web, the next whole one does not."""
        first, second = map(chunk, EVENTS[:2])
        for cut in range(1, len(first)):
            self.setUp()
            body = self.read()
            self.outer.dataReceived(first[:cut])
            self.outer.dataReceived(first[cut:])
            self.assertEqual(self.long, [first[:cut], first[cut:]])
            self.outer.dataReceived(second)
            self.assertEqual((b"".join(body.pieces), len(self.long)), (EVENTS[0] + EVENTS[1], 2))

    def test_longWay(self) -> None:
        """
        Only a chunk in the plainest form is handed on: not one with another size format or
        extensions, not two in one read, no chunk inside a chunk.
        """
        event = EVENTS[0]
        for data in (
            b"A\r\n0123456789\r\n",
            b"00a\r\n0123456789\r\n",
            b"a;x=y\r\n0123456789\r\n",
            chunk(b"01234") * 2,
        ):
            self.setUp()
            body = self.read()
            self.outer.dataReceived(data)
            self.assertEqual(self.long, [data])
            self.outer.dataReceived(chunk(event))
            self.assertTrue(b"".join(body.pieces).endswith(event))
        self.setUp()
        body = self.read()
        # The second read is inside a chunk, though it looks like one.
        self.outer.dataReceived(b"20\r\n")
        self.outer.dataReceived(chunk(b"x" * 10))
        self.assertEqual(b"".join(body.pieces), chunk(b"x" * 10))

    def test_noSizes(self) -> None:
        """A size that is a number for Python and not for HTTP is refused, as by twisted.web."""
        for size in (b"+a", b"0xa", b" a", b"1_0", b"-a", b""):
            self.setUp()
            body = self.read()
            self.outer.dataReceived(size + b"\r\n0123456789\r\n")
            self.assertEqual(body.pieces, [])
            self.assertTrue(self.transport.disconnecting)

    def test_removedInBetween(self) -> None:
        """Bytes that were read before `detach` go through twisted.web after it."""
        body = self.read()
        through = self.outer.dataReceived
        through(chunk(b"one"))
        body.remove()
        through(chunk(b"two"))
        through(chunk(b"three"))
        self.assertEqual((body.pieces, self.long), ([b"one", b"two", b"three"], [chunk(b"two"), chunk(b"three")]))

    def test_nextResponse(self) -> None:
        """The next response on the same connection has a receiver of its own."""
        first = self.read()
        self.outer.dataReceived(chunk(b"one") + b"0\r\n\r\n")
        second = self.read()
        self.outer.dataReceived(chunk(b"two"))
        first.remove()
        self.assertTrue(self.installed())
        self.assertEqual((first.pieces, second.pieces, self.long), ([b"one"], [b"two"], []))

    def test_notOverTLS(self) -> None:
        """There is no receiver over TLS."""
        self.transport.TLS = True
        body = self.read()
        self.assertFalse(self.installed())
        self.outer.dataReceived(chunk(b"one"))
        self.assertEqual(body.pieces, [b"one"])

    def test_notAsWeKnowIt(self) -> None:
        """Without the expected transport everything goes through twisted.web."""
        self.assertIsNone(self.readPath.attach(None, print)())
        self.assertIsNone(self.readPath.attach(object(), print)())
        self.patch(readpath, "Connection", Factory)
        body = self.read()
        self.assertFalse(self.installed())
        self.outer.dataReceived(chunk(b"one"))
        self.assertEqual(body.pieces, [b"one"])


class RealConnectionTests(TestCase):
    """The read path of the agents of the Twisted that is installed."""

    @contextmanager
    def noticed(self) -> Iterator[list[bytes]]:
        """Note the bytes that go through twisted.web's client."""
        seen: list[bytes] = []
        through = HTTP11ClientProtocol.dataReceived

        def dataReceived(client: HTTP11ClientProtocol, data: bytes) -> None:
            seen.append(data)
            through(client, data)

        self.patch(HTTP11ClientProtocol, "dataReceived", dataReceived)
        yield seen

    async def test_taken(self) -> None:
        """
        Over a real connection the shortcut is taken: should this fail after an update of Twisted,
        something has a new name, and all is well but slow.
        """
        for agent in (Agent(reactor), makeAgent(reactor, 7.0)):
            await self.checkTaken(agent)

    async def checkTaken(self, agent: Any) -> None:
        """Check that the chunks of a response of this agent are handed on at once."""
        servers: list[Any] = []

        class Server(Protocol):
            def connectionMade(self) -> None:
                servers.append(self.transport)

            def dataReceived(self, data: bytes) -> None:
                self.transport.write(HEAD)  # type: ignore[union-attr]

        port: Any = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(Server))
        closed: Deferred[None] = Deferred()
        arrived: list[Deferred[None]] = [Deferred(), Deferred()]

        class Reading(Body):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                arrived[len(self.pieces) - 1].callback(None)

            def connectionLost(self, reason: Failure = connectionDone) -> None:
                super().connectionLost(reason)
                closed.callback(None)

        with self.noticed() as seen:
            url = f"http://127.0.0.1:{port.getHost().port}/".encode()
            response: Any = await agent.request(b"GET", url)
            body = Reading()
            response.deliverBody(body)
            body.remove = FastReadPath().attach(body.transport, body.dataReceived)
            seen.clear()
            for number, event in enumerate(EVENTS[:2]):
                servers[0].write(chunk(event))
                await arrived[number]
            self.assertEqual((body.pieces, seen), (EVENTS[:2], []))
            servers[0].write(b"0\r\n\r\n")
            await closed
        await port.stopListening()
