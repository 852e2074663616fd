"""
`api/chat`: the chats of the Vercel AI SDK.
"""

from __future__ import annotations

from twisted.web.http import NO_CONTENT
from twisted.web.resource import Resource
from twisted.web.server import Request

from sseserver.errors import StreamNotFound
from sseserver.interfaces import Principal, Right
from sseserver.protocols.uimessages import checkChatID, readChat
from sseserver.service.clients import identifyClient
from sseserver.service.keptstreams import KeptStreams
from sseserver.service.service import StreamService
from sseserver.tracebacks import forgetTraceback
from sseserver.values import State
from sseserver.web.access.rights import Access
from sseserver.web.request import readJSONObject, readStartKey
from sseserver.web.resource import AsyncResource, NotFoundResource
from sseserver.web.viewing import answerViewerHead, locateStream


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
        """See `Resource.getChild`: a chat, which has nothing but its stream below it."""
        if not path:
            return self
        chat = NotFoundResource()
        chat.putChild(b"stream", ChatStream(self._service, self._newest, self._access, path.decode("utf-8", "replace")))
        return chat

    async def POST(self, request: Request) -> None:
        """Start a run for the last message of a chat, or join the run of the same idempotency key."""
        principal = await self._access.requireRun(request)
        body = await readJSONObject(request, self._service.settings.modelBody, self._service)
        prompt, chat = readChat(body.members, self._service.source)
        key = readStartKey(request, "ui", principal)
        prefix, client = principal.runPrefix or "", identifyClient(request)
        streamLog = await self._service.startRun(body.mark(prompt), key, viewed=True, prefix=prefix, client=client)
        await self._newest.add(_makeKey(principal, chat), streamLog)
        url = locateStream(request, streamLog, 2)
        self._service.viewers.follow(request, streamLog, self._service.formats["ui"], url, principal)


class ChatStream(AsyncResource):
    """
    The stream of a chat's newest answer, for a page that was reloaded.

    Args:
        service: The service that keeps the streams.
        newest: The newest stream of each chat.
        access: See `Chats`.
        chat: ID of the chat, not checked yet.
    """

    def __init__(self, service: StreamService, newest: KeptStreams, access: Access, chat: str) -> None:
        super().__init__(service.viewers)
        self._access = access
        self._service = service
        self._newest = newest
        self._chat = chat

    async def GET(self, request: Request) -> bytes | None:
        """Follow an open stream from its start: a reloaded page has neither text nor ID. Otherwise answer 204."""
        principal = await self._access.identify(request)
        chat = checkChatID(self._chat)
        try:
            streamLog = await self._newest.find(_makeKey(principal, chat))
        except StreamNotFound as missing:
            forgetTraceback(missing)
            streamLog = None
        if streamLog is None or streamLog.state is not State.OPEN or not principal.allows(Right.READ, streamLog.name):
            request.setResponseCode(NO_CONTENT)
            return b""
        url, form = locateStream(request, streamLog, 4), self._service.formats["ui"]
        if request.method == b"HEAD":
            answerViewerHead(self._service, request, form)
        else:
            self._service.viewers.follow(request, streamLog, form, url, principal)
        return None


def _makeKey(principal: Principal, chat: str) -> str:
    """Return the key of a chat. Clients choose the IDs; those of two principals have nothing to do with each other."""
    return f"{principal.name} {chat}" if principal.name else chat
