"""
The operations of OpenAI's Responses, for the OpenAPI document.
"""

from __future__ import annotations

from sseserver.apis.responses.resource import ResponseNotFound
from sseserver.apis.responses.stored import EventsGone
from sseserver.errors import (
    AnswerTooLong,
    BadRequest,
    Forbidden,
    Overloaded,
    RateLimited,
    StoreDamaged,
    StoreUnavailable,
)
from sseserver.protocols.responses.request import ResponseBody
from sseserver.web.accept import EVENT_STREAM, JSON
from sseserver.web.openapi.operations import (
    ANSWER_ERRORS,
    ANSWER_HEADERS,
    EVENTS,
    IDEMPOTENCY_KEY,
    TEXT,
    Answer,
    Body,
    Described,
    Operation,
    Parameter,
    Schema,
    limitModel,
    makeJSON,
    makeObject,
    refer,
)

_RESPONSE: Schema = {
    **makeObject(
        "A response, with the members of its request.",
        {
            "id": TEXT,
            "object": TEXT,
            "created_at": {"type": "integer", "description": "Seconds since 1970."},
            "status": TEXT,
            "model": TEXT,
            "output": {"type": "array", "items": {"type": "object", "additionalProperties": True}},
            "error": {"type": ["object", "null"], "additionalProperties": True},
            "usage": {"type": ["object", "null"], "additionalProperties": True},
        },
    ),
    "additionalProperties": True,
}

_ITEMS: Schema = makeObject(
    "A page of the items of a request.",
    {
        "object": TEXT,
        "data": {"type": "array", "items": {"type": "object", "additionalProperties": True}},
        "first_id": {"type": ["string", "null"]},
        "last_id": {"type": ["string", "null"]},
        "has_more": {"type": "boolean"},
    },
)

_DELETED: Schema = makeObject(
    "A response that was deleted.", {"id": TEXT, "object": TEXT, "deleted": {"type": "boolean"}}
)

_ID = Parameter("path", "id", "ID of the response.")

_SWITCH: Schema = {"type": "string", "enum": ["true", "false"]}

_NUMBER: Schema = {"type": "integer", "minimum": 0}

#: Header fields of every answer.
_ALWAYS = ("x-request-id",)

#: Errors of operations that find a response.
_FINDING = (Forbidden, ResponseNotFound, StoreUnavailable, StoreDamaged)

RESPONSES = Described(
    "responses",
    "Responses, as OpenAI's clients ask for them.",
    (
        Operation(
            method="POST",
            path="/v1/responses",
            name="createResponse",
            summary="Start a run, and answer with its events, with the response at its end, or at once",
            answers=(
                Answer(
                    200,
                    "The response; with `stream` its events, as an event stream.",
                    {JSON: refer("Response"), EVENT_STREAM: EVENTS},
                ),
            ),
            errors=ANSWER_ERRORS,
            parameters=(IDEMPOTENCY_KEY,),
            body=Body(makeJSON("ResponseBody"), limitModel),
            relays=True,
            headers=(*ANSWER_HEADERS, *_ALWAYS),
        ),
        Operation(
            method="GET",
            path="/v1/responses/{id}",
            name="readResponse",
            summary="Get a response as far as it has got, or follow its events",
            answers=(
                Answer(
                    200,
                    "The response; with `stream` its events, as an event stream.",
                    {JSON: refer("Response"), EVENT_STREAM: EVENTS},
                ),
            ),
            errors=(BadRequest, AnswerTooLong, EventsGone, RateLimited, Overloaded, *_FINDING),
            parameters=(
                _ID,
                Parameter("query", "stream", "Whether the answer is the events.", _SWITCH),
                Parameter("query", "starting_after", "Number of the last event that the client has.", _NUMBER),
            ),
            headers=("Content-Location", *_ALWAYS),
        ),
        Operation(
            method="DELETE",
            path="/v1/responses/{id}",
            name="deleteResponse",
            summary="Stop the run of a response, and delete the response",
            answers=(Answer(200, "It is deleted.", makeJSON("DeletedResponse")),),
            errors=_FINDING,
            parameters=(_ID,),
            headers=_ALWAYS,
        ),
        Operation(
            method="POST",
            path="/v1/responses/{id}/cancel",
            name="cancelResponse",
            summary="Stop the run of a response; one that has ended stays as it is",
            answers=(Answer(200, "The response.", makeJSON("Response")),),
            errors=(AnswerTooLong, *_FINDING),
            parameters=(_ID,),
            headers=_ALWAYS,
        ),
        Operation(
            method="GET",
            path="/v1/responses/{id}/input_items",
            name="listInputItems",
            summary="List the items of the request of a response",
            answers=(Answer(200, "A page of them.", makeJSON("InputItems")),),
            errors=(BadRequest, *_FINDING),
            parameters=(
                _ID,
                Parameter("query", "limit", "Number of items on the page.", {**_NUMBER, "minimum": 1, "maximum": 100}),
                Parameter("query", "order", "`desc`: the last one first.", {"type": "string", "enum": ["asc", "desc"]}),
                Parameter("query", "after", "ID of the item before the page."),
            ),
            headers=_ALWAYS,
        ),
    ),
    {"Response": _RESPONSE, "InputItems": _ITEMS, "DeletedResponse": _DELETED},
    (ResponseBody,),
)
