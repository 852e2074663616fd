"""
Writes docs/chat.png, a picture of the page as a chat.

Run it after a change of the page, from the root of the repository, with Chromium and the extra `test` installed:

    python docs/chatpicture.py

Chromium shows the page of a real server, in front of a program that prints an answer.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pagepicture import PATIENCE, browse

PICTURE = Path(__file__).with_name("chat.png")

#: Pixels of CSS. Size of the window.
WIDTH, HEIGHT = 1180, 700

#: The conversations, the last one in the picture.
QUESTIONS = (
    "What is a signed link?",
    "Compare long polling with event streams.",
    "How does a browser resume a stream?",
)

ANSWER = """\
It remembers **the last event ID**, and sends it when it comes back:

```js
const source = new EventSource("/streams/answer");
source.onmessage = event => show(event.data);
```

| After a cut | What happens |
| --- | --- |
| ID is known | the text goes on where it was |
| text was trimmed | an event `gap` says what is missing |
"""


@contextlib.contextmanager
def serve(answer: Path) -> Iterator[int]:
    """Run a server that answers every question with a file, and yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=", "sseserver"]
    program = shlex.join(["sh", "-c", f"cat {shlex.quote(str(answer))}", "{prompt}"])
    options = [f"--exec={program}", "--drain=0", f"--listen=tcp:{port}:interface=127.0.0.1"]
    environment = {**os.environ, "PYTHONPATH": str(PICTURE.parent.parent)}
    server = subprocess.Popen([*command, *options], env=environment, stdout=subprocess.DEVNULL)  # noqa: S603 (ours)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("The server does not start.")
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait(PATIENCE)


def ask(browser: Any, question: str) -> None:
    """Ask a question in a new chat, and wait for the end of its answer."""
    from selenium.webdriver import Keys  # noqa: PLC0415 (an extra)

    browser.find_element("id", "fresh").click()
    browser.find_element("id", "field").send_keys(question, Keys.ENTER)
    deadline = time.monotonic() + PATIENCE
    while browser.execute_script("return document.documentElement.dataset.state") != "finished":
        if time.monotonic() > deadline:
            raise SystemExit("The page shows no answer.")
        time.sleep(0.05)


def main() -> None:
    """Ask, and write the picture."""
    with tempfile.TemporaryDirectory(prefix="sseserver-") as name, browse(Path(name)) as browser:
        answer = Path(name, "answer.md")
        answer.write_text(ANSWER, "utf-8")
        with serve(answer) as port:
            metrics = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            browser.get(f"http://127.0.0.1:{port}/")
            for question in QUESTIONS:
                ask(browser, question)
            browser.execute_script("document.getElementById('counts').textContent = ''; scrollTo(0, 0)")
            time.sleep(1)
            picture = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"]
    PICTURE.write_bytes(base64.b64decode(picture))


if __name__ == "__main__":
    main()
