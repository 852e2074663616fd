"""
Tests of `sseserver.apis.root`, and of the list of APIs.
"""

from __future__ import annotations

from twisted.web.resource import Resource
from twisted.web.server import Site

from sseserver.apis import makeAPIs
from sseserver.apis.root import StreamResource
from sseserver.web.accept import JSON
from sseserver.web.access.gate import Gate
from sseserver.web.access.rights import Access
from tests.apis.cases import ScriptedTestCase
from tests.http import CHROME, EVENTSOURCE, makeRequest

#: Headers that differ between two answers, or that only an answer with a body has.
_VARYING = {"date", "x-request-id", "transfer-encoding"}


class RootTests(ScriptedTestCase):
    """The resource that an embedder mounts."""

    def test_everyAPI(self) -> None:
        """Each API answers at its path, with a trailing slash as well."""
        unknown = self.ask("/nothing", method="PATCH").headers["allow"]
        for path in makeAPIs(self.service, None, Access(None, self.reactor.seconds), Gate()):
            # The folder of the assets has children only, and so has that of the streams for readers.
            others = {"": ["/"], "assets": ["/assets/app.js"], "durable": ["/durable/a", "/durable/a/"]}
            for url in others.get(path, [f"/{path}", f"/{path}/"]):
                response = self.ask(url, method="PATCH")
                self.assertEqual(response.status, 405, url)
                self.assertNotEqual(response.headers["allow"], unknown, url)

    def test_innerNodes(self) -> None:
        """The paths above an API are no resources, whatever the method."""
        for path in ("/v1", "/v1/", "/v1/chat", "/api", "/api/"):
            for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
                self.assertEqual(self.ask(path, method=method).status, 404, (method, path))

    def test_unknown(self) -> None:
        """Any other path is answered 404."""
        for path in ("/nothing", "/nothing/streams", "/v1/streams", "/stream", "/streamsX"):
            response = self.ask(path)
            self.assertEqual((response.status, response.error["code"]), (404, "not_found"), path)

    def test_F133_head(self) -> None:
        """F133: HEAD has the status and the headers of GET, at every URL and for each representation."""
        path = self.startRun()
        self.write("a")
        name = path.rpartition("/")[2]
        self.end()
        chat = b'{"id": "c", "messages": [{"role": "user", "parts": [{"type": "text", "text": "x"}]}]}'
        wires = [self.connect(self.factory)]
        wires[0].send(makeRequest("/api/chat", method="POST", body=chat))
        urls = ["/", "/streams", path, f"{path}?format=openai", f"{path}?format=none", "/streams/none", "/nothing"]
        urls += ["/v1/models", "/v1/models/none", "/assets/app.js", "/api/chat/c/stream", "/api/chat/d/stream"]
        urls += [f"{path}?last_event_id={name}-{number}" for number in (1, 2)]
        for url in [*urls, "/streams?limit=0", "/v1/chat/completions"]:
            for accept in (EVENTSOURCE, JSON, "text/plain", CHROME, "image/png"):
                if (url, accept) != ("/", EVENTSOURCE):
                    self.assertSameHead(url, accept)

    def assertSameHead(self, url: str, accept: str) -> None:
        """Check that the answers to GET and to HEAD have the same status and headers."""
        heads = []
        for method in ("GET", "HEAD"):
            response = self.ask(url, accept, method)
            fields = set(response.headers.items())
            heads.append((response.status, {field for field in fields if field[0] not in _VARYING}))
        if heads[0][0] != 405:
            self.assertEqual(heads[1], heads[0], (url, accept))

    def test_mounted(self) -> None:
        """Every API works below a path of another site."""
        root = Resource()
        root.putChild(b"below", StreamResource(self.service))
        self.factory = Site(root, reactor=self.reactor)
        for path in ("/below", "/below/", "/below/assets/app.js", "/below/v1/models"):
            self.assertEqual(self.ask(path).status, 200, path)
        self.assertEqual(self.ask("/below/streams", method="POST").status, 201)
