"""
The operations of Durable Streams' readers, for the OpenAPI document.
"""

from __future__ import annotations

from sseserver.apis.durable.pages import OffsetGone
from sseserver.errors import Forbidden, Overloaded, RateLimited, StoreDamaged, StoreUnavailable, StreamNotFound
from sseserver.web.accept import EVENT_STREAM, JSON
from sseserver.web.openapi.operations import EVENTS, Answer, Described, Operation, Parameter, Schema

_MESSAGES: Schema = {
    "type": "array",
    "description": "Parts of a UI message.",
    "items": {"type": "object", "additionalProperties": True},
}

#: Header fields that tell a reader where it is.
_POSITION = ("Stream-Next-Offset", "Stream-Cursor", "Stream-Up-To-Date", "Stream-Closed")

DURABLE = Described(
    "durable",
    "Streams for the readers of Durable Streams.",
    (
        Operation(
            method="GET",
            path="/durable/{name}",
            name="readDurable",
            summary="Get the messages of a stream after an offset, at once or when there are any, or follow it",
            answers=(
                Answer(
                    200,
                    "A page of messages; with `live=sse` the events `data` and `control`, as an event stream.",
                    {JSON: _MESSAGES, EVENT_STREAM: EVENTS},
                    (*_POSITION, "ETag"),
                ),
                Answer(204, "A long-poll has found no message in its time, or the stream has ended.", {}, _POSITION),
                Answer(304, "The client has this page.", {}, (*_POSITION, "ETag")),
            ),
            errors=(Forbidden, StreamNotFound, OffsetGone, RateLimited, Overloaded, StoreUnavailable, StoreDamaged),
            parameters=(
                Parameter("path", "name", "Name of the stream."),
                Parameter("query", "offset", "`-1` for the start, `now` for the end, or an offset from an answer."),
                Parameter(
                    "query",
                    "live",
                    "How to wait for messages; a reader that waits needs an `offset`.",
                    {"type": "string", "enum": ["long-poll", "sse"]},
                ),
                Parameter(
                    "query",
                    "cursor",
                    "The last cursor that the reader was told.",
                    {"type": "string", "pattern": "^[0-9]{1,64}$"},
                ),
            ),
        ),
    ),
)
