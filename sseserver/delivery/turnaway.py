"""
The response to a viewer for which the server has no room: an error, or a reconnection time for an EventSource.

`sseserver.web.viewing` and `sseserver.service.viewers` send it.
"""

from __future__ import annotations

from twisted.web.http import Request

from sseserver.delivery.connection import isOver
from sseserver.delivery.head import jitter, writeHeaders
from sseserver.errors import Overloaded, SSEServerError
from sseserver.interfaces import IFormat

#: Text of the error for a viewer that cannot be served.
NO_ROOM = "The server cannot serve another viewer now: its limit is reached, or it is being stopped."


def turnAway(request: Request, form: IFormat, reconnectionTime: int, refusal: SSEServerError | None = None) -> None:
    """
    Tell a viewer to come back later.

    An EventSource that reconnects gives up for good after any status but 200. So it gets an event
    stream with nothing but a reconnection time.

    Args:
        request: Its response has not begun.
        form: The format that the viewer asked for.
        reconnectionTime: Milliseconds, before jitter. The time that the refusal demands, if that is longer.
        refusal: The reason; `None` for `Overloaded`.

    Raises:
        SSEServerError: The refusal, if the viewers of this format are no EventSources.
    """
    if refusal is None:
        refusal = Overloaded(NO_ROOM)
    if not form.reconnects:
        raise refusal
    if isOver(request):
        # It has left, while its stream was looked for.
        return
    writeHeaders(request, form)
    request.write(b"retry: %d\n\n" % jitter(max(reconnectionTime, 1000 * (refusal.retryAfter or 0))))
    request.finish()
