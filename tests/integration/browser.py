"""
Chromium, driven by Selenium, and the actions of a visitor in it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
from functools import cache
from typing import Any
from unittest import SkipTest

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.tcp import Server as ServerTransport
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

#: Script that runs in each page before the page's own. It records the states of the connection, and the length of the
#: text with its times, and keeps a timer for `WAIT` that no test replaces.
WATCH = """
window.seen = {states: [], lengths: [], times: []};
window.later = setTimeout.bind(window);
new MutationObserver(() => {
    const state = document.documentElement.dataset.state, text = document.getElementById("text");
    if (state && state !== seen.states.at(-1)) seen.states.push(state);
    if (text && text.textContent.length !== (seen.lengths.at(-1) ?? 0)) {
        seen.lengths.push(text.textContent.length);
        seen.times.push(performance.now());
    }
}).observe(document, {subtree: true, childList: true, characterData: true, attributes: true});
"""

#: Script that waits for a condition in the page, so that a test does not ask again and again over three processes. Its
#: argument is the number of milliseconds after which it gives up.
WAIT = """
const [limit, done] = arguments, begin = performance.now();
(function look() {
    try {
        if (CONDITION) done(true);
        else if (performance.now() - begin > limit) done(false);
        else (window.later ?? setTimeout)(look, 20);
    } catch (error) {
        done(String(error));
    }
})();
"""

#: Milliseconds. Longest single wait in the page: other commands to the browser have to wait, too.
WAITS = 500

#: A host name of an attacker that points to this machine.
REBOUND = "rebind.evil.example"

#: The list below the address field is a page of its own, which took more of the processor than those of the tests.
SWITCHES = [
    f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup",
]


def whatIsMissing() -> str | None:
    """Return the name of a missing requirement of these tests, if any."""
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed"
    return None


@cache
def startBrowser() -> Any:
    """Start Chromium once for all tests, since that takes longer than most of them. All calls on the result block."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    profile = tempfile.mkdtemp(prefix="sseserver-")
    atexit.register(shutil.rmtree, profile, ignore_errors=True)
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for switch in [*SWITCHES, f"--user-data-dir={profile}"]:
        options.add_argument(switch)
    browser = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    atexit.register(browser.quit)
    return browser


def openWindow(browser: Any) -> None:
    """Open a window, make it the current one, and watch its pages."""
    browser.switch_to.new_window("window")
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})


def openFirstWindow() -> tuple[Any, str]:
    """Return the browser with a new window, and the handle of the window before."""
    browser = startBrowser()
    before = browser.current_window_handle
    openWindow(browser)
    # Discard console messages of earlier tests.
    browser.get_log("browser")
    return browser, before


def closeWindows(browser: Any, kept: str) -> None:
    """Close all windows but one, which keeps the browser alive. A browser that does not react is replaced."""
    try:
        for window in browser.window_handles:
            if window != kept:
                browser.switch_to.window(window)
                browser.close()
        browser.switch_to.window(kept)
    except Exception:
        startBrowser.cache_clear()
        browser.quit()
        raise


async def dropConnections() -> None:
    """Drop the browser's connections to servers in this process, since the browser outlives the test."""

    def present() -> list[ServerTransport]:
        return [each for each in {*reactor.getReaders(), *reactor.getWriters()} if isinstance(each, ServerTransport)]

    for connection in present():
        connection.abortConnection()
    while present():
        await deferLater(reactor, 0.01)


class BrowserTestCase(TestCase):
    """
    A window for each test, and the actions of a visitor. Each test serves at a port of its own, so that pages share
    no storage.
    """

    timeout = 300

    async def setUp(self) -> None:
        if reason := whatIsMissing():
            if os.environ.get("CI"):
                self.fail(reason)
            raise SkipTest(reason)
        self.folder = tempfile.mkdtemp(prefix="sseserver-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.addCleanup(lambda: Deferred.fromCoroutine(dropConnections()))
        self.browser, kept = await deferToThread(openFirstWindow)
        self.addCleanup(deferToThread, closeWindows, self.browser, kept)

    def open(self, url: str) -> Deferred[None]:
        """Load a page into the current window."""
        return deferToThread(self.browser.get, url)

    def script(self, source: str) -> Deferred[Any]:
        """Run JavaScript in the current window, and return the value of its `return`."""
        return deferToThread(self.browser.execute_script, source)

    def click(self, name: str) -> Deferred[None]:
        """Click on the element with an ID. As for a visitor, it must be visible."""
        return deferToThread(lambda: self.browser.find_element("id", name).click())

    def switchTo(self, window: str) -> Deferred[None]:
        """Make another window the current one."""
        return deferToThread(self.browser.switch_to.window, window)

    async def openWindow(self, url: str) -> str:
        """Load a page into a new window, and make it the current one."""

        def load() -> str:
            openWindow(self.browser)
            self.browser.get(url)
            return self.browser.current_window_handle

        return await deferToThread(load)

    async def until(self, condition: str, seconds: float = 60) -> None:
        """Wait until a JavaScript expression is true in the current page."""
        deadline = time.monotonic() + seconds
        while not await deferToThread(self._waitInPage, condition):
            if time.monotonic() > deadline:
                seen = await self.script("return JSON.stringify([window.seen, document.body.innerText])")
                self.fail(f"still not: {condition}\n{seen}")

    def _waitInPage(self, condition: str) -> bool:
        """Return whether a JavaScript expression becomes true within a moment. A page that is left ends the wait."""
        from selenium.common.exceptions import JavascriptException

        try:
            result = self.browser.execute_async_script(WAIT.replace("CONDITION", condition), WAITS)
        except JavascriptException as error:
            if "unload" not in str(error.msg):
                raise
            return False
        self.assertIsInstance(result, bool, condition)
        return result

    def untilState(self, state: str) -> Any:
        """Wait until the page shows a state of its connection."""
        return self.until(f"document.documentElement.dataset.state === '{state}'")

    def untilWords(self, words: int) -> Any:
        """Wait until the page shows a number of words and still streams."""
        return self.until(f"document.getElementById('text').textContent.split(/\\s+/).length > {words}")

    def text(self) -> Deferred[str]:
        """Return the text in the page with all its spaces."""
        return self.script("return document.getElementById('text').textContent")

    def read(self, name: str) -> Deferred[str]:
        """Return the visible text of the element with an ID."""
        return self.script(f"return document.getElementById('{name}').innerText")

    def states(self) -> Deferred[list[str]]:
        """Return the states that the page went through."""
        return self.script("return seen.states")

    async def copyLink(self) -> str:
        """Make the page show the link that it would copy, as in a browser without a clipboard."""
        await self.script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
        await self.click("copy")
        await self.until("!document.getElementById('link').hidden")
        return await self.script("return document.getElementById('link').value")
