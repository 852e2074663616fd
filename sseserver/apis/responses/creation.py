"""
`v1/responses`: start a run, and answer with its events, with the response at its end, or at once.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import Request

from sseserver.apis.responses.conversation import rebuildConversation
from sseserver.apis.responses.reading import ResponseReader, findRefusal
from sseserver.apis.responses.resource import ResponsesResource
from sseserver.apis.responses.stored import StoredResponse
from sseserver.delivery.document import Document
from sseserver.errors import InvalidMember, StoreUnavailable, StreamNotFound
from sseserver.interfaces import IStreamLog, Principal
from sseserver.protocols.chatcompletions import makeSummary
from sseserver.protocols.jsonpieces import PIECES_PER_TURN, PLAIN, encodePieces
from sseserver.protocols.responses.native import mayPass
from sseserver.protocols.responses.request import ResponseRequest, readResponse
from sseserver.protocols.responses.translation import NOTE
from sseserver.service.clients import identifyClient
from sseserver.service.opening import Opening, RunTraits
from sseserver.streams.entries import countResponseEvents
from sseserver.timing.turns import awaitTurn, takeTurns
from sseserver.web.request import readJSONObject, readStartKey
from sseserver.web.viewing import locateStream, tellOrigin


class Responses(ResponsesResource):
    """The resource `v1/responses`. Each response is also a stream, named in `Content-Location` if it is stored."""

    def getChild(self, path: bytes, request: Request) -> Resource:
        """See `Resource.getChild`: each ID has a resource, whether or not a response has it."""
        if not path:
            return self
        return StoredResponse(self.service, self.access, path.decode("utf-8", "replace"))

    async def POST(self, request: Request) -> bytes | Document | None:
        """Start a run, or join the run of the same idempotency key."""
        service = self.service
        principal = await self.access.requireRun(request)
        body = await readJSONObject(request, service.settings.modelBody, service)
        asked = readResponse(body.members, service.source)
        earlier = await rebuildConversation(self, principal, asked.previous) if asked.previous else []
        prompt = body.mark(asked.makePrompt(earlier, service.source))
        if body.isLarge:
            # See `Completions.POST`.
            await awaitTurn(service.clock)
        packed = await takeTurns(service.clock, self._packSteps(asked), PIECES_PER_TURN)
        key, prefix = readStartKey(request, "responses", principal), principal.runPrefix or ""
        note = NOTE if mayPass(service.source) else b""
        streamLog = await service.startRun(
            prompt,
            key,
            makeSummary(prompt),
            viewed=asked.isStream or not asked.isBackground,
            prefix=prefix,
            client=identifyClient(request),
            opening=Opening(packed, RunTraits(asked.isBackground, tellsEnd=True), note),
        )
        # See `Completions.POST`.
        del body, earlier, prompt, packed
        asked = asked.forgetContent()
        return await self._respond(request, streamLog, asked, principal)

    async def _respond(
        self, request: Request, streamLog: IStreamLog, asked: ResponseRequest, principal: Principal
    ) -> bytes | Document | None:
        """Answer with the events, with the response when the run has ended, or at once."""
        url = locateStream(request, streamLog, 2)
        if not asked.isStored:
            request.responseHeaders.removeHeader(b"Content-Location")
            if request.getHeader(b"idempotency-key") is None:
                # Otherwise the client may repeat its request, and must not start another run.
                request.notifyFinish().addBoth(partial(self._forget, streamLog))
        if asked.isBackground:
            await streamLog.awaitStored()
            if not asked.isStream:
                return self.answer(request, streamLog, await self.describe(streamLog))
        if not asked.isStream:
            return await self._complete(request, streamLog, principal)
        if not asked.isBackground:
            await self._holdHead(request, streamLog, principal)
        self.service.viewers.follow(request, streamLog, self.form, url, principal)
        return None

    async def _holdHead(self, request: Request, streamLog: IStreamLog, principal: Principal) -> None:
        """
        Hold the head of an answer in events until the source has begun to answer.

        So a run that fails before it gets the status of its error. The head is held no longer than a heartbeat
        interval: clients and proxies give up on a silent server.
        """
        limit = self.service.settings.heartbeat

        def read(cursor: int) -> tuple[int, bool]:
            return max(cursor, streamLog.last), streamLog.last > 1

        await self.service.viewers.wait(request, streamLog, self.form, read, limit, principal)
        refused = findRefusal(streamLog)
        if refused is not None:
            raise refused
        tellOrigin(request, streamLog)

    async def _complete(self, request: Request, streamLog: IStreamLog, principal: Principal) -> bytes | Document | None:
        """Answer in one piece at the end of the stream. Until then the client counts as a viewer."""
        reader = ResponseReader(streamLog, self.form, self.service.settings.window)
        if not await self.service.viewers.wait(request, streamLog, self.form, reader.read, principal=principal):
            return None
        refused = findRefusal(streamLog, countResponseEvents(streamLog.buffer.kinds[1:]))
        if refused is not None:
            raise refused
        tellOrigin(request, streamLog)
        return self.answer(request, streamLog, reader.describe())

    def _packSteps(self, asked: ResponseRequest) -> Generator[None, None, bytes]:
        """
        Make the entry that keeps the request, step by step.

        Raises:
            InvalidMember: It is too large to be kept.
        """
        packed = bytearray()
        limit = self.service.settings.window // 2
        for value in (asked.asked, asked.items if asked.isStored else []):
            for piece in encodePieces(value, PLAIN):
                packed += piece
                yield
            packed += b"\n"
        if len(packed) > limit:
            raise InvalidMember(f"A request over {limit} bytes cannot be stored. Send `store: false`.", "store")
        return bytes(packed[:-1])

    def _forget(self, streamLog: IStreamLog, _: Any) -> None:
        """Delete the stream of a response that nobody asks for again, when its last viewer has left."""
        self.service.clock.callLater(0, self._delete, streamLog)

    def _delete(self, streamLog: IStreamLog) -> None:
        if not streamLog.viewers:
            self.service.delete(streamLog.name).addErrback(
                lambda failure: failure.trap(StreamNotFound, StoreUnavailable)
            )
