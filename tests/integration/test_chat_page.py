"""
The page as a chat in Chromium: conversations, links, notices, and questions that do not arrive.
"""

from __future__ import annotations

from twisted.internet.threads import deferToThread

from sseserver.errors import SourceError
from tests.integration.chatpage import ChatPageTestCase

#: Script that fills the storage of the browser with turns of old chats, as large as it takes them.
FILL_STORAGE = """
for (let size = 1e6, number = 0; size >= 100; number += 1) {
    try {
        const turn = {question: "x".repeat(size), answer: "", after: "", time: number};
        localStorage.setItem(new URL("streams/old" + number, location).pathname, JSON.stringify(turn));
    } catch (error) {
        size /= 10;
    }
}
return localStorage.length;
"""


class ChatTests(ChatPageTestCase):
    """Conversations."""

    async def test_conversation(self) -> None:
        """
        A conversation shows each question above its answer, and sends all turns with each question.

        Nothing runs before the first question. Each answer has an address of its own, which the back button reaches.
        """
        await self.open(self.url)
        await self.untilState("ready")
        self.assertEqual((await self.shown(), await self.focused()), (["send"], "field"))
        await self.type("  \r")
        await self.type("\b\bWhat is <b>that</b>?\nA log?\r")
        first = await self.untilAsked(1)
        question = "What is <b>that</b>?\nA log?"
        self.assertEqual(list(first.prompt.messages), [{"role": "user", "content": question}])
        first.write("A record &amp; its")
        await self.untilText("A record & its")
        self.assertEqual(await self.turns(), [["question", question]])
        self.assertEqual((await self.field(), await self.focused()), ("", "field"))
        self.assertEqual(await self.shown(), ["stop", "copy", "again"])

        # Text that is typed while an answer arrives cannot be sent before the end of the answer.
        await self.type("Why?\r")
        first.write("place.")
        await self.untilText("A record & its place.")
        self.assertEqual((len(self.posts), await self.field()), (1, "Why?"))
        first.end()
        await self.untilState("finished")
        one = await self.address()
        self.assertRegex(one, rf"^{self.url}streams/\w{{22}}$")

        await self.click("send")
        second = await self.untilAsked(2)
        told = [["user", question], ["assistant", "A record &amp; its place. "], ["user", "Why?"]]
        self.assertEqual([[message["role"], message["content"]] for message in second.prompt.messages], told)
        second.write("Because.")
        await self.untilText("Because. ")
        shown = [["question", question], ["answer", "A record & its place."], ["question", "Why?"]]
        self.assertEqual((await self.turns(), await self.focused()), (shown, "field"))
        second.end()
        await self.untilState("finished")
        two = await self.address()

        await deferToThread(self.browser.back)
        await self.untilText("A record & its place.")
        await self.untilState("finished")
        self.assertEqual((await self.address(), await self.turns()), (one, shown[:1]))
        await deferToThread(self.browser.forward)
        await self.untilText("Because. ")
        self.assertEqual((await self.address(), await self.turns()), (two, shown))

        screen = {"width": 320, "height": 640, "deviceScaleFactor": 2, "mobile": True}
        await deferToThread(self.browser.execute_cdp_cmd, "Emulation.setDeviceMetricsOverride", screen)
        await self.checkRoom()
        await self.click("again")
        await self.untilState("ready")
        await self.checkRoom()
        self.assertEqual((await self.address(), await self.turns(), await self.text()), (self.url, [], ""))
        self.assertEqual((await self.focused(), len(self.answers)), ("field", 2))
        self.assertEqual(await deferToThread(self.browser.get_log, "browser"), [])

    async def test_reloadAndSecondWindow(self) -> None:
        """
        A page that is reloaded in mid-stream shows the conversation and continues it.

        Another browser at the link sees the question and the answer live, but is not offered to stop it.
        """
        await self.open(self.url)
        await self.untilState("ready")
        self.assertGreater(await self.script(FILL_STORAGE), 1)
        await self.converse("One?", "First.")
        await self.type("Two?\r")
        run = await self.untilAsked(2)
        run.write("In the")
        await self.untilText("In the ")
        link = await self.address()
        shown = [["question", "One?"], ["answer", "First."], ["question", "Two?"]]

        await deferToThread(self.browser.refresh)
        await self.untilText("In the ")
        self.assertEqual((await self.turns(), await self.address()), (shown, link))

        first = self.browser.current_window_handle
        second = await self.openWindow(self.elsewhere(link))
        await self.untilText("In the ")
        self.assertEqual((await self.turns(), await self.shown()), (shown[2:], ["copy", "again"]))
        run.write("middle")
        for window in (first, second):
            await self.switchTo(window)
            await self.untilText("In the middle ")
        await self.switchTo(first)
        await self.click("stop")
        for window in (second, first):
            await self.switchTo(window)
            await self.untilState("stopped")
        self.assertEqual((len(self.answers), len(self.posts)), (2, 3))

        # A stopped answer stays in the conversation, also after the server has forgotten it.
        await self.script("return fetch(location.href, {method: 'DELETE'}).then(response => response.status)")
        await deferToThread(self.browser.refresh)
        await self.untilState("lost")
        self.assertEqual((await self.turns(), await self.text()), (shown, "In the middle"))
        await self.type("Three?\r")
        run = await self.untilAsked(3)
        told = [message["content"] for message in run.prompt.messages]
        self.assertEqual(told, ["One?", "First. ", "Two?", "In the middle ", "Three?"])
        run.done.errback(ValueError("of no concern to viewers"))
        await self.untilState("failed")
        self.flushLoggedErrors(ValueError)
        self.assertEqual((await self.shown())[0], "send")

    async def test_F99_sharedLink(self) -> None:
        """
        F99: whoever opens a link sees the question, is not offered to stop the answer, and can continue from both.
        """
        await self.open(self.url)
        await self.type("Why?\r")
        run = await self.untilAsked(1)
        run.write("Because.")
        await self.untilText("Because. ")
        await self.openWindow(self.elsewhere(await self.address()))
        await self.untilText("Because. ")
        self.assertEqual((await self.turns(), await self.shown()), ([["question", "Why?"]], ["copy", "again"]))
        run.end()
        await self.untilState("finished")
        self.assertEqual(await self.shown(), ["send", "copy", "again"])

        await self.type("And then?\r")
        run = await self.untilAsked(2)
        told = [message["content"] for message in run.prompt.messages]
        self.assertEqual(told, ["Why?", "Because. ", "And then?"])
        run.write("Then")
        await self.untilText("Then ")
        shown = [["question", "Why?"], ["answer", "Because."], ["question", "And then?"]]
        for _ in range(2):
            self.assertEqual((await self.turns(), await self.shown()), (shown, ["stop", "copy", "again"]))
            await deferToThread(self.browser.refresh)
            await self.untilText("Then ")

    async def isVisible(self, name: str) -> bool:
        """Return whether an element is between the upper edge of the window and the footer."""
        return await self.script(
            f"const box = document.getElementById('{name}').getBoundingClientRect();"
            " const end = document.querySelector('footer').getBoundingClientRect().top;"
            " return box.height > 0 && box.top >= 0 && box.bottom <= end + 1"
        )

    async def test_F93_noticeStays(self) -> None:
        """
        F93: the reason of a failure is visible below long turns, and stays with its turn, also after a reload.

        The state is always visible, even for a reader who has scrolled up.
        """
        screen = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        await deferToThread(self.browser.execute_cdp_cmd, "Emulation.setDeviceMetricsOverride", screen)
        await self.open(self.url)
        await self.converse("One?", "word " * 900)
        await self.type("Two?\r")
        run = await self.untilAsked(2)
        run.write("word " * 900)
        await self.until("document.getElementById('text').textContent.length > 4000")
        self.assertTrue(await self.isVisible("state"))
        run.done.errback(SourceError("The model is on strike."))
        await self.untilState("failed")
        for place in ("document.documentElement.scrollHeight", "0"):
            await self.script(f"window.scrollTo(0, {place})")
            self.assertEqual((await self.isVisible("notice"), await self.isVisible("state")), (True, True), place)
        self.assertEqual(await self.read("notice"), "The model is on strike.")

        await self.type("Three?\r")
        run = await self.untilAsked(3)
        run.write("So")
        await self.untilText("So ")
        notices = "return [...document.querySelectorAll('#turns > *:not(h2)')].slice(-3).map(each => each.innerText)"
        _, *shown = await self.script(notices)
        self.assertEqual((shown, await self.read("notice")), (["The model is on strike.", "Three?"], ""))
        self.assertTrue(await self.isVisible("state"))
        await deferToThread(self.browser.refresh)
        await self.untilText("So ")
        self.assertEqual((await self.script(notices))[1:], shown)
        self.assertEqual(await self.script("return document.querySelectorAll('#turns .notice.bad').length"), 1)

    async def test_questionThatDoesNotArrive(self) -> None:
        """
        A question that the server refuses stays in the field, with the reason.

        A question whose connection is cut is sent again, and starts one run even if only the answer was lost.
        """
        await self.open(self.url)
        await self.type("One?\r")
        (await self.untilAsked(1)).write("First.")
        await self.untilText("First. ")
        for question in ("Who waits?", "Two?"):
            await self.click("again")
            await self.untilState("ready")
            await self.type(f"{question}\r")
            await self.until("document.documentElement.dataset.state !== 'sending'")
        await self.untilNotice("retry later")
        self.assertEqual([exchange.status for exchange in self.posts], [201, 201, 503])
        self.assertEqual((await self.field(), await self.focused(), await self.shown()), ("Two?", "field", ["send"]))
        self.assertEqual(await self.address(), self.url)
        self.answers[0].end()
        (await self.untilAsked(2)).end()

        self.proxy.refusing = True
        self.proxy.cut()
        await self.click("send")
        await self.untilNotice("cannot be reached")
        self.assertEqual((await self.read("state"), await self.field()), ("Sending", "Two?"))
        self.proxy.cutEach = 1
        self.proxy.refusing = False
        run = await self.untilAsked(3)
        self.proxy.cutEach = None
        run.write("Here.")
        await self.untilText("Here. ")
        self.assertEqual((await self.field(), await self.turns()), ("", [["question", "Two?"]]))
        run.end()
        await self.untilState("finished")
        self.assertEqual(len(self.answers), 3)
        one, two, *others = [exchange.headers["idempotency-key"] for exchange in self.posts]
        self.assertGreater(len(others), 2)
        self.assertEqual(len({one, two, *others}), 3)
