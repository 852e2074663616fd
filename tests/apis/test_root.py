"""
Tests of `sseserver.apis.root`, and of the list of APIs.
"""

from __future__ import annotations

from twisted.web.resource import Resource
from twisted.web.server import Site

from sseserver.apis import makeAPIs
from sseserver.apis.root import StreamResource
from tests.apis.cases import ScriptedTestCase


class RootTests(ScriptedTestCase):
    """The resource that an embedder mounts."""

    def test_everyAPI(self) -> None:
        """Each API answers at its path, with a trailing slash as well."""
        unknown = self.ask("/nothing", method="PATCH").headers["allow"]
        for path in makeAPIs(self.service, None):
            # The folder of the assets has children only.
            for url in [f"/{path}"] if path in {"", "assets"} else [f"/{path}", f"/{path}/"]:
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

    def test_mounted(self) -> None:
        """Every API works below a path of another site."""
        root = Resource()
        root.putChild(b"below", StreamResource(self.service))
        self.factory = Site(root, reactor=self.reactor)
        for path in ("/below", "/below/", "/below/assets/app.js", "/below/v1/models"):
            self.assertEqual(self.ask(path).status, 200, path)
        self.assertEqual(self.ask("/below/streams", method="POST").status, 201)
