"""
The limits of clients behind real proxies, which name their addresses: `X-Forwarded-For` and the PROXY protocol.
"""

from __future__ import annotations

import contextlib
import http.client
import tempfile
from typing import IO

from tests.integration.servers import ENVIRONMENT, PATIENCE, serving, twistd
from tests.integration.test_proxies import NGINX, ProxyTestCase

#: Addresses of two clients.
CLIENTS = ("127.0.0.2", "127.0.0.3")

NGINX_SERVER = """
server {{
    listen 127.0.0.1:{proxied};
    location / {{
        proxy_pass http://127.0.0.1:{port};
        proxy_set_header Host localhost;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
}}
"""

HAPROXY = """
defaults
    mode {mode}
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend web
    bind 127.0.0.1:{proxied}
    default_backend sseserver
backend sseserver
    {option}
    server one 127.0.0.1:{port} {send}
"""


class ClientLimitTests(ProxyTestCase):
    """Each client behind a proxy has its own limits, and its own address in the log."""

    def start(self, client: str, forged: str) -> int:
        """Start a run as a client that claims to be another one; return the status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.proxied, PATIENCE, (client, 0))
        with contextlib.closing(connection):
            headers = {"Host": "localhost", "Content-Type": "application/json", "X-Forwarded-For": forged}
            connection.request("POST", "/streams", b"{}", headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status

    def checkLimits(self, command: list[str], *options: str) -> None:
        """Check that each client can start two runs, behind the proxy that a command starts."""
        listen = f"tcp:{self.port}:interface=127.0.0.1"
        limits = ("--trusted-proxy=127.0.0.1", "--runs-per-minute=2", *options)
        output: IO[bytes]
        with tempfile.TemporaryFile() as output:
            server = twistd("sseserver", "--listen", listen, *limits)
            with (
                serving(server, self.port, output, env=ENVIRONMENT),
                serving(command, self.proxied, env={**ENVIRONMENT, "HOME": str(self.folder)}),
            ):
                for client in CLIENTS:
                    statuses = [self.start(client, f"8.8.8.{number}") for number in range(3)]
                    self.assertEqual(statuses, [201, 201, 429], client)
            output.seek(0)
            log = output.read()
        for client in CLIENTS:
            self.assertIn(f'"{client}"'.encode(), log)
        self.assertNotIn(b"8.8.8.", log)
        self.assertNotIn(b"Traceback", log)

    def writeProxy(self, mode: str, option: str, send: str) -> list[str]:
        """Write a configuration of HAProxy; return the command that starts it."""
        program, path = self.find("haproxy"), self.folder / "haproxy.cfg"
        path.write_text(HAPROXY.format(mode=mode, option=option, send=send, port=self.port, proxied=self.proxied))
        return [program, "-f", str(path)]

    def test_nginx(self) -> None:
        """nginx names its clients in `X-Forwarded-For`."""
        program, path = self.find("nginx"), self.folder / "nginx.conf"
        server = NGINX_SERVER.format(port=self.port, proxied=self.proxied)
        path.write_text(NGINX.format(folder=self.folder, server=server))
        self.checkLimits([program, "-c", str(path)])

    def test_haproxy(self) -> None:
        """HAProxy names them in a field of its own."""
        self.checkLimits(self.writeProxy("http", "option forwardfor", ""))

    def test_proxyProtocol(self) -> None:
        """HAProxy names them by the PROXY protocol, in both versions, for connections that it does not look into."""
        self.checkLimits(self.writeProxy("tcp", "", "send-proxy"), "--proxy-protocol")

    def test_proxyProtocolBinary(self) -> None:
        """The same with version 2, and with the health checks of HAProxy."""
        self.checkLimits(self.writeProxy("tcp", "", "send-proxy-v2 check inter 100"), "--proxy-protocol")
