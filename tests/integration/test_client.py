"""
The EventSource for Twisted over real sockets: a misbehaving server, our own server behind a cutting proxy, TLS, and
the command.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS
from twisted.web.resource import Resource
from twisted.web.server import Site

from sseserver.apis.root import StreamResource
from sseserver.client import (
    ConnectionFailed,
    EventSource,
    Limits,
    ResponseTruncated,
    RetryPolicy,
    SilenceTimeout,
    State,
    StatusError,
    Unanswered,
    Untrusted,
    WrongContentType,
)
from sseserver.client.bodies import dropResponse
from sseserver.service.service import Settings, StreamService
from sseserver.sources.text import TextSource
from sseserver.web.site import StreamSite
from sseserver.wire import Event
from tests.certificates import makePEM
from tests.integration.cutting import CuttingProxy
from tests.integration.servers import ENVIRONMENT, ROOT
from tests.integration.test_sockets import Client, until
from tests.wires import countUnsent

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

TEXT = "Zwölf Wörter, 一本 辞典,\nand a  few more of them; " * 4

#: Policy for tests in real time.
QUICK = RetryPolicy(reconnectionTime=0.01, maxDelay=0.05)

#: Number of clients at the same time, each behind a proxy of its own: most of their time is waiting.
READERS = 16

#: Seconds. Longest time for a process that imports Twisted on a busy machine.
PATIENCE = 120


def chunk(data: bytes) -> bytes:
    """Return an HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Scripted(Protocol):
    """One connection, which answers each request with the next part of the factory's script."""

    factory: Any
    transport: Any

    def connectionMade(self) -> None:
        self.received = b""
        self.factory.open.add(self)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if self.received.endswith(b"\r\n\r\n"):
            self.factory.requests.append(self.received)
            self.received = b""
            self.factory.script.pop(0)(self.transport)

    def connectionLost(self, reason: Any = None) -> None:
        self.factory.open.discard(self)


def answer(*data: bytes, end: str | None = None) -> Callable[[Any], None]:
    """Return a part of a script: write these bytes, then call `loseConnection`, `abortConnection` or neither."""

    def leave(transport: Any) -> None:
        # The bytes must leave before an abort.
        if countUnsent(transport):
            reactor.callLater(0.01, leave, transport)
        else:
            reactor.callLater(0.05, getattr(transport, end or ""))

    def play(transport: Any) -> None:
        transport.write(b"".join(data))
        if end:
            leave(transport)

    return play


class MisbehavingTests(TestCase):
    """A server that cuts, stalls, redirects and refuses."""

    timeout = 300

    def setUp(self) -> None:
        self.factory: Any = Factory.forProtocol(Scripted)
        self.factory.open = set()
        self.factory.requests = []
        self.factory.script = []
        self.port = reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        self.url = f"http://127.0.0.1:{self.port.getHost().port}/stream"
        self.events: list[Event] = []
        self.retries: list[Exception | None] = []

    async def tearDown(self) -> None:
        # No connection is left, however the test ended.
        await until(lambda: not self.factory.open, "the end of all connections")
        await self.port.stopListening()

    async def read(
        self, *script: Callable[[Any], None], retry: RetryPolicy | None = QUICK, silence: float | None = None
    ) -> EventSource:
        """Read a stream from a server that plays one part of its script for each request."""
        self.factory.script = list(script)
        source = EventSource(reactor, self.url, self.events.append, retry=retry, limits=Limits(silence=silence))
        source.onRetry = lambda error, delay: self.retries.append(error)
        await source.start()
        self.assertIs(source.state, State.CLOSED)
        return source

    async def test_everything(self) -> None:
        """
        The client resumes with the last event ID after an end, a cut, a reset, a stall, a busy server and a redirect,
        and stops at 204.
        """
        await self.read(
            answer(HEAD, chunk(b"id: 1\ndata: one\n\n"), b"0\r\n\r\n"),
            answer(HEAD, chunk(b"id: 2\ndata: two\n\nid: 9\ndata: torn"), end="loseConnection"),
            answer(HEAD, chunk(b"id: 3\ndata: three\n\n"), end="abortConnection"),
            answer(HEAD, chunk(b"id: 4\ndata: four\n\n")),
            answer(b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 4\r\n\r\nbusy"),
            answer(b"HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n"),
            answer(b"HTTP/1.1 307 There\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"),
            answer(HEAD, chunk(b"data: five\n\nid\n\n"), b"0\r\n\r\n"),
            answer(b"", end="loseConnection"),
            answer(b"HTTP/1.1 204 No Content\r\n\r\n"),
            silence=1.0,
        )
        self.assertEqual([event.data for event in self.events], ["one", "two", "three", "four", "five"])
        kinds = [
            None,
            ResponseTruncated,
            ResponseTruncated,
            SilenceTimeout,
            StatusError,
            StatusError,
            None,
            Unanswered,
        ]
        self.assertEqual([error and type(error) for error in self.retries], kinds)
        ids = [
            request.partition(b"Last-Event-Id: ")[2].partition(b"\r")[0].decode() for request in self.factory.requests
        ]
        self.assertEqual(ids, ["", "1", "2", "3", "4", "4", "4", "4", "", ""])
        self.assertTrue(self.factory.requests[7].startswith(b"GET /there "))
        self.assertTrue(self.factory.requests[8].startswith(b"GET /stream "))

    async def test_refusals(self) -> None:
        """
        An error status and a wrong content type end the client with the server's message, even if the body never
        ends.
        """
        error = await self.assertFailure(
            self.reading(answer(b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops")), StatusError
        )
        self.assertEqual((error.status, error.body), (500, b"oops"))
        html = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"
        error = await self.assertFailure(self.reading(answer(html, b"<p>" * 100_000)), WrongContentType)
        self.assertEqual(len(error.body), 64 * 1024)

    def reading(self, *script: Callable[[Any], None], **keywords: Any) -> Any:
        """Read a stream, as a Deferred."""
        return Deferred.fromCoroutine(self.read(*script, **keywords))

    async def test_once(self) -> None:
        """Without reconnection a cut is an error, and a complete response is none."""
        await self.assertFailure(
            self.reading(answer(HEAD, chunk(b"data: x\n\n"), end="loseConnection"), retry=None), ResponseTruncated
        )
        await self.read(answer(HEAD, chunk(b"data: y\n\n"), b"0\r\n\r\n"), retry=None)
        self.assertEqual([event.data for event in self.events], ["x", "y"])

    async def test_backpressure(self) -> None:
        """A paused client stops the server; everything arrives in the end."""
        count, size = 2000, 16 * 1024
        event = chunk(b"data: %b\n\n" % (b"x" * size))
        written = 0

        class Pump:
            def resumeProducing(self) -> None:
                nonlocal written
                while written < count and not stopped:
                    written += 1
                    transports[0].write(event)
                    if countUnsent(transports[0]) > 4 * size:
                        break

            def pauseProducing(self) -> None:
                pass

            def stopProducing(self) -> None:
                stopped.append(True)

        transports: list[Any] = []
        stopped: list[bool] = []

        def pump(transport: Any) -> None:
            transports.append(transport)
            transport.write(HEAD)
            transport.registerProducer(Pump(), False)

        self.factory.script = [pump]
        source = EventSource(reactor, self.url, onEvent=lambda event: (self.events.append(event), eachTime()))
        eachTime = source.pauseProducing
        done = source.start()
        await until(lambda: self.events, "an event")
        before = -1

        def still() -> bool:
            nonlocal before
            same, before = before == written, written
            return same

        # The buffers of the kernel fill up, and then nothing moves.
        for _ in range(20):
            await until(still, "standstill")
        self.assertEqual(len(self.events), 1)
        self.assertLess(written, count)
        eachTime = list
        source.resumeProducing()
        await until(lambda: len(self.events) == count, "all events")
        source.close()
        await done

    async def test_loop(self) -> None:
        """Leaving the loop drops the connection."""
        self.factory.script = [answer(HEAD, chunk(b"data: 1\n\ndata: 2\n\n"))]
        async for event in EventSource(reactor, self.url):
            self.events.append(event)
            break
        self.assertEqual([event.data for event in self.events], ["1"])

    async def test_nobodyThere(self) -> None:
        """A port without a server and an unknown host name are reported in one sentence."""
        free = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
        number = free.getHost().port
        await free.stopListening()
        for url in (f"http://127.0.0.1:{number}/", "http://no.such.invalid/"):
            error = await self.assertFailure(EventSource(reactor, url, retry=None).start(), ConnectionFailed)
            self.assertTrue(str(error).startswith("There is no response: "), error)

    async def command(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run the command to its end."""
        return await deferToThread(
            subprocess.run,
            [sys.executable, "-m", "sseserver.client", *arguments],
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            env=ENVIRONMENT,
        )

    async def test_command(self) -> None:
        """The command prints the data, reports a lost connection and resumes, and ends with status 0."""
        self.factory.script = [
            answer(HEAD, chunk(b"retry: 10\nid: 1\ndata: two\ndata: lines\n\n"), end="loseConnection"),
            answer(HEAD, chunk(b"id: 2\nevent: done\ndata: {}\n\n"), b"0\r\n\r\n"),
            answer(b"HTTP/1.1 204 No Content\r\n\r\n"),
        ]
        done = await self.command(self.url, "--header", "X-Key: 7", "--last-event-id", "0")
        self.assertEqual((done.returncode, done.stdout), (0, b"two\nlines\n{}\n"), done.stderr)
        self.assertEqual(done.stderr.count(b"\n"), 1)
        self.assertIn(b"Connecting again", done.stderr)
        self.assertIn(b"X-Key: 7\r\n", self.factory.requests[0])
        self.assertIn(b"Last-Event-Id: 0\r\n", self.factory.requests[0])
        self.assertIn(b"Last-Event-Id: 1\r\n", self.factory.requests[1])

    async def test_commandTypes(self) -> None:
        """The command can print only some types of events, and nothing between events."""
        self.factory.script = [
            answer(HEAD, chunk("event: stream\ndata: {}\n\ndata: a\n\ndata:  …\n\n".encode()), b"0\r\n\r\n")
        ]
        done = await self.command(self.url, "--once", "-n", "--type", "message")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "a …".encode(), b""))

    async def test_commandFails(self) -> None:
        """A failure is one line on standard error and status 1, for an error of the server and for no connection."""
        self.factory.script = [
            answer(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
            answer(b"", end="abortConnection"),
        ]
        done = await self.command(self.url)
        self.assertEqual((done.returncode, done.stderr), (1, b"sseserver.client: The server answered 404.\n"))
        done = await self.command(self.url)
        self.assertEqual((done.returncode, done.stdout, done.stderr.count(b"\n")), (1, b"", 1), done.stderr)


class OwnServerTests(TestCase):
    """Our own server behind a proxy that cuts connections."""

    timeout = 300

    async def setUp(self) -> None:
        self.service = StreamService(reactor, TextSource(reactor, TEXT, 0.001), Settings(reconnectionTime=1, drain=0))
        self.service.startService()
        self.port = reactor.listenTCP(0, StreamSite(StreamResource(self.service)), interface="127.0.0.1")
        self.proxy = CuttingProxy(reactor, self.port.getHost().port)
        self.proxy.start()

    async def tearDown(self) -> None:
        await self.proxy.stop()
        await until(lambda: not self.proxy.connections, "the end of all connections")
        await self.port.stopListening()
        await self.service.stopService()

    async def makeRun(self) -> str:
        """Start a run and return the path of its stream."""
        url = f"http://127.0.0.1:{self.port.getHost().port}/streams".encode()
        response = await Agent(reactor).request(b"POST", url)
        location = response.headers.getRawHeaders("Location")[0]
        dropResponse(response)
        return location if location.startswith("/") else f"/streams/{location}"

    async def follow(
        self,
        path: str,
        onRetry: Callable[..., object] = lambda error, delay: None,
        proxy: CuttingProxy | None = None,
    ) -> list[Event]:
        """Read a stream through a proxy to its end."""
        events: list[Event] = []
        url = f"http://127.0.0.1:{(proxy or self.proxy).port}{path}"
        source = EventSource(reactor, url, events.append, retry=RetryPolicy(reconnectionTime=0.001, maxDelay=0.002))
        source.onRetry = onRetry
        await source.start()
        return events

    def check(self, events: list[Event], place: object) -> None:
        """Check that each token arrived once, and the end."""
        tokens = [event.data for event in events if event.type == "message"]
        self.assertEqual("".join(tokens), TEXT, place)
        self.assertEqual([event.type for event in events if event.type not in {"message", "stream"}], ["done"], place)

    async def test_replayCutAtEveryByte(self) -> None:
        """A finished stream arrives completely and once, wherever in its head or body the first response is cut."""
        path = await self.makeRun()
        self.check(await self.follow(path), "not cut")
        client = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.port.getHost().port), Client())
        client.ask(path)
        await client.response()
        client.transport.loseConnection()
        self.assertGreater(len(client.received), 500)

        sizes = iter(range(1, len(client.received) + 1))
        readers = [Deferred.fromCoroutine(self.followCut(path, sizes)) for _ in range(READERS)]
        await gatherResults(readers, consumeErrors=True)
        self.assertEqual(list(sizes), [])

    async def followCut(self, path: str, sizes: Iterator[int]) -> None:
        """Read a finished stream again and again, each time with the first response cut after the next size."""
        proxy = CuttingProxy(reactor, self.port.getHost().port)
        proxy.start()

        def letPass(error: object, delay: float) -> None:
            proxy.cutEach = None

        try:
            for size in sizes:
                proxy.cutEach = size
                self.check(await self.follow(path, letPass, proxy), size)
        finally:
            await proxy.stop()
            await until(lambda: not proxy.connections, "the end of all connections")

    async def test_liveCutAgainAndAgain(self) -> None:
        """A growing stream arrives completely, with the first connections cut after some bytes of their bodies."""
        for size in range(0, 800, 23):
            self.proxy.cuts = [size] * 3
            self.check(await self.follow(await self.makeRun()), size)

    async def test_example(self) -> None:
        """The program in the documentation prints a stream as the documentation says."""
        path = await self.makeRun()
        done = await deferToThread(
            subprocess.run,
            [
                sys.executable,
                str(ROOT / "docs" / "examples" / "follow.py"),
                f"http://127.0.0.1:{self.proxy.port}{path}",
            ],
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            env={**ENVIRONMENT, "PYTHONIOENCODING": "utf-8"},
        )
        text, _, end = done.stdout.decode().rpartition("\ndone: ")
        self.assertEqual((done.returncode, text, end[:1]), (0, TEXT, "{"), done.stderr)


class Secret(Resource):
    """An event stream of one event."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        """Write the whole stream."""
        request.setHeader(b"Content-Type", b"text/event-stream")
        return b"data: secret\n\n"


class TLSTests(TestCase):
    """HTTPS."""

    timeout = 300

    async def setUp(self) -> None:
        key, certificate = makePEM()
        self.certificate = ssl.Certificate.loadPEM(certificate)
        options = ssl.PrivateCertificate.loadPEM(key + certificate).options()
        endpoint = SSL4ServerEndpoint(reactor, 0, options, interface="127.0.0.1")
        self.port = await endpoint.listen(Site(Secret()))
        self.url = f"https://localhost:{self.port.getHost().port}/"

    async def tearDown(self) -> None:
        await self.port.stopListening()

    async def test_trusted(self) -> None:
        """A stream arrives over TLS from a trusted server."""
        policy = BrowserLikePolicyForHTTPS(ssl.trustRootFromCertificates([self.certificate]))
        events: list[Event] = []
        source = EventSource(reactor, self.url, events.append, retry=None, agent=Agent(reactor, policy))
        await source.start()
        self.assertEqual([event.data for event in events], ["secret"])

    async def test_untrusted(self) -> None:
        """An unknown certificate, or one for another name, ends the client at once, without another try."""
        await self.assertFailure(EventSource(reactor, self.url).start(), Untrusted)
        policy = BrowserLikePolicyForHTTPS(ssl.trustRootFromCertificates([self.certificate]))
        other = EventSource(reactor, self.url.replace("localhost", "127.0.0.1"), agent=Agent(reactor, policy))
        await self.assertFailure(other.start(), Untrusted)
