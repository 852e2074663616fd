"""
Upstreams over loopback: the table of scripts as viewers see it, TLS, redirects, backpressure, and a server process.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from twisted.internet import reactor, ssl
from twisted.internet.defer import DeferredList, ensureDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from sseserver.apis.root import StreamResource
from sseserver.client import EventSource
from sseserver.client.agent import Connections
from sseserver.interfaces import IStreamLog
from sseserver.service.service import StreamService
from sseserver.settings import Settings
from sseserver.sources import upstreamproxy
from sseserver.sources.upstream import UpstreamLimits, UpstreamSource
from sseserver.sources.upstreamproxy import makeProxyConnections, readProxy
from sseserver.streams.buffer import joinText
from sseserver.values import Prompt
from sseserver.web.site import StreamSite
from sseserver.wire import Event
from tests.certificates import makeCertificate
from tests.integration.servers import ENVIRONMENT, ask, freePort, serving, stream, twistd
from tests.upstreams import ScriptedUpstream
from tests.upstreamscripts import CASES, END, EVENTS, HEAD, KEY, Act, Case, Step, answer, chunk, event, framed, whole

#: Seconds. Longest time for something that should happen at once.
SOON = 60.0

PROMPT = Prompt("Say hello.")


async def until(condition: Callable[[], Any], what: str) -> None:
    """Let the reactor run until a condition holds."""
    end = reactor.seconds() + SOON
    while not condition():
        if reactor.seconds() > end:
            raise AssertionError(f"It does not come about: {what}.")
        await deferLater(reactor, 0.005)


class Stage:
    """
    A scripted upstream, a source that asks it, and a server in front of the source.

    Args:
        test: The test that owns it.
        scripts: For the upstream.
        certificate: For an upstream with TLS.
        more: For `UpstreamSource`.
    """

    def __init__(
        self,
        test: TestCase,
        *scripts: tuple[Step, ...],
        certificate: CertificateOptions | None = None,
        limits: UpstreamLimits | None = None,
        **more: Any,
    ) -> None:
        self.upstream = ScriptedUpstream(reactor, *scripts)
        self.settings = Settings(drain=0)
        self._test = test
        self._certificate = certificate
        self._more = {**more, "limits": limits or UpstreamLimits(api="chat")}

    async def open(self) -> Stage:
        """Start to listen."""
        if self._certificate is None:
            port, base = reactor.listenTCP(0, self.upstream, interface="127.0.0.1"), "http://127.0.0.1"
        else:
            port, base = reactor.listenSSL(0, self.upstream, self._certificate), "https://localhost"
        self._test.addCleanup(port.stopListening)
        self.upstreamPort = port.getHost().port
        url = f"{base}:{self.upstreamPort}/v1"
        self.source = UpstreamSource(reactor, url, key=KEY, **self._more)
        self.service = StreamService(reactor, self.source, self.settings)
        self.service.startService()
        port = reactor.listenTCP(0, StreamSite(StreamResource(self.service)), interface="127.0.0.1")
        self._test.addCleanup(port.stopListening)
        self._test.addCleanup(self.close)
        self.url = f"http://127.0.0.1:{port.getHost().port}"
        return self

    async def close(self) -> None:
        """Stop everything, and check that no connection of the upstream is left."""
        await self.service.stopService()
        await self.source.close()
        await until(lambda: not self.upstream.open, "the upstream's connections are closed")

    def watch(self, streamLog: IStreamLog, onEvent: Callable[[Event], object]) -> EventSource:
        """Make a viewer."""
        return EventSource(reactor, f"{self.url}/streams/{streamLog.name}", onEvent, retry=None)

    async def rest(self) -> None:
        """
        Wait until the connections to the upstream are free: a viewer gets the end of an answer before its response
        ends.
        """
        pooled = self.source.connections.pool._connections  # noqa: SLF001  (a name of Twisted)

        def free() -> int:
            return sum(connection.state == "QUIESCENT" for each in pooled.values() for connection in each)

        await until(lambda: self.upstream.open == free(), "all are free")

    async def run(self, prompt: Prompt = PROMPT) -> list[Event]:
        """Start a run, and return the events of a viewer."""
        events: list[Event] = []
        await self.watch(await self.service.startRun(prompt), events.append).start()
        return events


def textOf(events: list[Event]) -> str:
    """Join the tokens of some events."""
    return "".join(event.data for event in events if event.type == "message")


class LoopbackTests(TestCase):
    """The table of scripts, over sockets."""

    timeout = 300

    async def check(self, case: Case) -> None:
        """Play a script, and compare the viewer's events with the table."""
        stage = await Stage(self, case.steps, limits=case.limits).open()
        events = await stage.run()
        terminal = json.loads(events[-1].data)
        self.assertEqual((events[-1].type, terminal["reason"]), (case.state, case.reason), case.name)
        self.assertEqual(textOf(events), case.text, case.name)
        if case.state == "failed":
            self.assertIn(case.message, terminal["message"], case.name)
            self.assertNotIn(KEY, terminal["message"])
            self.assertEqual(terminal.get("retryAfter"), case.retryAfter, case.name)
            if case.status != 200:
                self.assertEqual(terminal.get("status", 502), case.status, case.name)
        self.assertEqual(len(stage.upstream.asked), 1, case.name)

    async def test_table(self) -> None:
        """Each script of the table ends for a viewer as the table says, with the text before."""
        # Scripts with short limits run on their own: a slow machine would not keep to them among the others.
        for limited in (False, True):
            playing = [ensureDeferred(self.check(case)) for case in CASES if (case.limits is not None) is limited]
            for succeeded, result in await DeferredList(playing, consumeErrors=True):
                if not succeeded:
                    result.raiseException()

    async def test_secondRequest(self) -> None:
        """The connection of a finished answer is used for the next one."""
        stage = await Stage(self, whole(*EVENTS)).open()
        for _ in range(3):
            self.assertEqual(textOf(await stage.run()), "Hello world")
            await stage.rest()
        self.assertEqual([asked.connection for asked in stage.upstream.asked], [0, 0, 0])

    async def test_closedByTheUpstream(self) -> None:
        """A connection that the upstream has closed while it was idle, or when it is used again, is replaced."""
        stage = await Stage(self, (*whole(*EVENTS), Act.CLOSE), whole(*EVENTS), (Act.RESET,), whole(*EVENTS)).open()
        for _ in range(3):
            self.assertEqual(textOf(await stage.run()), "Hello world")
            await stage.rest()
        self.assertEqual(stage.upstream.connections, 3)

    async def test_redirect(self) -> None:
        """The target of a redirect gets no request."""
        other = await Stage(self, whole(*EVENTS)).open()
        location = f"Location: http://127.0.0.1:{other.upstreamPort}/v1/chat/completions"
        for status in ("301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"):
            stage = await Stage(self, (answer(status, "", location),)).open()
            self.assertEqual((await stage.run())[-1].type, "failed")
            self.assertEqual(len(stage.upstream.asked), 1)
        self.assertEqual(other.upstream.connections, 0)

    async def test_cancel(self) -> None:
        """A run that is cancelled, or whose linger is over, closes the upstream's connection; the text so far stays."""
        for linger in (60.0, 0.0):
            stage = Stage(self, (HEAD, framed(EVENTS[1]), Act.HANG))
            stage.settings = Settings(linger=linger, drain=0)
            await stage.open()
            streamLog = await stage.service.startRun(PROMPT)
            events: list[Event] = []
            viewer = stage.watch(streamLog, events.append)
            viewing = viewer.start()
            await until(lambda: "Hello" in textOf(events), "the first token")  # noqa: B023
            if linger:
                await stage.service.cancel(streamLog.name)
            else:
                viewer.close()
            await until(lambda: not stage.upstream.open, "the connection is closed")  # noqa: B023
            await viewing
            self.assertEqual(streamLog.state.value, "cancelled")
            self.assertEqual(joinText(streamLog.buffer, 1, streamLog.last), b"Hello")

    async def test_backpressure(self) -> None:
        """A run that is far ahead of its viewers stops its upstream, and continues when they read."""
        piece = framed(event(chunk({"content": "x" * 1000})) * 100)
        stage = Stage(self, (HEAD, *[piece] * 100, framed(*EVENTS[3:]), END))
        stage.settings = Settings(readAhead=200_000, window=100_000_000, drain=0)
        await stage.open()
        streamLog = await stage.service.startRun(PROMPT)
        await until(lambda: streamLog.buffer.size > 200_000, "the run is ahead")
        await until(lambda: stage.upstream.sent > 10_000_000, "the upstream has sent all to its socket")
        for _ in range(20):
            await deferLater(reactor, 0.01)
        self.assertLess(streamLog.buffer.size, 2_000_000)
        events: list[Event] = []
        await stage.watch(streamLog, events.append).start()
        self.assertEqual(len(textOf(events)), 10_000_000)
        self.assertEqual(events[-1].type, "done")

    async def test_certificate(self) -> None:
        """An upstream with an untrusted certificate gets no request; one with a trusted certificate does."""
        options = makeCertificate()
        trusting = Connections(Agent(reactor, Trusting(options)))
        for connections, reason, asked in ((None, "unreachable", 0), (trusting, "stop", 1)):
            stage = await Stage(self, whole(*EVENTS), certificate=options, connections=connections).open()
            self.assertEqual(json.loads((await stage.run())[-1].data)["reason"], reason)
            self.assertEqual(len(stage.upstream.asked), asked)

    async def test_F87_proxy(self) -> None:
        """F87: requests go through an HTTP proxy: with absolute URLs, or over TLS through a tunnel."""
        options = makeCertificate()
        self.patch(upstreamproxy, "BrowserLikePolicyForHTTPS", lambda: Trusting(options))
        for certificate in (None, options):
            upstream = await Stage(self, whole(*EVENTS), certificate=certificate).open()
            forwarding = Forwarding(upstream.upstreamPort)
            port = reactor.listenTCP(0, forwarding, interface="127.0.0.1")
            self.addCleanup(port.stopListening)
            proxy = readProxy(f"http://user:pass@127.0.0.1:{port.getHost().port}")
            connections = makeProxyConnections(reactor, proxy, certificate is not None, 10.0)
            stage = Stage(self, certificate=certificate, connections=connections)
            stage.upstream = upstream.upstream
            await stage.open()
            for _ in range(2):
                self.assertEqual(textOf(await stage.run()), "Hello world")
                await stage.rest()
            (line,) = forwarding.lines
            self.assertIn("Proxy-Authorization: Basic dXNlcjpwYXNz", line)
            start = "POST http://127.0.0.1" if certificate is None else "CONNECT localhost:"
            self.assertTrue(line.startswith(start), line)
            self.assertEqual(KEY in line, certificate is None)
            self.assertEqual([asked.connection for asked in upstream.upstream.asked], [0, 0])


class Forwarding(Factory):
    """
    An HTTP proxy that connects every client to one port, whatever it asks for.

    Attributes:
        lines: The first bytes of each connection.
    """

    noisy = False

    def __init__(self, port: int) -> None:
        self.port = port
        self.lines: list[str] = []

    def buildProtocol(self, address: object) -> Protocol:
        """See `Factory.buildProtocol`."""
        return _Forwarded(self)


class _Forwarded(Protocol):
    """One connection of a proxy."""

    def __init__(self, proxy: Forwarding) -> None:
        self._proxy = proxy
        self._other: Any = None
        self._first = b""

    def dataReceived(self, data: bytes) -> None:
        if self._other is not None:
            self._other.transport.write(data)
            return
        begins = not self._first
        self._first += data
        if begins:
            self._proxy.lines.append(data.decode("latin-1"))
            endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self._proxy.port)
            endpoint.connect(Factory.forProtocol(lambda: _Answering(self))).addCallback(self._connected)

    def _connected(self, other: Any) -> None:
        self._other = other
        if self._first.startswith(b"CONNECT"):
            self.transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            other.transport.write(self._first)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._other is not None:
            self._other.transport.loseConnection()


class _Answering(Protocol):
    """The connection of a proxy to the server."""

    def __init__(self, client: Protocol) -> None:
        self._client = client

    def dataReceived(self, data: bytes) -> None:
        self._client.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._client.transport.loseConnection()


@implementer(IPolicyForHTTPS)
class Trusting:
    """A policy that trusts one certificate."""

    def __init__(self, options: CertificateOptions) -> None:
        self._root = ssl.Certificate(options.certificate)

    def creatorForNetloc(self, hostname: bytes, port: int) -> Any:
        """See `IPolicyForHTTPS.creatorForNetloc`."""
        return ssl.optionsForClientTLS(hostname.decode("ascii"), trustRoot=self._root)


class ProcessTests(TestCase):
    """`twistd sseserver --upstream` as a process."""

    timeout = 300

    async def serve(self, *arguments: str, **environment: str) -> tuple[ScriptedUpstream, str, str]:
        """
        Let a server process answer one prompt.

        Returns:
            The upstream, the text, and the output of the process.
        """
        upstream = ScriptedUpstream(reactor, whole(*EVENTS))
        listening = reactor.listenTCP(0, upstream, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        port = freePort()
        command = twistd(
            "sseserver",
            f"--listen=tcp:{port}:interface=127.0.0.1",
            f"--upstream=http://127.0.0.1:{listening.getHost().port}/v1",
            *arguments,
        )

        def use() -> tuple[str, str]:
            variables = {**ENVIRONMENT, **environment}
            with TemporaryFile() as output:
                with serving(command, port, output, env=variables):
                    asked = {"Content-Type": "application/json"}
                    _, headers, _ = ask(port, "POST", "/streams", asked, b'{"prompt":"?"}')
                    text = textOf(stream(port, headers["location"]))
                output.seek(0)
                return text, output.read().decode()

        text, written = await deferToThread(use)
        await until(lambda: not upstream.open, "the connections are closed")
        return upstream, text, written

    def keyFile(self) -> Path:
        """Write the key into a file."""
        path = Path(self.mktemp())
        path.write_text(f"{KEY}\n")
        return path

    async def test_keyFile(self) -> None:
        """A server process sends the key of a file to its upstream, and writes no part of it anywhere."""
        path = self.keyFile()
        upstream, text, written = await self.serve(f"--upstream-key-file={path}", SSESERVER_UPSTREAM_KEY="other")
        self.assertEqual(text, "Hello world")
        self.assertEqual(upstream.asked[0].headers["authorization"], f"Bearer {KEY}")
        self.assertNotIn(KEY, written)

    async def test_keyVariable(self) -> None:
        """Without a file the key comes from the environment."""
        upstream, text, written = await self.serve(SSESERVER_UPSTREAM_KEY=KEY)
        self.assertEqual(text, "Hello world")
        self.assertEqual(upstream.asked[0].headers["authorization"], f"Bearer {KEY}")
        self.assertNotIn(KEY, written)
