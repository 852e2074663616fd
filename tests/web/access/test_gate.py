"""
Tests of `sseserver.web.access.gate`, with real requests to a whole server.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.web.resource import Resource
from twisted.web.server import Site

from sseserver.apis.root import StreamResource
from sseserver.web.accept import JSON
from tests.http import CHROME, EVENTSOURCE, Response, makeRequest
from tests.served import ServedTestCase

EVIL = "https://evil.example"
APP = "http://localhost:5173"
ASK = b'{"messages": [{"role": "user", "content": "x"}]}'
CHAT = b'{"id": "c", "messages": [{"role": "user", "parts": [{"type": "text", "text": "x"}]}]}'

#: Requests that change something or start a run: method, path, body.
CHANGES = (
    ("POST", "/streams", b'{"prompt": "x"}'),
    ("POST", "/v1/chat/completions", ASK),
    ("POST", "/api/chat", CHAT),
    ("POST", "/streams/news", b'{"token": "t"}'),
    ("POST", "/streams/news/cancel", b""),
    ("PUT", "/streams/more", b""),
    ("DELETE", "/streams/news", b""),
    ("PATCH", "/streams/news", b""),
    ("POST", "/nothing", b""),
)


class GateTestCase(ServedTestCase):
    """A server whose source takes no prompt, with one stream `news`."""

    def setUp(self) -> None:
        super().setUp()
        self.open()
        self.ask("/streams/news", method="PUT")

    def open(self, hosts: Iterable[str] | None = None, corsOrigins: Iterable[str] = ()) -> None:
        """Serve with these hosts and origins."""
        self.resource = StreamResource(self.service, hosts=hosts, corsOrigins=corsOrigins)
        self.factory = self.site(self.resource)

    def send(self, method: str, path: str, body: bytes | None = None, **fields: str | None) -> Response:
        """Send a request with these header fields, named in Python's way."""
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        return self.connect(self.factory).ask(path, JSON, method, body, headers=headers)

    def assertRefused(self, response: Response, status: int, code: str) -> None:
        """Check that a request was refused, and that nothing has happened."""
        self.assertEqual((response.status, response.error["code"]), (status, code))
        self.assertEqual(self.source.runs, [])
        state = self.ask("/streams/news", JSON).json
        self.assertEqual((state["state"], state["last"]), ("open", 0))


class OriginTests(GateTestCase):
    """Requests of pages."""

    def test_F67_foreign(self) -> None:
        """F67 to F72: requests of a foreign page that change something or start a run are refused."""
        for method, path, body in CHANGES:
            for fields in (
                {"Origin": EVIL, "Sec_Fetch_Site": "cross-site"},
                {"Origin": EVIL},
                {"Origin": "null"},
                {"Origin": ""},
                {"Origin": f"{EVIL}, http://localhost"},
                {"Origin": "http://localhost:8000"},
                {"Origin": "ftp://localhost"},
                {"Origin": "http://localhost/"},
                {"Origin": "http://localhost", "Sec_Fetch_Site": "same-site"},
                {"Sec_Fetch_Site": "cross-site"},
                {"Sec_Fetch_Site": "same-site"},
            ):
                self.assertRefused(self.send(method, path, body, **fields), 403, "foreign_origin")

    def test_F68_visitor(self) -> None:
        """F68: a foreign page cannot start a run at `/`; it may link to the page there."""
        for path, accept in (("/", EVENTSOURCE), ("/?format=text", CHROME), ("/?last_event_id=x", EVENTSOURCE)):
            for method in ("GET", "HEAD"):
                headers = {"Sec-Fetch-Site": "cross-site"}
                response = self.connect(self.factory).ask(path, accept, method, headers=headers)
                self.assertEqual((response.status, self.source.runs), (403, []), (path, accept))
        self.assertEqual(self.ask("/", CHROME, headers={"Sec-Fetch-Site": "cross-site"}).status, 200)

    def test_others(self) -> None:
        """Programs, the server's own pages, and people who type the URL may send every request."""
        for fields in (
            {},
            {"Origin": "http://localhost"},
            {"Origin": "http://localhost", "Sec_Fetch_Site": "same-origin"},
            # A proxy has decrypted it.
            {"Origin": "https://localhost"},
            {"Sec_Fetch_Site": "same-origin"},
            {"Sec_Fetch_Site": "none"},
        ):
            self.assertEqual(self.send("POST", "/streams", b"", **fields).status, 201, fields)
            response = self.ask("/", EVENTSOURCE, headers={n.replace("_", "-"): v for n, v in fields.items()})
            self.assertEqual(response.status, 200, fields)
        self.stopRuns()

    def test_pipelined(self) -> None:
        """Each request of a connection is judged by its own headers, also when they arrive together."""
        wire = self.connect(self.factory)
        origins = ("http://localhost", EVIL, None, EVIL)
        wire.methods += ["POST"] * len(origins)
        posts = [makeRequest("/streams", method="POST", body=b"{}", headers={"Origin": origin}) for origin in origins]
        wire.send(b"".join(posts))
        self.assertEqual([response.status for response in wire.responses], [201, 403, 201, 403])
        self.stopRuns()

    def test_reading(self) -> None:
        """A foreign page gets what anyone may read. Without a listed origin, its browser keeps it to itself."""
        for path in ("/streams", "/streams/news", "/v1/models", "/assets/app.js", "/favicon.ico"):
            response = self.send("GET", path, Origin=EVIL, Sec_Fetch_Site="cross-site")
            self.assertEqual(response.status, 200, path)
            self.assertNotIn("access-control-allow-origin", response.headers)

    def test_mounted(self) -> None:
        """A resource below a path of another site checks as well."""
        root = Resource()
        root.putChild(b"below", self.resource)
        self.factory = Site(root, reactor=self.reactor)
        self.assertEqual(self.send("POST", "/below/streams", b"", Origin=EVIL).status, 403)
        for path in ("/below", "/below/"):
            headers = {"Origin": EVIL}
            self.assertEqual(self.connect(self.factory).ask(path, EVENTSOURCE, headers=headers).status, 403, path)
        self.assertEqual(self.source.runs, [])

    def stopRuns(self) -> None:
        """End all runs of the scripted source."""
        for run in self.source.runs:
            run.done.callback(None)


class HostTests(GateTestCase):
    """The header `Host`."""

    def test_F73_rebinding(self) -> None:
        """F73: a request for another host is refused, whatever it asks for."""
        self.open(hosts=["example.com"])
        for method, path, body in (*CHANGES, ("GET", "/", b""), ("GET", "/streams/news", b""), ("OPTIONS", "/", b"")):
            for _ in range(2):
                response = self.sendHost("rebind.evil.example:8000", method, path, body)
                self.assertRefused(response, 421, "misdirected_request")
        self.assertEqual(self.sendHost("example.com", *CHANGES[3]).status, 200)

    def test_F80_one(self) -> None:
        """F80: HTTP/1.1 needs exactly one Host that is one; HTTP/1.0 may have none."""
        for lines in (b"", b"Host: example.com\r\nHost: example.com\r\n", b"Host:\r\n", b"Host: a b\r\n"):
            response = self.sendHead(b"GET /streams HTTP/1.1\r\n" + lines)
            self.assertEqual((response.status, response.error["code"]), (400, "bad_request"), lines)
        self.assertEqual(self.sendHead(b"GET /streams HTTP/1.0\r\n").status, 200)
        self.assertEqual(self.sendHead(b"GET /streams HTTP/1.0\r\nHost: a\r\nHost: a\r\n").status, 400)

    def test_unnamed(self) -> None:
        """A page cannot be the server's own if its request does not say which host it is for."""
        response = self.sendHead(b"POST /streams HTTP/1.0\r\nOrigin: http://localhost\r\n")
        self.assertEqual((response.status, self.source.runs), (403, []))

    def test_health(self) -> None:
        """Health checks are answered for every host: a balancer asks an address."""
        self.open(hosts=["example.com"])
        for path in ("/healthz", "/readyz"):
            self.assertEqual(self.ask(path, headers={"Host": "10.0.0.7:8000"}).status, 200, path)

    def test_pipelined(self) -> None:
        """Every request of a connection is checked."""
        self.open(hosts=["example.com"])
        wire = self.connect(self.factory)
        requests = [b"GET /streams HTTP/1.1\r\nHost: %b\r\n\r\n" % host for host in (b"example.com", b"evil.example")]
        wire.send(b"".join(requests * 2))
        self.assertEqual(wire.received.count(b"HTTP/1.1 200 OK\r\n"), 2)
        self.assertEqual(wire.received.count(b"HTTP/1.1 421 Misdirected Request\r\n"), 2)

    def sendHost(self, host: str, method: str, path: str, body: bytes) -> Response:
        """Send a request to a host."""
        # A publish with this head is answered without a request object.
        return self.send(method, path, body, Host=host, Content_Type=JSON)

    def sendHead(self, lines: bytes) -> Response:
        """Send these lines of a head."""
        wire = self.connect(self.factory)
        wire.methods.append("GET")
        wire.send(lines + b"Connection: close\r\n\r\n")
        return wire.response
