"""
Test case of `web`: one resource whose answer a test chooses.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import Request

from sseserver.web.resource import AsyncResource
from tests.http import Response
from tests.wires import WireTestCase


class Answering(AsyncResource):
    """A resource with the answer of a test."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: Any = None

    async def GET(self, request: Request) -> bytes | None:
        result = self.answer(request)
        return await result if isinstance(result, Deferred) else result

    async def POST(self, request: Request) -> bytes | None:
        return await self.GET(request)


class HTTPTestCase(WireTestCase):
    """One resource, `/it`, whose answer the test chooses."""

    def setUp(self) -> None:
        super().setUp()
        self.resource = Answering()
        self.root: Resource = Resource()
        self.root.putChild(b"it", self.resource)
        self.factory = self.site(self.root)

    def ask(self, path: str = "/it", *arguments: Any, **keywords: Any) -> Response:
        """Make a request on a connection of its own."""
        return self.connect(self.factory).ask(path, *arguments, **keywords)

    def read(self, reader: Any, path: str = "/it", **keywords: Any) -> Any:
        """Call a function with a request; return its result, or the error as a response."""
        seen: list[Any] = []

        def answer(request: Request) -> bytes:
            seen.append(reader(request))
            return b""

        self.resource.answer = answer
        response = self.ask(path, **keywords)
        return seen[0] if seen else response
