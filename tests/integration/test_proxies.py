"""
The configurations of proxies in docs/operations.md: each runs as printed, but for its ports, if the program is there.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

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
    """F125: proxies in front of a server."""

    def configuration(self, word: str) -> str:
        """Return the block of the page that has a word, with the ports of this test."""
        page = (ROOT / "docs" / "operations.md").read_text("utf-8")
        (block,) = [text for text in re.findall(r"^```\w+\n(.*?)^```", page, re.MULTILINE | re.DOTALL) if word in text]
        return block.replace("8000", str(self.port)).replace("8080", str(self.proxied))

    def check(self, command: list[str]) -> None:
        """Publish through the server and read through the proxy; then leave."""
        listen = f"tcp:{self.port}:interface=127.0.0.1"
        with (
            serving(twistd("sseserver", "--listen", listen), self.port, env=ENVIRONMENT),
            serving(command, self.proxied, env={**ENVIRONMENT, "HOME": str(self.folder)}),
        ):
            ask(self.port, "PUT", "/streams/a")
            connection = http.client.HTTPConnection("127.0.0.1", self.proxied, timeout=PATIENCE)
            connection.request("GET", "/streams/a", headers={"Accept": "text/event-stream"})
            response = connection.getresponse()
            for number in range(5):
                body = json.dumps({"token": f"token{number}"}).encode()
                ask(self.port, "POST", "/streams/a", {"Content-Type": "application/json"}, body)
                # A proxy that held the token would hold it for ever: nothing follows.
                while f"token{number}".encode() not in response.readline():
                    pass
            response.close()
            connection.close()
            for _ in soon(lambda: self.viewers() == 0, 1000):
                time.sleep(0.05)

    def viewers(self) -> int:
        """Return the number of viewers of the stream."""
        viewers: int = json.loads(ask(self.port, "GET", "/streams/a", {"Accept": "application/json"})[2])["viewers"]
        return viewers

    def test_F125_nginx(self) -> None:
        """F125: nginx."""
        program = self.find("nginx")
        path = self.folder / "nginx.conf"
        path.write_text(NGINX.format(folder=self.folder, server=self.configuration("proxy_pass")))
        self.check([program, "-c", str(path)])

    def test_F125_haproxy(self) -> None:
        """F125: HAProxy."""
        program = self.find("haproxy")
        path = self.folder / "haproxy.cfg"
        path.write_text(self.configuration("http-no-delay"))
        self.check([program, "-f", str(path)])

    def test_F125_caddy(self) -> None:
        """F125: Caddy."""
        program = self.find("caddy")
        path = self.folder / "Caddyfile"
        path.write_text("{\n    admin off\n}\n" + self.configuration("reverse_proxy"))
        self.check([program, "run", "--config", str(path), "--adapter", "caddyfile"])
