"""
`api/chat`: the chats of the Vercel AI SDK.
"""

from __future__ import annotations

import re

from twisted.web.http import ACCEPTED, NO_CONTENT
from twisted.web.resource import Resource
from twisted.web.server import Request

from sseserver.apis.ui.numbered import NumberedParts
from sseserver.errors import BadRequest, StreamNotFound
from sseserver.interfaces import IStreamLog, Principal, Right
from sseserver.protocols.uimessages import checkChatID, readChat
from sseserver.service.clients import identifyClient
from sseserver.service.keptstreams import KeptStreams
from sseserver.service.service import StreamService
from sseserver.tracebacks import forgetTraceback
from sseserver.values import State
from sseserver.web.access.rights import Access
from sseserver.web.answers import answerJSON
from sseserver.web.request import prefersAsync, readJSONObject, readPlace, readStartKey
from sseserver.web.resource import AsyncResource, NotFoundResource
from sseserver.web.viewing import answerViewerHead, locateStream

#: Media types of the bodies. `WorkflowChatTransport` sends its JSON as text; the gate has refused pages of other sites.
_TYPES = ("application/json", "text/plain")

#: A number of a part; a negative one counts from the end.
_INDEX = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")


class Chats(AsyncResource):
    """
    The resource `api/chat`: the SDK posts each message here, and resumes an answer at `api/chat/ID/stream`.

    Args:
        service: The service that runs the token source and keeps the streams.
        access: Checks the rights of requests.
    """

    def __init__(self, service: StreamService, access: Access) -> None:
        super().__init__(service.viewers)
        self._access = access
        self._service = service
        # The newest stream of each chat, by its principal and the ID of the chat.
        self._newest = service.keys.makeKept("chats")

    def getChild(self, path: bytes, request: Request) -> Resource:
        """See `Resource.getChild`: a chat or a run, which has nothing but its stream below it."""
        if not path:
            return self
        chat = NotFoundResource()
        chat.putChild(b"stream", ChatStream(self._service, self._newest, self._access, path.decode("utf-8", "replace")))
        return chat

    async def POST(self, request: Request) -> bytes | None:
        """
        Start a run for the last message of a chat, or join the run of the same idempotency key.

        A reader of Durable Streams follows the answer at another URL. With `Prefer: respond-async` it gets that alone.
        """
        principal = await self._access.requireRun(request)
        body = await readJSONObject(request, self._service.settings.modelBody, self._service, _TYPES)
        prompt, chat = readChat(body.members, self._service.source)
        key = readStartKey(request, "ui", principal)
        prefix, client = principal.runPrefix or "", identifyClient(request)
        streamLog = await self._service.startRun(body.mark(prompt), key, viewed=True, prefix=prefix, client=client)
        if chat is not None:
            await self._newest.add(_makeKey(principal, chat), streamLog)
        url = locateStream(request, streamLog, 2)
        nameRun(request, streamLog)
        reader = nameReader(request, streamLog, url, self._access.signReading(principal, streamLog.name))
        if prefersAsync(request):
            return answerJSON(request, {"streamUrl": reader}, ACCEPTED)
        self._service.viewers.follow(request, streamLog, self._service.formats["ui"], url, principal)
        return None


class ChatStream(AsyncResource):
    """
    The stream of a chat's newest answer, for a page that was reloaded; or of a run, for one whose connection was cut.

    Args:
        service: The service that keeps the streams.
        newest: The newest stream of each chat.
        access: See `Chats`.
        name: ID of the chat or of the run, not checked yet.
    """

    def __init__(self, service: StreamService, newest: KeptStreams, access: Access, name: str) -> None:
        super().__init__(service.viewers)
        self._access = access
        self._service = service
        self._newest = newest
        self._name = name

    async def GET(self, request: Request) -> bytes | None:
        """
        Follow an open stream from its start: a reloaded page has neither text nor ID. Otherwise answer 204.

        With the parameter `startIndex`, follow any stream from this part on.
        """
        principal = await self._access.identify(request)
        index = readPlace(request, b"startIndex")
        if index is not None:
            return await self._resume(request, principal, index)
        streamLog = await self._findChat(principal)
        if streamLog is None or streamLog.state is not State.OPEN:
            request.setResponseCode(NO_CONTENT)
            return b""
        url, form = locateStream(request, streamLog, 4), self._service.formats["ui"]
        reader = self._nameStream(request, streamLog, url, principal)
        if prefersAsync(request):
            return answerJSON(request, {"streamUrl": reader}, ACCEPTED)
        if request.method == b"HEAD":
            answerViewerHead(self._service, request, form)
        else:
            self._service.viewers.follow(request, streamLog, form, url, principal)
        return None

    async def _resume(self, request: Request, principal: Principal, index: str) -> bytes | None:
        """
        Follow a stream from a part on.

        Raises:
            BadRequest: The number of the part is malformed, or there is no such part.
            StreamNotFound: There is neither a run nor a chat of this ID.
        """
        if not _INDEX.fullmatch(index):
            raise BadRequest("The parameter startIndex must be an integer.")
        streamLog = await self._findRun(principal) or await self._findChat(principal)
        if streamLog is None:
            raise StreamNotFound(self._name)
        url = locateStream(request, streamLog, 4)
        self._nameStream(request, streamLog, url, principal)
        return await NumberedParts(self._service, streamLog).answer(request, int(index), url, principal)

    def _nameStream(self, request: Request, streamLog: IStreamLog, url: str, principal: Principal) -> str:
        """Name the stream in the headers, and return its URL for readers of Durable Streams."""
        nameRun(request, streamLog)
        return nameReader(request, streamLog, url, self._access.signReading(principal, streamLog.name))

    async def _findRun(self, principal: Principal) -> IStreamLog | None:
        """Return the stream of the run of this ID, if the client may read one."""
        if not principal.allows(Right.READ, self._name):
            return None
        try:
            streamLog = await self._service.find(self._name)
        except StreamNotFound as missing:
            forgetTraceback(missing)
            return None
        return None if streamLog.published else streamLog

    async def _findChat(self, principal: Principal) -> IStreamLog | None:
        """Return the newest stream of the chat of this ID, if the client may read it."""
        chat = checkChatID(self._name)
        try:
            streamLog = await self._newest.find(_makeKey(principal, chat))
        except StreamNotFound as missing:
            forgetTraceback(missing)
            return None
        return streamLog if principal.allows(Right.READ, streamLog.name) else None


def nameRun(request: Request, streamLog: IStreamLog) -> None:
    """
    Name the run of an answer in the header that the SDK's `WorkflowChatTransport` reads.

    Args:
        request: Its response has not begun.
        streamLog: The stream of the run.
    """
    request.responseHeaders.setRawHeaders(b"x-workflow-run-id", [streamLog.name.encode("ascii")])


def nameReader(request: Request, streamLog: IStreamLog, url: str, link: str | None) -> str:
    """
    Name a stream for readers of Durable Streams, in the header `Location`.

    Args:
        request: Its response has not begun.
        streamLog: The stream.
        url: Its URL.
        link: Query of a link that lets the client read it: these readers send no credential. `None` for none.

    Returns:
        The URL for these readers.
    """
    reader = f"{url.removesuffix(f'streams/{streamLog.name}')}durable/{streamLog.name}"
    if link is not None:
        reader = f"{reader}?{link}"
    request.responseHeaders.setRawHeaders(b"Location", [reader.encode("ascii")])
    return reader


def _makeKey(principal: Principal, chat: str) -> str:
    """Return the key of a chat. Clients choose the IDs; those of two principals have nothing to do with each other."""
    return f"{principal.name} {chat}" if principal.name else chat
