"""
The states of a response that a producer writes, as a table. `ResponseProducer` takes its steps by it.
"""

from __future__ import annotations

from sseserver.steps import StateEnum


class ViewerState(StateEnum):
    """State of a `ResponseProducer`."""

    #: The response has not begun.
    NEW = "new"
    #: Bytes are written as they come.
    LIVE = "live"
    #: The transport is full. Nothing is written; the cursor of the producer keeps the place.
    PAUSED = "paused"
    #: The transport has room, but others have used up the turn of the reactor. The producer goes on in its own turn.
    WAITING = "waiting"
    #: The response is finished or its client is gone. The request is not touched any more.
    ENDED = "ended"


class ViewerStep(StateEnum):
    """Step of a `ResponseProducer`."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    YIELD = "yield"
    GO_ON = "go on"
    END = "end"


#: The next state of a `ResponseProducer`, by its state and the step. A step that is not listed
#: is illegal. Transports pause and resume a producer again and again, also after its end.
VIEWER_STATES = {
    ViewerState.NEW: {
        ViewerStep.START: ViewerState.LIVE,
        ViewerStep.END: ViewerState.ENDED,
    },
    ViewerState.LIVE: {
        ViewerStep.PAUSE: ViewerState.PAUSED,
        ViewerStep.RESUME: ViewerState.LIVE,
        ViewerStep.YIELD: ViewerState.WAITING,
        ViewerStep.END: ViewerState.ENDED,
    },
    ViewerState.PAUSED: {
        ViewerStep.PAUSE: ViewerState.PAUSED,
        ViewerStep.RESUME: ViewerState.LIVE,
        ViewerStep.END: ViewerState.ENDED,
    },
    ViewerState.WAITING: {
        ViewerStep.PAUSE: ViewerState.PAUSED,
        ViewerStep.RESUME: ViewerState.WAITING,
        ViewerStep.GO_ON: ViewerState.LIVE,
        ViewerStep.END: ViewerState.ENDED,
    },
    ViewerState.ENDED: {
        ViewerStep.PAUSE: ViewerState.ENDED,
        ViewerStep.RESUME: ViewerState.ENDED,
        ViewerStep.END: ViewerState.ENDED,
    },
}
