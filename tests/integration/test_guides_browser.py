"""
The guides in docs/guides whose pages are opened in Chromium.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread

from tests.integration.browser import BrowserTestCase
from tests.integration.guides import ANSWER, GUIDES, Follower, findBlocks, needModules
from tests.integration.node import installNode, missing
from tests.integration.servers import ask


def installHtmx(folder: Path) -> str | None:
    """Install the packages that the guide names; return the reason for a failure, if any."""
    (command,) = [block for _, block in findBlocks(GUIDES / "htmx.md") if block.startswith("npm install")]
    return installNode(folder, *command.split()[2:])


class PageTests(BrowserTestCase):
    """Chromium shows what the guides say that a browser shows."""

    def begin(self, folder: str) -> Follower:
        """Make a reader who ends with the test."""
        reader = Follower(folder)
        self.addCleanup(deferToThread, reader.end)
        return reader

    async def press(self, url: str) -> tuple[str, str]:
        """Press the button of a page, and return its text and state at the end of the stream."""
        await self.openWindow(url)
        await self.until("document.getElementById('start')")
        await self.click("start")
        await self.until("/done|refused|failed/.test(document.getElementById('state')?.textContent)")
        return await self.script("return ['text', 'state'].map(name => document.getElementById(name).textContent)")

    async def checkVite(self, folder: str) -> Any:
        """Follow a guide whose page is made by Vite, and press its button; return the reader."""
        reader = self.begin(folder)
        reason = await deferToThread(installNode, reader.folder)
        if reason is not None:
            raise missing(reason)
        await deferToThread(reader.follow, folder)
        [text, state] = await self.press(reader.adapt("http://localhost:5173/"))
        streams = json.loads((await deferToThread(ask, reader.ports["8000"], "GET", "/streams"))[2])["streams"]
        path = streams[0]["url"]
        whole = await deferToThread(ask, reader.ports["8000"], "GET", path, {"Accept": "text/plain"})
        self.assertEqual([text, state], [whole[2].decode(), "done"])
        return reader

    async def test_vite(self) -> None:
        """The page of Vite's development server starts a run on another origin, and follows it."""
        await self.checkVite("vite")

    async def test_react(self) -> None:
        """The hook follows a stream in development, where React mounts twice, and in the built page."""
        reader = await self.checkVite("react")
        await deferToThread(reader.run, "npm run build")
        self.assertTrue(list((reader.folder / "dist" / "assets").glob("*.js")))

    async def test_htmx(self) -> None:
        """htmx shows the answer once: escaped, with its spaces, also in a page that was hidden. It ends at the end."""
        needModules("flask")
        reader = self.begin("applications")
        reason = await deferToThread(installHtmx, reader.folder)
        if reason is not None:
            raise missing(reason)
        # Spaces and line ends of a model come as tokens of their own.
        reader.edit("htmxapp.py", '"token": f"{word} "}', '"token": word}')
        reader.edit(
            "htmxapp.py",
            "            hub.post(stream, json",
            '            hub.post(stream, json={"token": " "})\n            hub.post(stream, json',
        )
        await deferToThread(reader.follow, "htmx")
        await self.openWindow(reader.adapt("http://127.0.0.1:8001/"))
        question = "Why <b>not</b> " + " ".join(map(str, range(20)))
        await self.script(
            "window.ends = []; window.opened = 0;"
            "document.addEventListener('htmx:sse:close', event => window.ends.push(event.detail.reason));"
            "document.addEventListener('htmx:sse:after:connection', () => window.opened++);"
            f"document.querySelector('input').value = {question!r}; document.querySelector('button').click()"
        )
        await self.until("document.getElementById('answer').textContent.length > 30")
        for hidden in ("true", "false"):
            await self.script(
                f"Object.defineProperty(document, 'hidden', {{value: {hidden}, configurable: true}});"
                "document.dispatchEvent(new Event('visibilitychange'))"
            )
        await self.until("document.getElementById('state').textContent")
        shown = await self.script("return ['answer', 'state'].map(name => document.getElementById(name).textContent)")
        self.assertEqual(shown, [" " + f"You asked: {question}".replace(" ", " "), "stop"])
        self.assertEqual(await self.script("return [window.ends, window.opened > 1]"), [["message"], True])

    async def test_renewal(self) -> None:
        """A link that expires in the middle of an answer is renewed; the page shows the answer once, and whole."""
        needModules("fastapi", "uvicorn")
        reader = self.begin("applications")
        await deferToThread(reader.follow, "fastapi")
        reader.edit("hub.py", '"seconds": 600', '"seconds": 2')
        await deferToThread(reader.restart, 1)
        await self.openWindow(reader.adapt("http://127.0.0.1:8001/"))
        question = " ".join(str(number) for number in range(60))
        await self.script(f"document.querySelector('input').value = '{question}'")
        await self.script("document.querySelector('button').click()")
        await self.until("/done|failed|cancelled|lost/.test(document.getElementById('state').textContent)")
        shown = await self.script("return ['answer', 'state'].map(name => document.getElementById(name).textContent)")
        self.assertEqual(shown, [f"You asked: {question} ", "done"])
        self.assertRegex(reader.readLogs(), r'"POST /links/answer-\S+ HTTP/1.1" 200')

    async def test_application(self) -> None:
        """The page of an application shows the answer, which comes from another origin, with a signed link."""
        needModules("fastapi", "uvicorn")
        reader = self.begin("applications")
        await deferToThread(reader.follow, "fastapi")
        await self.openWindow(reader.adapt("http://127.0.0.1:8001/"))
        await self.script("document.querySelector('input').value = 'Why?'; document.querySelector('button').click()")
        await self.until("/done|failed|cancelled/.test(document.getElementById('state').textContent)")
        shown = await self.script("return ['answer', 'state'].map(name => document.getElementById(name).textContent)")
        self.assertEqual(shown, [ANSWER, "done"])
