"""
The guides in docs/guides as a reader follows them: each block of commands is run as it is printed, in the folder of the
example, with the real framework. Only the ports are others.
"""

from __future__ import annotations

import contextlib
import html
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import httpx_sse
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.browser import BrowserTestCase
from tests.integration.node import installNode, missing
from tests.integration.servers import ENVIRONMENT, PATIENCE, QUICK, ROOT, ask, freePort, stream

GUIDES = ROOT / "docs" / "guides"
EXAMPLES = ROOT / "docs" / "examples"

#: Ports in the guides: of the hub, of an application, of Vite, of a Redis, and of a proxy.
PORTS = ("8000", "8001", "5173", "6379", "8080")

#: Begins a block that installs packages, which the tests do in their own way.
_INSTALLATIONS = ("pip install", "npm install")

#: Begins a block that stays in the foreground; the port on which it listens then, if any.
_SERVERS = {
    "twistd -n": "8000",
    "uvicorn": "8001",
    "flask": "8001",
    "python djangoapp.py runserver": "8001",
    "npm run": "5173",
    "redis-server": "6379",
    "celery": None,
    "caddy": "8080",
}

ANSWER = "You asked: Why? "


def findBlocks(page: Path) -> list[tuple[str, str]]:
    """Return the blocks of a guide, each with its language."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


class Follower:
    """
    A reader who follows a guide.

    Args:
        folder: A folder of docs/examples, of which the reader has a copy.
    """

    def __init__(self, folder: str) -> None:
        self.ports = {port: freePort() for port in PORTS}
        self.folder = Path(tempfile.mkdtemp(prefix="sseserver-"))
        ignored = shutil.ignore_patterns("node_modules", "dist", "__pycache__")
        shutil.copytree(EXAMPLES / folder, self.folder, ignore=ignored, dirs_exist_ok=True)
        for path in self.folder.iterdir():
            path.write_text(self.adapt(path.read_text("utf-8")), "utf-8")
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._environment = {**ENVIRONMENT, "PATH": path, "PYTHONWARNINGS": "", "NO_PROXY": "127.0.0.1"}
        # Of Caddy.
        self._environment["XDG_DATA_HOME"] = str(self.folder)
        self._servers: list[subprocess.Popen[bytes]] = []

    def adapt(self, text: str) -> str:
        """Return a text with other ports."""
        return re.sub(r"\b(8000|8001|5173|6379|8080)\b", lambda found: str(self.ports[found[1]]), text)

    def follow(self, page: str) -> str:
        """Run the blocks of a guide, and return the output of the last one that ends."""
        output = ""
        for language, block in findBlocks(GUIDES / f"{page}.md"):
            if language == "sh" and block.startswith(tuple(_SERVERS)):
                self.serve(block.rstrip("\n"))
            elif language == "sh" and not block.startswith(_INSTALLATIONS):
                output = self.run(block)
        return output

    def run(self, block: str) -> str:
        """Run commands that end, and return their output, through a file: a program that hangs keeps no pipe open."""
        with tempfile.TemporaryFile() as output:
            command = ["sh", "-e", "-c", self.adapt(block)]
            done = subprocess.run(
                command, cwd=self.folder, env=self._environment, check=False, stdout=output, timeout=PATIENCE
            )
            output.seek(0)
            text = output.read().decode("utf-8")
        assert done.returncode == 0, f"{block}: {text}{self.readLogs()}"
        return text

    def serve(self, command: str) -> None:
        """Start a server, and wait until it listens on the port that it takes."""
        (usual,) = [port for start, port in _SERVERS.items() if command.startswith(start)]
        port = None if usual is None else self.ports[usual]
        if command.startswith("twistd"):
            command = command.replace("-n", "-n --pidfile=", 1) + f" --listen tcp:{port}:interface=127.0.0.1"
            command = " ".join([command, *QUICK])
        log = (self.folder / f"log{len(self._servers)}").open("wb")
        server = subprocess.Popen(
            self.adapt(command),
            shell=True,
            cwd=self.folder,
            env=self._environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        self._servers.append(server)
        deadline = time.monotonic() + PATIENCE
        # A worker of Celery listens to nothing: its tasks wait for it.
        while port is not None and not self._listens(port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{command}: {Path(log.name).read_text('utf-8')}")
            time.sleep(0.05)

    def _listens(self, port: int) -> bool:
        # Vite may listen on ::1.
        with contextlib.suppress(OSError):
            socket.create_connection(("localhost", port), timeout=PATIENCE).close()
            return True
        return False

    def readLogs(self) -> str:
        """Return the output of the servers."""
        return "".join(path.read_text("utf-8") for path in sorted(self.folder.glob("log*")))

    def end(self) -> None:
        """End the servers, and remove the folder."""
        for server in self._servers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait(PATIENCE)
        shutil.rmtree(self.folder, ignore_errors=True)


def needModules(*names: str) -> None:
    """Skip the test if a module is not installed; in CI, fail."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise missing(f"{name} is not installed")


def installHtmx(folder: Path) -> str | None:
    """Install the packages that the guide names; return the reason for a failure, if any."""
    (command,) = [block for _, block in findBlocks(GUIDES / "htmx.md") if block.startswith("npm install")]
    return installNode(folder, *command.split()[2:])


class ApplicationTests(SynchronousTestCase):
    """An application of a framework publishes; a client of another project reads with the signed link."""

    def check(self, page: str, *modules: str) -> None:
        """Follow a guide, and read the answer again with its link, without it, and from the middle."""
        needModules(*modules)
        reader = Follower("applications")
        self.addCleanup(reader.end)
        self.assertEqual(reader.follow(page).rstrip("\n"), ANSWER)
        with httpx.Client(trust_env=False, timeout=PATIENCE) as client:
            asked = client.post(f"http://127.0.0.1:{reader.ports['8001']}/answers", json={"question": "Why?"})
            url = asked.raise_for_status().json()["url"]

            def read(**headers: str) -> list[httpx_sse.ServerSentEvent]:
                with httpx_sse.connect_sse(client, "GET", url, headers=headers) as source:
                    return list(source.iter_sse())

            events = read()
            self.assertEqual("".join(event.data for event in events if event.event == "message"), ANSWER)
            self.assertEqual(events[-1].event, "done")
            first = events[0]
            self.assertEqual([event.id for event in read(**{"Last-Event-ID": first.id})][-1], events[-1].id)
            self.assertEqual(client.get(url.partition("?")[0]).status_code, 401)
            self.assertEqual(client.get(f"http://127.0.0.1:{reader.ports['8001']}/").status_code, 200)
        self.assertNotIn("Traceback", reader.readLogs())

    def test_fastapi(self) -> None:
        """FastAPI with uvicorn."""
        self.check("fastapi", "fastapi", "uvicorn")

    def test_flask(self) -> None:
        """Flask with its own server."""
        self.check("flask", "flask")

    def test_celery(self) -> None:
        """A worker of Celery publishes, with a Redis as its broker."""
        needModules("celery", "redis")
        if shutil.which("redis-server") is None:
            raise missing("redis-server is not installed")
        reader = Follower("applications")
        self.addCleanup(reader.end)
        self.assertEqual(reader.follow("celery").rstrip("\n"), ANSWER)
        self.assertNotIn("Traceback", reader.readLogs())

    def test_datastar(self) -> None:
        """The events are patches of Datastar, escaped, at the origin of the page; a returning viewer gets the rest."""
        needModules("flask")
        if shutil.which("caddy") is None:
            raise missing("caddy is not installed")
        reader = Follower("applications")
        self.addCleanup(reader.end)
        reader.follow("datastar")
        port = reader.ports["8080"]
        self.assertIn(b"data-on:submit", ask(port, "GET", "/")[2])
        question = json.dumps({"question": "<b>?"}).encode()
        answer = ask(port, "POST", "/answers", {"Content-Type": "application/json"}, question)[2].decode()
        url = html.unescape(re.findall(r"@get\('(.*?)'", answer)[0]) + "&datastar=%7B%7D"
        headers = {"Accept": "text/event-stream, text/html, application/json", "Datastar-Request": "true"}
        events = stream(port, url, headers)
        self.assertEqual(events[-1].type, "done")
        patches = [event for event in events if event.type.startswith("datastar-")]
        types = [event.type.removeprefix("datastar-patch-") for event in patches]
        self.assertEqual(types, ["elements", "elements", "elements", "signals"])
        self.assertEqual(patches[2].data, "selector #answer\nmode append\nelements <span>&lt;b&gt;? </span>")
        self.assertEqual(patches[3].data, 'signals {"state": "done"}')
        rest = stream(port, url, {**headers, "Last-Event-ID": patches[2].id})
        self.assertEqual([event.id for event in rest][-2:], [patches[3].id, events[-1].id])

    def test_django(self) -> None:
        """Django with its own server."""
        self.check("django", "django")

    def test_cancelled(self) -> None:
        """An answer whose publisher fails ends `cancelled`."""
        for page, module in (("flask", "flaskapp.py"), ("fastapi", "fastapiapp.py")):
            needModules("flask", "fastapi", "uvicorn")
            reader = Follower("applications")
            self.addCleanup(reader.end)
            application = reader.folder / module
            broken = re.sub(
                r"(await asyncio|time)\.sleep\(0\.1\)", "raise RuntimeError", application.read_text("utf-8")
            )
            application.write_text(broken, "utf-8")
            self.assertEqual(reader.follow(page).strip(), "")
            port = reader.ports["8001"]
            body = {"Content-Type": "application/json"}, b'{"question": "Why?"}'
            url = httpx.URL(json.loads(ask(port, "POST", "/answers", *body)[2])["url"])
            events = stream(reader.ports["8000"], url.raw_path.decode())
            self.assertEqual([event.type for event in events][-1], "cancelled", page)
            self.assertIn("raise RuntimeError", reader.readLogs())


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
        """htmx shows the answer once: escaped, without the end that it would ask for again."""
        needModules("flask")
        reader = self.begin("applications")
        reason = await deferToThread(installHtmx, reader.folder)
        if reason is not None:
            raise missing(reason)
        await deferToThread(reader.follow, "htmx")
        await self.openWindow(reader.adapt("http://127.0.0.1:8001/"))
        question = "Why <b>not</b>?"
        await self.script(f"document.querySelector('input').value = {question!r}")
        await self.script("document.querySelector('button').click()")
        await self.until("/done|failed|cancelled/.test(document.getElementById('state').textContent)")
        # A source that is not closed would get 204, and the extension would make another one.
        element = "document.querySelector('[sse-connect]')"
        state = await self.script(f"return {element}['htmx-internal-data'].sseEventSource.readyState")
        self.assertEqual(state, 2, "CLOSED")
        url = await self.script(
            f"const next = htmx.createEventSource({element}.getAttribute('sse-connect')); next.close(); return next.url"
        )
        self.assertRegex(url, r"last_event_id=\w{22}-4$")
        shown = await self.script("return ['answer', 'state'].map(name => document.getElementById(name).textContent)")
        self.assertEqual(shown, [f"You asked: {question} ", "done"])

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


class TextTests(SynchronousTestCase):
    """The guides and their examples, as text."""

    def test_sizes(self) -> None:
        """A guide has 80 lines at most, and the program of an application under 40 lines of code."""
        for guide in GUIDES.glob("*.md"):
            self.assertLessEqual(len(guide.read_text("utf-8").splitlines()), 80, guide.name)
        for program in (EXAMPLES / "applications").glob("*.py"):
            lines = [line for line in program.read_text("utf-8").splitlines() if line.strip()]
            self.assertLess(len(lines), 40, program.name)

    def test_blocks(self) -> None:
        """Code in a guide is part of a file of its example, line by line."""
        files = [path for folder in (EXAMPLES, ROOT / "deploy") for path in folder.rglob("*") if path.is_file()]
        texts = [path.read_text("utf-8") for path in files if path.suffix != ".pyc"]
        for guide in [*GUIDES.glob("*.md"), ROOT / "docs" / "tutorial.md"]:
            for language, block in findBlocks(guide):
                if language not in {"sh", "text"}:
                    self.assertTrue(any(block in text for text in texts), f"{guide.name}: {block}")
