"""
The operator's page in Chromium.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from twisted.web.server import Request

from sseserver.apis import makeAdmin
from sseserver.apis.admin.measured import Measured
from sseserver.apis.root import StreamResource
from sseserver.command.sites import ADMIN_CONNECTIONS
from sseserver.interfaces import IAuthenticator
from sseserver.service.service import StreamService
from sseserver.settings import Settings
from sseserver.sources.function import FunctionSource
from sseserver.timing.reactorlag import ReactorLag
from sseserver.values import Kind, NewEntry, Prompt
from sseserver.web.access.apikeys import ApiKeys, makeKey, readKeyFile, writeLine
from sseserver.web.access.credentials import Credentials, Secrets
from sseserver.web.access.rights import Access
from sseserver.web.peers import Peers
from sseserver.web.site import StreamSite
from tests.house import ROOT
from tests.integration.browser import BrowserTestCase, dropConnections
from tests.integration.documents import Reader, findBlocks
from tests.integration.servers import ask

#: Markup that shows whether it was taken for more than text, and a character that turns the text after it.
PAYLOAD = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\u202e\'&lt;'

#: The same in the page.
SHOWN = PAYLOAD.replace("\u202e", "\u27e8U+202E\u27e9")

#: Script that returns the texts with too little contrast to what is behind them (WCAG 2.2, 1.4.3).
CONTRAST = """
const read = (color) => {
    const context = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
    context.fillStyle = color; context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
};
const light = (color) => read(color).slice(0, 3).map(value => value / 255)
    .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
const behind = (element) => {
    for (; element; element = element.parentElement) {
        const color = getComputedStyle(element).backgroundColor;
        if (read(color)[3] === 255) return color;
    }
    return "white";
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), poor = [];
while (walker.nextNode()) {
    const {parentElement, data} = walker.currentNode;
    if (!data.trim() || !parentElement.checkVisibility() || parentElement.closest("option, :disabled")) continue;
    const [one, other] = [light(getComputedStyle(parentElement).color), light(behind(parentElement))].sort();
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) poor.push([data.trim(), ratio]);
}
return poor;
"""


class Counting(Resource):
    """
    Passes requests on to a resource, and counts those in JSON.

    Args:
        resource: The resource.

    Attributes:
        count: Number of questions of the page.
    """

    def __init__(self, resource: Resource) -> None:
        super().__init__()
        self._resource = resource
        self.count = 0

    def getChildWithDefault(self, path: bytes, request: Request) -> Any:
        """See `Resource.getChildWithDefault`."""
        self.count += b"status.json" in request.path
        return self._resource.getChildWithDefault(path, request)


def token(text: str) -> NewEntry:
    """Make a published token."""
    return NewEntry(Kind.TOKEN, text.encode())


def event(type: str, data: str) -> NewEntry:
    """Make a published event."""
    return NewEntry(Kind.EVENT, f"{type}\n{data}".encode())


class AdminActions(BrowserTestCase):
    """The actions of an operator, and what the page shows."""

    async def untilLive(self) -> None:
        """Wait until the page shows the server."""
        await self.untilState("live")

    def rows(self, table: str) -> Deferred[list[list[str]]]:
        """Return the texts of the cells of a table."""
        return self.script(
            f"return [...document.getElementById('{table}').children]"
            ".map(row => [...row.children].map(cell => cell.textContent))"
        )

    async def names(self) -> list[str]:
        """Return the names in the list of streams."""
        return [row[0] for row in await self.rows("streams")]

    async def untilNames(self, *names: str) -> None:
        """Wait until the list has these streams."""
        texts = json.dumps(list(names))
        found = "[...document.getElementById('streams').children].map(row => row.firstChild.textContent)"
        await self.until(f"{found}.join() === {texts}.join()")

    def lines(self) -> Deferred[list[str]]:
        """Return the lines of raw events."""
        return self.script("return [...document.getElementById('raw').children].map(line => line.textContent)")

    def untilRaw(self, text: str) -> Any:
        """Wait until the raw events have a text."""
        return self.until(f"document.getElementById('raw').textContent.includes({json.dumps(text)})")

    def untilText(self, name: str, text: str) -> Any:
        """Wait until an element has a text."""
        return self.until(f"document.getElementById('{name}').textContent.includes({json.dumps(text)})")

    def choose(self, name: str, value: str) -> Deferred[None]:
        """Choose a value of a field."""
        return self.script(
            f"const field = document.getElementById('{name}'); field.value = {json.dumps(value)};"
            " for (const type of ['input', 'change']) field.dispatchEvent(new Event(type))"
        )

    def press(self, *keys: str) -> Deferred[None]:
        """Press keys."""

        def send() -> None:
            from selenium.webdriver import ActionChains

            ActionChains(self.browser).send_keys(*keys).perform()

        return deferToThread(send)

    def emulate(self, width: int, scheme: str) -> Deferred[None]:
        """Make the window as wide as that of a device, with a colour scheme."""

        def send() -> None:
            metrics = {"width": width, "height": 740, "deviceScaleFactor": 1, "mobile": width < 500}
            self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

        return deferToThread(send)

    async def console(self) -> list[str]:
        """Return the messages of the console."""
        return [entry["message"] for entry in await deferToThread(self.browser.get_log, "browser")]

    async def enter(self, key: str) -> None:
        """Type a key."""
        await self.until("!document.getElementById('login').hidden")
        await self.choose("key", key)
        await self.press("\n")


class AdminPageTestCase(AdminActions):
    """
    The page of a service in this process.

    Attributes:
        service: The service.
        root: Counts the questions of the page.
        url: The URL of the page.
    """

    async def setUp(self) -> None:
        await super().setUp()
        settings = Settings(reconnectionTime=1000, heartbeat=1, drain=0)
        # Its runs last until they are cancelled.
        source = FunctionSource(lambda sink, prompt: Deferred(), takesPrompt=True)
        self.service = StreamService(reactor, source, settings)
        self.service.startService()
        self.addCleanup(self.service.stopService)
        site = StreamSite(StreamResource(self.service), accessLog=None)
        self.measured = Measured(self.service, site, ReactorLag(reactor), False, "built-in text", "memory")
        self.serve()

    def serve(self, authenticator: IAuthenticator | None = None, port: int = 0) -> None:
        """Serve the page, at a port that was used before if it has a number."""
        self.root = Counting(makeAdmin(self.measured, (), Access(authenticator, self.service.wall)))
        site = StreamSite(self.root, accessLog=None, maxBody=1, peers=Peers(maxConnections=ADMIN_CONNECTIONS))
        self.port: Any = reactor.listenTCP(port, site, interface="127.0.0.1")
        self.addCleanup(lambda port=self.port: port.stopListening())
        self.url = f"http://127.0.0.1:{self.port.getHost().port}/admin/"

    async def publish(self, name: str, *entries: NewEntry, close: bool = False) -> None:
        """Publish into a stream."""
        await self.service.publish(name, entries, close)

    async def drop(self) -> None:
        """Drop the connections of the page, and wait until the service knows."""
        await dropConnections()
        while self.service.viewers.count:
            await deferLater(reactor, 0.01)

    async def show(self, *names: str) -> None:
        """Open streams for publishing, and then the page; the first stream is opened there, too."""
        for name in names:
            await self.service.open(name)
        await self.open(self.url + (f"#{names[0]}" if names else ""))
        await self.untilLive()


class OverviewTests(AdminPageTestCase):
    """The server, its streams and its viewers."""

    async def test_server(self) -> None:
        """The page shows what the server is, its rates with units, and its limits beside their use."""
        await self.show("news")
        about = await self.read("about")
        for text in ("pure Python", "built-in text", "memory", "yes"):
            self.assertIn(text, about)
        await self.publish("news", *[token("a")] * 50)
        await self.until(r"/Published entries\s+[1-9][0-9.]*\/s/.test(document.getElementById('rates').innerText)")
        await self.script("document.querySelector('details').open = true")
        limits = {row[0]: row[1] for row in await self.rows("limits")}
        self.assertEqual(limits["Viewers"], "1 of 10,000")
        self.assertRegex(limits["Memory of published streams"], r"^[\d.]+ KiB of 512 MiB$")
        self.assertEqual(await self.console(), [])

    async def test_streams(self) -> None:
        """New streams appear, ended ones are marked, and deleted ones disappear."""
        await self.show()
        await self.until("document.getElementById('streams-place').textContent === 'There are no such streams.'")
        await self.service.open("one")
        await self.untilNames("one")
        await self.publish("one", token("a"), close=True)
        await self.untilText("streams", "ended")
        await self.service.open("two")
        await self.service.delete("one")
        await self.untilNames("two")

    async def test_manyStreams(self) -> None:
        """Ten thousand streams are shown in pages, and found by the beginning of their names and by their state."""
        for number in range(10_000):
            await self.service.open(f"n{number}")
        await self.service.cancel("n7123")
        await self.show()
        self.assertEqual((await self.names())[0], "n9999")
        self.assertEqual(len(await self.names()), 50)
        await self.click("streams-next")
        await self.untilText("streams-place", "51 to 100")
        self.assertEqual((await self.names())[0], "n9949")
        await self.click("streams-first")
        await self.untilText("streams-place", "1 to 50")
        await self.choose("prefix", "n712")
        await self.untilNames(*[f"n712{digit}" for digit in range(9, -1, -1)], "n712")
        await self.choose("shown", "false")
        await self.untilNames("n7123")

    async def test_viewers(self) -> None:
        """The viewers are shown in pages, those of the opened stream by themselves, without what they have read."""
        await self.show("news", "other")
        await self.untilText("viewers-place", "1 to 1 of 1")
        [[stream, client, form, behind, *_]] = await self.rows("viewers")
        self.assertEqual((stream, client.strip(), form, behind), ("news", "127.0.0.1", "events", "0"))
        await self.script("window.source = new EventSource('../streams/other')")
        await self.untilText("viewers-place", "1 to 2 of 2")
        await self.choose("whose", "news")
        await self.untilText("viewers-place", "1 to 1 of 1")
        await self.script("source.close()")

    async def test_strangers(self) -> None:
        """Nothing that a stranger has written is more than text, and no text turns what is beside it."""
        self.measured = replace(self.measured, source=PAYLOAD, store=PAYLOAD)
        self.serve()
        streamLog = await self.service.startRun(Prompt(PAYLOAD))
        await self.service.open("news")
        await self.publish("news", event("x", PAYLOAD), token(PAYLOAD), event(f"y{PAYLOAD}", "z"))
        await self.show("news")
        for name in ("about", "text", "raw"):
            await self.untilText(name, SHOWN)
        await self.untilRaw(f"event: y{SHOWN}")
        await self.script(f"location.hash = {json.dumps(streamLog.name)}")
        await self.untilText("facts", SHOWN)
        self.assertIsNone(await self.script("return window.hacked || null"))
        self.assertEqual(await self.script("return document.querySelectorAll('img, body script').length"), 0)
        self.assertEqual(await self.console(), [])


class RawTests(AdminPageTestCase):
    """A stream that is opened."""

    async def test_raw(self) -> None:
        """The text stands beside the events as they come over the wire: IDs, types, data and comments."""
        await self.show("news")
        await self.publish("news", token("Hello "), token("world"), event("price", "1\n2"))
        await self.untilText("text", "Hello world\nprice: 1\n2")
        await self.untilRaw("event: price")
        epoch = (await self.service.describe("news")).epoch
        lines = await self.lines()
        self.assertEqual(
            lines[lines.index("event: price") :][:4], ["event: price", f"id: {epoch}-3", "data: 1", "data: 2"]
        )
        self.assertIn("retry: ", "\n".join(lines))
        await self.untilText("last", f"{epoch}-3")
        await self.until("[...document.getElementById('raw').children].some(line => line.textContent === ':')")
        await self.publish("news", token("!"), close=True)
        await self.untilRaw("The stream has ended.")
        await self.untilText("facts", "done")
        await self.until("document.getElementById('cancel').disabled")

    async def test_resume(self) -> None:
        """After a lost connection the events go on, without a gap and a repeat, and a line tells the place."""
        await self.show("news")
        await self.publish("news", token("one "))
        await self.untilText("text", "one ")
        epoch = (await self.service.describe("news")).epoch
        await self.drop()
        await self.publish("news", token("two"))
        await self.untilRaw(f"Resumed after {epoch}-1.")
        await self.untilText("text", "one two")
        self.assertEqual(await self.script("return document.getElementById('text').textContent"), "one two")
        lines = await self.lines()
        self.assertEqual([lines.count(f"data: {text}") for text in ("one ", "two")], [1, 1])

    async def test_places(self) -> None:
        """The operator disconnects, and reads on from the last ID, from now, from the start, and in another format."""
        await self.show("news")
        await self.publish("news", token("one "))
        await self.untilText("text", "one ")
        await self.click("connect")
        await self.untilText("connect", "Connect")
        await self.publish("news", token("two "))
        await self.choose("from", "id")
        await self.click("connect")
        await self.untilText("text", "one two ")
        await self.click("connect")
        await self.untilText("connect", "Connect")
        await self.choose("from", "now")
        await self.click("connect")
        await self.untilText("connect", "Disconnect")
        await self.until("document.getElementById('text').textContent === ''")
        await self.choose("from", "")
        await self.choose("format", "openai")
        await self.untilRaw('"object":"chat.completion.chunk"')

    async def test_end(self) -> None:
        """Cancel and delete ask first; the page then shows that the stream has ended, and that it is gone."""
        await self.show("news", "other")
        await self.publish("news", token("a"))
        await self.untilText("text", "a")
        await self.click("cancel")
        await self.click("no")
        self.assertEqual((await self.service.describe("news")).ended, None)
        await self.click("cancel")
        await self.untilText("question", "Cancel the stream news?")
        await self.click("yes")
        await self.untilText("facts", "cancelled")
        await self.untilRaw("event: cancelled")
        await self.click("delete")
        await self.click("yes")
        await self.untilNames("other")
        await self.untilText("facts", "no longer kept, or never made")
        await self.untilText("notice", "news")
        self.assertTrue(await self.script("return document.getElementById('delete').disabled"))
        await self.script("location.hash = 'nothing'")
        await self.untilText("facts", "no longer kept, or never made")
        await self.untilRaw("There is no such stream (404).")

    async def test_longLines(self) -> None:
        """A long line is shortened, and only the last lines are kept."""
        await self.show("news")
        await self.publish("news", event("long", "x" * 10_000))
        await self.untilRaw("6,001 more characters")
        await self.publish("news", *[event("short", "y")] * 300)
        await self.publish("news", event("last", "z"))
        await self.untilRaw("event: last")
        self.assertLessEqual(len(await self.lines()), 500)


class PollingTests(AdminPageTestCase):
    """When the page asks, and what it does while the server is away."""

    async def test_away(self) -> None:
        """The page says that the server is away, keeps what it shows, and comes back by itself."""
        await self.show("news")
        await self.publish("news", token("one "))
        await self.untilText("text", "one ")
        port = self.port.getHost().port
        await self.port.stopListening()
        await self.drop()
        await self.untilState("away")
        self.assertEqual(await self.read("notice"), "The server does not answer. Trying again.")
        self.assertEqual(await self.names(), ["news"])
        await self.publish("news", token("two"))
        self.serve(port=port)
        await self.untilLive()
        self.assertEqual(await self.read("notice"), "")
        await self.untilText("text", "one two")

    async def test_pace(self) -> None:
        """The page asks at most once a second, and not at all in a hidden tab."""
        await self.show("news")
        before = self.root.count
        await deferLater(reactor, 4)
        self.assertTrue(1 <= self.root.count - before <= 4, self.root.count - before)
        await self.hide(True)
        await deferLater(reactor, 1)
        before = self.root.count
        await deferLater(reactor, 4)
        self.assertEqual(self.root.count, before)
        await self.hide(False)
        await self.service.open("other")
        await self.untilNames("other", "news")

    def hide(self, isHidden: bool) -> Deferred[None]:
        """Hide the page, or show it, as the browser does when the user changes the tab."""
        value = json.dumps(isHidden)
        return self.script(
            f"Object.defineProperty(document, 'hidden', {{value: {value}, configurable: true}});"
            " document.dispatchEvent(new Event('visibilitychange'))"
        )


class KeyTests(AdminPageTestCase):
    """A server that asks for credentials."""

    async def setUp(self) -> None:
        await super().setUp()
        self.keys = {name: makeKey() for name in ("all", "some", "none")}
        grants = {"all": "list,read,cancel,delete:*", "some": "list,read:chat-*", "none": "publish:*"}
        lines = "\n".join(writeLine(name, key, [grants[name]]) for name, key in self.keys.items())
        self.serve(Credentials(Secrets(ApiKeys(readKeyFile(lines))), b"s" * 32))
        for name in ("chat-1", "news"):
            await self.service.open(name)

    async def test_key(self) -> None:
        """The page asks for a key, refuses a wrong one, and keeps a right one in this tab, until it is forgotten."""
        await self.open(self.url)
        await self.enter("wrong")
        await self.untilText("notice", "The API key is not valid.")
        await self.enter(self.keys["none"])
        await self.untilText("notice", "list")
        await self.enter(self.keys["all"])
        await self.untilNames("news", "chat-1")
        self.assertEqual(await self.script("return localStorage.length"), 0)
        self.assertEqual(await self.script("return document.cookie"), "")
        self.assertNotIn(self.keys["all"], await self.script("return document.documentElement.outerHTML + location"))
        await self.open(self.url + "?again#news")
        await self.untilNames("news", "chat-1")
        await self.publish("news", token("Hello"))
        await self.untilText("text", "Hello")
        await self.until("document.getElementById('viewers').innerText.includes('key:all')")
        await self.click("forget")
        await self.until("!document.getElementById('login').hidden")
        self.assertEqual(await self.script("return [...Object.values(sessionStorage)].join('')"), "")

    async def test_rights(self) -> None:
        """A key shows the streams that it may list and read, and the page says what it may not do."""
        await self.open(f"{self.url}#chat-1")
        await self.enter(self.keys["some"])
        await self.untilNames("chat-1")
        await self.untilText("facts", "open")
        await self.click("delete")
        await self.click("yes")
        await self.untilText("notice", "This needs the right `delete`")
        self.assertEqual(await self.names(), ["chat-1"])


class GuideTests(AdminActions):
    """docs/guides/admin.md, and the page of `twistd sseserver`."""

    async def test_guide(self) -> None:
        """The commands of the guide show the page, without credentials and with the key that they make."""
        folder = Path(self.folder)
        reader = await deferToThread(Reader, folder)
        self.addCleanup(deferToThread, reader.kill)
        serve, makeKeys = findBlocks(ROOT / "docs" / "guides" / "admin.md", "sh")
        await deferToThread(reader.follow, serve)
        url = f"http://127.0.0.1:{reader.adapt('9000')}/admin/"
        await self.open(url)
        await self.untilLive()
        await self.untilText("about", "built-in text")
        self.assertEqual((await deferToThread(ask, reader.port, "GET", "/admin/"))[0], 404)
        await deferToThread(reader.follow, makeKeys)
        guarded = serve.replace("sseserver", "sseserver --api-keys keys.txt")
        await deferToThread(reader.serve, reader.adapt(guarded))
        key = await deferToThread((folder / "operator.key").read_text, "ascii")
        await self.enter(key.strip())
        await self.untilLive()


class PeopleTests(AdminPageTestCase):
    """The page for everybody: keyboards, phones, and both colour schemes."""

    async def test_keyboard(self) -> None:
        """A stream is opened, cancelled and closed with the keyboard alone, and the focus is always somewhere."""
        await self.show()
        await self.service.open("news")
        await self.untilNames("news")
        await self.script("document.querySelector('#streams a').focus()")
        await self.press("\n")
        await self.untilFocus("stream-title")
        await self.press("\t")
        await self.untilFocus("cancel")
        await self.press("\n")
        await self.untilFocus("no")
        await self.press("\ue00c")
        await self.until("!document.getElementById('confirm').open")
        await self.untilFocus("cancel")
        await self.press("\t", "\t", "\n")
        await self.until("document.getElementById('stream').hidden")
        await self.untilFocus("streams-title")

    def untilFocus(self, name: str) -> Any:
        """Wait until an element has the focus."""
        return self.until(f"document.activeElement.id === '{name}'")

    async def test_looks(self) -> None:
        """At every width and in both schemes nothing is cut off, and every text has enough contrast."""
        await self.service.open("a" * 128)
        await self.show("news", "b" * 128)
        await self.publish("news", token("w" * 500), event("x" * 100, "y" * 500))
        await self.untilText("text", "yyy")
        await self.script("document.querySelector('details').open = true")
        for width in (360, 800, 1280):
            for scheme in ("light", "dark"):
                await self.emulate(width, scheme)
                self.assertLessEqual(await self.script("return document.documentElement.scrollWidth"), width)
                self.assertEqual(await self.script(CONTRAST), [], (width, scheme))

    async def test_names(self) -> None:
        """Each table, region and field has a name, and only the state and the notice are spoken."""
        await self.show("news")
        unnamed = await self.script(
            "return [...document.querySelectorAll('table, section, [role=region], dialog')]"
            ".filter(each => !each.ariaLabel && !each.getAttribute('aria-labelledby')).length"
            " + [...document.querySelectorAll('input, select')].filter(each => !each.labels.length).length"
        )
        self.assertEqual(unnamed, 0)
        spoken = await self.script(
            "return [...document.querySelectorAll('[role=status], [aria-live]')].map(each => each.id)"
        )
        self.assertEqual(spoken, ["state", "notice"])
        self.assertEqual(await self.script("return document.querySelectorAll('th:not([scope])').length"), 0)
