"""
The how-to pages in docs/guides as an operator follows them: each block of commands is pasted as it is printed, and
each message that troubleshooting.md quotes is one that a server sends. tests/integration/test_guides.py has the pages
with frameworks.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from twisted.python.usage import UsageError
from twisted.scripts import _twistd_unix
from twisted.scripts import twistd as twistdScript
from twisted.trial.unittest import SynchronousTestCase

from sseserver.command.parsing import Options
from sseserver.options import KEY_VARIABLE
from tests.integration.documents import Reader, findBlocks
from tests.integration.servers import ENVIRONMENT, PATIENCE, ROOT, ask, freePort, serving, twistd

GUIDES = ROOT / "docs" / "guides"

#: Pages of proxies, which all start the same server: tests/integration/test_proxies.py runs the proxies.
PROXIES = ("caddy", "haproxy", "nginx", "traefik")


class Model(BaseHTTPRequestHandler):
    """An OpenAI-compatible API, whose models answer with their names."""

    def do_GET(self) -> None:
        """List the models."""
        self.answer("application/json", {"object": "list", "data": [{"id": "llama3.2"}, {"id": "qwen3"}]})

    def do_POST(self) -> None:
        """Answer with the name of the model."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        choice = {"index": 0, "delta": {"content": f"I am {body['model']}."}, "finish_reason": "stop"}
        self.answer("application/json", {"object": "chat.completion.chunk", "choices": [choice]}, "data: ")

    def answer(self, kind: str, content: object, prefix: str = "") -> None:
        """Send JSON, or one event and the end of an event stream."""
        text = f"{prefix}{json.dumps(content)}" + ("\n\ndata: [DONE]\n\n" if prefix else "")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if prefix else kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing."""


@contextlib.contextmanager
def modelAt(port: int) -> Iterator[None]:
    """Serve the models for the time of a `with` block."""
    with ThreadingHTTPServer(("127.0.0.1", port), Model) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


class PageTests(SynchronousTestCase):
    """Each command does what its page says."""

    def read(self, page: str, *without: str) -> list[str]:
        """Paste the blocks of a page, stop its server, and return what each block prints."""
        self.folder = Path(tempfile.mkdtemp(prefix="sseserver-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        reader = Reader(self.folder, without)
        self.addCleanup(reader.kill)
        with modelAt(reader.ports[2]):
            for block in findBlocks(GUIDES / f"{page}.md", "sh"):
                reader.follow(block)
            texts = reader.finish()
            reader.stop()
        return texts

    def test_cors(self) -> None:
        """A listed origin may ask and start a run; the message for another one is that of the page."""
        asked, started = self.read("cors")
        self.assertIn("HTTP/1.1 204", asked)
        self.assertIn("Access-Control-Allow-Origin: http://localhost:5173", asked)
        self.assertIn("HTTP/1.1 201", started)
        self.assertIn("HTTP/1.1 403", started)
        page = " ".join((GUIDES / "cors.md").read_text("utf-8").split())
        self.assertIn(page.split('"')[1], started)

    def test_keys(self) -> None:
        """A key publishes below its prefix; without it the answer is 401, and elsewhere 404."""
        texts = self.read("keys")
        self.assertIn('"ids"', texts[1])
        self.assertIn("HTTP/1.1 401", texts[2])
        self.assertIn("HTTP/1.1 404", texts[2])

    def test_links(self) -> None:
        """The application gets a link, and the command makes one."""
        texts = self.read("links")
        self.assertRegex(texts[1], r'"url": "/streams/answer-1\?.*sig=')
        self.assertIn("sig=", texts[2])

    def test_keeping(self) -> None:
        """The backup is a store."""
        self.read("keeping")
        with contextlib.closing(sqlite3.connect(self.folder / "copy.db")) as copy:
            self.assertEqual(copy.execute("PRAGMA integrity_check").fetchone(), ("ok",))

    def test_deleting(self) -> None:
        """The streams of the user are deleted; after the last command of the page their bytes are gone, too."""
        texts = self.read("deleting")
        self.assertIn("Deleted alice-1.", texts[2])
        self.assertIn("HTTP/1.1 404", texts[2])
        (command,) = findBlocks(GUIDES / "deleting.md", "text")
        subprocess.run(["sh", "-e", "-c", command], cwd=self.folder, check=True, timeout=PATIENCE)
        kept = b"".join(path.read_bytes() for path in self.folder.glob("streams.db*"))
        self.assertIn(b"CREATE TABLE", kept)
        self.assertNotIn(b"secret of Alice", kept)

    def test_models(self) -> None:
        """A request names its model; a pinned one refuses all others; of several APIs the second one answers."""
        chosen, pinned, several = self.read("models", KEY_VARIABLE)
        self.assertIn("I am qwen3.", chosen)
        self.assertIn('"llama3.2"', chosen)
        self.assertIn('"model_not_found"', pinned)
        self.assertIn("I am qwen3.", several)
        self.assertIn("X-Upstream: small", several)
        self.assertIn('"small": null', several)
        self.assertIn('"big": "The upstream cannot be reached."', several)

    def test_page(self) -> None:
        """The commands make a link to the page."""
        (link,) = self.read("page")
        self.assertRegex(link, r"^http://127\.0\.0\.1:\d+/\?rights=read,run,cancel&streams=alice-\*&.*sig=")

    def test_messages(self) -> None:
        """Both clients print the text; the stream of an answer has it in the format of the API."""
        claude, llama, followed = self.read("messages")
        self.assertIn("That was all.", claude)
        self.assertEqual(claude, llama)
        self.assertIn('"type":"message_stop"', followed)

    def test_admin(self) -> None:
        """The operator's page is served."""
        self.read("admin")

    def test_proxies(self) -> None:
        """The pages of proxies start the same server."""
        (command,) = {tuple(findBlocks(GUIDES / f"{page}.md", "sh")) for page in PROXIES}
        self.assertEqual(len(command), 1)
        self.read("caddy")

    def test_all(self) -> None:
        """Each page with commands is followed by a test."""
        followed = {name.removeprefix("test_") for name in vars(PageTests) if name.startswith("test_")}
        followed |= {*PROXIES, "runs", "fastapi", "flask", "django", "react", "vite", "celery", "htmx", "datastar"}
        followed |= {"aisdk", "agui", "responses"}
        pages = {page.stem for page in GUIDES.glob("*.md") if findBlocks(page, "sh")}
        self.assertLessEqual(pages, followed)


class MessageTests(SynchronousTestCase):
    """A server sends each message that troubleshooting.md quotes."""

    def quoted(self) -> set[str]:
        """Return the texts in quotation marks of the page, each in one line."""
        page = " ".join((GUIDES / "troubleshooting.md").read_text("utf-8").split())
        return set(page.split('"')[1::2])

    def messages(self, port: int, key: str) -> Iterator[str]:
        """Send each request, and yield the messages of the answers."""
        authorized = {"Authorization": f"Bearer {key}", "X-Forwarded-For": "203.0.113.7"}
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        json_ = {"Content-Type": "application/json"}
        event = {"Accept": "text/event-stream"}
        ask(port, "PUT", "/streams/a-1", authorized)
        viewer = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self.addCleanup(viewer.close)
        viewer.request("GET", "/streams/a-1", headers={**authorized, **event})
        viewer.getresponse()
        for method, path, headers in (
            ("PUT", "/streams/a-1", None),
            ("POST", "/streams", {**authorized, "Origin": "https://app.example.com"}),
            ("PUT", "/streams/b", authorized),
            ("GET", "/streams/news", authorized),
            ("DELETE", "/streams", authorized),
            ("GET", "/streams/a-1", {**authorized, "Accept": "image/png"}),
            ("POST", "/streams", {**authorized, **form}),
            ("POST", "/streams", {**authorized, **json_, "Content-Encoding": "gzip"}),
            ("GET", "/", {"Host": "hub.example.com"}),
            ("POST", "/streams", {**authorized, **json_}),
            ("POST", "/streams", {**authorized, **json_}),
            ("GET", "/streams/a-1?format=openai", {**authorized, **event}),
            ("PUT", "/streams/a-2", authorized),
        ):
            body = ask(port, method, path, headers, b"{}" if method == "POST" else None)[2]
            with contextlib.suppress(ValueError):
                yield json.loads(body).get("error", {}).get("message", "")

    def refused(self, *arguments: str) -> str:
        """Return the error of a command line, as twistd prints it."""
        with self.assertRaises(UsageError) as caught:
            options = Options()
            options.parseOptions(arguments)
            options.postOptions()
        return f"sseserver: {caught.exception}"

    def test_messages(self) -> None:
        """Each quoted message comes from a server, from its command line, or from twistd."""
        folder = Path(self.mktemp())
        folder.mkdir()
        port = freePort()
        made = subprocess.run(
            [sys.executable, "-m", "sseserver.keys", "keys.txt", "a", "publish,read,run:a-*"],
            cwd=folder,
            env=ENVIRONMENT,
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        listen = f"tcp:{port}:interface=127.0.0.1"
        limits = ("--max-viewers=1", "--max-streams=1", "--runs-per-minute=1", "--trusted-proxy=127.0.0.1")
        command = twistd("sseserver", f"--listen={listen}", "--api-keys=keys.txt", *limits)
        with serving(command, port, env=ENVIRONMENT, cwd=folder):
            seen = {*self.messages(port, made.stdout.strip())}
            second = subprocess.run(
                twistd("sseserver", f"--listen={listen}"),
                env=ENVIRONMENT,
                cwd=folder,
                check=False,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
        seen.add(second.stderr.strip().replace(str(port), "8000"))
        seen.add(self.refused("--listen=tcp:8000"))
        seen.add(self.refused("--listen=tcp:8000", "--host=hub.example.com"))
        seen.add(self.refused("--max-viewer=5"))
        seen |= {self.anotherServer(folder), self.unknownCommand(), "pure Python", "sseserver: pure Python, since"}
        self.assertEqual(self.quoted() - seen, set())

    def anotherServer(self, folder: Path) -> str:
        """Return the beginning of twistd's message for a pid file of a process that runs."""
        path = folder / "twistd.pid"
        path.write_text(str(os.getppid()), "ascii")
        with self.assertRaises(SystemExit) as caught:
            _twistd_unix.checkPID(str(path))
        return str(caught.exception).partition(",")[0]

    def unknownCommand(self) -> str:
        """Return twistd's message for a plugin that it does not find."""
        options = twistdScript.ServerOptions()
        self.patch(twistdScript.ServerOptions, "subCommands", [("web", None, Options, "")])
        with self.assertRaises(UsageError) as caught:
            options.parseOptions(["sseserver"])
        return str(caught.exception)
