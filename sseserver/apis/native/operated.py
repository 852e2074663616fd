"""
`/streams` for operators, on the endpoint of `--admin-listen`: streams are listed, read, cancelled and deleted there.

Nothing is published there, and no run is started: that endpoint has few connections, and takes no bodies.
"""

from __future__ import annotations

from twisted.web.resource import Resource
from twisted.web.server import Request

from sseserver.apis.native.streams import NamedStream, StreamCollection
from sseserver.delivery.document import Document
from sseserver.errors import Overloaded
from sseserver.service.service import StreamService
from sseserver.web.access.rights import Access
from sseserver.web.resource import AsyncResource, NotFoundResource
from sseserver.web.viewing import PageAnswer

#: Streams that operators read at a time. The other connections of their endpoint are for health checks and metrics.
MAX_READ = 4


class Readers:
    """Counts the streams that operators read."""

    def __init__(self) -> None:
        self.count = 0

    def admit(self, request: Request) -> None:
        """
        Count one more, until its response has ended.

        Raises:
            Overloaded: There are enough.
        """
        if self.count >= MAX_READ:
            raise Overloaded(f"Operators read {MAX_READ} streams already; close one of them.")
        self.count += 1
        request.notifyFinish().addBoth(self._leave)

    def _leave(self, _: object) -> None:
        self.count -= 1


class OperatedStreams(AsyncResource):
    """
    `/streams` for operators.

    Args:
        service: See `StreamCollection`.
        answerPage: See `StreamCollection`.
        access: See `StreamCollection`.
    """

    def __init__(self, service: StreamService, answerPage: PageAnswer, access: Access) -> None:
        super().__init__(service.viewers)
        self._readers = Readers()
        self._service = service
        self._streams = StreamCollection(service, answerPage, access)

    def getChild(self, path: bytes, request: Request) -> Resource:
        """See `Resource.getChild`: the children are the streams."""
        child = self._streams.getChild(path, request)
        return OperatedStream(self._service, child, self._readers) if isinstance(child, NamedStream) else self

    async def GET(self, request: Request) -> bytes:
        """See `StreamCollection.GET`."""
        return await self._streams.GET(request)


class OperatedStream(AsyncResource):
    """
    One stream for operators.

    Args:
        service: See `StreamCollection`.
        stream: The stream.
        readers: Counts those that read.
    """

    def __init__(self, service: StreamService, stream: NamedStream, readers: Readers) -> None:
        super().__init__(service.viewers)
        self._stream = stream
        self._readers = readers

    def getChild(self, path: bytes, request: Request) -> Resource:
        """See `Resource.getChild`: the only child is `cancel`."""
        if path == b"cancel":
            return self._stream.getChild(path, request)
        return NotFoundResource() if path else self

    async def GET(self, request: Request) -> bytes | Document | None:
        """See `NamedStream.GET`."""
        self._readers.admit(request)
        return await self._stream.GET(request)

    async def DELETE(self, request: Request) -> bytes:
        """See `NamedStream.DELETE`."""
        return await self._stream.DELETE(request)
