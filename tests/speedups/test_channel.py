"""
Tests of `sseserver.speedups.channel`.

Every request is sent to a fast site and to a plain one, in one piece, byte by byte, and cut in two:
the resource must see the same, and the same bytes must be answered.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.protocols.policies import WrappingFactory
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import Request

from sseserver.settings import Settings
from sseserver.speedups import channel
from sseserver.timing.turnend import TurnEnd
from sseserver.web.access.proxies import TrustedProxies
from sseserver.web.peers import Peers
from sseserver.web.site import FastStreamChannel, FastStreamRequest, StreamSite
from tests.fakes import RecordingProducer
from tests.http import EVENTSOURCE, makeRequest
from tests.resources import HoldingResource
from tests.served import ServedTestCase
from tests.speedups.cases import FastTestCase, makeFastSite
from tests.speedups.mirror import GOOD, LAST, Mirror
from tests.wires import FakeSocket, Wire, soon


class SameTests(FastTestCase):
    """Requests and answers are the same as on the plain channel."""

    def play(self, pieces: Iterable[bytes], factory: Callable[..., Any]) -> tuple[list[object], bytes, bool]:
        """
        Send pieces on a connection of its own.

        Returns:
            What the resource saw, what came, and whether the server closed.
        """
        mirror = Mirror()
        wire = self.connect(factory(mirror, reactor=self.reactor))
        for piece in pieces:
            if not wire.closed:
                wire.send(piece)
        self.reactor.advance(0)
        closed = wire.closed
        wire.close()
        self.reactor.advance(0)
        self.wires.remove(wire)
        return mirror.seen, re.sub(rb"Date: [^\r]*", b"Date:", wire.received), closed

    def assertSame(self, name: str, pieces: list[bytes]) -> tuple[list[object], bytes, bool]:
        """Check that both sites treat the pieces alike, and return the outcome."""

        def plain(resource: Resource, **keywords: Any) -> StreamSite:
            return StreamSite(resource, plain=True, **keywords)

        ours, theirs = self.play(pieces, makeFastSite), self.play(pieces, plain)
        self.assertEqual(ours, theirs, f"{name}: {pieces!r}"[:300])
        return ours

    def test_whole(self) -> None:
        """A request arrives in one piece, alone and with others behind it."""
        for name, request in {**GOOD, **LAST}.items():
            self.assertSame(name, [request])
            self.assertSame(name, [request + GOOD["query"]])
            self.assertSame(name, [GOOD["body"], request, GOOD["plain"]])
            self.assertSame(name, [GOOD["plain"] + request + GOOD["two parts"]])

    def test_theOthersAreAnswered(self) -> None:
        """Valid requests leave the connection open for the next one; all others close it."""
        for name, request in GOOD.items():
            seen, _, closed = self.assertSame(name, [request, GOOD["query"]])
            self.assertEqual((len(seen), closed), (1 if name == "star" else 2, False), name)
        for name, request in LAST.items():
            self.assertEqual(self.assertSame(name, [request, GOOD["query"]])[2], "not too" not in name, name)

    def test_byteByByte(self) -> None:
        """A request arrives byte by byte."""
        for name, request in {**GOOD, **LAST}.items():
            if len(request) < 1000:
                self.assertSame(name, [bytes([byte]) for byte in request + GOOD["plain"]])

    def test_cutAnywhere(self) -> None:
        """A request arrives in two pieces, the second with the next request behind it."""
        for name, request in {**GOOD, **LAST}.items():
            if len(request) < 130:
                for place in range(1, len(request)):
                    self.assertSame(name, [request[:place], request[place:] + GOOD["plain"]])

    def test_socketThatTakesAnyPart(self) -> None:
        """
        However few bytes the socket takes at a time, they arrive in order: head, body, the next
        answer.
        """
        request = GOOD["two parts"] + GOOD["plain"]
        _, whole, _ = self.play([request], makeFastSite)
        for taken in (*range(1, 20), 100, len(whole) - 1):
            wire = self.connect(self.site(Mirror()))
            wire.stall()
            wire.send(request)
            for _ in soon(lambda wire=wire: wire.received.endswith(b"\r\n\r\nwhole")):  # type: ignore[misc]
                wire.take(taken)
            self.assertEqual(re.sub(rb"Date: [^\r]*", b"Date:", wire.received), whole)

    def test_oneSend(self) -> None:
        """Head and body leave in one send, before the reactor turns."""
        wire = self.connect(self.site(Mirror()))
        wire.socket.incoming = GOOD["plain"]
        wire.transport.doRead()
        self.assertEqual(wire.socket.sends, [len(wire.received)])
        self.assertTrue(wire.received.endswith(b"\r\n\r\nwhole"))


class KeptTests(FastTestCase):
    """One request after the other on a connection."""

    def test_addresses(self) -> None:
        """The transport is asked for its own address once, and never for that of its client, which the port knows."""
        mirror = Mirror()
        wire = self.connect(self.site(mirror))
        asked: list[str] = []
        for name in ("getPeer", "getHost"):
            self.patch(wire.transport, name, self.note(asked, name, getattr(wire.transport, name)))
        for _ in range(3):
            wire.send(GOOD["plain"])
        self.assertEqual((len(mirror.seen), asked), (3, ["getHost"]))

    def note(self, asked: list[str], name: str, ask: Callable[[], Any]) -> Callable[[], Any]:
        """Note each call of a method."""

        def noted() -> Any:
            asked.append(name)
            return ask()

        return noted


class HeadTests(FastTestCase):
    """Heads that arrive in one piece."""

    def lines(self, request: bytes) -> int:
        """Count the lines of an answered request that Twisted reads."""
        wire = self.connect(self.site(Mirror()))
        protocol: Any = wire.transport.protocol
        read: list[bytes] = []
        received = HTTPChannel.lineReceived

        def lineReceived(channel: HTTPChannel, line: bytes) -> None:
            read.append(line)
            received(channel, line)

        self.patch(type(protocol), "lineReceived", lineReceived)
        wire.send(request)
        self.assertTrue(wire.received.endswith(b"whole"))
        return len(read)

    def test_readAsOne(self) -> None:
        """
        Usual heads are read in one piece, without a line of Twisted's.
        """
        for name in ("plain", "spaces", "repeated", "body", "chunked", "1.0 kept"):
            self.assertEqual(self.lines({**GOOD, **LAST}[name]), 0, name)

    def test_readByTwisted(self) -> None:
        """
        Twisted reads unusual heads itself, and all heads where the probe fails.
        """
        self.assertGreater(self.lines(GOOD["empty line before"]), 2)
        self.patch(channel, "readsHeads", lambda: False)
        self.assertEqual(self.lines(GOOD["plain"]), 3)

    def test_anotherRequest(self) -> None:
        """A site can have requests of another class."""

        class Other(Request):
            pass

        site = self.site(Mirror())
        site.requestFactory = Other
        wire = self.connect(site)
        wire.send(GOOD["plain"])
        self.assertTrue(wire.received.endswith(b"whole"))


class HoldTests(FastTestCase):
    """Writes on a held buffer."""

    def test_inOrder(self) -> None:
        """Corked writes leave in one send, behind the queue and before later writes."""
        wire = self.connect(self.site(Mirror()))
        protocol: Any = wire.transport.protocol
        protocol.write(b"1")
        protocol.sendBuffer.hold()
        protocol.sendBuffer.hold()
        protocol.write(b"2")
        protocol.writeSequence([b"3", b"4"])
        self.assertEqual(wire.received, b"")
        protocol.sendBuffer.release()
        protocol.sendBuffer.release()
        protocol.write(b"5")
        self.reactor.turn()
        self.assertEqual(wire.received, b"12345")

    def test_atTheEnd(self) -> None:
        """Corked writes are sent before the connection is closed."""
        wire = self.connect(self.site(Mirror()))
        protocol: Any = wire.transport.protocol
        protocol.sendBuffer.hold()
        protocol.write(b"last words")
        protocol.loseConnection()
        self.reactor.advance(0)
        self.assertEqual(wire.received, b"last words")
        self.assertTrue(wire.closed)

    def test_wrapped(self) -> None:
        """On a transport whose queue cannot be bypassed, held writes are queued."""
        wire = self.connect(WrappingFactory(self.site(Mirror())))
        wire.socket.incoming = GOOD["plain"]
        wire.transport.doRead()
        self.assertEqual(wire.received, b"")
        self.reactor.turn()
        self.assertTrue(wire.received.endswith(b"\r\n\r\nwhole"))


class LastResponseTests(FastTestCase):
    """The end of a connection after its last response."""

    def ask(self, room: int | None = None) -> Wire:
        """Request the last response of a connection; the reactor has not turned since."""
        wire = self.connect(self.site(Mirror()))
        wire.socket.room = room
        wire.socket.incoming = makeRequest(headers={"Connection": "close"})
        wire.transport.doRead()
        return wire

    def test_closedWithTheTurn(self) -> None:
        """
        The connection is closed at the end of the turn, not inside the request, and the reactor
        does not watch the socket.
        """
        wire = self.ask()
        self.assertFalse(wire.closed)
        self.assertTrue(wire.transport.disconnecting)
        self.assertEqual((self.reactor.getReaders(), self.reactor.getWriters()), ([], []))
        self.reactor.advance(0)
        self.assertTrue(wire.closed)
        self.assertFalse(wire.socket.reset)
        self.assertEqual(wire.socket.sends, [len(wire.received)])

    def test_restFirst(self) -> None:
        """Bytes that the socket has not taken are sent before the close."""
        wire = self.ask(room=10)
        self.reactor.turn()
        self.assertFalse(wire.closed)
        wire.take()
        self.assertTrue(wire.received.endswith(b"\r\n\r\nwhole"))
        self.assertTrue(wire.closed)

    def test_abortedBefore(self) -> None:
        """A connection that is aborted before the turn ends is lost once."""
        wire = self.ask()
        wire.transport.abortConnection()
        self.reactor.turn()
        self.assertTrue(wire.closed)
        self.assertEqual(self.flushLoggedErrors(), [])


class ProducerTests(FastTestCase):
    """The calls of a request to its producer."""

    def open(self) -> tuple[Wire, Any, RecordingProducer]:
        """Make a request that waits, with a producer."""
        resource = HoldingResource()
        wire = self.connect(self.site(resource))
        wire.send(makeRequest())
        producer = RecordingProducer()
        (request,) = resource.requests
        request.registerProducer(producer, True)
        return wire, request, producer

    def test_clientCloses(self) -> None:
        """
        A producer is stopped when the connection is lost, even if the transport does not stop it.
        """
        wire, request, producer = self.open()
        wire.transport.unregisterProducer()
        wire.close()
        self.assertEqual(producer.told, ["stop"])
        self.assertIsNone(request.channel)

    def test_serverCloses(self) -> None:
        """A producer is stopped when the server closes the connection."""
        _, request, producer = self.open()
        request.loseConnection()
        self.reactor.advance(0)
        self.assertEqual(producer.told, ["stop"])

    def test_finishedBySomebodyElse(self) -> None:
        """A producer that is still registered at `finish` is stopped, and Twisted reports it."""
        _, request, producer = self.open()
        request.finish()
        self.assertEqual(producer.told, ["stop"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_notifyFinish(self) -> None:
        """`notifyFinish` fires, also after the request was made small."""
        for slim in (False, True):
            wire, request, _ = self.open()
            early = request.notifyFinish()
            if slim:
                request.slim()
            late = request.notifyFinish()
            wire.close()
            self.failureResultOf(early, ConnectionDone)
            self.failureResultOf(late, ConnectionDone)
            self.assertIsNone(request.channel)


class SlimTests(FastTestCase):
    """Requests that were made small, because their responses last."""

    def slim(self, host: str = "127.0.0.1", named: Any = None) -> Any:
        """
        Make a request small.

        Args:
            host: Address of the client.
            named: Address that a proxy has named.
        """
        factory = self.site(resource := HoldingResource())
        wire = Wire(factory, self.reactor, host)
        self.wires.append(wire)
        if named is not None:
            wire.transport.protocol.standFor(named)  # type: ignore[attr-defined]
        wire.begin(headers={"User-Agent": "a", "X-B": "b"})
        (request,) = resource.requests
        request.setComponent(SlimTests, "component")  # type: ignore[misc]
        request.slim()  # type: ignore[attr-defined]
        return request

    def test_kept(self) -> None:
        """The parts that logs show are there: the line, the client and some header fields."""
        request = self.slim("10.1.2.3")
        self.assertEqual((request.method, request.uri, request.clientproto), (b"GET", b"/", b"HTTP/1.1"))
        self.assertEqual((request.getHeader(b"user-agent"), request.getHeader(b"x-b")), (b"a", None))
        self.assertEqual((request.args, request.received_cookies), ({}, {}))
        self.assertEqual(request.getComponent(SlimTests), "component")
        self.assertEqual(request.channel.getPeer(), request.getClientAddress())
        for _ in range(2):
            self.assertEqual(request.getClientAddress(), IPv4Address("TCP", "10.1.2.3", 54321))
            self.wires[-1].close()

    def test_namedByProxy(self) -> None:
        """The address that a proxy has named is kept."""
        named = IPv4Address("TCP", "192.0.2.1", 1)
        request = self.slim(named=named)
        self.assertEqual((request.getClientAddress(), request.channel.getPeer()), (named, named))

    def test_constants(self) -> None:
        """Two attributes of Twisted have one value here, and a channel has no list of bytes for later requests yet."""
        request = self.slim()
        request.queued = True
        self.assertIs(request.queued, False)
        self.assertIsNone(request.channel.later)
        self.wires[-1].send(b"GET /later HTTP/1.1\r\n\r\n")
        self.assertEqual(request.channel.later, [b"GET /later HTTP/1.1\r\n\r\n"])

    def test_sharedNames(self) -> None:
        """Connections share the names that Twisted's log shows."""
        first, second = (self.slim().transport for _ in range(2))
        self.assertIs(first.logstr, second.logstr)
        self.assertEqual(repr(first), "HTTP")


class SizeTests(FastTestCase, ServedTestCase):
    """The memory of a viewer."""

    settings = Settings(plain=False)

    def test_noDictionaries(self) -> None:
        """
        All attributes of an idle viewer's channel and request have slots. If Twisted renames them
        this fails: then they have dictionaries.
        """
        wire = self.view("/")
        wire.send(b"")
        protocol: Any = wire.transport.protocol
        request = protocol.requests[0]
        for one, kind in ((protocol, FastStreamChannel), (request, FastStreamRequest)):
            self.assertIs(type(one), kind)
            self.assertEqual(vars(one), {})
            slots = [name for base in kind.__mro__ for name in getattr(base, "__slots__", ())]
            unset = {name for name in slots if not hasattr(one, name)}
            # Attributes that exist only while a head is read, with a principal, or at the end.
            self.assertLessEqual(
                unset, {"_command", "_path", "_version", "principalName", "outcome", "_isForwardedTLS"}
            )

    def test_unknownAttribute(self) -> None:
        """An attribute without a slot can be set."""
        wire = self.view("/")
        protocol: Any = wire.transport.protocol
        for one in (protocol, protocol.requests[0]):
            one.newInTwisted = 1
            self.assertEqual(vars(one), {"newInTwisted": 1})

    def test_nothingLeft(self) -> None:
        """A viewer that is gone leaves no request and no channel, without the collector."""
        self.addCleanup(gc.enable)
        gc.collect()
        gc.disable()
        wire = self.ask("/", EVENTSOURCE) and self.wires[-1]
        protocol: Any = wire.transport.protocol
        requests = protocol.requests
        self.assertEqual(len(requests), 1)
        wire.close()
        self.assertIsNone(requests[0].channel)
        self.assertIsNone(requests[0].producer)

    def test_sameStream(self) -> None:
        """An event stream has the same bytes on a plain site."""
        heads = []
        for factory in (self.factory, StreamSite(self.resource, reactor=self.reactor, plain=True)):
            self.factory = factory
            wire = self.view("/")
            self.source.run.write("a", "b")
            self.reactor.advance(0.05)
            self.source.run.end()
            self.reactor.advance(0.05)
            heads.append(re.sub(rb"(?m)^(Date|retry|id): .*$", b"", wire.received))
        self.assertEqual(*heads)


class ClosingTests(FastTestCase):
    """The end of connections that have sent everything."""

    def test_inABatch(self) -> None:
        """#16: a connection whose last answer is sent in a batch is closed at its end, without a delayed call."""
        turnEnd = TurnEnd(self.reactor)
        wire = self.connect(makeFastSite(Mirror(), self.reactor, turnEnd=turnEnd))
        turnEnd.begin()
        wire.socket.incoming = LAST["close"]
        wire.transport.doRead()
        self.assertIn(b" 200 ", wire.received)
        self.assertFalse(wire.closed)
        turnEnd.end()
        self.assertTrue(wire.closed)
        self.reactor.turn()


class FirstReadTests(FastTestCase):
    """#16: the first read of a new connection."""

    def setUp(self) -> None:
        """Make a site."""
        super().setUp()
        self.mirror = Mirror()
        self.factory = self.site(self.mirror)

    def test_atOnce(self) -> None:
        """A request that is there when the connection is accepted is answered without another turn of the reactor."""
        wire = self.connect(self.factory, GOOD["plain"])
        self.assertEqual(len(self.mirror.seen), 1)
        self.assertIn(b" 200 ", wire.received)
        wire.send(GOOD["plain"])
        self.assertEqual(len(self.mirror.seen), 2)

    def test_nothingThere(self) -> None:
        """A connection without bytes waits for them, and one that is closed or broken already is lost as usual."""
        for end in (None, "eof", "broken"):
            wire = Wire(self.factory, self.reactor)
            if end is None:
                wire.send(GOOD["plain"])
                self.assertEqual(len(self.mirror.seen), 1)
                wire.close()
            else:
                setattr(wire.socket, end, True)
                self.reactor.turn()
            self.assertTrue(wire.closed)
            self.assertEqual(self.factory.connections.count, 0)

    def test_endedAtOnce(self) -> None:
        """A connection that the client has closed before it is accepted is lost in the next turn."""
        self.patch(FakeSocket, "recv", lambda *_: b"")
        wire = Wire(self.factory, self.reactor)
        self.assertEqual(self.factory.connections.count, 1)
        wire.close()
        self.assertTrue(wire.closed)
        self.assertEqual(self.factory.connections.count, 0)

    def test_share(self) -> None:
        """Of a crowd that is accepted together only some are read at once: a turn has a limited time for it."""
        self.patch(self.factory.firstReads, "hasTime", lambda: False)
        self.connect(self.factory, GOOD["plain"])
        self.assertEqual(self.mirror.seen, [])
        self.reactor.turn()
        self.assertEqual(len(self.mirror.seen), 1)

    def test_failure(self) -> None:
        """A connection whose first read fails is closed, as the reactor does it."""
        self.patch(FastStreamChannel, "dataReceived", lambda *_: {}["swordfish"])
        wire = self.connect(self.factory, GOOD["plain"])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertTrue(wire.closed)
        self.assertEqual(self.factory.connections.count, 0)

    def test_handedOver(self) -> None:
        """Bytes that came with the header of a PROXY protocol are before those that are still to be read."""
        site = makeFastSite(self.mirror, self.reactor, peers=Peers(TrustedProxies(["127.0.0.1"]), True))
        wire = self.connect(site)
        request = GOOD["plain"]
        wire.socket.incoming = request[9:]
        wire.transport.protocol.dataReceived(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + request[:9])
        self.assertEqual(self.mirror.seen, [])
        self.reactor.turn()
        self.assertEqual(len(self.mirror.seen), 1)
        self.assertIn(b" 200 ", wire.received)
