"""
Event streams over real sockets on the real reactor: TCP, TLS and UNIX.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import tempfile
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    SSL4ServerEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
    connectProtocol,
    wrapClientTLS,
)
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.internet.tcp import Server as ServerTransport
from twisted.trial.unittest import TestCase

from sseserver.apis.root import StreamResource
from sseserver.interfaces import ITokenSink
from sseserver.service.service import Settings, StreamService
from sseserver.sources.function import FunctionSource
from sseserver.sources.text import TextSource, splitWords
from sseserver.values import Prompt, State
from sseserver.web.site import StreamSite
from sseserver.wire import Decoder
from tests.certificates import makeCertificate
from tests.http import EVENTSOURCE, Response, makeRequest, parseResponses
from tests.served import ScriptedSource
from tests.wires import countUnsent, soon

#: Several lines, and characters of one to four bytes; about 300 words.
TEXT = "Zwölf Wörter, 一本 辞典,\nにほん 📖 and a  few more of them; " * 30

#: Seconds. Longest time for something that should happen at once.
SOON = 60.0

MEBIBYTE = 1024 * 1024


async def until(condition: Callable[[], Any], what: str) -> None:
    """Let the reactor run until a condition holds."""
    end = reactor.seconds() + SOON
    while not condition():
        if reactor.seconds() > end:
            raise AssertionError(f"It does not come about: {what}.")
        await deferLater(reactor, 0.002)


class Client(Protocol):
    """
    A connection, seen from the client.

    Attributes:
        received: All bytes from the server.
        lost: Fires when the connection is closed.
    """

    transport: Any

    def __init__(self) -> None:
        self.received = bytearray()
        self.methods: list[str] = []
        self.closed = False
        self.lost: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Any = None) -> None:
        self.closed = True
        self.lost.callback(None)

    def ask(self, path: str = "/", accept: str = EVENTSOURCE, **keywords: Any) -> None:
        """Send a request."""
        self.transport.write(makeRequest(path, accept, **keywords))
        self.methods.append(keywords.get("method", "GET"))

    @property
    def responses(self) -> list[Response]:
        """The responses that have begun to arrive."""
        return parseResponses(bytes(self.received), self.methods, self.closed)

    async def response(self, index: int = 0) -> Response:
        """Wait for a complete response."""

        def complete() -> bool:
            responses = self.responses
            return len(responses) > index and responses[index].complete

        await until(complete, "the end of the response")
        return self.responses[index]

    async def cutAfter(self, size: int, produce: Callable[[], object] = lambda: None) -> Response:
        """
        Wait for a number of bytes or the end of the response, break the connection, and return the bytes.

        Args:
            produce: Called repeatedly while bytes are missing.
        """

        def enough() -> bool:
            if len(self.received) >= size or (self.responses and self.responses[0].complete):
                return True
            produce()
            return False

        await until(enough, "bytes")
        self.transport.abortConnection()
        return parseResponses(bytes(self.received[:size]), self.methods, False)[0]

    async def begin(self) -> Response:
        """Wait for the first bytes of a body."""
        await until(lambda: self.responses and self.responses[-1].body, "the beginning of the response")
        return self.responses[-1]


class SocketTestCase(TestCase):
    """A service on the real reactor."""

    timeout = 300

    def setUp(self) -> None:
        self.clients: list[Client] = []
        self.source = ScriptedSource()
        self.folder = tempfile.mkdtemp(prefix="sseserver-")

    async def tearDown(self) -> None:
        for client in self.clients:
            if not client.closed:
                client.transport.abortConnection()
        await until(lambda: not [each for each in reactor.getReaders() if isinstance(each, ServerTransport)], "silence")
        await self.port.stopListening()
        await self.service.stopService()
        # Not a cleanup, since trial runs cleanups before this method.
        shutil.rmtree(self.folder)

    def endpoint(self) -> Any:
        """Return the endpoint of the server."""
        return TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")

    def clientEndpoint(self) -> Any:
        """Return the endpoint of the client."""
        return TCP4ClientEndpoint(reactor, "127.0.0.1", self.port.getHost().port)

    async def serve(self, source: Any = None, settings: Settings | None = None) -> None:
        """Serve a source."""
        # Without heartbeats, which would hide a missing notice.
        self.service = StreamService(reactor, source or self.source, settings or Settings(heartbeat=1000, drain=0))
        self.service.startService()
        self.port = await self.endpoint().listen(StreamSite(StreamResource(self.service)))

    async def connect(self) -> Client:
        """Open a connection."""
        client = await connectProtocol(self.clientEndpoint(), Client())
        self.clients.append(client)
        return client

    async def view(self, path: str = "/", lastEventID: str | None = None, **keywords: Any) -> Client:
        """Request an event stream."""
        client = await self.connect()
        client.ask(path, headers={} if lastEventID is None else {"Last-Event-ID": lastEventID}, **keywords)
        return client


class TCPTests(SocketTestCase):
    """Streams over TCP; the subclasses below repeat the tests over other sockets."""

    async def test_stream(self) -> None:
        """A stream arrives whole, in chunks, and the connection can be used again."""
        await self.serve(TextSource(reactor, TEXT, 0.003))
        client = await self.view()
        response = await client.response()
        self.assertEqual(response.version, "HTTP/1.1")
        self.assertEqual(response.headers["transfer-encoding"], "chunked")
        self.assertEqual(response.texts[-1], TEXT)
        self.assertGreater(len(response.texts), 5)
        self.assertEqual(response.types[-1], "done")
        client.ask("/", "text/html")
        page = await client.response(1)
        self.assertEqual(page.status, 200)
        self.assertFalse(client.closed)

    async def test_HTTP10(self) -> None:
        """A client of HTTP/1.0 gets its stream without chunks, and the close that ends it."""
        await self.serve(TextSource(reactor, TEXT, 0))
        client = await self.view(version="1.0")
        response = await client.response()
        self.assertNotIn("transfer-encoding", response.headers)
        self.assertEqual(response.texts[-1], TEXT)
        await client.lost

    async def test_pipelined(self) -> None:
        """Pipelined requests behind a stream are answered after its end, in order."""
        await self.serve()
        client = await self.view()
        client.ask("/assets/app.css", "*/*")
        client.ask("/")
        await client.begin()
        self.source.run.write("a")
        await deferLater(reactor, 0.05)
        self.assertEqual(len(client.responses), 1)
        self.source.run.end()
        first = await client.response(0)
        self.assertEqual((first.texts, first.types[-1]), (["", "a"], "done"))
        self.assertEqual((await client.response(1)).headers["content-type"], "text/css; charset=utf-8")
        await until(lambda: len(self.source.runs) == 2, "the second run")
        self.source.run.end()
        self.assertEqual((await client.response(2)).types[-1], "done")

    async def test_disconnectIsNoticedAtOnce(self) -> None:
        """A client that disconnects is noticed while nothing is written, after a close and after a reset."""
        await self.serve()
        for leave in ("loseConnection", "abortConnection"):
            client = await self.view()
            await client.begin()
            self.assertEqual(self.service.viewers.count, 1)
            getattr(client.transport, leave)()
            await until(lambda: self.service.viewers.count == 0, "that the viewer has left")

    async def test_tokensAreNotHeldBack(self) -> None:
        """Each of some lone tokens arrives before the next one is written."""
        await self.serve()
        client = await self.view()
        await client.begin()
        for number in range(1, 20):
            self.source.run.write(f"{number} ")
            await until(lambda: len(client.responses[-1].texts) == number + 1, "the token")  # noqa: B023
            await deferLater(reactor, 0.021)

    async def test_manyViewers(self) -> None:
        """Viewers that arrive at different times see the same text."""
        await self.serve(TextSource(reactor, TEXT, 0.001))
        name = (await self.service.startRun()).name
        clients = []
        for _ in range(30):
            clients.append(await self.view(f"/streams/{name}"))
            await deferLater(reactor, 0.005)
        for client in clients:
            response = await client.response()
            self.assertEqual("".join(response.texts), TEXT)
            self.assertEqual(response.types[-1], "done")

    async def test_stalledReader(self) -> None:
        """
        A viewer that reads nothing pauses the source long before all of many megabytes are produced; later everything
        arrives.
        """
        produced = 0
        digest = sha256()
        total, size = 48 * MEBIBYTE, 64 * 1024

        async def produce(sink: ITokenSink, prompt: Prompt | None) -> None:
            nonlocal produced
            while produced < total:
                await sink.ready()
                token = f"{produced:012},".ljust(size, "x")
                digest.update(token.encode())
                sink.write(token)
                produced += size
                if produced % MEBIBYTE == 0:
                    await deferLater(reactor, 0)

        await self.serve(FunctionSource(produce), Settings(heartbeat=1000, drain=0))
        streamLog = await self.service.startRun()
        client = await self.view(f"/streams/{streamLog.name}")
        await until(lambda: client.received, "the head")
        client.transport.pauseProducing()
        seen = [-1]
        for _ in soon(lambda: produced == seen[-1], 100):
            seen.append(produced)
            await deferLater(reactor, 0.3)
        # The read-ahead of 1 MiB, the queue of the transport, and the buffers of the kernel at both ends.
        self.assertLess(produced, 16 * MEBIBYTE)
        self.assertLess(streamLog.measureAhead(), 2 * MEBIBYTE)
        self.assertIs(streamLog.state, State.OPEN)
        client.transport.resumeProducing()
        await until(lambda: client.received.endswith(b"0\r\n\r\n"), "the end")
        (response,) = client.responses
        self.assertEqual(produced, total)
        self.assertEqual(sha256("".join(response.texts).encode()).digest(), digest.digest())
        self.assertEqual(response.types[-1], "done")

    async def test_cutAndResumed(self) -> None:
        """
        A client that is cut again and again, and resumes with the ID of its last complete event, puts together
        exactly the text.
        """
        await self.serve()
        name = (await self.service.startRun()).name
        words = iter(splitWords(TEXT))

        def produce() -> None:
            # A word each time that the client still waits, so that the text outlasts many cuts on a slow machine, too.
            word = next(words, None)
            if word is not None:
                self.source.run.write(word)
            elif not self.source.run.done.called:
                self.source.run.end()

        chance = random.Random(20)
        lastEventID: str | None = None
        texts: list[str] = []
        for number in range(200):
            client = await self.view(f"/streams/{name}", lastEventID)
            # Later each time: the rest is one event, which must arrive whole once.
            size = chance.randrange(250, 1000) + 20 * number
            response = await client.cutAfter(size, produce)
            if response.status == 204:
                break
            decoder = Decoder()
            events = decoder.feed(response.body)
            texts += [event.data for event in events if event.type == "message"]
            lastEventID = decoder.lastEventID or lastEventID
            self.assertNotIn("gap", [event.type for event in events])
        else:
            self.fail("It never ends.")
        self.assertEqual("".join(texts), TEXT)
        self.assertGreater(len(texts), 3)

    async def test_visitorCutAndResumed(self) -> None:
        """A visitor of `/` that is cut again and again gets the whole text of one run."""
        runs = []
        text = TextSource(reactor, TEXT[:600], 0.001)

        def produce(sink: ITokenSink, prompt: Prompt | None) -> Any:
            runs.append(sink)
            return text.produce(sink, prompt)

        await self.serve(FunctionSource(produce))
        lastEventID: str | None = None
        shown = ""
        for size in [400, 500, 700, 900, 1500, 3000, 10**9]:
            client = await self.view(lastEventID=lastEventID)
            decoder = Decoder()
            for event in decoder.feed((await client.cutAfter(size)).body):
                shown = event.data if event.type == "message" else shown
            lastEventID = decoder.lastEventID or lastEventID
        self.assertEqual(shown, TEXT[:600])
        self.assertEqual(len(runs), 1)
        self.assertEqual((await (await self.view(lastEventID=lastEventID)).response()).status, 204)

    async def stalledViewer(self) -> Client:
        """Serve a run to a viewer that reads nothing, until its producer is paused."""
        await self.serve()
        name = (await self.service.startRun()).name
        client = await self.view(f"/streams/{name}")
        await client.begin()
        client.transport.pauseProducing()
        for _ in soon(self.paused, 100):
            self.source.run.write("x" * 500_000)
            await deferLater(reactor, 0.03)
        return client

    async def test_junkWhileItIsPaused(self) -> None:
        """A client that reads nothing and sends on is not read from without limit."""
        client = await self.stalledViewer()
        sent = 0
        for _ in range(200):
            client.transport.write(b"x" * MEBIBYTE)
            sent += MEBIBYTE
            await deferLater(reactor, 0.001)
        await deferLater(reactor, 0.2)
        waiting = self.waiting(client)
        self.assertGreater(waiting, sent - 24 * MEBIBYTE)

    def paused(self) -> bool:
        """Return whether the only viewer is paused: it has unread entries a flush tick after a write."""
        (producer,) = self.service.viewers
        return producer.cursor < producer.streamLog.last

    def waiting(self, client: Client) -> int:
        """Return the number of bytes that the client could not send yet."""
        return countUnsent(client.transport)

    async def test_stopService(self) -> None:
        """When the service stops viewers get the end; a viewer that does not read it is cut after the drain."""
        await self.serve(settings=Settings(heartbeat=1000, drain=1.0))
        name = (await self.service.startRun()).name
        quick, slow = [await self.view(f"/streams/{name}") for _ in range(2)]
        await quick.begin()
        await slow.begin()
        slow.transport.pauseProducing()
        for _ in range(20):
            self.source.run.write("x" * 500_000)
            await deferLater(reactor, 0.03)
        await until(lambda: len(quick.received) > 20 * 500_000, "that one has taken all")
        began = reactor.seconds()
        await self.service.stopService()
        self.assertGreater(reactor.seconds() - began, 0.9)
        self.assertEqual((await quick.response()).types[-1], "failed")
        self.assertEqual(self.service.viewers.count, 0)
        slow.transport.resumeProducing()
        await slow.lost
        self.assertFalse(slow.responses[0].complete)


class HalfCloseTests(SocketTestCase):
    """A client that shuts down its sending half."""

    async def test_halfClose(self) -> None:
        """The client counts as disconnected at once, since twisted.web closes the connection."""
        await self.serve()
        client = await self.view()
        await client.begin()
        client.transport.loseWriteConnection()
        await until(lambda: self.service.viewers.count == 0, "that the viewer has left")
        await client.lost
        self.assertFalse(client.responses[0].complete)


class UNIXTests(TCPTests):
    """The same over a UNIX socket."""

    def endpoint(self) -> Any:
        return UNIXServerEndpoint(reactor, f"{self.folder}/socket")

    def clientEndpoint(self) -> Any:
        return UNIXClientEndpoint(reactor, f"{self.folder}/socket")


class TLSTests(TCPTests):
    """The same over TLS."""

    def setUp(self) -> None:
        super().setUp()
        self.server = makeCertificate()
        self.authority = ssl.trustRootFromCertificates([ssl.Certificate(self.server.certificate)])

    def endpoint(self) -> Any:
        return SSL4ServerEndpoint(reactor, 0, self.server, interface="127.0.0.1")

    def clientEndpoint(self) -> Any:
        # The offer of a browser: HTTP/2 first.
        protocols = [b"h2", b"http/1.1"]
        options = ssl.optionsForClientTLS("localhost", self.authority, acceptableProtocols=protocols)
        return wrapClientTLS(options, super().clientEndpoint())

    def waiting(self, client: Client) -> int:
        encrypted = countUnsent(client.transport.transport)
        return encrypted + sum(map(len, client.transport._appSendBuffer))  # noqa: SLF001  (a name of Twisted)

    async def test_closeNotifyWhilePaused(self) -> None:
        """
        A paused client that announces its close and then reads on is noticed; twisted.web alone would keep it for
        ever.
        """
        client = await self.stalledViewer()
        client.transport.loseConnection()
        await deferLater(reactor, 0.05)
        client.transport.resumeProducing()
        await until(lambda: self.service.viewers.count == 0, "that the viewer has left")

    async def test_noHTTP2(self) -> None:
        """A client that offers HTTP/2 gets HTTP/1.1."""
        await self.serve(TextSource(reactor, "a b", 0))
        client = await self.view()
        response = await client.response()
        self.assertEqual(client.transport.negotiatedProtocol, b"http/1.1")
        self.assertEqual(response.texts[-1], "a b")


class AtOnceTests(SocketTestCase):
    """Writes that bypass the queue of the reactor's transports, which only the speedups do."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(os, "environ", {**os.environ, "SSESERVER_PLAIN": "0"})

    async def test_tokenLeavesWithTheTurn(self) -> None:
        """A lone token is in the client's socket at the end of the turn in which the source wrote it."""
        await self.serve()
        name = (await self.service.startRun()).name
        with socket.create_connection(("127.0.0.1", self.port.getHost().port)) as client:
            client.sendall(makeRequest(f"/streams/{name}", EVENTSOURCE))
            client.setblocking(False)
            received = bytearray()

            def begun() -> bool:
                with contextlib.suppress(BlockingIOError):
                    received.extend(client.recv(65536))
                return b"event: stream" in received

            await until(begun, "the head")
            self.source.run.write("lone")
            self.assertEqual(reactor.getWriters(), [])
            await deferLater(reactor, 0)
            # From here on the reactor does not turn.
            client.settimeout(SOON)
            self.assertIn(b"data: lone\n\n", client.recv(65536))


class WindowTests(SocketTestCase):
    """Viewers with a small receive buffer."""

    async def test_smallWindow(self) -> None:
        """
        A viewer that reads all the time is not cut, although its window is too small for the next entry and it never
        catches up.
        """

        async def produce(sink: ITokenSink, prompt: Prompt | None) -> None:
            sink.write("x" * MEBIBYTE)

        stall = 2.0
        await self.serve(FunctionSource(produce), Settings(stall=stall, drain=0))
        streamLog = await self.service.startRun()
        with socket.socket() as viewer:
            # Set before the connection, since it decides on the window.
            viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            viewer.connect(("127.0.0.1", self.port.getHost().port))
            viewer.sendall(makeRequest(f"/streams/{streamLog.name}", EVENTSOURCE))
            viewer.setblocking(False)
            received, begun = 0, reactor.seconds()
            while (elapsed := reactor.seconds() - begun) < 3 * stall:
                # 5,000 bytes a second: after a pause of the machine the viewer takes what it owes.
                with contextlib.suppress(BlockingIOError):
                    received += len(viewer.recv(max(1, int(5000 * elapsed) - received)))
                await deferLater(reactor, 0.02)
            self.assertGreater(received, 5000)
            self.assertEqual(self.service.viewers.count, 1)
        await until(lambda: self.service.viewers.count == 0, "that the viewer has left")
