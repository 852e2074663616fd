"""
The configurations of proxies in deploy/: each runs as printed, but for its ports, names and certificates, if the
program is there. `SSESERVER_LONG=1` leaves their time limits as they are.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.certificates import makePEM
from tests.integration.alive import LONG
from tests.integration.servers import ENVIRONMENT, PATIENCE, ROOT, ask, freePort, serving, twistd
from tests.wires import soon

#: Frame of the configuration of nginx: everything goes into one folder.
NGINX = """
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {server}
}}
"""


class ProxyTestCase(SynchronousTestCase):
    """A folder and two ports, for a server and a proxy in front of it."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sseserver-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.port, self.proxied = freePort(), freePort()

    def find(self, name: str) -> str:
        """Return the path of a program; without it the test is skipped, but fails in CI."""
        # A user's path often lacks the folder of servers.
        if path := shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin"):
            return path
        if os.environ.get("CI"):
            self.fail(f"There is no {name}.")
        raise SkipTest(f"There is no {name}.")


class ProxyTests(ProxyTestCase):
    """F125: TLS and HTTP/2 in front of a server."""

    def check(self, command: list[str], *heartbeat: str) -> str:
        """
        Read a stream through a proxy, with a silence in it that is longer than the proxy's limits.

        Args:
            command: Command line of the proxy.
            heartbeat: Options of the server for this silence.

        Returns:
            The head of the response.
        """
        options = ("--host=hub.example.com", "--trusted-proxy=127.0.0.1", *heartbeat)
        listen = f"tcp:{self.port}:interface=127.0.0.1"
        folders = dict.fromkeys(("HOME", "XDG_DATA_HOME"), str(self.folder))
        url = f"https://hub.example.com:{self.proxied}/streams/a"
        curl = [self.find("curl"), "-sNki", "--http2", "--resolve", f"hub.example.com:{self.proxied}:127.0.0.1", url]
        with (
            serving(twistd("sseserver", "--listen", listen, *options), self.port, env=ENVIRONMENT),
            serving(command, self.proxied, env={**ENVIRONMENT, **folders}),
        ):
            ask(self.port, "PUT", "/streams/a")
            with subprocess.Popen([*curl, "-H", "Accept: text/event-stream"], stdout=subprocess.PIPE) as viewer:
                self.addCleanup(viewer.kill)
                assert viewer.stdout is not None
                head = b"".join(iter(viewer.stdout.readline, b"\r\n")).decode("latin-1")
                for pause, name in ((0, "first"), (70 if LONG else 5, "second")):
                    time.sleep(pause)
                    self.publish({"token": name})
                    # Nothing follows that could push it through.
                    while name.encode() not in viewer.stdout.readline():
                        self.assertIsNone(viewer.poll())
                self.publish({"token": "third"}, {"Stream-Closed": "true"})
                self.assertIn(b"event: done", viewer.stdout.read())
                self.assertEqual(viewer.wait(PATIENCE), 0)
            self.leave(curl)
        return head

    def leave(self, curl: list[str]) -> None:
        """Follow another stream through the proxy, and leave: the server has to notice."""
        ask(self.port, "PUT", "/streams/b")
        command = [*curl[:-1], curl[-1].replace("/a", "/b"), "-H", "Accept: text/event-stream"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as viewer:
            self.addCleanup(viewer.kill)
            self.untilViewers(1)
            viewer.kill()
        self.untilViewers(0)

    def untilViewers(self, number: int) -> None:
        """Wait until the other stream has so many viewers."""

        def viewers() -> int:
            count: int = json.loads(ask(self.port, "GET", "/streams/b", {"Accept": "application/json"})[2])["viewers"]
            return count

        for _ in soon(lambda: viewers() == number, 1000):
            time.sleep(0.05)

    def publish(self, token: dict[str, str], headers: dict[str, str] | None = None) -> None:
        """Publish a token."""
        body = json.dumps(token).encode()
        ask(self.port, "POST", "/streams/a", {"Content-Type": "application/json", **(headers or {})}, body)

    def test_nginx(self) -> None:
        """nginx: HTTP/2, each token at once, and a silence that is longer than the limits."""
        program = self.find("nginx")
        key, certificate = self.folder / "key", self.folder / "certificate"
        for path, data in zip((key, certificate), makePEM(), strict=True):
            path.write_bytes(data)
        text = (ROOT / "deploy" / "nginx.conf").read_text("utf-8")
        # A machine may have no IPv6, and the ports below 1024 may be in use.
        text = re.sub(r"(?m)^ *listen \[::\].*\n", "", text).replace("listen 80;", f"listen 127.0.0.1:{freePort()};")
        for name, value in (
            ("listen 443", f"listen {self.proxied}"),
            ("8000", str(self.port)),
            ("/etc/ssl/private/hub.example.com.key", str(key)),
            ("/etc/ssl/certs/hub.example.com.pem", str(certificate)),
        ):
            text = text.replace(name, value)
        if not LONG:
            text = text.replace("proxy_read_timeout 60s", "proxy_read_timeout 2s")
        path = self.folder / "nginx.conf"
        path.write_text(NGINX.format(folder=self.folder, server=text), "utf-8")
        head = self.check([program, "-c", str(path)], *(() if LONG else ("--heartbeat=0.5",)))
        self.assertTrue(head.startswith("HTTP/2 200"), head)

    def test_caddy(self) -> None:
        """Caddy: the same, and HTTP/3 is announced."""
        program = self.find("caddy")
        text = (ROOT / "deploy" / "Caddyfile").read_text("utf-8").replace("8000", str(self.port))
        text = text.replace("hub.example.com {", f"hub.example.com:{self.proxied} {{")
        options = "{\n admin off\n local_certs\n skip_install_trust\n auto_https disable_redirects\n}\n"
        path = self.folder / "Caddyfile"
        path.write_text(options + text, "utf-8")
        head = self.check([program, "run", "--config", str(path), "--adapter", "caddyfile"])
        self.assertTrue(head.startswith("HTTP/2 200"), head)
        self.assertRegex(head.lower(), rf'alt-svc: h3=":{self.proxied}"')

    def test_haproxy(self) -> None:
        """HAProxy: the same, and it asks whether the server is ready."""
        program = self.find("haproxy")
        pair = self.folder / "pair.pem"
        pair.write_bytes(b"".join(makePEM()))
        text = (ROOT / "deploy" / "haproxy.cfg").read_text("utf-8").replace("8000", str(self.port))
        text = text.replace("bind :443", f"bind 127.0.0.1:{self.proxied}")
        text = text.replace("/etc/haproxy/hub.example.com.pem", str(pair))
        if not LONG:
            text = text.replace("timeout server 60s", "timeout server 2s").replace("client 60s", "client 2s")
        path = self.folder / "haproxy.cfg"
        path.write_text(text, "utf-8")
        head = self.check([program, "-f", str(path)], *(() if LONG else ("--heartbeat=0.5",)))
        self.assertTrue(head.startswith("HTTP/2 200"), head)
