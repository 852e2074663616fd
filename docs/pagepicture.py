"""
Writes docs/page.png, a picture of the page that moves: words appear, the connection is cut, and the text goes on.

Run it after a change of the page, from the root of the repository, with Chromium and the extra `test` installed:

    python docs/pagepicture.py

Chromium shows the page of a real server, behind a proxy that cuts the connection. Its screenshots become an animated
PNG. The first one is the end of the story, for viewers that do not show animations.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from animatedpng import Frame, animate

from sseserver.sources.text import WELCOME

PICTURE = Path(__file__).with_name("page.png")

#: Pixels of CSS. Size of the window.
WIDTH, HEIGHT = 760, 430

#: Factor. Pixels of the picture for each pixel of CSS.
SCALE = 1.5

#: Bytes. Largest picture.
LIMIT = 400_000

#: Seconds. Time from one word to the next, and on the clock of the page.
PACE = 0.11

#: The connection is cut after these words of the text.
CUT_AFTER = "in the middle of a sentence,"

#: Number of words that are written while the connection is cut.
MISSED = 9

#: Seconds. Time of the pictures without a connection, with all that was missed, and with the whole text.
CUT_SECONDS, BACK_SECONDS, REST_SECONDS = 1.8, 1.2, 3.5

#: Seconds. Longest time for the server and for the browser to do something.
PATIENCE = 60.0

#: Sets the clock of the page, from which it computes the pace of the words: `clock`, in milliseconds.
CLOCK = "window.clock = 0; Object.defineProperty(Event.prototype, 'timeStamp', {get: () => window.clock});"

#: Shows a line of text in the head of the page: `arguments[0]`, in the color `arguments[1]`.
CAPTION = """
let line = document.getElementById("caption");
if (!line) {
    line = document.body.appendChild(document.createElement("p"));
    line.id = "caption";
    Object.assign(line.style, {position: "fixed", top: "24px", left: "0", right: "0", margin: "0", textAlign: "center",
        zIndex: "9", font: "600 15px system-ui, sans-serif"});
}
line.textContent = arguments[0];
line.style.color = arguments[1];
"""


class Cutter:
    """
    A TCP proxy that cuts its connections and accepts no others, as a phone without network does.

    Args:
        target: Port of the server on this machine.

    Attributes:
        port: Port of the proxy.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._isCut = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Cut all connections, and every new one."""
        self._isCut = True
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Accept connections again."""
        self._isCut = False

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._isCut:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._target))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        self._open.add(source)
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        self._open.discard(source)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class Server(NamedTuple):
    """
    A server that streams its standard input.

    Attributes:
        port: Port on this machine.
        words: Its standard input.
    """

    port: int
    words: IO[bytes]


@contextlib.contextmanager
def serve() -> Iterator[Server]:
    """Run a server."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=", "sseserver"]
    options = ["--text=-", "--retry=600", "--drain=0", f"--listen=tcp:{port}:interface=127.0.0.1"]
    environment = {**os.environ, "PYTHONPATH": str(PICTURE.parent.parent)}
    server = subprocess.Popen(  # noqa: S603 (a command of this file)
        [*command, *options], env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, bufsize=0
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("The server does not start.")
            time.sleep(0.1)
        assert server.stdin is not None
        yield Server(port, server.stdin)
    finally:
        server.terminate()
        server.wait(PATIENCE)


@contextlib.contextmanager
def browse(folder: Path) -> Iterator[Any]:
    """Run Chromium with a window of the size of the picture, without animations of the page."""
    from selenium.webdriver import Chrome, ChromeOptions  # noqa: PLC0415 (an extra)
    from selenium.webdriver.chrome.service import Service  # noqa: PLC0415

    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for switch in ("headless", "no-sandbox", "disable-gpu", "hide-scrollbars", f"user-data-dir={folder / 'profile'}"):
        options.add_argument(f"--{switch}")
    browser = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        metrics = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": SCALE, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        yield browser
    finally:
        browser.quit()


class Film:
    """
    The story, picture by picture: a busy machine takes longer, but the pictures are the same.

    Args:
        browser: Shows the page.
        server: Gets the words.

    Attributes:
        shots: The screenshots so far.
    """

    def __init__(self, browser: Any, server: Server) -> None:
        self.shots: list[Frame] = []
        self._browser = browser
        self._server = server
        self._text = ""

    def play(self, text: str) -> None:
        """Play the story with a text."""
        cutter = Cutter(self._server.port)
        words = [f"{word} " for word in text.split()]
        cut = len(text.partition(CUT_AFTER)[0].split()) + len(CUT_AFTER.split())
        self._browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": CLOCK})
        self._browser.get(f"http://127.0.0.1:{cutter.port}/")
        self._awaitState("streaming")
        self._shoot(2 * PACE)
        self._write(words[:cut])
        cutter.cut()
        self._awaitState("reconnecting")
        self._browser.execute_script(CAPTION, "The connection is cut ...", "#b3261e")
        self._shoot(CUT_SECONDS)
        for word in words[cut : cut + MISSED]:
            self._send(word)
        cutter.mend()
        self._awaitState("streaming")
        self._browser.execute_script(CAPTION, "... and back: nothing is missing", "#1b7a4b")
        self._awaitText()
        self._shoot(BACK_SECONDS)
        self._write(words[cut + MISSED :])
        self._server.words.close()
        self._awaitState("finished")
        self._shoot(REST_SECONDS)

    def _write(self, words: list[str]) -> None:
        """Write words, and take a picture of the page with each of them."""
        for word in words:
            self._send(word)
            self._awaitText()
            self._shoot(PACE)

    def _send(self, word: str) -> None:
        self._text += word
        self._browser.execute_script(f"window.clock += {1000 * PACE}")
        self._server.words.write(word.encode())

    def _awaitText(self) -> None:
        """Wait until the page has every word that was written."""
        self._await(f"document.getElementById('text').textContent.length >= {len(self._text)}")

    def _awaitState(self, state: str) -> None:
        self._await(f"document.documentElement.dataset.state === '{state}'")

    def _await(self, condition: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self._browser.execute_script(f"return {condition}"):
            if time.monotonic() > deadline:
                raise SystemExit(f"The page does not come to: {condition}")
            time.sleep(0.02)

    def _shoot(self, seconds: float) -> None:
        png = self._browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"]
        self.shots.append(Frame(seconds, base64.b64decode(png)))


def main() -> None:
    """Film the page, and write the picture."""
    [paragraph] = [each for each in WELCOME.split("\n\n") if CUT_AFTER in each]
    with tempfile.TemporaryDirectory(prefix="sseserver-") as name, serve() as server, browse(Path(name)) as browser:
        film = Film(browser, server)
        film.play(paragraph)
    picture = animate([film.shots[-1], *film.shots[:-1]])
    if len(picture) > LIMIT:
        raise SystemExit(f"The picture has {len(picture)} bytes, more than {LIMIT}.")
    PICTURE.write_bytes(picture)


if __name__ == "__main__":
    main()
