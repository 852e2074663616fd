"""
`v1/messages`: messages, streamed or in one piece, and the estimate of the tokens of a request.
"""

from __future__ import annotations

from twisted.web.server import Request

from sseserver.apis.messages.resource import MessagesResource
from sseserver.delivery.document import Document
from sseserver.formats.messages import nameMessage
from sseserver.interfaces import IStreamLog, Principal
from sseserver.protocols.chatcompletions import FOLDING, build, makeSummary
from sseserver.protocols.jsonpieces import encodePieces
from sseserver.protocols.messages import estimateTokens, makeMessage, readMessages
from sseserver.service.clients import identifyClient
from sseserver.service.service import StreamService
from sseserver.timing.turns import awaitTurn
from sseserver.web.access.rights import Access
from sseserver.web.answering import awaitAnswer, holdHead
from sseserver.web.answers import answerJSON, answerLargeJSON
from sseserver.web.request import readJSONObject, readStartKey
from sseserver.web.viewing import locateStream


class Messages(MessagesResource):
    """
    The resource `v1/messages`. Each answer is also a stream, named in `Content-Location`.

    Args:
        service: The service that runs the token source and keeps the streams.
        access: Checks the rights of requests.
    """

    def __init__(self, service: StreamService, access: Access) -> None:
        super().__init__(service.viewers)
        self._access = access
        self._service = service
        self.putChild(b"count_tokens", TokenCounts(service, access))

    async def POST(self, request: Request) -> bytes | Document | None:
        """Start a run, or join the run of the same idempotency key; answer in events or in one piece."""
        principal = await self._access.requireRun(request)
        self.checkVersion(request)
        service = self._service
        body = await readJSONObject(request, service.settings.modelBody, service)
        prompt, streamed = readMessages(body.members, service.source)
        if body.isLarge:
            # The words of the prompt are counted in a turn of their own.
            await awaitTurn(service.clock)
        key, prefix = readStartKey(request, "messages", principal), principal.runPrefix or ""
        streamLog = await service.startRun(
            body.mark(prompt), key, makeSummary(prompt), viewed=True, prefix=prefix, client=identifyClient(request)
        )
        url = locateStream(request, streamLog, 2)
        # See `Completions.POST`.
        del body, prompt
        if not streamed:
            return await self._complete(request, streamLog, principal)
        form = service.formats["messages"]
        await holdHead(service, request, streamLog, form, principal)
        service.viewers.follow(request, streamLog, form, url, principal)
        return None

    async def _complete(self, request: Request, streamLog: IStreamLog, principal: Principal) -> bytes | Document | None:
        """Answer in one piece at the end of the stream."""
        form = self._service.formats["messages"]
        answer = await awaitAnswer(self._service, request, streamLog, form, principal)
        if answer is None:
            return None
        message = makeMessage(answer.completion(), nameMessage(streamLog))
        if answer.isLarge:
            return answerLargeJSON(request, encodePieces(message, FOLDING))
        return answerJSON(request, build(message))


class TokenCounts(MessagesResource):
    """
    The resource `v1/messages/count_tokens`, which estimates.

    Args:
        service: See `Messages`.
        access: Finds the principals of requests; each may ask.
    """

    def __init__(self, service: StreamService, access: Access) -> None:
        super().__init__(service.viewers)
        self._access = access
        self._service = service

    async def POST(self, request: Request) -> bytes:
        """Answer with the estimate."""
        await self._access.identify(request)
        self.checkVersion(request)
        service = self._service
        body = await readJSONObject(request, service.settings.modelBody, service)
        tokens = estimateTokens(body.members, service.source)
        # Clients ignore the second member; people see what the number is.
        return answerJSON(request, {"input_tokens": tokens, "estimated": True})
