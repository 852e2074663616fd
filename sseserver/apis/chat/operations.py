"""
The operations of the chat completions API, for the OpenAPI document.
"""

from __future__ import annotations

from sseserver.errors import ModelNotFound
from sseserver.protocols.chatcompletions.request import CompletionBody
from sseserver.protocols.completions import LegacyBody
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

_MESSAGE: Schema = {
    **makeObject(
        "The message of an answer.",
        {"role": TEXT, "content": {"type": ["string", "null"]}, "refusal": {"type": ["string", "null"]}},
    ),
    "additionalProperties": True,
}

_CHOICE: Schema = {
    **makeObject(
        "One of the answers.",
        {
            "index": {"type": "integer", "minimum": 0},
            "message": refer("AnswerMessage"),
            "logprobs": {"type": ["object", "null"]},
            "finish_reason": TEXT,
        },
    ),
    "additionalProperties": True,
}

_COMPLETION: Schema = {
    **makeObject(
        "A chat completion, with all members that an upstream gives.",
        {
            "id": TEXT,
            "object": TEXT,
            "created": {"type": "integer", "description": "Seconds since 1970."},
            "model": TEXT,
            "choices": {"type": "array", "items": refer("Choice")},
            "usage": {"type": "object", "additionalProperties": True},
        },
        optional=("usage",),
    ),
    "additionalProperties": True,
}

_LEGACY: Schema = {
    **makeObject(
        "A legacy completion.",
        {
            "id": TEXT,
            "object": TEXT,
            "created": {"type": "integer", "description": "Seconds since 1970."},
            "model": TEXT,
            "system_fingerprint": TEXT,
            "choices": {
                "type": "array",
                "items": makeObject(
                    "One of the answers.",
                    {
                        "index": {"type": "integer", "minimum": 0},
                        "text": TEXT,
                        "logprobs": {"type": "null"},
                        "finish_reason": TEXT,
                    },
                ),
            },
            "usage": {"type": "object", "additionalProperties": True},
        },
        optional=("usage", "system_fingerprint"),
    ),
}

_MODEL: Schema = {
    **makeObject(
        "A model, with all members that an upstream gives.",
        {"id": TEXT, "object": TEXT, "created": {"type": "integer"}, "owned_by": TEXT},
    ),
    "additionalProperties": True,
}

#: Header fields of every answer.
_ALWAYS = ("x-request-id",)

_MODELS = makeObject("The models.", {"object": TEXT, "data": {"type": "array", "items": refer("Model")}})


CHAT = Described(
    "chat",
    "Chat completions, as OpenAI's clients ask for them.",
    (
        Operation(
            method="POST",
            path="/v1/chat/completions",
            name="createChatCompletion",
            summary="Start a run, and answer in one piece or in chunks",
            answers=(
                Answer(
                    200,
                    "The completion; with `stream` its chunks, as an event stream.",
                    {JSON: refer("ChatCompletion"), EVENT_STREAM: EVENTS},
                ),
            ),
            errors=ANSWER_ERRORS,
            parameters=(IDEMPOTENCY_KEY,),
            body=Body(makeJSON("CompletionBody"), limitModel),
            relays=True,
            headers=(*ANSWER_HEADERS, *_ALWAYS),
        ),
        Operation(
            method="POST",
            path="/v1/completions",
            name="createCompletion",
            summary="Start a run for a legacy completion, and answer in one piece or in chunks",
            answers=(
                Answer(
                    200,
                    "The completion; with `stream` its chunks, as an event stream.",
                    {JSON: refer("LegacyCompletion"), EVENT_STREAM: EVENTS},
                ),
            ),
            errors=ANSWER_ERRORS,
            parameters=(IDEMPOTENCY_KEY,),
            body=Body(makeJSON("LegacyBody"), limitModel),
            relays=True,
            headers=(*ANSWER_HEADERS, *_ALWAYS),
        ),
        Operation(
            method="GET",
            path="/v1/models",
            name="listModels",
            summary="List the models of the token source",
            answers=(Answer(200, "The models.", makeJSON("ModelList")),),
            relays=True,
            headers=_ALWAYS,
        ),
        Operation(
            method="GET",
            path="/v1/models/{id}",
            name="readModel",
            summary="Describe a model",
            answers=(Answer(200, "The model.", makeJSON("Model")),),
            errors=(ModelNotFound,),
            parameters=(Parameter("path", "id", "ID of the model, which may contain slashes."),),
            relays=True,
            headers=_ALWAYS,
        ),
    ),
    {
        "AnswerMessage": _MESSAGE,
        "Choice": _CHOICE,
        "ChatCompletion": _COMPLETION,
        "LegacyCompletion": _LEGACY,
        "Model": _MODEL,
        "ModelList": _MODELS,
    },
    (CompletionBody, LegacyBody),
)
