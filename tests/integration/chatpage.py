"""
The page as a chat, with a source that takes prompts and whose answers each test writes.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from twisted.web.server import Site

from sseserver.apis.root import StreamResource
from sseserver.interfaces import ITokenSink, ITokenSource
from sseserver.service.service import StreamService
from sseserver.settings import Settings
from sseserver.sources.function import FunctionSource
from sseserver.values import Prompt
from tests.integration.browser import BrowserTestCase
from tests.integration.cutting import CuttingProxy, Exchange


@dataclass
class Answer:
    """One run of the source: its prompt, and its sink."""

    sink: ITokenSink
    prompt: Prompt
    done: Deferred[None] = field(default_factory=Deferred)

    def write(self, text: str) -> None:
        """Produce a token for each word."""
        for word in text.split(" "):
            self.sink.write(f"{word} ")

    def writeDelta(self, **delta: object) -> None:
        """Produce a chunk without text, with a delta."""
        self.sink.writeChunk(json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode("ascii"), "")

    def end(self) -> None:
        """End the run."""
        self.done.callback(None)


class ChatPageTestCase(BrowserTestCase):
    """
    The page below a path of a site, behind a proxy that cuts connections. One run works at a time, and one may wait.

    Attributes:
        window: Bytes that the server keeps of an answer.
    """

    window = 16 * 1024 * 1024

    async def setUp(self) -> None:
        await super().setUp()
        self.answers: list[Answer] = []
        settings = Settings(reconnectionTime=300, maxRuns=1, maxWaiting=1, drain=0, window=self.window)
        service = StreamService(reactor, self.makeSource(), settings)
        service.startService()
        self.addCleanup(service.stopService)
        root = Resource()
        root.putChild(b"chat", StreamResource(service))
        listening = reactor.listenTCP(0, Site(root), interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        self.proxy = CuttingProxy(reactor, listening.getHost().port)
        self.proxy.start()
        self.addCleanup(self.proxy.stop)
        self.url = f"http://127.0.0.1:{self.proxy.port}/chat/"

    def makeSource(self) -> ITokenSource:
        """Return the source of the answers."""
        return FunctionSource(self.answer, takesPrompt=True)

    def answer(self, sink: ITokenSink, prompt: Prompt | None) -> Deferred[None]:
        """Record a prompt of the source."""
        assert prompt is not None
        self.answers.append(Answer(sink, prompt))
        return self.answers[-1].done

    @property
    def posts(self) -> list[Exchange]:
        """The requests that start a run."""
        return [exchange for exchange in self.proxy.exchanges if exchange.method == "POST"]

    def type(self, text: str) -> Deferred[None]:
        """Type into the field; a line feed is typed as Shift and Enter, a carriage return as Enter."""
        from selenium.webdriver import ActionChains, Keys

        def type() -> None:
            chain = ActionChains(self.browser).click(self.browser.find_element("id", "field"))
            for character in text:
                if character == "\n":
                    chain.key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT)
                else:
                    chain.send_keys(Keys.ENTER if character == "\r" else character)
            chain.perform()

        return deferToThread(type)

    async def untilAsked(self, count: int, seconds: float = 60) -> Answer:
        """Wait until the source has a number of prompts, and return the newest run."""
        deadline = time.monotonic() + seconds
        while len(self.answers) < count:
            if time.monotonic() > deadline:
                self.fail(f"{len(self.answers)} questions instead of {count}; {await self.read('notice')}")
            await deferLater(reactor, 0.02)
        return self.answers[count - 1]

    def untilText(self, text: str) -> Any:
        """Wait until the page shows a text as the current answer."""
        return self.until(f"document.getElementById('text').textContent.trim() === '{text}'.trim()")

    async def untilNotice(self, part: str) -> None:
        """Wait until the page shows a notice."""
        await self.until(f"document.getElementById('notice').innerText.includes('{part}')")

    def turns(self) -> Deferred[list[list[str]]]:
        """Return the questions and answers above the current answer, each with its class and text."""
        turns = "[...document.querySelectorAll('#turns > .question, #turns > .answer')]"
        return self.script(f"return {turns}.map(each => [each.className, each.textContent])")

    def field(self) -> Deferred[str]:
        """Return the text in the field."""
        return self.script("return document.getElementById('field').value")

    def focused(self) -> Deferred[str]:
        """Return the ID of the element that has the focus."""
        return self.script("return document.activeElement.id")

    def shown(self) -> Deferred[list[str]]:
        """Return the IDs of the visible buttons below the text."""
        buttons = "[...document.querySelectorAll('footer button')]"
        return self.script(f"return {buttons}.filter(button => button.offsetHeight).map(button => button.id)")

    def elsewhere(self, link: str) -> str:
        """Return a link as for another browser: pages of another host name have a storage of their own."""
        return link.replace("127.0.0.1", "localhost")

    def address(self) -> Deferred[str]:
        """Return the address of the window."""
        return self.script("return location.href")

    async def converse(self, question: str, answer: str) -> None:
        """Send a question and produce its answer."""
        before = len(self.answers)
        await self.type(f"{question}\r")
        run = await self.untilAsked(before + 1)
        run.write(answer)
        run.end()
        await self.untilState("finished")

    async def checkRoom(self) -> None:
        """Check that the page fits a phone, and that a finger can press its buttons."""
        self.assertEqual(await self.script("return document.documentElement.scrollWidth"), 320)
        for button in await self.shown():
            self.assertGreaterEqual(await self.script(f"return document.getElementById('{button}').offsetHeight"), 44)
