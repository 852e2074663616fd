"""
The programs in docs/examples do what the documentation says. Each runs as its first line says, without any other
argument; only its port is replaced in its text.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.servers import ENVIRONMENT, PATIENCE, ROOT, ask, freePort, serving, stream, twistd

EXAMPLES = ROOT / "docs" / "examples"


class ExampleTests(SynchronousTestCase):
    """F92, F97: each example starts as its documentation says, and streams; with a taken port it ends with one line."""

    def check(self, command: list[str], port: int, path: str, text: str) -> None:
        """Start a program, and read a visitor's stream, the page, and a stream by its name."""
        with serving(command, port, env=ENVIRONMENT):
            events = stream(port, path)
            self.assertEqual([event.data for event in events if event.type == "message"][-1], text)
            self.assertEqual(events[-1].type, "done")
            self.checkPage(port, path)
            status, headers, _ = ask(port, "POST", f"{path}streams")
            self.assertEqual(status, 201)
            tokens = [event.data for event in stream(port, headers["location"]) if event.type == "message"]
            self.assertEqual("".join(tokens), text)
            state = json.loads(ask(port, "GET", headers["location"], {"Accept": "application/json"})[2])
            self.assertEqual(state["state"], "done")

    def checkPage(self, port: int, path: str) -> None:
        """Check that the page is served, and its files at the place that it names."""
        status, _, body = ask(port, "GET", path)
        self.assertEqual(status, 200)
        self.assertIn(b'src="assets/app.js"', body)
        self.assertEqual(ask(port, "GET", f"{path}assets/app.js")[0], 200)

    def setUp(self) -> None:
        self.port = freePort()
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir(parents=True)

    def copy(self, name: str) -> str:
        """Copy an example with another port, and return its name."""
        text = (EXAMPLES / name).read_text("utf-8")
        self.assertIn("8080", text)
        (self.folder / name).write_text(text.replace("8080", str(self.port)), "utf-8")
        return str(self.folder / name)

    def python(self, name: str, path: str, text: str, *arguments: str) -> None:
        """Check an example that is a server, and that it ends with one line if its port is taken."""
        command = [sys.executable, self.copy(name), *arguments]
        self.assertIn(f"python {name}", (EXAMPLES / name).read_text("utf-8").splitlines()[0])
        self.check(command, self.port, path, text)
        with socket.create_server(("127.0.0.1", self.port)):
            ended = subprocess.run(
                command, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE, check=False
            )
        self.assertEqual(ended.returncode, 1)
        self.assertRegex(ended.stderr, rf"\ACouldn't listen on 127.0.0.1:{self.port}: .*in use.\n\Z")

    def test_mounted(self) -> None:
        """A resource below a path of an existing site serves page and streams there."""
        self.python("mounted.py", "/chat/", "Words from an existing site. ")

    def test_firstStream(self) -> None:
        """An async generator feeds the streams."""
        self.python("firststream.py", "/", "10 9 8 7 6 5 4 3 2 1 ")

    def test_clients(self) -> None:
        """Clients of foreign APIs print the answer, and a program publishes a stream that another one follows."""
        port = self.port
        server = f"http://127.0.0.1:{port}"

        def run(name: str, *arguments: str) -> str:
            program = (EXAMPLES / name).read_text("utf-8").replace("http://127.0.0.1:8000", server)
            command = [sys.executable, "-c", program, *arguments]
            return subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True, text=True).stdout

        listen = f"tcp:{port}:interface=127.0.0.1"
        options = ("--listen", listen, "--ollama", "--text", str(EXAMPLES / "publish.py"), "--interval", "0")
        with serving(twistd("sseserver", *options), port, env=ENVIRONMENT):
            for client in ("openaiclient.py", "askclaude.py", "askollama.py"):
                self.assertEqual(run(client), (EXAMPLES / "publish.py").read_text("utf-8"))
            self.assertEqual(run("ask.py", f"{server}/v1", "Hello"), (EXAMPLES / "publish.py").read_text("utf-8"))
            run("publish.py", f"{server}/streams/news")
            followed = run("follow.py", f"{server}/streams/news")
            self.assertEqual(followed.partition("\n")[0], "Published word by word. ")
            self.assertIn("\ndone: ", followed)
            # F104: a stream that does not exist is told in one line.
            ended = subprocess.run(
                [sys.executable, str(EXAMPLES / "follow.py"), f"{server}/streams/nope"],
                env=ENVIRONMENT,
                capture_output=True,
                text=True,
                check=False,
            )
            self.assertEqual((ended.returncode, ended.stdout), (1, ""))
            self.assertRegex(ended.stderr, r"\A.*404.*\n\Z")

    def test_klein(self) -> None:
        """The same works from a Klein route."""
        self.python("withklein.py", "/chat/", "Words from a Klein application. ")

    def test_coroutine(self) -> None:
        """A coroutine feeds the streams."""
        self.python("owncode.py", "/", "10 9 8 7 6 5 4 3 2 1 ", "coroutine")

    def test_deferred(self) -> None:
        """A function that returns a Deferred feeds the streams."""
        self.python("owncode.py", "/", "Deferred", "deferred")

    def test_generator(self) -> None:
        """A generator that blocks feeds the streams, from a thread."""
        self.python("generator.py", "/", "These words come from code that blocks . ")

    def test_authenticated(self) -> None:
        """An authenticator of one's own lets each user start and read runs, and nobody read those of another one."""
        port = self.port
        with serving([sys.executable, self.copy("authenticated.py")], port, env=ENVIRONMENT):
            self.checkPage(port, "/")
            self.assertEqual(ask(port, "POST", "/streams")[0], 401)
            alice, bob = {"Cookie": "user=4f1d"}, {"Cookie": "user=97c2"}
            status, headers, _ = ask(port, "POST", "/streams", {**alice, "Content-Type": "application/json"}, b"{}")
            self.assertEqual((status, headers["location"][:15]), (201, "/streams/alice-"))
            events = stream(port, headers["location"], alice)
            text = "".join(event.data for event in events if event.type == "message")
            self.assertEqual(text, "Words for you alone. ")
            self.assertEqual(ask(port, "GET", headers["location"], bob)[0], 404)

    def test_token(self) -> None:
        """A token of the application lets its user run and read."""
        port, key = self.port, self.folder / "jwt.key"
        key.write_text(f"{'k' * 64}\n")
        program = [sys.executable, str(EXAMPLES / "maketoken.py"), str(key), "alice"]
        made = subprocess.run(program, env=ENVIRONMENT, check=True, capture_output=True, text=True).stdout.strip()
        options = ("--jwt-algorithm", "HS256", "--jwt-key-file", str(key), "--jwt-audience", "sseserver")
        listen = f"tcp:{port}:interface=127.0.0.1"
        with serving(twistd("sseserver", "--listen", listen, "--interval=0", *options), port, env=ENVIRONMENT):
            token = {"Authorization": f"Bearer {made}", "Content-Type": "application/json"}
            status, headers, _ = ask(port, "POST", "/streams", token, b"{}")
            self.assertEqual((status, headers["location"][:15]), (201, "/streams/alice-"))
            self.assertEqual(stream(port, headers["location"], token)[-1].type, "done")
            self.assertEqual(ask(port, "GET", headers["location"])[0], 401)

    def test_program(self) -> None:
        """A program is the source."""
        self.python("program.py", "/", "3\n2\n1\n")

    def test_application(self) -> None:
        """A `.tac` file makes an application with the service in it."""
        self.check(twistd("-y", self.copy("application.tac")), self.port, "/", "Words from an application. ")

    def test_upstream(self) -> None:
        """An upstream with authentication in front answers requests with a password, and no others."""
        port, upstream = self.port, freePort()
        variables = ENVIRONMENT
        scripted = [sys.executable, "-m", "tests.upstreams", str(upstream)]
        command = [sys.executable, self.copy("upstream.py"), f"http://127.0.0.1:{upstream}/v1"]
        credentials = {"Authorization": f"Basic {b64encode(b'alice:wonderland').decode()}"}
        headers = {"Content-Type": "application/json", **credentials}
        with (
            serving(scripted, upstream, env=variables, cwd=ROOT),
            serving(command, port, env=variables),
        ):
            for path in ("/", "/streams", "/streams/x", "/assets/app.js"):
                self.assertEqual(ask(port, "GET", path)[0], 401, path)
            status, answered, _ = ask(port, "POST", "/streams", headers, b'{"prompt": "Say hello."}')
            self.assertEqual(status, 201)
            events = stream(port, answered["location"], credentials)
            self.assertEqual("".join(event.data for event in events if event.type == "message"), "Hello world")

    def test_store(self) -> None:
        """A server with a store of its own serves a stream again after a restart."""
        folder, port = self.mktemp(), self.port
        text = "Words that outlive the process. "
        self.python("folderstore.py", "/", text, folder)
        command = [sys.executable, str(self.folder / "folderstore.py"), folder]
        with serving(command, port, env=ENVIRONMENT):
            for name in [path.stem for path in Path(folder).glob("*.jsonl")]:
                tokens = [event.data for event in stream(port, f"/streams/{name}") if event.type == "message"]
                self.assertEqual("".join(tokens), text)

    def test_configuration(self) -> None:
        """A server with the file of the example has its options, and so has one with the report of `--check`."""
        port, name = self.port, self.folder / "sseserver.toml"
        text = (EXAMPLES / "sseserver.toml").read_text("utf-8")
        self.assertIn("tcp:8000:", text)
        name.write_text(text.replace("8000", str(port)), "utf-8")
        check = twistd("sseserver", "--config", str(name), "--check", "--interval", "0")
        where = {"env": ENVIRONMENT, "cwd": self.folder}
        printed = subprocess.run(check, **where, check=True, capture_output=True, text=True).stdout  # type: ignore[call-overload]
        self.assertIn("max-viewers = 5000  # file\n", printed)
        self.assertEqual([path.name for path in self.folder.iterdir()], ["sseserver.toml"])
        name.with_name("effective.toml").write_text(printed, "utf-8")
        for file in ("sseserver.toml", "effective.toml"):
            with serving(twistd("sseserver", "--config", file, "--interval", "0"), port, **where):
                status, headers, _ = ask(port, "POST", "/streams", {"Host": "hub.example.com"})
                self.assertEqual(status, 201)
                self.assertEqual(stream(port, headers["location"])[-1].type, "done")
                self.assertEqual(ask(port, "GET", "/", {"Host": "other.example.com"})[0], 421)
            self.assertTrue((self.folder / "streams.db").exists())

    def test_short(self) -> None:
        """No example but the store has more than 36 lines."""
        for example in EXAMPLES.iterdir():
            if example.suffix in {".py", ".tac"} and example.name != "folderstore.py":
                self.assertLessEqual(len(example.read_text().splitlines()), 36, example.name)
