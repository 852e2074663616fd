"""
Credentials in Chromium: EventSource with a signed link and with the cookie of a session, and the page.
"""

from __future__ import annotations

import json
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from sseserver.web.access.apikeys import makeKey, writeLine
from tests.integration.browser import BrowserTestCase
from tests.integration.serverprocess import ServerProcess
from tests.integration.servers import ask, freePort

#: Script that follows a URL with an EventSource, and collects what it gets.
FOLLOW = """
window.got = [];
window.source = new EventSource("%s");
source.onmessage = event => got.push(event.data);
source.onerror = () => got.push("error " + source.readyState);
"""


class AccessBrowserTests(BrowserTestCase):
    """A server with API keys, links and sessions."""

    async def setUp(self) -> None:
        await super().setUp()
        folder = Path(self.folder)
        self.key = makeKey()
        await deferToThread((folder / "keys").write_text, writeLine("one", self.key, ["read,publish,run,cancel:*"]))
        await deferToThread((folder / "link").write_text, "l" * 40)
        self.server = ServerProcess(freePort(), self.folder, ["--api-keys=keys", "--link-key-file=link"])
        self.addCleanup(lambda: Deferred.fromCoroutine(self.server.kill()))
        await self.server.start(0.02)
        self.url = f"http://127.0.0.1:{self.server.port}"
        await self.send("PUT", "/streams/news")
        await self.send("POST", "/streams/news", b'{"data": "first"}')

    async def send(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Send a request with the key."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        status, _, answer = await deferToThread(ask, self.server.port, method, path, headers, body)
        self.assertLess(status, 300, answer)
        return answer

    async def begin(self) -> None:
        """Begin a session for the key."""
        options = {"method": "POST", "headers": {"Authorization": f"Bearer {self.key}"}}
        await self.script(f"fetch('/session', {json.dumps(options)}).then(response => window.begun = response.status)")
        await self.until("window.begun === 201")

    async def test_link(self) -> None:
        """EventSource follows a signed link, and gives up without one."""
        link = json.loads(await self.send("POST", "/streams/news/links", b"{}"))["url"]
        await self.open(f"{self.url}/")
        await self.script(FOLLOW % link)
        await self.until("got.includes('first')")
        await self.send("POST", "/streams/news", b'{"data": "second"}')
        await self.until("got.includes('second')")
        await self.script("source.close();" + FOLLOW % "/streams/news")
        await self.until("got.includes('error 2')")

    async def test_cookie(self) -> None:
        """A session lets EventSource and fetch in, and scripts cannot read its cookie."""
        await self.open(f"{self.url}/")
        await self.begin()
        self.assertEqual(await self.script("return document.cookie"), "")
        await self.script(FOLLOW % "/streams/news")
        await self.until("got.includes('first')")
        await self.script("fetch('/session', {method: 'DELETE'}).then(response => window.ended = response.status)")
        await self.until("window.ended === 204")
        await self.script("source.close();" + FOLLOW % "/streams/news")
        await self.until("got.includes('error 2')")

    async def test_page(self) -> None:
        """With a session the page runs as it does without authentication; without one it asks for a key."""
        await self.open(f"{self.url}/")
        await self.untilState("locked")
        await self.begin()
        await self.open(f"{self.url}/")
        await self.untilState("finished")

    async def test_sharedPage(self) -> None:
        """The page of a signed link shows its stream, to a browser that has nothing else."""
        link = json.loads(await self.send("POST", "/streams/news/links", b"{}"))["url"]
        await self.open(f"{self.url}{link}")
        await self.until("document.getElementById('text').textContent.includes('first')")
        await self.send("POST", "/streams/news", b'{"data": "second"}')
        await self.until("document.getElementById('text').textContent.includes('second')")
        # Its copy is for other people, who have nothing else either.
        query = await self.script(f"return [...new URL({json.dumps(await self.copyLink())}).searchParams].join()")
        self.assertEqual(query, await self.script("return [...new URLSearchParams(location.search)].join()"))
