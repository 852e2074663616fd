"""
`v1` and `api/chat`: what programs for OpenAI's API and for the Vercel AI SDK ask for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

from twisted.web.http import NO_CONTENT
from twisted.web.resource import Resource
from twisted.web.server import Request

from sseserver.errors import ModelNotFound
from sseserver.interfaces import IModels, IStreamLog
from sseserver.protocols.answer import Answer, refusal
from sseserver.protocols.prompts import checkChat, readChat, readCompletion
from sseserver.service.service import StreamService
from sseserver.values import State
from sseserver.web.answers import answerHead, answerJSON
from sseserver.web.request import readJSON, readKey
from sseserver.web.resource import AsyncResource, NotFoundResource
from sseserver.web.viewing import locateStream


class Completions(AsyncResource):
    """Chat completions: each is the answer to a request, and a stream as well."""

    def __init__(self, service: StreamService) -> None:
        super().__init__()
        self._service = service

    async def POST(self, request: Request) -> bytes | None:
        """Start a run, or join the one of the same idempotency key; answer with its chunks, or in one piece."""
        prompt, streamed = readCompletion(readJSON(request, dict[str, Any]), self._service.source)
        streamLog = await self._service.startRun(prompt, readKey(request))
        url = locateStream(request, streamLog, 3)
        return await (self._stream(request, streamLog, url) if streamed else self._complete(request, streamLog))

    async def _stream(self, request: Request, streamLog: IStreamLog, url: str) -> None:
        """
        Write the chunks. The head waits for the first of them, so that a run
        which fails before has the status of its failure; but not so long that
        the client, or a proxy, takes the silence for a failure.
        """
        service, form = self._service, self._service.formats["openai"]
        limit = service.settings.heartbeat
        await service.wait(request, streamLog, form, lambda cursor: (cursor, streamLog.last > 0), limit)
        refused = refusal(streamLog)
        if refused is not None:
            raise refused
        service.view(request, streamLog, form, url)

    async def _complete(self, request: Request, streamLog: IStreamLog) -> bytes | None:
        """Answer in one piece when the stream has ended; the client counts as a viewer while it waits."""
        service = self._service
        answer = Answer(streamLog, service.source.model, service.settings.window)
        if await service.wait(request, streamLog, service.formats["openai"], answer.read):
            return answerJSON(request, answer.completion())
        return None


class Models(AsyncResource):
    """The models that there are: the source, or what it offers."""

    def __init__(self, service: StreamService, name: str | None = None) -> None:
        super().__init__()
        self._service = service
        self._name = name

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Find one model; there are slashes in the names of some."""
        if not path:
            return self
        name = path.decode("utf-8", "replace")
        return Models(self._service, name if self._name is None else f"{self._name}/{name}")

    async def GET(self, request: Request) -> bytes:
        """List them, or tell of the one."""
        models = [self._describe(name) for name in await self._names()]
        if self._name is None:
            return answerJSON(request, {"object": "list", "data": models})
        for model in models:
            if model["id"] == self._name:
                return answerJSON(request, model)
        raise ModelNotFound(f"There is no model {self._name!r} here; GET /v1/models lists those that there are.")

    async def _names(self) -> list[str]:
        source = self._service.source
        return await source.models() if IModels.providedBy(source) else [source.model]

    def _describe(self, name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": int(self._service.created), "owned_by": "sseserver"}


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
        prompt, chat = readChat(readJSON(request, dict[str, Any]), self._service.source)
        streamLog = await self._service.startRun(prompt, readKey(request))
        self._newest[chat] = streamLog
        url = locateStream(request, streamLog, 2)
        self._service.view(request, streamLog, self._service.formats["ui"], url)


class ChatStream(AsyncResource):
    """What a chat's answer goes on with, after a page was loaded anew."""

    def __init__(self, service: StreamService, newest: Mapping[str, IStreamLog], chat: str) -> None:
        super().__init__()
        self._service = service
        self._newest = newest
        self._chat = chat

    async def GET(self, request: Request) -> bytes | None:
        """Follow the answer from its start, as long as it grows: the page has none of it, and no ID."""
        streamLog = self._newest.get(checkChat(self._chat))
        if streamLog is None or streamLog.state is not State.OPEN:
            request.setResponseCode(NO_CONTENT)
            return b""
        url, form = locateStream(request, streamLog, 4), self._service.formats["ui"]
        if request.method == b"HEAD":
            answerHead(request, form)
        else:
            self._service.view(request, streamLog, form, url)
        return None
