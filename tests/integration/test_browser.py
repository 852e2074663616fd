"""
The page in Chromium against `twistd -n sseserver`, with a proxy in between that cuts connections.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from twisted.web.server import Site

from sseserver.apis.root import StreamResource
from sseserver.interfaces import ITokenSink
from sseserver.service.service import StreamService
from sseserver.settings import Settings
from sseserver.sources.function import FunctionSource
from sseserver.sources.text import TextSource, splitWords
from tests.integration.browser import BrowserTestCase
from tests.integration.cutting import CuttingProxy
from tests.integration.serverprocess import ServerProcess
from tests.integration.servers import ROOT, ask, freePort

#: Text of the server: several lines, markup that HTML would swallow, and characters of one to four bytes.
TEXT = """\
<b>A</b> stream is an ordered log; a viewer is a cursor into it.

  Two spaces lead this line, and neither <b> nor &amp; is markup.
Ein Wörterbuch, 一本辞典, словарь, 📖: none of them is cut in two.

What was missed comes again, what was seen does not. Whoever looks reads from the place that they had reached: the one
who came early sees each word as it appears, the one who came late is given what was missed, and the one whose train
went through a tunnel goes on, afterwards, exactly where the tunnel began. Nothing is left out, and then it ends.
"""

#: Seconds. Time from one word to the next: slow enough to act in mid-stream, and about 4 s for the text.
INTERVAL = 0.04

#: Text that does not end before a test has done what it does in mid-stream, however busy the machine is.
ENDLESS = TEXT * 50

#: Seconds. Time from one word of it to the next.
SLOWLY = 0.1

#: Milliseconds. Reconnection time, short so that a test sees several reconnections.
RETRY = 300

#: The plainest page, as docs/events.md prints it.
PLAIN_PAGE = (ROOT / "docs" / "events.md").read_text("utf-8").partition("```html\n")[2].partition("```")[0]


class TextTestCase(BrowserTestCase):
    """Checks of the text in the page."""

    async def checkComplete(self) -> None:
        """Check that the page shows the whole text and that it is finished."""
        await self.untilState("finished")
        self.assertEqual(await self.text(), TEXT)
        lengths = await self.script("return seen.lengths")
        self.assertEqual(lengths, sorted(lengths), "the text grew, and only grew")

    async def checkCounts(self) -> None:
        """Check that the page shows the number of tokens and their pace."""
        counts = await self.read("counts")
        self.assertRegex(counts, rf"^{len(splitWords(TEXT))} tokens · [\d.]+ per second$")
        # The counts of the page itself: a browser that is slow to start gets the first tokens all at once.
        length, milliseconds = await self.script("return [seen.lengths[0], seen.times.at(-1) - seen.times[0]]")
        first = TEXT.encode("utf-16-le")[: 2 * length].decode("utf-16-le", "ignore")
        pace = (len(TEXT.split()) - len(first.split())) / milliseconds * 1000
        self.assertApproximates(float(counts.split()[3]), pace, 0.25 * pace)

    async def checkAnew(self) -> None:
        """Check that a run that was started anew on the same page reaches its end."""
        await self.untilState("finished")
        self.assertEqual((await self.states())[-2:], ["streaming", "finished"])
        self.assertEqual(await self.text(), TEXT)


class ServerTestCase(TextTestCase):
    """
    The page of a server process behind a proxy that cuts connections.

    Attributes:
        content: Text of the server.
        interval: Seconds from one word to the next.
    """

    content = TEXT
    interval = INTERVAL

    async def setUp(self) -> None:
        await super().setUp()
        self.file = Path(self.folder, "text.txt")
        await deferToThread(self.file.write_text, self.content, "utf-8")
        self.server = ServerProcess(freePort(), self.folder, ["--text", str(self.file), "--retry", str(RETRY)])
        self.addCleanup(lambda: Deferred.fromCoroutine(self.server.kill()))
        await self.server.start(self.interval)
        self.proxy = CuttingProxy(reactor, self.server.port)
        self.proxy.start()
        self.addCleanup(self.proxy.stop)
        self.url = f"http://127.0.0.1:{self.proxy.port}/"

    async def untilAnswered(self, count: int, seconds: float = 60) -> None:
        """Wait until a number of requests for event streams was answered."""
        deadline = time.monotonic() + seconds
        while len([exchange for exchange in self.proxy.streams if exchange.status]) < count:
            if time.monotonic() > deadline:
                self.fail(f"{len(self.proxy.streams)} event streams instead of {count}")
            await deferLater(reactor, 0.02)

    def epochs(self) -> set[str]:
        """Epochs in the last event IDs that were sent."""
        asked = [exchange.headers.get("last-event-id", "") for exchange in self.proxy.streams]
        return {lastEventID.rpartition("-")[0] for lastEventID in asked if lastEventID}


class PageTests(ServerTestCase):
    """Streams that reach their end."""

    async def test_streamsToTheEnd(self) -> None:
        """
        The page shows the text growing, then all of it, with the number of tokens and their pace.

        Its EventSource reconnects once, is answered 204, and sends no further request.
        """
        await self.open(self.url)
        await self.untilWords(5)
        self.assertEqual(await self.read("state"), "Streaming")
        await self.checkComplete()
        await self.checkCounts()
        await self.untilAnswered(2)
        asked = len(self.proxy.exchanges)
        await deferLater(reactor, 5)
        self.assertEqual(len(self.proxy.exchanges), asked)
        self.assertEqual([exchange.status for exchange in self.proxy.streams], [200, 204])
        self.assertEqual(await self.states(), ["connecting", "streaming", "finished"])

    async def test_cutInTheMiddle(self) -> None:
        """After two cuts inside an event the page continues the same run and ends with the complete text."""
        self.proxy.cuts = [2000, 1500]
        await self.open(self.url)
        await self.checkComplete()
        await self.untilAnswered(4)
        self.assertEqual([exchange.status for exchange in self.proxy.streams], [200, 200, 200, 204])
        self.assertEqual(len(self.epochs()), 1)
        self.assertIn("reconnecting", await self.states())

    async def test_cutBeforeTheFirstWord(self) -> None:
        """After a cut before the first word the page continues the run that was started, and starts no other one."""
        self.proxy.cuts = [b'"open"}\n\n']
        await self.open(self.url)
        await self.checkComplete()
        await self.untilAnswered(3)
        first, second, _ = [exchange.headers.get("last-event-id") for exchange in self.proxy.streams]
        self.assertIsNone(first)
        self.assertTrue(second and second.endswith("-0"), second)
        self.assertEqual(len(self.epochs()), 1)

    async def test_reloadInTheMiddle(self) -> None:
        """The link of the stream is in the address: a reloaded page shows the same run from its start to its end."""
        await self.open(self.url)
        await self.untilWords(5)
        address = await self.script("return location.href")
        self.assertEqual(address, await self.copyLink())
        await deferToThread(self.browser.refresh)
        await self.checkComplete()
        self.assertEqual(await self.script("return location.href"), address)
        await self.untilAnswered(3)
        self.assertEqual(len(self.epochs()), 1)
        # A request for `/` with a last event ID starts no run.
        asked = [exchange for exchange in self.proxy.streams if exchange.path.startswith("/?")]
        new = [exchange for exchange in asked if "last-event-id" not in exchange.headers]
        self.assertEqual(len(new), 1, "only one run was started")

    async def test_twoPages(self) -> None:
        """Two pages at the same time have a run each, and take the time of one."""
        first = self.browser.current_window_handle
        await self.open(self.url)
        await self.openWindow(self.url)
        await self.checkComplete()
        await self.switchTo(first)
        await self.checkComplete()
        await self.untilAnswered(4)
        self.assertEqual(len(self.epochs()), 2)
        # By the clock of the server: windows may take any time to open.
        for epoch in self.epochs():
            asked = (self.server.port, "GET", f"/streams/{epoch}", {"Accept": "application/json"})
            state = json.loads((await deferToThread(ask, *asked))[2])
            self.assertLess(state["ended"] - state["created"], 1.6 * INTERVAL * len(TEXT.split()))

    async def test_plainPage(self) -> None:
        """The plainest possible page shows the text, and does not start it again after its end."""
        # It replaces a page of this origin, since its script is inline.
        await deferToThread(self.browser.execute_cdp_cmd, "Page.setBypassCSP", {"enabled": True})
        await self.open(f"{self.url}assets/app.css")
        await deferToThread(self.browser.execute_script, "document.write(arguments[0])", PLAIN_PAGE)
        await self.until("document.getElementById('text').textContent.length > 20")
        await self.until("source.readyState === EventSource.CLOSED")
        self.assertEqual(await self.text(), TEXT)
        self.assertEqual([exchange.status for exchange in self.proxy.streams], [200, 204])

    async def test_finishedStreamOpenedLater(self) -> None:
        """The link shows the text also when it is complete."""
        await self.open(self.url)
        await self.untilWords(5)
        link = await self.copyLink()
        await self.untilState("finished")
        await self.open(link)
        await self.checkComplete()

    async def test_spokenByPhrases(self) -> None:
        """Screen readers get new text by phrases, and each word once; the growing text itself is not announced."""
        observe = (
            "window.spoken = []; document.addEventListener('DOMContentLoaded', () =>"
            " new MutationObserver(changes => changes.forEach(change =>"
            " change.addedNodes.forEach(node => spoken.push(node.textContent))))"
            ".observe(document.getElementById('spoken'), {childList: true}))"
        )
        command = "Page.addScriptToEvaluateOnNewDocument"
        await deferToThread(self.browser.execute_cdp_cmd, command, {"source": observe})
        await self.open(self.url)
        await self.untilState("finished")
        phrases = await self.script("return spoken")
        self.assertEqual("".join(phrases), TEXT)
        self.assertIn(len(phrases), range(2, 7))
        self.assertIsNone(await self.script("return document.getElementById('text').closest('[aria-live]')"))

    async def test_withoutEventSource(self) -> None:
        """A browser without EventSource gets a message that says so."""
        command = "Page.addScriptToEvaluateOnNewDocument"
        await deferToThread(self.browser.execute_cdp_cmd, command, {"source": "delete window.EventSource"})
        await self.open(self.url)
        await self.untilState("unsupported")
        self.assertIn("no EventSource", await self.read("notice"))

    async def test_narrowPhone(self) -> None:
        """On a screen 320 pixels wide nothing is cut off, and buttons are large enough for a finger."""
        screen = {"width": 320, "height": 640, "deviceScaleFactor": 2, "mobile": True}
        await deferToThread(self.browser.execute_cdp_cmd, "Emulation.setDeviceMetricsOverride", screen)
        await self.open(self.url)
        await self.untilWords(5)
        self.assertEqual(await self.script("return document.documentElement.scrollWidth"), 320)
        heights = await self.script(
            "return [...document.querySelectorAll('button')].filter(button => button.offsetParent)"
            ".map(button => button.offsetHeight)"
        )
        self.assertGreaterEqual(min(heights), 44)


class MiddleTests(ServerTestCase):
    """Events in mid-stream."""

    content = ENDLESS
    interval = SLOWLY

    async def test_restart(self) -> None:
        """
        After a restart the server has forgotten the run: the page keeps its text, says that the answer is lost, and
        starts anew only on demand.
        """
        await self.open(self.url)
        await self.untilWords(5)
        kept = await self.restart()
        self.assertTrue(ENDLESS.startswith(kept))
        self.assertEqual(self.proxy.streams[-1].status, 204)
        await self.click("again")
        await self.checkAnew()
        self.assertEqual(await self.read("notice"), "")

    async def test_restartWhileWatching(self) -> None:
        """
        The page of a stream's link says so, too. A new start from there is a run of its own with a link of its own.
        """
        await self.open(self.url)
        await self.untilWords(5)
        link = await self.copyLink()
        await self.open(link)
        await self.untilWords(10)
        await self.restart()
        self.assertEqual(self.proxy.streams[-1].status, 404)
        await self.click("again")
        await self.until(f"location.href !== '{link}'")
        await self.checkAnew()

    async def restart(self) -> str:
        """Kill the server, start it again with the usual text, and return the text that the page keeps."""
        await self.server.kill()
        await self.untilState("reconnecting")
        kept = await self.text()
        await deferToThread(self.file.write_text, TEXT, "utf-8")
        await self.server.start(INTERVAL)
        await self.untilState("lost")
        self.assertIn("no longer has this answer", await self.read("notice"))
        self.assertEqual(await self.text(), kept)
        return kept

    async def test_networkGone(self) -> None:
        """While the server cannot be reached the page says that it reconnects, and keeps trying."""
        await self.open(self.url)
        await self.untilWords(5)
        self.proxy.refusing = True
        self.proxy.cut()
        await self.untilState("reconnecting")
        await deferLater(reactor, 1)
        self.assertEqual(await self.read("state"), "Reconnecting")
        kept = await self.text()
        self.proxy.refusing = False
        await self.untilState("streaming")
        await self.untilWords(len(kept.split()) + 5)
        self.assertTrue(ENDLESS.startswith(await self.text()))
        self.assertEqual(len(self.epochs()), 1)

    async def test_silentConsole(self) -> None:
        """
        Streaming, stopping and starting anew break no rule of the Content-Security-Policy and leave the console
        empty.
        """
        await self.open(self.url)
        await self.untilWords(3)
        await self.click("copy")
        await self.click("stop")
        await self.untilState("stopped")
        await self.click("again")
        await self.untilState("streaming")
        await self.untilWords(3)
        self.assertEqual(await deferToThread(self.browser.get_log, "browser"), [])

    async def test_stop(self) -> None:
        """The stop button stops the run; the text so far stays on the page."""
        await self.open(self.url)
        await self.untilWords(5)
        await self.click("stop")
        await self.untilState("stopped")
        kept = await self.text()
        self.assertTrue(kept and ENDLESS.startswith(kept) and kept != ENDLESS, kept)
        await self.untilAnswered(2)
        await deferLater(reactor, 1)
        self.assertEqual(await self.text(), kept)
        self.assertEqual([exchange.status for exchange in self.proxy.streams], [200, 204])


class HeldTests(TextTestCase):
    """A text whose words appear when the test writes them."""

    async def setUp(self) -> None:
        await super().setUp()
        self.began: Deferred[ITokenSink] = Deferred()
        self.end: Deferred[None] = Deferred()
        service = StreamService(reactor, FunctionSource(self.produce), Settings(drain=0))
        service.startService()
        self.addCleanup(service.stopService)
        listening = reactor.listenTCP(0, Site(StreamResource(service)), interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        self.url = f"http://127.0.0.1:{listening.getHost().port}/"

    def produce(self, sink: ITokenSink, _: object) -> Deferred[None]:
        """Give the sink to the test, which fails if there is another run."""
        self.began.callback(sink)
        return self.end

    async def test_watchedFromASecondWindow(self) -> None:
        """The link of a stream shows the same growing text in another window."""
        tokens = splitWords(TEXT)
        first = self.browser.current_window_handle
        await self.open(self.url)
        sink = await self.began
        sink.write(tokens[0])
        await self.untilWords(1)
        second = await self.openWindow(await self.copyLink())
        await self.untilState("streaming")
        for number, window in enumerate((first, second, first), 1):
            await self.switchTo(window)
            sink.write(tokens[number])
            await self.untilWords(number + 1)
        for token in tokens[4:]:
            sink.write(token)
        self.end.callback(None)
        for window in (first, second):
            await self.switchTo(window)
            await self.checkComplete()


class MountedTests(BrowserTestCase):
    """The page of a resource below a path of an existing site."""

    async def setUp(self) -> None:
        await super().setUp()
        # The test does not wait for the end of the stream.
        service = StreamService(reactor, TextSource(reactor, ENDLESS, 2 * SLOWLY), Settings(drain=0))
        service.startService()
        self.addCleanup(service.stopService)
        root = Resource()
        root.putChild(b"chat", StreamResource(service))
        listening = reactor.listenTCP(0, Site(root), interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        self.url = f"http://127.0.0.1:{listening.getHost().port}/chat"

    async def test_belowAPath(self) -> None:
        """
        With and without a trailing slash the page finds its files, its stream, the stream's link, the stop button,
        and the way back.
        """
        for url in (self.url, f"{self.url}/"):
            await self.open(url)
            await self.untilWords(3)
            link = await self.copyLink()
            self.assertTrue(link.startswith(f"{self.url}/streams/"), link)
        await self.open(link)
        await self.untilWords(10)
        await self.click("stop")
        await self.untilState("stopped")
        await self.click("again")
        await self.until(f"location.href.startsWith('{self.url}/streams/') && location.href !== '{link}'")
        await self.untilState("streaming")
        await deferToThread(self.browser.back)
        await self.untilState("stopped")
        self.assertEqual(await self.script("return location.href"), link)
