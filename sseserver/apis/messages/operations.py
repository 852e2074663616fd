"""
The operations of the Messages API, for the OpenAPI document.
"""

from __future__ import annotations

from sseserver.errors import InvalidMember, ModelNotFound, Overloaded
from sseserver.protocols.messages import MessagesBody, MessagesOverloaded, TokensBody
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

_VERSION = Parameter(
    "header",
    "anthropic-version",
    "Version of Anthropic's API. All versions are the same here.",
    {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
)

_MESSAGE: Schema = makeObject(
    "A message.",
    {
        "id": TEXT,
        "type": {"type": "string", "enum": ["message"]},
        "role": {"type": "string", "enum": ["assistant"]},
        "model": TEXT,
        "content": {
            "type": "array",
            "items": {"type": "object", "description": "A block of content.", "additionalProperties": True},
        },
        "stop_reason": TEXT,
        "stop_sequence": {"type": ["string", "null"]},
        "usage": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
)

_TOKENS: Schema = makeObject(
    "An estimate of the tokens of a request.",
    {"input_tokens": {"type": "integer", "minimum": 0}, "estimated": {"type": "boolean"}},
)

#: An error that this API reports, or one of the server, which is in the same shape everywhere.
_ERROR: Schema = {
    "anyOf": [
        refer("Error"),
        makeObject(
            "An error in the shape of Anthropic's API.",
            {
                "type": {"type": "string", "enum": ["error"]},
                "error": makeObject(
                    "Its description.",
                    {"type": TEXT, "message": TEXT, "param": TEXT, "code": TEXT},
                    optional=("param",),
                ),
                "request_id": TEXT,
            },
        ),
    ]
}

#: Header fields of every answer.
_ALWAYS = ("request-id",)

#: Errors of requests for a message: a server without room has a status of Anthropic's.
_ERRORS = tuple(MessagesOverloaded if each is Overloaded else each for each in ANSWER_ERRORS)

MESSAGES = Described(
    "messages",
    "Messages, as Anthropic's clients ask for them.",
    (
        Operation(
            method="POST",
            path="/v1/messages",
            name="createMessage",
            summary="Start a run, and answer in one piece or in events",
            answers=(
                Answer(
                    200,
                    "The message; with `stream` its events, as an event stream.",
                    {JSON: refer("Message"), EVENT_STREAM: EVENTS},
                ),
            ),
            errors=_ERRORS,
            parameters=(IDEMPOTENCY_KEY, _VERSION),
            body=Body(makeJSON("MessagesBody"), limitModel),
            relays=True,
            headers=(*ANSWER_HEADERS, *_ALWAYS),
            errorSchema="MessagesError",
        ),
        Operation(
            method="POST",
            path="/v1/messages/count_tokens",
            name="countTokens",
            summary="Estimate the tokens of a request",
            answers=(Answer(200, "The estimate.", makeJSON("TokenCount")),),
            errors=(InvalidMember, ModelNotFound),
            parameters=(_VERSION,),
            body=Body(makeJSON("TokensBody"), limitModel),
            headers=_ALWAYS,
            errorSchema="MessagesError",
        ),
    ),
    {"Message": _MESSAGE, "TokenCount": _TOKENS, "MessagesError": _ERROR},
    (MessagesBody, TokensBody),
)
