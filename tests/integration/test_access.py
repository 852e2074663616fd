"""
Credentials against real servers: curl, OpenAI's client, forged tokens, and a secret in every place that can hold one.
"""

from __future__ import annotations

import http.client
import json
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
from twisted.trial.unittest import SynchronousTestCase

from sseserver.web.access.apikeys import makeKey, writeLine
from tests.http import EVENTSOURCE
from tests.integration.servers import ENVIRONMENT, PATIENCE, ask, freePort, serving, stream, twistd
from tests.web.access.tokens import CLAIMS, forge, makeToken

JSON = "application/json"

#: Seconds. The end of a stream comes in less time on a busy machine; its heartbeat would come after 60. The unit tests
#: hold the five seconds of the documents.
SOON = 30.0


class AccessProcessTestCase(SynchronousTestCase):
    """A server process with credentials of all kinds."""

    def setUp(self) -> None:
        self.port = freePort()
        self.server = f"http://127.0.0.1:{self.port}"
        self.folder = Path(tempfile.mkdtemp(prefix="sseserver-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.signingKey, self.tokenKey = secrets.token_urlsafe(48), secrets.token_urlsafe(64)
        self.key = makeKey()
        (self.folder / "keys.txt").write_text(f"{writeLine('one', self.key, ['read,publish,run,list:*'])}\n")
        (self.folder / "link.key").write_text(f"{self.signingKey}\n")
        (self.folder / "jwt.key").write_text(f"{self.tokenKey}\n")

    def command(self, *options: str) -> list[str]:
        """Return the command line of the server."""
        return twistd(
            "sseserver",
            f"--listen=tcp:{self.port}:interface=127.0.0.1",
            f"--api-keys={self.folder / 'keys.txt'}",
            f"--link-key-file={self.folder / 'link.key'}",
            "--jwt-algorithm=HS256",
            f"--jwt-key-file={self.folder / 'jwt.key'}",
            "--jwt-audience=here",
            "--jwt-issuer=issuer",
            *options,
        )

    def token(self, **claims: Any) -> str:
        """Make a token that is good now."""
        return makeToken({**CLAIMS, "exp": time.time() + 600, **claims}, key=self.tokenKey)

    def bearer(self, credential: str | None = None, **headers: str) -> dict[str, str]:
        """Return the headers of a request."""
        return {"Authorization": f"Bearer {credential or self.key}", "Content-Type": JSON, **headers}


class ClientTests(AccessProcessTestCase):
    """Clients as they are."""

    def test_curl(self) -> None:
        """Curl publishes with a key, makes a link, and reads with the link alone."""

        def curl(*arguments: str) -> str:
            command = ["curl", "-sS", "--max-time", str(PATIENCE), *arguments]
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout

        with serving(self.command(), self.port, env=ENVIRONMENT):
            key, kind = ("-H", f"Authorization: Bearer {self.key}"), ("-H", f"Content-Type: {JSON}")
            url = f"{self.server}/streams/news"
            self.assertEqual(json.loads(curl("-X", "PUT", *key, url))["name"], "news")
            curl(*key, *kind, "-H", "Stream-Closed: true", "-d", '{"token": "Hello"}', url)
            link = json.loads(curl(*key, *kind, "-d", "{}", f"{url}/links"))["url"]
            self.assertIn("data: Hello", curl(f"{self.server}{link}"))
            refused = curl("-i", url)
            self.assertIn("401 Unauthorized", refused)
            self.assertIn("WWW-Authenticate: Bearer", refused)

    def test_openAI(self) -> None:
        """OpenAI's client takes the key as its own; without it, it reports the status."""
        text = self.folder / "text.txt"
        text.write_text("One two three.")
        asked: Any = {"model": "sseserver", "messages": [{"role": "user", "content": "x"}]}
        with serving(self.command(f"--text={text}", "--interval=0"), self.port, env=ENVIRONMENT):
            client = openai.OpenAI(base_url=f"{self.server}/v1", api_key=self.key, max_retries=0)
            self.addCleanup(client.close)
            chunks = client.chat.completions.create(stream=True, **asked)
            told = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
            self.assertEqual("".join(told), "One two three.")
            self.assertEqual(client.models.list().data[0].owned_by, "sseserver")
            stranger = openai.OpenAI(base_url=f"{self.server}/v1", api_key="sse_wrong", max_retries=0)
            self.addCleanup(stranger.close)
            self.assertRaises(openai.AuthenticationError, stranger.chat.completions.create, **asked)

    def test_expiry(self) -> None:
        """A stream ends soon after the expiry of its token, and resumes with a new one."""
        with serving(self.command("--heartbeat=60"), self.port, env=ENVIRONMENT):
            ask(self.port, "PUT", "/streams/chat-1", self.bearer())
            ask(self.port, "POST", "/streams/chat-1", self.bearer(), b'{"data": "a"}')
            expires = time.time() + 4
            events = stream(self.port, "/streams/chat-1", self.bearer(self.token(exp=expires)))
            self.assertTrue(expires <= time.time() < expires + SOON)
            self.assertEqual([event.data for event in events if event.type == "message"], ["a"])
            ask(self.port, "POST", "/streams/chat-1", self.bearer(**{"Stream-Closed": "true"}), b'{"data": "b"}')
            again = self.bearer(self.token(), **{"Last-Event-ID": events[-1].id or ""})
            events = stream(self.port, "/streams/chat-1", again)
            self.assertEqual([event.data for event in events if event.type == "message"], ["b"])

    def test_reload(self) -> None:
        """After SIGHUP a key that was taken back opens nothing, and its event stream ends soon."""
        with serving(self.command("--heartbeat=60"), self.port, env=ENVIRONMENT) as process:
            self.assertEqual(ask(self.port, "PUT", "/streams/a", self.bearer())[0], 201)
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            self.addCleanup(connection.close)
            connection.request("GET", "/streams/a", headers={**self.bearer(), "Accept": EVENTSOURCE})
            response = connection.getresponse()
            self.assertEqual(response.status, 200)
            (self.folder / "keys.txt").write_text("")
            process.send_signal(signal.SIGHUP)
            self.until(lambda: ask(self.port, "GET", "/streams", self.bearer())[0] == 401)
            started = time.monotonic()
            self.assertIn(b"retry:", response.read())
            self.assertLess(time.monotonic() - started, SOON)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)

    def test_open(self) -> None:
        """A server that everybody would reach does not start without credentials; one line says why."""
        command = twistd("sseserver", f"--listen=tcp:{self.port}", "--host=a.example")
        ended = subprocess.run(
            command, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=self.folder
        )
        self.assertEqual(ended.returncode, 1)
        self.assertRegex(ended.stderr, r"\Asseserver: --listen tcp:\d+: .*--public\n\Z")


class ForgedTests(AccessProcessTestCase):
    """Forged tokens."""

    def test_forged(self) -> None:
        """More than 40 forged tokens: each is answered 401, and the server connects to nobody."""
        with socket.create_server(("127.0.0.1", 0)) as elsewhere:
            elsewhere.setblocking(False)
            url = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/keys"
            forged = forge("HS256", self.tokenKey, url)
            self.assertGreater(len(forged), 40)
            with serving(self.command(), self.port, env=ENVIRONMENT):
                for wrong, token in forged.items():
                    # The clock of the tests is one in the future.
                    if wrong not in {"expired", "expires now", "not yet"}:
                        self.assertEqual(ask(self.port, "GET", "/streams", self.bearer(token))[0], 401, wrong)
                for claims in ({"exp": time.time() - 1}, {"nbf": time.time() + 600}):
                    self.assertEqual(ask(self.port, "GET", "/streams", self.bearer(self.token(**claims)))[0], 401)
            self.assertRaises(BlockingIOError, elsewhere.accept)


class CanaryTests(AccessProcessTestCase):
    """Secrets in every place that can hold one."""

    def test_canary(self) -> None:
        """No log, answer, error, process list or environment of a program shows a secret."""
        log = self.folder / "access.log"
        environment = {
            **ENVIRONMENT,
            "SSESERVER_UPSTREAM_KEY": "canary-upstream-key",
            "SSESERVER_JWT_KEY": f"canary-{'j' * 40}",
            "SSESERVER_LINK_KEY": f"canary-{'l' * 40}",
        }
        options = ("--exec=env", f"--access-log={log}", "--linger=1000", "--metrics")
        secretTexts = [self.key, self.signingKey, self.tokenKey, "canary"]
        with tempfile.TemporaryFile() as output:
            with serving(self.command(*options), self.port, output, env=environment) as process:
                told = self.useSecrets(secretTexts)
                told.append(Path(f"/proc/{process.pid}/cmdline").read_bytes().decode())
                (self.folder / "keys.txt").write_text("canary canary canary")
                process.send_signal(signal.SIGHUP)
                time.sleep(0.5)
            output.seek(0)
            written = output.read().decode()
        self.assertIn("Not reloaded: --api-keys", written)
        for where, text in (("log", written), ("access log", log.read_text()), ("answers", "\n".join(told))):
            for secret in secretTexts:
                self.assertNotIn(secret, text, where)
        self.assertIn("HEAD /streams/news?format=events&rights=read&streams=news&expires=", log.read_text())

    def useSecrets(self, made: list[str]) -> list[str]:
        """Send each kind of credential, good and bad, wherever clients put them; return everything that came back."""
        token = self.token(sub="someone")
        made.append(token)
        told = []

        def send(method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> dict[str, str]:
            status, answered, content = ask(self.port, method, path, headers, body)
            shown = {name: value for name, value in answered.items() if name != "set-cookie"}
            told.append(f"{status} {shown} {content.decode()}")
            return answered

        send("PUT", "/streams/news", self.bearer())
        send("POST", "/streams/news", self.bearer(), b'{"data": "x"}')
        cookie = send("POST", "/session", self.bearer(token))["set-cookie"].partition(";")[0]
        made.append(cookie.partition("=")[2])
        location = send("POST", "/streams", self.bearer(), b"{}")["location"]
        stream(self.port, location, self.bearer())
        send("GET", location, self.bearer(Accept="text/plain"))
        link = json.loads(ask(self.port, "POST", "/streams/news/links", self.bearer(), b"{}")[2])["url"]
        made.append(link.rpartition("sig=")[2])
        for headers in (
            self.bearer(token),
            self.bearer("canary-token"),
            self.bearer("sse_canary"),
            self.bearer(f"{token}canary"),
            {"Authorization": "Basic canary"},
            {"Cookie": cookie},
            {"Cookie": "sseserver_session=canary.canary"},
            {"Cookie": f"{cookie}canary"},
        ):
            for path in ("/streams", "/streams/news?limit=canary&from=x", "/v1/models"):
                send("GET", path.replace("canary", "x"), {**headers, "Accept": JSON})
        for member in ("sig", "token", "access_token", "key", "api_key", "jwt"):
            send("GET", f"/streams/news?format=x&{member}=canary", {"Referer": f"http://a/?{member}=canary"})
        send("GET", link, {"Accept": JSON})
        send("GET", f"{link}canary", {"Accept": JSON})
        send("HEAD", f"/streams/news?format=events&{link.partition('?')[2]}", {})
        send("GET", "/readyz", {})
        send("GET", "/metrics", {})
        return told
