"""
`ollama/api/chat` and `ollama/api/generate`: answers, as lines of JSON or in one piece.
"""

from __future__ import annotations

from twisted.web.server import Request

from sseserver.apis.ollama.resource import OllamaResource
from sseserver.delivery.document import Document
from sseserver.formats.ollama import OllamaFormat
from sseserver.interfaces import IStreamLog, Principal
from sseserver.protocols.chatcompletions import FOLDING, build, makeSummary
from sseserver.protocols.jsonpieces import encodePieces
from sseserver.protocols.ollama import CHAT, AnswerWriter, readOllamaChat, readOllamaGenerate
from sseserver.service.clients import identifyClient
from sseserver.service.opening import Opening, RunTraits
from sseserver.service.service import StreamService
from sseserver.timing.turns import awaitTurn
from sseserver.web.access.rights import Access
from sseserver.web.answering import awaitAnswer, holdHead
from sseserver.web.answers import answerJSON, answerLargeJSON
from sseserver.web.request import readJSONObject, readStartKey
from sseserver.web.viewing import locateStream

#: Ollama's answers have durations.
_OPENING = Opening(None, RunTraits(tellsDurations=True))


class Answers(OllamaResource):
    """
    One of the two resources. Each answer is also a stream, named in `Content-Location`.

    Args:
        endpoint: `CHAT` or `GENERATE`.
        service: The service that runs the token source and keeps the streams.
        access: Checks the rights of requests.
    """

    def __init__(self, endpoint: str, service: StreamService, access: Access) -> None:
        super().__init__(service.viewers)
        self._endpoint = endpoint
        self._read = readOllamaChat if endpoint == CHAT else readOllamaGenerate
        self._access = access
        self._service = service
        self._form = OllamaFormat(endpoint, service.source.model)

    async def POST(self, request: Request) -> bytes | Document | None:
        """Start a run, or join the run of the same idempotency key; answer in lines or in one piece."""
        principal = await self._access.requireRun(request)
        service = self._service
        body = await readJSONObject(request, service.settings.modelBody, service)
        prompt, streamed, model = self._read(body.members, service.source)
        if prompt is None:
            # The client wants the model to be loaded, and all models always are.
            return answerJSON(request, AnswerWriter(self._endpoint, model, service.wall()).makeLoaded())
        if body.isLarge:
            # The words of the prompt are counted in a turn of their own.
            await awaitTurn(service.clock)
        key = readStartKey(request, f"ollama-{self._endpoint}", principal)
        prefix, client = principal.runPrefix or "", identifyClient(request)
        streamLog = await service.startRun(
            body.mark(prompt),
            key,
            makeSummary(prompt),
            viewed=True,
            prefix=prefix,
            client=client,
            opening=_OPENING,
        )
        url = locateStream(request, streamLog, 3)
        # See `Completions.POST`.
        del body, prompt
        if not streamed:
            return await self._complete(request, streamLog, principal)
        await holdHead(service, request, streamLog, self._form, principal)
        service.viewers.follow(request, streamLog, self._form, url, principal)
        return None

    async def _complete(self, request: Request, streamLog: IStreamLog, principal: Principal) -> bytes | Document | None:
        """Answer in one piece at the end of the stream."""
        service = self._service
        answer = await awaitAnswer(service, request, streamLog, self._form, principal)
        if answer is None:
            return None
        writer = AnswerWriter(self._endpoint, service.source.model, streamLog.created)
        whole = writer.makeWhole(answer.completion(), answer.durations)
        return (
            answerLargeJSON(request, encodePieces(whole, FOLDING))
            if answer.isLarge
            else answerJSON(request, build(whole))
        )
