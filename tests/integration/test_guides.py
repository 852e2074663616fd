"""
The guides in docs/guides as a reader follows them, with the real frameworks. tests/integration/test_guides_browser.py
has those whose pages are opened in Chromium, and tests/integration/test_howto.py those without a framework.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import time

import httpx
import httpx_sse
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.guides import ANSWER, EXAMPLES, GUIDES, Follower, findBlocks, needModules
from tests.integration.node import missing
from tests.integration.servers import PATIENCE, ROOT, ask, stream


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

    def test_runs(self) -> None:
        """An application starts runs, and signs links to them."""
        needModules("flask")
        reader = Follower("applications")
        self.addCleanup(reader.end)
        self.assertEqual(reader.follow("runs").rstrip("\n"), "Why?")
        self.assertNotIn("Traceback", reader.readLogs())

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
        """The events are patches of Datastar, escaped, for another origin; a returning viewer gets the rest."""
        needModules("flask")
        reader = Follower("applications")
        self.addCleanup(reader.end)
        reader.follow("datastar")
        application = reader.ports["8001"]
        self.assertIn(b"data-on:submit", ask(application, "GET", "/")[2])
        question = json.dumps({"question": "<b>?"}).encode()
        answer = ask(application, "POST", "/answers", {"Content-Type": "application/json"}, question)[2].decode()
        link = html.unescape(re.findall(r"@get\('(.*?)'", answer)[0]) + "&datastar=%7B%7D"
        port, url = reader.ports["8000"], link.removeprefix(f"http://127.0.0.1:{reader.ports['8000']}")
        origin = f"http://127.0.0.1:{application}"
        asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "datastar-request"}
        allowed = ask(port, "OPTIONS", url, {"Origin": origin, **asked})[1]
        self.assertIn("datastar-request", str(allowed).lower())
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

    def test_restart(self) -> None:
        """A hub with a store is restarted in the middle of an answer: nothing is lost, doubled, or left open."""
        needModules("flask")
        for failing, end in ((False, "done"), (True, "cancelled")):
            reader = Follower("applications")
            self.addCleanup(reader.end)
            reader.edit("flaskapp.py", "sleep(0.1)", "sleep(0.2)")
            if failing:
                reader.edit("flaskapp.py", "hub.post(stream, headers", "raise RuntimeError(stream, headers")
            reader.follow("flask")
            reader.restart(0, "--store sqlite:streams.db")
            question = " ".join(str(number) for number in range(20))
            body = {"Content-Type": "application/json"}, json.dumps({"question": question}).encode()
            url = httpx.URL(json.loads(ask(reader.ports["8001"], "POST", "/answers", *body)[2])["url"])
            reader.restart(0)
            self.awaitEnd(reader.ports["8000"], url.raw_path.decode())
            events = stream(reader.ports["8000"], url.raw_path.decode())
            self.assertEqual(
                "".join(event.data for event in events[:-1] if event.type == "message"), f"You asked: {question} "
            )
            self.assertEqual(events[-1].type, end)

    def awaitEnd(self, port: int, path: str) -> None:
        """Wait until a stream has ended."""
        deadline = time.monotonic() + PATIENCE
        while json.loads(ask(port, "GET", path, {"Accept": "application/json"})[2])["state"] == "open":
            self.assertLess(time.monotonic(), deadline, "The stream stays open.")
            time.sleep(0.1)

    def test_renewal(self) -> None:
        """Only the user who asked gets another link."""
        for page, modules in (
            ("flask", ["flask"]),
            ("fastapi", ["fastapi", "uvicorn"]),
            ("django", ["django"]),
            ("runs", ["flask"]),
        ):
            needModules(*modules)
            reader = Follower("applications")
            self.addCleanup(reader.end)
            reader.follow(page)
            here = f"http://127.0.0.1:{reader.ports['8001']}"
            with httpx.Client(trust_env=False, timeout=PATIENCE, base_url=here) as client:
                stranger = client.post("/answers", json={"question": "Why?"}).json()["url"]
                client.get("/").raise_for_status()
                name = httpx.URL(client.post("/answers", json={"question": "Why?"}).json()["url"]).path.split("/")[-1]
                link = client.post(f"/links/{name}").raise_for_status().json()["url"]
                self.assertEqual(client.get(link, headers={"Accept": "application/json"}).status_code, 200)
                self.assertEqual(client.post(f"/links/{httpx.URL(stranger).path.split('/')[-1]}").status_code, 404)
                client.cookies.clear()
                for other in (name, httpx.URL(stranger).path.split("/")[-1], "answer-none"):
                    self.assertEqual(client.post(f"/links/{other}").status_code, 404, page)

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
                # tests/integration/test_deployment.py reads configurations in TOML.
                if language not in {"sh", "text", "toml"}:
                    self.assertTrue(any(block in text for text in texts), f"{guide.name}: {block}")
