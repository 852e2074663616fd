"""
The resource that an embedder mounts: all APIs, each at its path.

`makeAPIs` lists the APIs. `sseserver.command.sites` makes the root of `twistd sseserver`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from sseserver.apis import makeAPIs
from sseserver.apis.admin.health import HEALTH
from sseserver.apis.native.direct import DirectPublishing
from sseserver.interfaces import IAuthenticator
from sseserver.service.service import StreamService
from sseserver.web.access.gate import Gate
from sseserver.web.access.rights import Access
from sseserver.web.resource import NotFoundResource


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
        hosts: Host names that requests may be meant for, beside loopback names, with or without a port; `*` for all.
            `None`: the site checks them, or a proxy does. A site that only this machine reaches needs an empty list.
        corsOrigins: Origins of other sites whose pages may use this one, such as `https://example.com`; `*` for all,
            without cookies.

    Attributes:
        direct: Answers small POSTs without a request object; `None` if each request must have one.
        gate: The gate that every request passes.
    """

    def __init__(
        self,
        service: StreamService,
        prompt: str | None = None,
        access: IAuthenticator | None = None,
        hosts: Iterable[str] | None = None,
        corsOrigins: Iterable[str] = (),
    ) -> None:
        super().__init__()
        self.gate = Gate(hosts, corsOrigins)
        self._access = Access(access, service.wall)
        credentials = self._access.credentials
        if credentials is not None:
            credentials.onChange = partial(service.viewers.rights.recheck, credentials.renew)
        # A derived class may check requests, and an embedder's authenticator must see each of them.
        isDirect = type(self) is StreamResource and self._access.recalls
        self.direct = DirectPublishing(self.children.get, service, self.gate, self._access) if isDirect else None
        resources = makeAPIs(service, prompt, self._access, self.gate)
        self._home = resources.pop("")
        for path, resource in resources.items():
            self._mount(path.encode("ascii").split(b"/"), resource)

    def _mount(self, path: list[bytes], resource: IResource) -> None:
        """Put a resource at a path, and make the nodes above it that are missing."""
        node: Any = self
        for segment in path[:-1]:
            if segment not in node.children:
                node.putChild(segment, NotFoundResource())
            node = node.children[segment]
        node.putChild(path[-1], resource)

    def getChildWithDefault(self, path: bytes, request: Request) -> IResource:
        """See `Resource.getChildWithDefault`: the request passes the gate, or ends there."""
        if not path and path not in self.children:
            # A trailing slash leads back to this resource, which checks then.
            return self.getChild(path, request)
        stopped = self.gate.stop(request) if path and path not in HEALTH else None
        return super().getChildWithDefault(path, request) if stopped is None else stopped

    def getChild(self, path: bytes, request: Request) -> Resource:
        """See `Resource.getChild`: a trailing slash leads back to this resource."""
        return NotFoundResource() if path else self

    def render(self, request: Request) -> Any:
        """Answer at the mount point itself."""
        return (self.gate.stop(request) or self._home).render(request)
