"""
The page as a chat in Chromium: work of a model, trying again, changing a question, the list of conversations.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThread
from zope.interface import implementer

from sseserver.errors import SourceError
from sseserver.interfaces import IModels, ITokenSource
from sseserver.sources.function import FunctionSource
from tests.integration.chatpage import ChatPageTestCase

#: Collects what is copied, as a browser with a clipboard does.
CLIPBOARD = """
window.copied = [];
Object.defineProperty(navigator, 'clipboard', {value: {writeText: async text => { copied.push(text); }}});
"""


#: Returns the texts that are hard to read on their ground, with the contrast (WCAG 2.2, 1.4.3).
CONTRAST = """
const light = color => color.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255)
    .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
const ground = element => {
    const {backgroundColor} = getComputedStyle(element);
    return /, 0\\)$/.test(backgroundColor) && element.parentElement ? ground(element.parentElement) : backgroundColor;
};
const hasText = element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
return [...document.querySelectorAll('body *')].filter(each => each.checkVisibility() && hasText(each)).map(each => {
    const [one, other] = [light(getComputedStyle(each).color), light(ground(each))].sort((a, b) => b - a);
    return [each.localName + ' ' + each.textContent.slice(0, 20), (one + 0.05) / (other + 0.05)];
}).filter(([, contrast]) => contrast < 4.5);
"""

#: Returns what can get the focus but has no name for a screen reader.
NAMELESS = """
return [...document.querySelectorAll('button, a[href], input, select, textarea')].filter(each => each.checkVisibility()
    && !each.textContent.trim() && !each.ariaLabel && !each.labels?.length).map(each => each.outerHTML);
"""


class FeatureTestCase(ChatPageTestCase):
    """Actions of a visitor."""

    async def press(self, label: str, within: str = "main") -> None:
        """Click on the last button with a label."""
        find = f"[...document.querySelectorAll('{within} button')].findLast(b => b.textContent === '{label}')"
        await self.until(find)
        await self.script(f"{find}.click()")

    def list(self) -> Any:
        """Return the titles in the list of conversations."""
        return self.script("return [...document.querySelectorAll('#chats a')].map(each => each.textContent)")

    async def resize(self, width: int, height: int) -> None:
        """Change the size of the window."""
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await deferToThread(self.browser.execute_cdp_cmd, "Emulation.setDeviceMetricsOverride", screen)

    def told(self, count: int) -> list[str]:
        """Return the contents of the messages of a run."""
        return [str(each["content"]) for each in self.answers[count - 1].prompt.messages]


class WorkTests(FeatureTestCase):
    """Reasoning and tool calls, and copies."""

    async def test_work(self) -> None:
        """
        Reasoning is folded, and the arguments of a tool call appear as they grow. Both stay with their turn.
        """
        await self.open(self.url)
        await self.type("Weather?\r")
        run = await self.untilAsked(1)
        run.writeDelta(reasoning_content="Let me ")
        run.writeDelta(reasoning_content="think.")
        await self.until("document.querySelector('.thoughts')?.textContent === 'Let me think.'")
        fold = "document.querySelector('#work details.fold')"
        self.assertEqual(await self.script(f"return [{fold}.open, {fold}.innerText]"), [False, "Thinking"])
        run.write("I look.")
        await self.untilText("I look.")
        self.assertEqual(await self.script(f"return {fold}.innerText"), "Thoughts")
        run.writeDelta(tool_calls=[{"index": 0, "id": "a", "function": {"name": "weather", "arguments": '{"city":'}}])
        call = "document.querySelector('.call:last-child')"
        await self.until(f"{call}?.innerText.includes('weather')")
        self.assertIn('{"city":', await self.script(f"return {call}.innerText"))
        run.writeDelta(tool_calls=[{"index": 0, "function": {"arguments": '"Rome"}'}}])
        await self.until(f"""{call}.querySelector('code').textContent === '{{\\n  "city": "Rome"\\n}}'""")
        run.writeDelta(tool_calls=[{"index": 0, "id": "b", "function": {"name": "time", "arguments": ""}}])
        await self.until("document.querySelectorAll('.call').length === 2")
        run.sink.writeChunk(b'{"choices": [], "usage": {"prompt_tokens": 1200, "completion_tokens": 30}}', "")
        run.end()
        await self.untilState("finished")
        self.assertRegex(await self.read("counts"), r"^30 tokens.* · 1,200 in the prompt$")

        await self.type("And then?\r")
        await self.untilAsked(2)
        shown = "return [...document.querySelectorAll('#turns .fold')].map(each => each.innerText.split('\\n')[0])"
        for _ in range(2):
            await self.until("document.querySelectorAll('#turns .fold').length === 3")
            self.assertEqual(await self.script(shown), ["Thoughts", "Calls weather", "Calls time"])
            await deferToThread(self.browser.refresh)

    async def test_copies(self) -> None:
        """The Markdown of an answer, and each block of code, can be copied."""
        await self.open(self.url)
        await self.script(CLIPBOARD)
        await self.converse("Code?", "**Here:**\n\n```python\nx = 1\ny = 2\n```\n")
        await self.press("Copy", "#text")
        await self.until("copied.length === 1")
        await self.press("Copy answer")
        await self.until("copied.length === 2")
        self.assertEqual(
            await self.script("return copied"), ["x = 1\ny = 2\n", "**Here:**\n\n```python\nx = 1\ny = 2\n```\n "]
        )
        self.assertEqual(await self.script("return document.querySelector('#text code').className"), "language-python")


class TurnTests(FeatureTestCase):
    """The last turn again."""

    async def test_tryAgain(self) -> None:
        """A failed turn keeps its reason and offers to try again; the next answer takes its place."""
        await self.open(self.url)
        await self.converse("One?", "First.")
        await self.type("Two?\r")
        run = await self.untilAsked(2)
        run.write("So")
        run.done.errback(SourceError("The model is on strike."))
        await self.untilState("failed")
        self.assertEqual(await self.read("notice"), "The model is on strike.")
        await self.press("Try again")
        run = await self.untilAsked(3)
        self.assertEqual(self.told(3), ["One?", "First. ", "Two?"])
        run.write("Better.")
        run.end()
        await self.untilState("finished")
        self.assertEqual((await self.read("notice"), await self.text()), ("", "Better."))
        shown = [["question", "One?"], ["answer", "First."], ["question", "Two?"]]
        self.assertEqual((await self.turns(), await self.list()), (shown, ["One?"]))
        await deferToThread(self.browser.refresh)
        await self.untilText("Better.")
        self.assertEqual(await self.turns(), shown)

    async def test_stopped(self) -> None:
        """An answer that was stopped says so above later ones, also after a reload: nobody takes it for complete."""
        await self.open(self.url)
        await self.type("One?\r")
        (await self.untilAsked(1)).write("A part")
        await self.untilText("A part")
        await self.click("stop")
        await self.untilState("stopped")
        await self.converse("Two?", "Second.")
        notices = "return [...document.querySelectorAll('#turns > .notice')].map(each => each.textContent)"
        self.assertEqual(await self.script(notices), ["This answer was stopped."])
        await deferToThread(self.browser.refresh)
        await self.untilText("Second.")
        self.assertEqual(await self.script(notices), ["This answer was stopped."])

    async def test_changeQuestion(self) -> None:
        """The last question can be changed, and the change given up."""
        await self.open(self.url)
        await self.converse("One?", "First.")
        await self.converse("Twwo?", "Second.")
        await self.press("Edit question")
        self.assertEqual((await self.field(), await self.focused()), ("Twwo?", "field"))
        self.assertFalse(await self.script("return document.getElementById('editing').hidden"))
        await self.script(
            "const keys = {key: 'Escape', bubbles: true};"
            " document.getElementById('field').dispatchEvent(new KeyboardEvent('keydown', keys))"
        )
        self.assertEqual(await self.field(), "")
        self.assertTrue(await self.script("return document.getElementById('editing').hidden"))
        await self.press("Edit question")
        await self.script("document.getElementById('field').value = ''")
        await self.type("Two?\r")
        (await self.untilAsked(3)).end()
        await self.untilState("finished")
        self.assertEqual(self.told(3), ["One?", "First. ", "Two?"])
        self.assertEqual((await self.turns())[-1], ["question", "Two?"])
        self.assertTrue(await self.script("return document.getElementById('editing').hidden"))


class ListTests(FeatureTestCase):
    """The conversations of this browser."""

    async def test_list(self) -> None:
        """
        The browser keeps a list of conversations, in every window. One can be continued, or forgotten.
        """
        await self.resize(1280, 800)
        await self.open(self.url)
        await self.untilState("ready")
        self.assertEqual(await self.list(), [])
        await self.converse("One?", "First.")
        await self.converse("More?", "Second.")
        await self.click("fresh")
        await self.untilState("ready")
        await self.converse("Other?", "Third.")
        first = self.browser.current_window_handle
        await self.openWindow(self.url)
        await self.until("document.querySelectorAll('#chats a').length === 2")
        self.assertEqual(await self.list(), ["Other?", "One?"])
        await self.script("document.querySelectorAll('#chats a')[1].click()")
        await self.untilText("Second.")
        shown = [["question", "One?"], ["answer", "First."], ["question", "More?"]]
        self.assertEqual(await self.turns(), shown)
        current = "return document.querySelector('#chats [aria-current]').textContent"
        # The conversation has one name in the list, at the head, and in the list of windows.
        self.assertEqual((await self.script(current), await self.read("title")), ("One?", "One?"))
        self.assertEqual(await self.script("return document.title"), "One? · sseserver")
        await self.untilState("finished")
        await self.converse("Even more?", "Fourth.")
        self.assertEqual(self.told(4), ["One?", "First. ", "More?", "Second. ", "Even more?"])
        self.assertEqual(await self.list(), ["One?", "Other?"])
        await self.script("document.querySelector('#chats button').click()")
        await self.untilState("ready")
        self.assertEqual(await self.list(), ["Other?"])
        await self.switchTo(first)
        await self.until("document.querySelectorAll('#chats a').length === 1")

    async def test_newChat(self) -> None:
        """There is one button for a new chat in sight: in the list, or below the text where the list is hidden."""
        await self.open(self.url)
        await self.converse("One?", "First.")
        await self.untilState("finished")
        buttons = "[...document.querySelectorAll('button')].filter((each) => each.textContent === 'New chat')"
        visible = "each.checkVisibility({visibilityProperty: true})"
        for width, id in ((1280, "fresh"), (390, "again")):
            await self.resize(width, 800)
            found = await self.script(f"return {buttons}.filter((each) => {visible}).map(({{id}}) => id)")
            self.assertEqual(found, [id])

    async def test_drawer(self) -> None:
        """On a phone the list is behind a button; the keyboard opens and closes it."""
        await self.resize(390, 800)
        await self.open(self.url)
        await self.converse("One?", "First.")
        side = "getComputedStyle(document.getElementById('side')).visibility"
        self.assertEqual(await self.script(f"return {side}"), "hidden")
        await self.click("menu")
        self.assertEqual((await self.script(f"return {side}"), await self.focused()), ("visible", "fresh"))
        self.assertEqual(await self.script("return document.getElementById('menu').ariaExpanded"), "true")
        await self.script("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))")
        self.assertEqual((await self.script(f"return {side}"), await self.focused()), ("hidden", "menu"))
        await self.click("menu")
        await self.script("document.querySelector('main').click()")
        self.assertEqual(await self.script(f"return {side}"), "hidden")

    async def test_emptyChat(self) -> None:
        """An empty chat says which model answers, and offers two questions, of which one is asked at a click."""
        await self.open(self.url)
        await self.until("document.getElementById('model').innerText === 'sseserver answers.'")
        examples = await self.script("return [...document.querySelectorAll('#examples button')].map(b => b.innerText)")
        self.assertEqual(len(examples), 2)
        await self.press(examples[0], "#examples")
        run = await self.untilAsked(1)
        self.assertEqual(self.told(1), [examples[0]])
        # The title is in sight, and in the list of windows.
        self.assertEqual(await self.read("title"), examples[0])
        self.assertIn(examples[0], await self.script("return document.title"))
        run.end()


@implementer(IModels)
class ModelSource(FunctionSource):
    """A source with two models."""

    def models(self) -> Deferred[list[str]]:
        """See `IModels.models`."""
        return succeed(["first", "second"])


class ModelTests(FeatureTestCase):
    """The choice of a model."""

    def makeSource(self) -> ITokenSource:
        """See `ChatPageTestCase.makeSource`. No model is the usual one."""
        return ModelSource(self.answer, takesPrompt=True)

    def asked(self, count: int) -> Any:
        """Return the model of a run."""
        return self.answers[count - 1].prompt.options.get("model")

    async def test_choice(self) -> None:
        """Without a usual model the page asks for the first one; a conversation goes on with its own model."""
        await self.open(self.url)
        await self.until("document.getElementById('models').options.length === 2")
        await self.converse("One?", "First.")
        await self.click("again")
        await self.until("document.getElementById('models').checkVisibility()")
        await self.script(
            "const list = document.getElementById('models'); list.value = 'second';"
            " list.dispatchEvent(new Event('change'))"
        )
        await self.converse("Two?", "Second.")
        await self.open(await self.address())
        await self.untilText("Second.")
        await self.untilState("finished")
        await self.converse("More?", "Third.")
        self.assertEqual([self.asked(count) for count in (1, 2, 3)], ["first", "second", "second"])

    async def test_link(self) -> None:
        """A visitor who continues a chat from a link asks for the first model, too."""
        await self.open(self.url)
        await self.converse("One?", "First.")
        await self.open(self.elsewhere(await self.address()))
        await self.untilText("First.")
        await self.untilState("finished")
        await self.converse("Two?", "Second.")
        self.assertEqual(self.asked(2), "first")


class LayoutTests(FeatureTestCase):
    """Places of the parts of the page."""

    async def test_emptyAnswer(self) -> None:
        """An answer without text takes no room."""
        await self.open(self.url)
        await self.converse("Nothing?", "")
        height = "getBoundingClientRect().height"
        self.assertEqual(await self.script(f"return document.getElementById('text').{height}"), 0)
        await self.converse("Now?", "Something.")
        self.assertEqual(await self.script(f"return document.querySelector('#turns .answer').{height}"), 0)

    async def test_title(self) -> None:
        """A title from right to left stands beside the mark, too."""
        await self.resize(1000, 600)
        await self.open(self.url)
        await self.converse("\u0645\u0631\u062d\u0628\u0627", "Hello.")
        title = "document.getElementById('title')"
        self.assertEqual(await self.script(f"return getComputedStyle({title}).textAlign"), "left")


class ReaderTests(FeatureTestCase):
    """Scrolling, directions, selections and gaps."""

    window = 16_384

    async def test_scroll(self) -> None:
        """The page follows the end of the text, except for a reader who has scrolled up, until they return."""
        await self.resize(1000, 600)
        await self.open(self.url)
        await self.type("Long?\r")
        run = await self.untilAsked(1)
        end = "document.documentElement.scrollHeight - innerHeight - scrollY"

        async def write(count: int) -> None:
            before = await self.script("return document.getElementById('text').textContent.length")
            run.sink.write("A paragraph.\n\n" * count)
            await self.until(f"document.getElementById('text').textContent.length >= {before + 12 * count - 14}")

        await write(60)
        await self.until(f"{end} < 2")
        self.assertFalse(await self.script("return document.getElementById('latest').offsetHeight"))
        await self.script("scrollTo(0, 200)")
        await self.until("document.getElementById('latest').offsetHeight")
        await write(20)
        self.assertEqual(await self.script("return scrollY"), 200)
        await self.click("latest")
        await self.until(f"{end} < 2")
        await write(20)
        await self.until(f"{end} < 2")
        await self.until("!document.getElementById('latest').offsetHeight")
        run.end()

    async def test_rightToLeft(self) -> None:
        """Each paragraph, list and table has the direction of its text; code is from left to right."""
        await self.open(self.url)
        arabic = "\u0645\u0631\u062d\u0628\u0627 **\u0639\u0631\u0628\u064a** `a()`"
        await self.converse(arabic, f"# {arabic}\n\nEnglish.\n\n- {arabic}\n\n```\nx\n```\n\n> {arabic}\n\n")
        await self.script("window.directionOf = each => getComputedStyle(document.querySelector(each)).direction")
        names = ["h1", "p", "ul", "code", "pre", "blockquote"]
        found = await self.script(f"return {names}.map(each => directionOf('#text ' + each))")
        self.assertEqual(found, ["rtl", "ltr", "rtl", "ltr", "ltr", "rtl"])
        self.assertEqual(await self.script("return directionOf('.question')"), "rtl")

    async def test_colors(self) -> None:
        """Every text has enough contrast in the light and in the dark, and everything to press has a name."""
        await self.resize(1280, 800)
        await self.open(self.url)
        await self.untilState("ready")
        text = "# One\n\n[link](https://x.org) `code`\n\n> quote\n\n```js\ncode\n```\n\n|a|\n|-|\n|b|\n"
        for asked in (0, 1):
            if asked:
                await self.type("Why?\r")
                run = await self.untilAsked(1)
                run.writeDelta(reasoning="Hm.", tool_calls=[{"index": 0, "id": "a", "function": {"name": "f"}}])
                run.write(text)
                run.done.errback(SourceError("On strike."))
                await self.untilState("failed")
            self.assertEqual(await self.script(NAMELESS), [])
            for scheme in ("light", "dark"):
                features = [{"name": "prefers-color-scheme", "value": scheme}]
                media = {"features": features}
                await deferToThread(self.browser.execute_cdp_cmd, "Emulation.setEmulatedMedia", media)
                self.assertEqual(await self.script(CONTRAST), [], scheme)

    async def test_gap(self) -> None:
        """A page that was away too long says how much is missing, goes on behind the hole, and says it is back."""
        await self.open(self.url)
        await self.type("Long?\r")
        run = await self.untilAsked(1)
        run.sink.write("Begin. ")
        await self.untilText("Begin.")
        self.proxy.refusing = True
        self.proxy.cut()
        await self.untilState("reconnecting")
        self.assertEqual(await self.read("state"), "Reconnecting")
        for _ in range(40):
            run.sink.write("x" * 1000 + " ")
        self.proxy.refusing = False
        await self.until("document.getElementById('gap').innerText.startsWith('Part of the text is missing (')")
        await self.untilState("streaming")
        self.assertIn("Connected again", await self.script("return document.getElementById('spoken').textContent"))
        run.sink.write("The end.")
        await self.until("document.getElementById('text').textContent.endsWith('The end.')")
        self.assertTrue((await self.text()).startswith("Begin."))
        run.end()

    async def test_selectionStays(self) -> None:
        """A selection in the growing paragraph stays while the paragraph grows."""
        await self.open(self.url)
        await self.type("Long?\r")
        run = await self.untilAsked(1)
        run.sink.write("Some *words* to select, and")
        await self.untilText("Some words to select, and")
        await self.script(
            "const [text] = document.querySelector('#text p').childNodes;"
            " getSelection().setBaseAndExtent(text, 0, text, 4)"
        )
        run.sink.write(" **more** of them\n\nand another paragraph")
        await self.until("document.querySelectorAll('#text p').length === 2")
        self.assertEqual(await self.script("return String(getSelection())"), "Some")
        run.end()
