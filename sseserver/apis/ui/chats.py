"""
`api/chat`: the chats of the Vercel AI SDK.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

from twisted.web.http import NO_CONTENT
from twisted.web.resource import Resource
from twisted.web.server import Request

from sseserver.interfaces import IStreamLog
from sseserver.protocols.uimessages import checkChatID, readChat
from sseserver.service.service import StreamService
from sseserver.values import State
from sseserver.web.answers import answerHead
from sseserver.web.request import readJSONBody, readKey
from sseserver.web.resource import AsyncResource, NotFoundResource
from sseserver.web.viewing import locateStream


class Chats(AsyncResource):
    """The chats of the Vercel AI SDK, by the ids that their pages gave them."""

    def __init__(self, service: StreamService) -> None:
        super().__init__()
        self._service = service
        # The newest answer of each chat, as long as its stream is kept.
        self._newest: WeakValueDictionary[str, IStreamLog] = WeakValueDictionary()

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Below a chat's id is its stream."""
        if not path:
            return self
        chat = NotFoundResource()
        chat.putChild(b"stream", ChatStream(self._service, self._newest, path.decode("utf-8", "replace")))
        return chat

    async def POST(self, request: Request) -> None:
        """Answer the chat's last message."""
        prompt, chat = readChat(readJSONBody(request, dict[str, Any]), self._service.source)
        streamLog = await self._service.startRun(prompt, readKey(request))
        self._newest[chat] = streamLog
        url = locateStream(request, streamLog, 2)
        self._service.viewers.follow(request, streamLog, self._service.formats["ui"], url)


class ChatStream(AsyncResource):
    """What a chat's answer goes on with, after a page was loaded anew."""

    def __init__(self, service: StreamService, newest: Mapping[str, IStreamLog], chat: str) -> None:
        super().__init__()
        self._service = service
        self._newest = newest
        self._chat = chat

    async def GET(self, request: Request) -> bytes | None:
        """Follow the answer from its start, as long as it grows: the page has none of it, and no ID."""
        streamLog = self._newest.get(checkChatID(self._chat))
        if streamLog is None or streamLog.state is not State.OPEN:
            request.setResponseCode(NO_CONTENT)
            return b""
        url, form = locateStream(request, streamLog, 4), self._service.formats["ui"]
        if request.method == b"HEAD":
            answerHead(request, form)
        else:
            self._service.viewers.follow(request, streamLog, form, url)
        return None
