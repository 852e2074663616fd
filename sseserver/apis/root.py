"""
The resource that an embedder mounts: all APIs, each at its path.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from sseserver.apis import makeAPIs
from sseserver.apis.native.streams import StreamCollection
from sseserver.interfaces import IAuthenticator
from sseserver.service.service import StreamService
from sseserver.speedups.direct import Respond
from sseserver.web.access.rights import Access
from sseserver.web.resource import NotFoundResource

#: Path of the collection of streams.
_STREAMS = b"streams"


class StreamResource(Resource):
    """
    The complete HTTP interface of sseserver. Mount it at any path.

    A visitor's `GET` with `Accept: text/event-stream` starts a run of the service's token source; a
    browser's `Accept` header gets the page. `docs/http-api.md` lists the URLs below.

    Args:
        service: Runs the token source and keeps the streams. Its owner starts and stops it.
        prompt: Prompt of the runs that visitors start, if the source takes prompts. `None`:
            visitors must send their prompts by POST.
        access: Finds the principals of requests; `None` lets everybody do everything.
    """

    def __init__(self, service: StreamService, prompt: str | None = None, access: IAuthenticator | None = None) -> None:
        super().__init__()
        self._access = Access(access, service.clock.seconds)
        resources = makeAPIs(service, prompt, self._access)
        self._home = resources.pop("")
        for path, resource in resources.items():
            self._mount(path.encode("ascii").split(b"/"), resource)

    @property
    def direct(self) -> Respond | None:
        """Answers small POSTs without a request object. `None` for a derived class, which may check requests."""
        return self._respond if type(self) is StreamResource and self._access.isOpen else None

    def _respond(self, path: bytes, contentType: str, body: bytes) -> Deferred[bytes] | None:
        parent, _, name = path[1:].rpartition(b"/")
        streams = self.children.get(parent)
        # An embedder may have put something else there.
        if parent != _STREAMS or not isinstance(streams, StreamCollection):
            return None
        return streams.publish(name.decode("ascii"), contentType, body)

    def _mount(self, path: list[bytes], resource: IResource) -> None:
        """Put a resource at a path, and make the nodes above it that are missing."""
        node: Any = self
        for segment in path[:-1]:
            if segment not in node.children:
                node.putChild(segment, NotFoundResource())
            node = node.children[segment]
        node.putChild(path[-1], resource)

    def getChild(self, path: bytes, request: Request) -> Resource:
        """See `Resource.getChild`: a trailing slash leads back to this resource."""
        return NotFoundResource() if path else self

    def render(self, request: Request) -> Any:
        """Answer at the mount point itself."""
        return self._home.render(request)
