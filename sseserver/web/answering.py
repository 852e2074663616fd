"""
Answering with a run: what the APIs of models wait for before their answers begin.

The head of a streamed answer waits for the first entry, an answer in one piece for the last one.
"""

from __future__ import annotations

from twisted.web.server import Request

from sseserver.interfaces import IFormat, IStreamLog, Principal
from sseserver.service.answer import Answer, countBefore, refusal
from sseserver.service.service import StreamService
from sseserver.web.viewing import tellOrigin


async def holdHead(
    service: StreamService, request: Request, streamLog: IStreamLog, form: IFormat, principal: Principal
) -> None:
    """
    Hold the head of a streamed answer until the first entry that its format may write.

    So a run that fails before it gets the status of its error. The head is held no longer than a heartbeat interval:
    clients and proxies give up on a silent server. The entries before count as read: the run would pause at a large
    one, and the first entry would never come.

    Args:
        service: The service of the run.
        request: Its response has not begun.
        streamLog: The log of the run.
        form: Format of the answer.
        principal: The client.

    Raises:
        SourceError: The run failed before it produced anything.
        RunCancelled: It was cancelled before.
    """
    limit = service.settings.heartbeat

    def read(cursor: int) -> tuple[int, bool]:
        before = min(countBefore(streamLog), streamLog.last)
        return max(cursor, before), streamLog.last > before

    await service.viewers.wait(request, streamLog, form, read, limit, principal)
    refused = refusal(streamLog)
    if refused is not None:
        raise refused
    tellOrigin(request, streamLog)


async def awaitAnswer(
    service: StreamService, request: Request, streamLog: IStreamLog, form: IFormat, principal: Principal
) -> Answer | None:
    """
    Wait for the end of a run. Until then the client counts as a viewer.

    Args:
        service: See `holdHead`.
        request: See `holdHead`.
        streamLog: See `holdHead`.
        form: Format of the API, whose viewers the client is one of.
        principal: See `holdHead`.

    Returns:
        The whole answer; `None` if the client has left.
    """
    answer = Answer(streamLog, service.source.model, service.settings.window)
    over = await service.viewers.wait(request, streamLog, form, answer.read, principal=principal)
    if not over:
        return None
    tellOrigin(request, streamLog)
    return answer
