"""
The page in Chromium: what it costs, what it shows of a published stream, and how it outlives a server behind a proxy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from sseserver.apis.root import StreamResource
from sseserver.service.service import StreamService
from sseserver.settings import Settings
from sseserver.sources.text import TextSource
from sseserver.values import Kind, NewEntry
from tests.integration.browser import BrowserTestCase, dropConnections
from tests.integration.cutting import CuttingProxy
from tests.integration.serverprocess import ServerProcess
from tests.integration.servers import ask, freePort

#: nginx with nothing but `proxy_pass`.
NGINX = """\
daemon off;
pid nginx.pid;
error_log error.log;
events {{}}
http {{
    access_log access.log;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://127.0.0.1:{server}; }}
    }}
}}
"""


def findNginx() -> str | None:
    """Return the path of nginx, which is not on the search path of every user."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class Moody(Resource):
    """
    A proxy in front of a resource that answers by itself when it is told to, though not to the request for a page.

    Args:
        resource: Answers otherwise.

    Attributes:
        status: Status of its own answers; 0 answers by a reset, 200 with a page of HTML. `None` asks the resource.
        answered: Number of its own answers.
    """

    isLeaf = False

    def __init__(self, resource: Resource) -> None:
        super().__init__()
        self._resource = resource
        self.status: int | None = None
        self.answered = 0

    def getChildWithDefault(self, path: bytes, request: Request) -> Any:
        """See `Resource.getChildWithDefault`."""
        wantsPage = path == b"assets" or b"html" in (request.getHeader(b"accept") or b"")
        if self.status is None or wantsPage:
            return self._resource.getChildWithDefault(path, request)
        self.answered += 1
        request.postpath = []
        return self

    def render(self, request: Request) -> Any:
        """Answer with the status."""
        if not self.status:
            assert request.transport is not None
            request.transport.abortConnection()
            return NOT_DONE_YET
        request.setResponseCode(self.status)
        request.responseHeaders.setRawHeaders(b"Content-Type", [b"text/html"])
        return b"<h1>A proxy says so</h1>"


class PageTestCase(BrowserTestCase):
    """
    The page of a service in this process, behind a proxy with moods, and behind one that counts.

    Attributes:
        words: The text of the service.
    """

    words = "A text."

    async def setUp(self) -> None:
        await super().setUp()
        settings = Settings(reconnectionTime=200, drain=0)
        self.service = StreamService(reactor, TextSource(reactor, self.words, 0.001), settings)
        self.service.startService()
        self.addCleanup(self.service.stopService)
        self.moody = Moody(StreamResource(self.service))
        listening = reactor.listenTCP(0, Site(self.moody), interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        self.proxy = CuttingProxy(reactor, listening.getHost().port)
        self.proxy.start()
        self.addCleanup(self.proxy.stop)
        self.url = f"http://127.0.0.1:{self.proxy.port}/"

    async def publish(self, *entries: NewEntry, close: bool = False) -> None:
        """Publish into the stream `news`."""
        await self.service.publish("news", entries, close)

    async def openNews(self) -> None:
        """Open the stream `news`, and show it in the page."""
        await self.service.open("news")
        await self.open(f"{self.url}streams/news")
        await self.untilState("streaming")

    def events(self) -> Deferred[list[str]]:
        """Return the text of each published event in the page."""
        return self.script("return [...document.querySelectorAll('#text .event')].map(event => event.innerText)")

    async def untilEvents(self, *texts: str) -> None:
        """Wait until the page shows these published events."""
        await self.until(f"document.querySelectorAll('#text .event').length >= {len(texts)}")
        self.assertEqual(await self.events(), list(texts))


def event(type: str, data: str) -> NewEntry:
    """Make a published event."""
    return NewEntry(Kind.EVENT, f"{type}\n{data}".encode())


class CostTests(PageTestCase):
    """The bytes that a text takes."""

    words = "abcdef " * 3000

    async def test_F91_linear(self) -> None:
        """F91: a text of 21,000 bytes takes a small multiple of its length, not its square, and arrives complete."""
        await self.open(self.url)
        await self.untilState("finished")
        self.assertEqual(await self.text(), self.words)
        self.assertLess(self.proxy.received, 600_000)


class PublishedTests(PageTestCase):
    """F105: the page of a published stream."""

    async def test_F105_events(self) -> None:
        """F105: events of all types appear with their types, and tokens as text, early ones and late ones."""
        await self.service.open("news")
        await self.publish(event("headline", "It works"), event("message", "<b>plain</b>"))
        await self.openNews()
        await self.untilEvents("headline It works", "<b>plain</b>")
        tokens = [NewEntry(Kind.TOKEN, b"A "), NewEntry(Kind.TOKEN, b"token.")]
        await self.publish(event("weather", "Rain\n  at noon"), *tokens)
        await self.untilEvents("headline It works", "<b>plain</b>", "weather Rain\n  at noon")
        await self.until("document.getElementById('text').textContent.endsWith('A token.')")
        self.assertEqual((await self.read("state"), await self.read("title")), ("Streaming", "news"))
        self.assertRegex(await self.read("counts"), "^5 events")
        await self.publish(event("weather", "Sun"), close=True)
        await self.untilState("finished")
        self.assertRegex(await self.read("counts"), "^6 events")
        self.assertEqual(await deferToThread(self.browser.get_log, "browser"), [])

    async def test_F99_noStop(self) -> None:
        """F99: whoever opens a published stream is not offered to stop it."""
        await self.openNews()
        self.assertTrue(await self.script("return document.getElementById('stop').hidden"))
        self.assertFalse(await self.script("return document.getElementById('copy').hidden"))


class MoodTests(PageTestCase):
    """F119: what the page makes of the answers of a proxy whose server is away."""

    async def lose(self, status: int) -> None:
        """Lose the connection, and let the proxy answer for the server."""
        await self.openNews()
        await self.publish(event("x", "one"))
        await self.untilEvents("x one")
        self.moody.status = status
        await dropConnections()

    async def untilAnswered(self, count: int, seconds: float = 60) -> None:
        """Wait until the proxy has given a number of its own answers."""
        deadline = time.monotonic() + seconds
        while self.moody.answered < count:
            self.assertLess(time.monotonic(), deadline, f"{self.moody.answered} answers instead of {count}")
            await deferLater(reactor, 0.02)

    async def checkReturns(self, status: int) -> None:
        """Check that the page keeps its text, reconnects, and continues where it was."""
        await self.lose(status)
        await self.untilAnswered(3)
        self.assertEqual(await self.script("return document.documentElement.dataset.state"), "reconnecting")
        await self.publish(event("x", "two"))
        self.moody.status = None
        await self.untilEvents("x one", "x two")
        await self.untilState("streaming")
        self.assertEqual(await self.read("gap"), "")
        self.assertNotIn("lost", await self.states())

    async def test_F119_502(self) -> None:
        """F119: the page reconnects after 502."""
        await self.checkReturns(502)

    async def test_F119_429(self) -> None:
        """F119: the page reconnects after 429."""
        await self.checkReturns(429)

    async def test_F119_otherPage(self) -> None:
        """F119: the page reconnects after an answer that is not of this server, such as a note about maintenance."""
        await self.checkReturns(200)

    async def test_F119_noAnswer(self) -> None:
        """F119: the page reconnects if the question for the state gets no answer at all."""
        await self.lose(503)
        await self.untilAnswered(2)
        self.moody.status = 0
        await self.untilAnswered(self.moody.answered + 2)
        await self.publish(event("x", "two"))
        self.moody.status = None
        await self.untilEvents("x one", "x two")

    async def test_F119_gone(self) -> None:
        """F119: 404 and 410 mean that the stream is lost. The page keeps its text and asks no more."""
        for status in (404, 410):
            await self.lose(status)
            await self.untilState("lost")
            self.assertEqual(await self.events(), ["x one"])
            self.assertIn("no longer has this answer", await self.read("notice"))
            answered = self.moody.answered
            await deferLater(reactor, 2)
            self.assertEqual(self.moody.answered, answered)
            self.moody.status = None
            await self.service.delete("news")

    async def test_F119_refused(self) -> None:
        """F119: any other status is final, and the page says which it was."""
        await self.lose(403)
        await self.untilState("failed")
        self.assertIn("403", await self.read("notice"))

    async def test_F119_opened(self) -> None:
        """F119: a page that is opened by a link just when the server goes away waits for it, too."""
        await self.service.open("news")
        await self.publish(event("x", "one"))
        self.moody.status = 502
        await self.open(f"{self.url}streams/news")
        await self.untilState("reconnecting")
        await self.untilAnswered(2)
        self.moody.status = None
        await self.untilEvents("x one")

    async def test_F119_growingPause(self) -> None:
        """F119: the pause between two questions grows, so that a server which returns is not flooded."""
        await self.openNews()
        await self.script(
            "window.delays = []; const after = setTimeout;"
            " window.setTimeout = (call, delay) => { delays.push(delay); return after(call, 1); }"
        )
        self.moody.status = 502
        await dropConnections()
        await self.until("delays.length >= 8")
        delays = await self.script("return delays.slice(0, 8)")
        limits = [0, *(min(1000 * 2**number, 30_000) for number in range(7))]
        for delay, limit in zip(delays, limits, strict=True):
            self.assertTrue(limit / 2 <= delay <= limit, (delays, limits))


class NginxTests(BrowserTestCase):
    """F119: the page behind a real nginx, whose server is stopped and started."""

    async def setUp(self) -> None:
        await super().setUp()
        nginx = findNginx()
        if nginx is None:
            if os.environ.get("CI"):
                self.fail("nginx is not installed")
            raise SkipTest("nginx is not installed")
        self.port = freePort()
        self.server = ServerProcess(freePort(), self.folder, ["--retry", "300", "--store", "sqlite:s.db"])
        self.addCleanup(lambda: Deferred.fromCoroutine(self.server.kill()))
        await self.server.start(0.1)
        self.startNginx(nginx)

    def startNginx(self, nginx: str) -> None:
        """Start nginx in front of the server."""
        configuration = Path(self.folder, "nginx.conf")
        configuration.write_text(NGINX.format(port=self.port, server=self.server.port), "utf-8")
        proxy = subprocess.Popen([nginx, "-p", self.folder, "-c", str(configuration), "-e", "start.log"])
        self.addCleanup(proxy.wait)
        self.addCleanup(proxy.terminate)

    def hasAnswered(self, status: int) -> bool:
        """Return whether nginx has logged an answer with a status."""
        log = Path(self.folder, "access.log")
        return log.exists() and f'" {status} ' in log.read_text("utf-8")

    async def publish(self, text: str) -> None:
        """Publish an event, directly."""
        headers = {"Content-Type": "text/plain"}
        answer = await deferToThread(ask, self.server.port, "POST", "/streams/r", headers, text.encode())
        self.assertEqual(answer[0], 200, answer)

    async def untilLogged(self, status: int, seconds: float = 60) -> None:
        """Wait until nginx has answered the page with a status."""
        deadline = time.monotonic() + seconds
        while not self.hasAnswered(status):
            self.assertLess(time.monotonic(), deadline, f"nginx has not answered {status}")
            await deferLater(reactor, 0.05)

    async def test_F119_restart(self) -> None:
        """F119: a server behind nginx is restarted: the page continues, although nginx answered 502 meanwhile."""
        await deferToThread(ask, self.server.port, "PUT", "/streams/r")
        await self.open(f"http://127.0.0.1:{self.port}/streams/r")
        await self.untilState("streaming")
        await self.publish("one")
        await self.until("document.getElementById('text').innerText.trim() === 'one'")
        await self.server.kill()
        await self.untilLogged(502)
        await self.untilState("reconnecting")
        await self.server.start(0.1)
        await self.publish("two")
        await self.until("document.getElementById('text').innerText.split(/\\s+/).join(' ').trim() === 'one two'")
        await self.untilState("streaming")
        self.assertNotIn("lost", await self.states())
