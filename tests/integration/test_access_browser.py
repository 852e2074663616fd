"""
Credentials in Chromium: EventSource with a signed link and with the cookie of a session, and the page.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from sseserver.web.access.apikeys import makeKey, writeLine
from sseserver.web.access.grants import readGrant
from sseserver.web.access.links import Links
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

    async def test_key(self) -> None:
        """A visitor without a credential is asked for a key, and comes in with it. A link for others can read only."""
        await self.open(f"{self.url}/streams/news")
        await self.untilState("locked")
        field = "document.getElementById('key').value = %s; document.querySelector('#lock button').click()"
        await self.script(field % "'wrong'")
        await self.until("document.getElementById('wrong').innerText")
        self.assertTrue(await self.script("return document.getElementById('lock').offsetHeight > 0"))
        await self.script(field % json.dumps(self.key))
        await self.until("document.getElementById('text').textContent.includes('first')")
        self.assertFalse(await self.script("return document.getElementById('lock').offsetHeight > 0"))
        self.assertEqual(
            await self.script(f"return JSON.stringify(localStorage).includes({json.dumps(self.key)})"), False
        )
        members = await self.script(
            f"return Object.fromEntries(new URL({json.dumps(await self.copyLink())}).searchParams)"
        )
        self.assertEqual((members["rights"], members["streams"]), ("read", "news"))
        await deferToThread(self.browser.refresh)
        await self.until("document.getElementById('text').textContent.includes('first')")

    async def test_linkToThePage(self) -> None:
        """A signed link to the page starts runs, which its holder can stop; links for others can read only."""
        server = ServerProcess(freePort(), self.folder, ["--api-keys=keys", "--link-key-file=link"])
        self.addCleanup(lambda: Deferred.fromCoroutine(server.kill()))
        await server.start(5)
        query = Links([b"l" * 40]).make(readGrant("run,read,cancel:alice-*"), int(time.time()) + 3600)
        await self.open(f"http://127.0.0.1:{server.port}/?{query}")
        await self.untilState("streaming")
        self.assertIn("/streams/alice-", await self.script("return location.pathname"))
        await deferToThread(self.browser.refresh)
        await self.untilState("streaming")
        members = await self.script(
            f"return Object.fromEntries(new URL({json.dumps(await self.copyLink())}).searchParams)"
        )
        self.assertEqual(members["rights"], "read")
        address = await self.script("return location.href")
        # Others with this link may stop it, too; those with a link to read may not.
        for link, mayStop in (
            (await self.script("return document.getElementById('link').value"), False),
            (address, True),
        ):
            await self.openWindow(link.replace("127.0.0.1", "localhost"))
            await self.untilState("streaming")
            self.assertEqual(await self.script("return !document.getElementById('stop').hidden"), mayStop)
        await self.click("stop")
        await self.untilState("stopped")

    async def test_notYoursToStop(self) -> None:
        """A run whose starter may not cancel it goes on, and the page says so."""
        folder = Path(self.folder)
        key = makeKey()
        await deferToThread((folder / "weak").write_text, writeLine("weak", key, ["read,run:weak-*"]))
        server = ServerProcess(freePort(), self.folder, ["--api-keys=weak", "--link-key-file=link"])
        self.addCleanup(lambda: Deferred.fromCoroutine(server.kill()))
        await server.start(5)
        await self.open(f"http://127.0.0.1:{server.port}/")
        await self.untilState("locked")
        await self.script(f"document.getElementById('key').value = {json.dumps(key)}")
        await self.script("document.querySelector('#lock button').click()")
        await self.untilState("streaming")
        await self.click("stop")
        await self.until("document.getElementById('remark').innerText.includes('not yours to stop')")
        self.assertTrue(await self.script("return document.getElementById('stop').hidden"))

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
