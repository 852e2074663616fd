"""
The operations of AG-UI, for the OpenAPI document.
"""

from __future__ import annotations

from sseserver.errors import (
    Forbidden,
    InvalidMember,
    KeyReused,
    ModelNotFound,
    Overloaded,
    RateLimited,
    StoreDamaged,
    StoreUnavailable,
    StreamNotFound,
)
from sseserver.protocols.agui import AgentInput
from sseserver.protocols.agui.request import RUN_ID
from sseserver.web.accept import EVENT_STREAM
from sseserver.web.openapi.operations import (
    EVENTS,
    IDEMPOTENCY_KEY,
    Answer,
    Body,
    Described,
    Operation,
    Parameter,
    Schema,
    limitModel,
    makeJSON,
)

#: The events of a run.
_EVENTS = Answer(200, "The events of the run.", {EVENT_STREAM: EVENTS})
_NOTHING = Answer(204, "The client has the last event of the run.")

_RUN: Schema = {"type": "string", "pattern": f"^{RUN_ID.pattern}$"}

#: How a run is named, and the last event that its client has.
_RUN_HEADER = Parameter("header", "X-Run-Id", "ID of the run; in a POST it precedes that in the body.", _RUN)
_RUN_QUERY = Parameter("query", "runId", "The same, for clients that cannot set the header.", _RUN)
_LAST_EVENT_ID = Parameter("header", "Last-Event-ID", "ID of the last event of the run that the client has.")

#: Header fields of every answer.
_ALWAYS = ("Content-Location",)


AGENT = Described(
    "agui",
    "Runs of AG-UI.",
    (
        Operation(
            method="POST",
            path="/agui",
            name="runAgent",
            summary="Start a run; with a last event ID, continue it",
            answers=(_EVENTS, _NOTHING),
            errors=(
                InvalidMember,
                Forbidden,
                ModelNotFound,
                StreamNotFound,
                KeyReused,
                RateLimited,
                Overloaded,
                StoreUnavailable,
                StoreDamaged,
            ),
            parameters=(_RUN_HEADER, _LAST_EVENT_ID, IDEMPOTENCY_KEY),
            body=Body(makeJSON("AgentInput"), limitModel),
            headers=_ALWAYS,
        ),
        Operation(
            method="GET",
            path="/agui",
            name="joinAgentRun",
            summary="Follow a run from its start, or after an event",
            answers=(_EVENTS, _NOTHING),
            errors=(InvalidMember, StreamNotFound, RateLimited, Overloaded, StoreUnavailable, StoreDamaged),
            parameters=(
                _RUN_QUERY,
                _RUN_HEADER,
                Parameter("query", "offset", "`-1` for the start, or the ID of the last event that the client has."),
                _LAST_EVENT_ID,
            ),
            headers=_ALWAYS,
        ),
    ),
    structs=(AgentInput,),
)
