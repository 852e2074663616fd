"""
The operations of Ollama's API, for the OpenAPI document.
"""

from __future__ import annotations

from sseserver.errors import InvalidMember, ModelNotFound
from sseserver.protocols.ollama import CHAT, GENERATE, OllamaChatBody, OllamaGenerateBody, OllamaShowBody
from sseserver.web.accept import JSON
from sseserver.web.openapi.operations import (
    ANSWER_ERRORS,
    ANSWER_HEADERS,
    IDEMPOTENCY_KEY,
    TEXT,
    Answer,
    Body,
    Described,
    Operation,
    Schema,
    limitModel,
    makeJSON,
    makeObject,
    refer,
)

#: Media type of an answer in lines.
_LINES = "application/x-ndjson"

_ANSWER: Schema = {
    **makeObject(
        "An answer, or a piece of one.",
        {"model": TEXT, "created_at": TEXT, "done": {"type": "boolean"}},
    ),
    "additionalProperties": True,
}

#: An error that this API reports, or one of the server, which is in the same shape everywhere.
_ERROR: Schema = {"anyOf": [refer("Error"), makeObject("An error in the shape of Ollama's API.", {"error": TEXT})]}


def _makeAnswering(endpoint: str, name: str, summary: str, body: str) -> Operation:
    return Operation(
        method="POST",
        path=f"/ollama/api/{endpoint}",
        name=name,
        summary=summary,
        answers=(
            Answer(
                200,
                "The answer in lines of JSON; with `stream` false, in one piece.",
                {JSON: refer("OllamaAnswer"), _LINES: {"description": "A piece of the answer in each line."}},
            ),
        ),
        errors=ANSWER_ERRORS,
        parameters=(IDEMPOTENCY_KEY,),
        body=Body(makeJSON(body), limitModel),
        relays=True,
        headers=ANSWER_HEADERS,
        errorSchema="OllamaError",
    )


OLLAMA = Described(
    "ollama",
    "Answers, as Ollama's clients ask for them.",
    (
        _makeAnswering(CHAT, "chatWithOllama", "Start a run for the next message of a chat", "OllamaChatBody"),
        _makeAnswering(GENERATE, "generateWithOllama", "Start a run for a prompt", "OllamaGenerateBody"),
        Operation(
            method="GET",
            path="/ollama/api/tags",
            name="listOllamaModels",
            summary="List the models of the token source",
            answers=(Answer(200, "The models.", makeJSON("OllamaTags")),),
            relays=True,
            errorSchema="OllamaError",
        ),
        Operation(
            method="POST",
            path="/ollama/api/show",
            name="showOllamaModel",
            summary="Describe a model of the token source",
            answers=(Answer(200, "The model.", makeJSON("OllamaModel")),),
            errors=(InvalidMember, ModelNotFound),
            body=Body(makeJSON("OllamaShowBody"), limitModel),
            relays=True,
            errorSchema="OllamaError",
        ),
        Operation(
            method="GET",
            path="/ollama/api/version",
            name="readOllamaVersion",
            summary="Get the version of Ollama whose API this is",
            answers=(Answer(200, "The version.", {JSON: makeObject("A version.", {"version": TEXT})}),),
            isOpen=True,
            errorSchema="OllamaError",
        ),
    ),
    {
        "OllamaAnswer": _ANSWER,
        "OllamaModel": makeObject(
            "A model.",
            {
                "modelfile": TEXT,
                "parameters": TEXT,
                "template": TEXT,
                "details": {"type": "object"},
                "model_info": {"type": "object"},
                "capabilities": {"type": "array", "items": TEXT},
                "modified_at": TEXT,
            },
        ),
        "OllamaTags": makeObject("The models.", {"models": {"type": "array", "items": {"type": "object"}}}),
        "OllamaError": _ERROR,
    },
    (OllamaChatBody, OllamaGenerateBody, OllamaShowBody),
)
