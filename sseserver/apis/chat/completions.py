"""
`v1/chat/completions`: chat completions, streamed or in one piece.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.web.server import Request

from sseserver.apis.chat.answer import Answer, refusal
from sseserver.interfaces import IStreamLog
from sseserver.protocols.chatcompletions import addUsage, readCompletion
from sseserver.service.service import StreamService
from sseserver.web.answers import answerJSON
from sseserver.web.request import readJSONBody, readKey
from sseserver.web.resource import AsyncResource
from sseserver.web.viewing import locateStream


class Completions(AsyncResource):
    """Chat completions: each is the answer to a request, and a stream as well."""

    def __init__(self, service: StreamService) -> None:
        super().__init__()
        self._service = service

    async def POST(self, request: Request) -> bytes | None:
        """Start a run, or join the one of the same idempotency key; answer with its chunks, or in one piece."""
        prompt, streamed = readCompletion(readJSONBody(request, dict[str, Any]), self._service.source)
        streamLog = await self._service.startRun(prompt, readKey(request), partial(addUsage, prompt))
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
        await service.viewers.wait(request, streamLog, form, lambda cursor: (cursor, streamLog.last > 0), limit)
        refused = refusal(streamLog)
        if refused is not None:
            raise refused
        service.viewers.follow(request, streamLog, form, url)

    async def _complete(self, request: Request, streamLog: IStreamLog) -> bytes | None:
        """Answer in one piece when the stream has ended; the client counts as a viewer while it waits."""
        service = self._service
        answer = Answer(streamLog, service.source.model, service.settings.window)
        if await service.viewers.wait(request, streamLog, service.formats["openai"], answer.read):
            return answerJSON(request, answer.completion())
        return None
