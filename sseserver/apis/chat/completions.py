"""
`v1/chat/completions` and the legacy `v1/completions`: completions, streamed or in one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from twisted.web.server import Request

from sseserver.apis.chat.resource import ChatResource
from sseserver.delivery.document import Document
from sseserver.formats import CompletionsFormat, OpenAIFormat
from sseserver.interfaces import IFormat, IStreamLog, ITokenSource, Principal
from sseserver.protocols.chatcompletions import (
    FOLDING,
    CompletionRequest,
    build,
    makeSummary,
    readCompletion,
    wantsUsage,
)
from sseserver.protocols.completions import convertWhole, readLegacy
from sseserver.protocols.jsonpieces import encodePieces
from sseserver.service.clients import identifyClient
from sseserver.service.service import StreamService
from sseserver.timing.turns import awaitTurn
from sseserver.web.access.rights import Access
from sseserver.web.answering import awaitAnswer, holdHead
from sseserver.web.answers import answerJSON, answerLargeJSON
from sseserver.web.request import readJSONObject, readStartKey
from sseserver.web.viewing import locateStream


class Shape(NamedTuple):
    """
    The shape of an API's requests and answers.

    Attributes:
        name: Name of the endpoint, one word.
        depth: Number of segments of its path below the mount point.
        read: Reads the body of a request.
        format: Name of the format of an answer in chunks.
        makeFormat: Makes the format of an answer in chunks that has the usage.
        convert: Converts a chat completion in one piece.
    """

    name: str
    depth: int
    read: Callable[[Mapping[str, Any], ITokenSource], CompletionRequest]
    format: str
    makeFormat: Callable[[str], IFormat]
    convert: Callable[[dict[str, object]], dict[str, object]]


#: Chat completions.
CHAT = Shape("chat", 3, readCompletion, "openai", partial(OpenAIFormat, withUsage=True), lambda completion: completion)

#: Legacy completions.
LEGACY = Shape("completions", 2, readLegacy, "completions", partial(CompletionsFormat, withUsage=True), convertWhole)


class Completions(ChatResource):
    """
    The resource `v1/chat/completions` or `v1/completions`. Each answer is also a stream, named in `Content-Location`.

    Args:
        service: The service that runs the token source and keeps the streams.
        access: Checks the rights of requests.
        shape: Shape of the requests and answers.
    """

    def __init__(self, service: StreamService, access: Access, shape: Shape = CHAT) -> None:
        super().__init__(service.viewers)
        self._access = access
        self._service = service
        self._shape = shape
        self._withUsage = shape.makeFormat(service.source.model)

    async def POST(self, request: Request) -> bytes | Document | None:
        """Start a run, or join the run of the same idempotency key; answer in chunks or in one piece."""
        principal = await self._access.requireRun(request)
        body = await readJSONObject(request, self._service.settings.modelBody, self._service)
        prompt, streamed = self._shape.read(body.members, self._service.source)
        if body.isLarge:
            # The words of the prompt are counted in a turn of their own.
            await awaitTurn(self._service.clock)
        key, prefix = readStartKey(request, self._shape.name, principal), principal.runPrefix or ""
        client = identifyClient(request)
        streamLog = await self._service.startRun(
            body.mark(prompt), key, makeSummary(prompt), viewed=True, prefix=prefix, client=client
        )
        url = locateStream(request, streamLog, self._shape.depth)
        form = self._withUsage if wantsUsage(prompt) else self._service.formats[self._shape.format]
        # A client may wait for a long time, and nobody counts what this coroutine keeps.
        del body, prompt
        if not streamed:
            return await self._complete(request, streamLog, principal)
        await holdHead(self._service, request, streamLog, form, principal)
        self._service.viewers.follow(request, streamLog, form, url, principal)
        return None

    async def _complete(self, request: Request, streamLog: IStreamLog, principal: Principal) -> bytes | Document | None:
        """Answer in one piece at the end of the stream."""
        service = self._service
        answer = await awaitAnswer(service, request, streamLog, service.formats[self._shape.format], principal)
        if answer is None:
            return None
        completion = self._shape.convert(answer.completion())
        if answer.isLarge:
            return answerLargeJSON(request, encodePieces(completion, FOLDING))
        return answerJSON(request, build(completion))
