"""
The states of a fast body and of fast TLS, as tables. `FastBody` and `TLSConnection` take their steps by them.
"""

from __future__ import annotations

from sseserver.steps import StateEnum


class BodyState(StateEnum):
    """State of a `FastBody`."""

    #: Nothing was written.
    NEW = "new"
    #: Writes go through `Request.write`.
    QUEUING = "queuing"
    #: Writes go to the send buffer of the connection, past the queue of its transport.
    SENDING = "sending"
    #: As SENDING, but small writes wait for the end of the response.
    CORKED = "corked"
    #: Nothing can be written.
    CLOSED = "closed"


class BodyStep(StateEnum):
    """Step of a `FastBody`."""

    #: The first write, on a transport whose queue cannot be bypassed.
    QUEUE = "queue"
    #: The first write, on a transport whose queue can be bypassed.
    SEND = "send"
    CORK = "cork"
    CLOSE = "close"


#: The next state of a `FastBody`, by its state and the step. A step that is not listed is illegal.
BODY_STATES = {
    BodyState.NEW: {
        BodyStep.QUEUE: BodyState.QUEUING,
        BodyStep.SEND: BodyState.SENDING,
        BodyStep.CLOSE: BodyState.CLOSED,
    },
    BodyState.QUEUING: {
        BodyStep.CORK: BodyState.QUEUING,
        BodyStep.CLOSE: BodyState.CLOSED,
    },
    BodyState.SENDING: {
        BodyStep.CORK: BodyState.CORKED,
        BodyStep.CLOSE: BodyState.CLOSED,
    },
    BodyState.CORKED: {
        BodyStep.CORK: BodyState.CORKED,
        BodyStep.CLOSE: BodyState.CLOSED,
    },
    BodyState.CLOSED: {},
}


class TLSState(StateEnum):
    """State of a `TLSConnection`."""

    #: The handshake is not over. What is written waits.
    SHAKING = "shaking"
    #: Bytes are written and read.
    OPEN = "open"
    #: The server has sent its `close_notify`. Bytes are read until the client sends its own.
    SHUT = "shut"
    #: Nothing is written or read any more.
    LOST = "lost"


#: The states that may follow each state of a `TLSConnection`.
TLS_STATES = {
    TLSState.SHAKING: frozenset((TLSState.OPEN, TLSState.LOST)),
    TLSState.OPEN: frozenset((TLSState.SHUT, TLSState.LOST)),
    TLSState.SHUT: frozenset((TLSState.LOST,)),
    TLSState.LOST: frozenset((TLSState.LOST,)),
}
