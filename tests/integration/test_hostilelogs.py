"""
Texts that clients and upstreams put into log lines: each line stays one line of printable characters.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

from tests.integration.hostile import HostileTestCase
from tests.integration.servers import PATIENCE, ask, freePort
from tests.payloads import CONTROLS, PAYLOADS

#: Characters of a log beside the line feeds: those that no terminal interprets, in any encoding.
PRINTABLE = frozenset(range(0x20, 0x7F))


class Upstream(BaseHTTPRequestHandler):
    """A model API that answers every prompt with an error, whose message is the prompt."""

    def do_POST(self) -> None:
        """Answer."""
        prompt = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][-1]["content"]
        body = json.dumps({"error": {"message": prompt, "code": prompt, "type": prompt}}).encode("ascii")
        self.send_response(500)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing."""


class LogTests(HostileTestCase):
    """The log of a server, with its access lines."""

    def sendText(self, text: str) -> None:
        """Put a text wherever a request can have one."""
        part, raw = quote(text, safe="").encode("ascii"), text.encode("utf-8")
        field = raw.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")
        fields = b"".join(b"%b: %b\r\n" % (name, field) for name in (b"User-Agent", b"Referer", b"Last-Event-ID"))
        for head in (
            b"GET /%b?%b=%b&format=%b HTTP/1.1\r\nHost: localhost\r\n%b" % (part, part, part, part, fields),
            b"GET /streams/%b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n" % (part, field),
            b"GET / HTTP/1.1\r\nHost: %b\r\n" % field,
            b"%b / HTTP/1.1\r\nHost: localhost\r\n" % field.replace(b" ", b""),
            b"GET /%b HTTP/1.1\r\nHost: localhost\r\n" % raw,
            b"POST /streams HTTP/1.1\r\nHost: localhost\r\nOrigin: %b\r\nIdempotency-Key: %b\r\n" % (field, field),
        ):
            connection = self.connect()
            connection.settimeout(PATIENCE)
            self.exchange(connection, head + b"Connection: close\r\n\r\n")
            connection.close()

    def exchange(self, connection: socket.socket, request: bytes) -> None:
        """Send a request, and wait for the end of its answer."""
        with contextlib.suppress(OSError):
            connection.sendall(request)
            self.read(connection)

    def check(self, *options: str) -> None:
        """Check the log of a server with options."""
        upstream = ThreadingHTTPServer(("127.0.0.1", freePort()), Upstream)
        thread = threading.Thread(target=upstream.serve_forever, daemon=True)
        thread.start()
        try:
            with self.serve(f"--upstream=http://127.0.0.1:{upstream.server_port}/v1", *options):
                for text in (*CONTROLS, *PAYLOADS):
                    self.sendText(text)
                    body = json.dumps({"prompt": text}).encode("ascii")
                    status, _, _ = ask(self.port, "POST", "/streams", {"Content-Type": "application/json"}, body)
                    self.assertEqual(status, 201)
        finally:
            upstream.shutdown()
            upstream.server_close()
            thread.join()
        self.output.seek(0)
        log = self.output.read()
        self.assertIn(b"canary", log)
        self.assertEqual(set(log) - PRINTABLE, {ord("\n")}, log)
        self.assertNotIn(b"Traceback", log)
        for line in log.splitlines():
            # A line that a client could begin would begin with its own text.
            self.assertRegex(line, rb'^(\d{4}-\d\d-\d\dT|\{"|"127)')

    def test_text(self) -> None:
        """In text."""
        self.check()

    def test_json(self) -> None:
        """In JSON, each line is an object."""
        self.check("--log-format=json")
        self.output.seek(0)
        for line in self.output:
            json.loads(line)
