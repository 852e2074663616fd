"""
The tutorial as a newcomer follows it, with its page in Chromium. Between the page and the server is a proxy, which
answers 502 while its server restarts.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.protocols.portforward import ProxyFactory
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from tests.integration.browser import BrowserTestCase, dropConnections
from tests.integration.documents import Reader, findBlocks
from tests.integration.servers import PATIENCE, ROOT

TUTORIAL = ROOT / "docs" / "tutorial.md"
CHAT = Path("docs", "examples", "chat")

#: Answer of the program to a question.
ANSWER = "You asked: {} The answer takes its time, so that you can watch it."


class Down(Resource):
    """
    A proxy whose server does not run.

    Attributes:
        asked: Paths of the requests so far.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def render_GET(self, request: Request) -> bytes:
        """Answer 502 with a page; the next request may go to a server that runs again."""
        request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        self.asked.append(request.uri.decode("ascii"))
        request.setResponseCode(502)
        return b"<h1>502 Bad Gateway</h1>"


class TutorialTests(BrowserTestCase):
    """The page of the tutorial asks, tells how answers end, and comes back."""

    async def setUp(self) -> None:
        await super().setUp()
        self.reader = Reader(Path(self.folder))
        self.addCleanup(deferToThread, self.reader.kill)
        self.down = Down()
        broken = reactor.listenTCP(0, Site(self.down), interface="127.0.0.1")
        self.addCleanup(broken.stopListening)
        self.broken: int = broken.getHost().port
        self.proxy = ProxyFactory("127.0.0.1", self.reader.port)
        self.proxy.noisy = False
        listening = reactor.listenTCP(0, self.proxy, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        script = Path(self.folder) / CHAT / "chat.js"
        script.write_text(script.read_text("utf-8").replace("8000", str(listening.getHost().port)), "utf-8")

    async def ask(self, question: str) -> None:
        """Ask a question in the page."""
        await self.script(f"document.querySelector('input').value = {question!r}")
        await self.script("document.querySelector('button').click()")

    def untilShown(self, state: str) -> Any:
        """Wait until the page shows a state of the last answer."""
        return self.until(f"document.querySelector('em:last-of-type')?.textContent === {state!r}")

    async def untilAsked(self, times: int) -> None:
        """Wait until the proxy has answered 502 so often."""
        deadline = time.monotonic() + PATIENCE
        while len(self.down.asked) < times:
            self.assertLess(time.monotonic(), deadline, self.down.asked)
            await deferLater(reactor, 0.02)

    def shown(self) -> Any:
        """Return the text of the last answer."""
        return self.script("return document.querySelector('p:last-of-type').textContent.trimEnd()")

    async def test_tutorial(self) -> None:
        """Every block is pasted as printed. The page shows `done`, `failed` and a text without a hole after a 502."""
        for block in findBlocks(TUTORIAL, "sh"):
            await deferToThread(self.reader.follow, block)
            if "http.server" in block:
                await self.chat()
        asked, _ = await deferToThread(self.reader.finish)
        self.assertIn("data: You ", asked)
        self.assertIn("event: done", asked)

    async def chat(self) -> None:
        """Do in the page what the tutorial asks for."""
        await self.open(self.reader.adapt("http://localhost:8001/"))
        await self.ask("Why?")
        await self.untilShown("done")
        self.assertEqual(await self.shown(), ANSWER.format("Why?"))
        await self.ask("Will it fail?")
        await self.untilShown("The program ended with exit status 1.")
        self.assertIn("The program ended with exit status 1.", TUTORIAL.read_text("utf-8"))
        await self.ask("And now?")
        await self.until("document.querySelector('p:last-of-type').textContent.startsWith('You asked')")
        self.proxy.port = self.broken
        await dropConnections()
        # The browser's own reconnection, which ends it, and a question of the page.
        await self.untilAsked(3)
        await self.untilShown("reconnecting")
        self.proxy.port = self.reader.port
        await self.untilShown("done")
        self.assertEqual(await self.shown(), ANSWER.format("And now?"))
        self.assertTrue(all(re.search(r"last_event_id=\w{22}-\d+$", path) for path in self.down.asked[1:]))
