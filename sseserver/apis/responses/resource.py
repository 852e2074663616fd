"""
`ResponsesResource`: base class of the resources of Responses, and the ways to find a response.
"""

from __future__ import annotations

import os
from binascii import hexlify
from typing import Any

from twisted.web.server import Request

from sseserver.apis.responses.reading import KeptRequest, ResponseReader, readRequest
from sseserver.delivery.document import Document
from sseserver.errors import NotFound, StreamNotFound
from sseserver.formats import ResponsesFormat
from sseserver.interfaces import IStreamLog, Principal, Right
from sseserver.protocols.jsonpieces import SPACED, encodePieces
from sseserver.protocols.responses.response import PREFIX
from sseserver.service.service import StreamService
from sseserver.timing.turns import takeTurns
from sseserver.web.access.rights import Access, checkRight
from sseserver.web.answers import answerJSON, answerLargeJSON
from sseserver.web.resource import AsyncResource

#: Bytes of a stream. The response of a larger one is encoded in pieces.
_LARGE = 256 * 1024


class ResponseNotFound(NotFound):
    """
    There is no response with this ID.

    Args:
        response: The ID.
    """

    code = "response_not_found"

    def __init__(self, response: str) -> None:
        super().__init__(f"There is no response {response!r}: it never existed, was not stored, or is no longer kept.")


class ResponsesResource(AsyncResource):
    """
    A resource whose answers have the header `x-request-id`, which OpenAI's clients keep for bug reports.

    Args:
        service: Runs the token source and keeps the streams.
        access: Checks the rights of requests.
    """

    def __init__(self, service: StreamService, access: Access) -> None:
        super().__init__(service.viewers)
        self.access = access
        form: Any = service.formats["responses"]
        self.form: ResponsesFormat = form
        self.service = service

    def render(self, request: Request) -> Any:
        """Name the request, and start its coroutine."""
        request.responseHeaders.setRawHeaders(b"x-request-id", [b"req_%b" % hexlify(os.urandom(16))])
        return super().render(request)

    async def find(self, principal: Principal, right: Right, response: str) -> IStreamLog:
        """
        Find the stream of a response.

        Args:
            principal: The client.
            right: The right that it needs.
            response: ID of the response.

        Raises:
            ResponseNotFound: There is no such response, or it is not stored.
            Forbidden: The client may see the response, and lacks the right.
            StoreUnavailable: The store cannot look it up now.
        """
        name = response.removeprefix(PREFIX)
        try:
            if name == response or not name:
                raise StreamNotFound(name)
            checkRight(principal, right, name)
            streamLog = await self.service.find(name)
        except StreamNotFound:
            raise ResponseNotFound(response) from None
        kept = readRequest(streamLog)
        if streamLog.buffer.first == 1 and (kept is None or kept.asked.get("store") is False):
            raise ResponseNotFound(response)
        return streamLog

    async def describe(self, streamLog: IStreamLog) -> dict[str, Any]:
        """
        Return the response that a stream is, as far as it has got.

        Raises:
            AnswerTooLong: Its beginning is no longer kept.
        """
        # The log may have more than its window just now.
        reader = ResponseReader(streamLog, self.form, 2 * self.service.settings.window)
        return await takeTurns(self.service.clock, reader.readSteps())

    def answer(self, request: Request, streamLog: IStreamLog, response: dict[str, Any]) -> bytes | Document:
        """
        Answer with a response, in pieces if it is large.

        Args:
            request: The request that is answered.
            streamLog: The stream of the response.
            response: The response as JSON members.
        """
        if streamLog.size > _LARGE:
            return answerLargeJSON(request, encodePieces(response, SPACED))
        return answerJSON(request, response)


def readKept(streamLog: IStreamLog, response: str) -> KeptRequest:
    """
    Return the request of a response.

    Args:
        streamLog: The stream of the response.
        response: ID of the response.

    Raises:
        ResponseNotFound: Its beginning is no longer kept.
    """
    kept = readRequest(streamLog)
    if kept is None:
        raise ResponseNotFound(response)
    return kept
