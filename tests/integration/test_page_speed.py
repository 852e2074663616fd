"""
The page with an answer of 100,000 tokens: the time that Chromium takes for each frame, as its own trace has it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.integration.browser import SWITCHES
from tests.integration.chatpage import ChatPageTestCase

#: Number of tokens of the answer.
TOKENS = 100_000

#: Characters of a token.
SIZE = 5

#: Number of tokens that arrive together, and 50 times a second, while they arrive live.
BURST = 200

#: Milliseconds. Longest task of the page's thread. CPU time: a busy machine takes longer by the clock.
LONGEST = 50

#: A page of Markdown as models write it, and blocks that a model does not end.
PAGE = """\
## Part

A paragraph with **bold**, *emphasis*, `code` and [a link](https://example.org/). It goes on for a while, as
paragraphs do, until it comes to an end.

1. First of all
2. Then `this`
   - and that

```python
def double(number):
    return 2 * number
```

| Name | Value |
| --- | ---: |
| one | 1 |
| two | **2** |

> A quotation.

"""
CODE = "\n```\n" + "a line of code that is neither short nor long\n" * 1500 + "```\n\n"
LIST = "- an item of a long list with `code`\n" * 300 + "\n"
PARAGRAPH = "a sentence that does not end and goes on, " * 400 + "\n\n"


def makeTracedBrowser(folder: str) -> Any:
    """Start a Chromium that traces the tasks of its threads."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    traced = {"traceCategories": "toplevel", "enableNetwork": False, "enablePage": False}
    options.add_experimental_option("perfLoggingPrefs", traced)
    for switch in [*SWITCHES, f"--user-data-dir={folder}"]:
        options.add_argument(switch)
    return Chrome(options=options, service=Service(shutil.which("chromedriver")))


def readTasks(browser: Any, start: float) -> list[float]:
    """
    Return the CPU times of the tasks of pages in milliseconds, the longest first.

    Args:
        browser: See `makeTracedBrowser`. It gives its trace once.
        start: Tasks before this time do not count, by the clock that Chromium uses, too.
    """
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    events = [message["params"] for message in messages if message["method"] == "Tracing.dataCollected"]
    names = [each for each in events if each.get("name") == "thread_name"]
    pages = {(each["pid"], each["tid"]) for each in names if each["args"]["name"] == "CrRendererMain"}
    tasks = [each for each in events if each.get("name", "").endswith("RunTask") and "tdur" in each]
    counted = [each for each in tasks if (each["pid"], each["tid"]) in pages and each["ts"] > start * 1e6]
    return sorted((each["tdur"] / 1000 for each in counted), reverse=True)


class SpeedTests(ChatPageTestCase):
    """A long answer."""

    async def check(self, live: bool) -> None:
        """
        Show an answer as it is written, or all at once, and check the times of the tasks.

        A busy machine makes a task slow now and then; what takes the page itself too long does so each time.
        """
        longest = []
        for number in range(1, 4):
            tasks = await self.show(live, number)
            self.assertGreater(len(tasks), 100)
            if tasks[0] < LONGEST:
                return
            longest.append(tasks[:5])
        self.fail(longest)

    async def show(self, live: bool, number: int) -> list[float]:
        """Show an answer in a new browser, that of the run with a number; return the times of the tasks."""
        folder = tempfile.mkdtemp(prefix="sseserver-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        # A browser gives its trace once.
        self.browser = await deferToThread(makeTracedBrowser, folder)
        self.addCleanup(deferToThread, self.browser.quit)
        await self.open(self.url)
        await self.until("document.getElementById('model').innerText")
        start = time.monotonic()
        await self.type("Much?\r")
        run = await self.untilAsked(number)
        text = (CODE + LIST + PARAGRAPH + PAGE * 2000)[: SIZE * TOKENS]
        for place in range(0, len(text), SIZE):
            run.sink.write(text[place : place + SIZE])
            if live and place % (BURST * SIZE) == 0:
                await deferLater(reactor, 0.02)
        run.end()
        await self.until("document.documentElement.dataset.state === 'finished'", 120)
        self.assertGreaterEqual(int((await self.read("counts")).split()[0].replace(",", "")), TOKENS)
        tasks: list[float] = await deferToThread(readTasks, self.browser, start)
        return tasks

    async def test_live(self) -> None:
        """No frame takes more than 50 ms of CPU time while 100,000 tokens arrive."""
        await self.check(True)

    async def test_atOnce(self) -> None:
        """No frame takes more than 50 ms of CPU time if 100,000 tokens arrive all at once."""
        await self.check(False)
