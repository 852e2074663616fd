"""
The response to a viewer for which the server has no room; `sseserver.service.viewers` sends it.
"""

from __future__ import annotations

from twisted.web.http import Request

from sseserver.delivery.head import jitter, writeHeaders
from sseserver.errors import Overloaded
from sseserver.interfaces import IFormat

#: Text of the error for a viewer that cannot be served.
NO_ROOM = "The server cannot serve another viewer now: its limit is reached, or it is being stopped."


def turnAway(request: Request, form: IFormat, reconnectionTime: int) -> None:
    """
    Tell a viewer to come back later.

    An EventSource that reconnects gives up for good after any status but 200. So it gets an event
    stream with nothing but a reconnection time.

    Args:
        request: Its response has not begun.
        form: The format that the viewer asked for.
        reconnectionTime: Milliseconds, before jitter.

    Raises:
        Overloaded: The viewers of this format are no EventSources.
    """
    if not form.reconnects:
        raise Overloaded(NO_ROOM)
    writeHeaders(request, form)
    request.write(b"retry: %d\n\n" % jitter(reconnectionTime))
    request.finish()
