"""
NumberedParts: the parts of a message by their numbers, for `WorkflowChatTransport`, which counts them.

`chats` uses it.
"""

from __future__ import annotations

from typing import cast

from twisted.web.server import Request

from sseserver.errors import BadRequest, GapError
from sseserver.formats import UIFormat
from sseserver.formats.rendering import describeGap
from sseserver.interfaces import IStreamLog, Principal
from sseserver.service.service import StreamService
from sseserver.values import StartingPlace, State
from sseserver.web.viewing import answerFinished, answerViewerHead, countEvents


class NumberedParts:
    """
    The parts of one message.

    Args:
        service: Keeps the viewers.
        streamLog: The stream of the answer.
    """

    def __init__(self, service: StreamService, streamLog: IStreamLog) -> None:
        self._service = service
        self._log = streamLog
        self._form = cast(UIFormat, service.formats["ui"])

    async def answer(self, request: Request, index: int, url: str, principal: Principal) -> bytes | None:
        """
        Let a request follow the stream from a part on.

        Args:
            request: A GET or HEAD.
            index: Number of the first part, from 0; a negative one counts from the end.
            url: URL of the stream.
            principal: The client, which may read the stream.

        Returns:
            `None` if the response is written by a producer; an empty body, with the status 204, if nothing follows.

        Raises:
            BadRequest: There is no such part, or the parts can no longer be counted.
        """
        try:
            rendering = await countEvents(self._service, self._log, self._form)
            count = rendering.countEvents()
            request.responseHeaders.setRawHeaders(b"x-workflow-stream-tail-index", [b"%d" % (count - 1)])
            start = max(0, count + index) if index < 0 else index
            if start > count:
                raise BadRequest(f"The parameter startIndex must be at most {count}, the number of parts so far.")
            rendering.findEvent(start)
        except GapError as gap:
            raise _refuse(gap) from None
        if start == count and self._log.state is not State.OPEN:
            return answerFinished(self._service, request, str(index))
        if request.method == b"HEAD":
            answerViewerHead(self._service, request, self._form)
        else:
            place = StartingPlace(events=start)
            self._service.viewers.follow(request, self._log, self._form, url, principal, place)
        return None


def _refuse(gap: GapError) -> BadRequest:
    """Return the error for a part that cannot be found."""
    if gap.reason == "restarted":
        return BadRequest("The answer has begun anew after this part. Request it from its start, with startIndex=0.")
    return BadRequest(f"{describeGap(gap).partition('.')[0]}: the parts cannot be counted.")
