"""
Operations: what a client can ask for, as values. Each API lists its own in a module `operations`.

`document` makes the OpenAPI document of them. The tests compare them with the resources, and with recorded answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sseserver.errors import (
    AnswerTooLong,
    Forbidden,
    InvalidMember,
    KeyReused,
    ModelNotFound,
    Overloaded,
    RateLimited,
    RunCancelled,
    SSEServerError,
    StoreDamaged,
    StoreUnavailable,
)
from sseserver.settings import Settings
from sseserver.web.accept import JSON

#: A JSON Schema, draft 2020-12.
Schema = Mapping[str, Any]

#: Content of a body: schemas by media type.
Content = Mapping[str, Schema]

#: Any text.
TEXT: Schema = {"type": "string"}

#: An event stream. It has no type: tools disagree whether a schema is that of the text or of each event.
EVENTS: Schema = {"description": "Events as in WHATWG HTML, section 9.2."}


def refer(name: str) -> Schema:
    """Return the schema that stands for one of the document's own, by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def makeObject(description: str, members: Mapping[str, Schema], optional: tuple[str, ...] = ()) -> Schema:
    """
    Make the schema of a JSON object.

    Args:
        description: Noun phrase.
        members: Schemas of the members by their names.
        optional: Names of the members that may be missing.
    """
    required = [name for name in members if name not in optional]
    return {"type": "object", "description": description, "properties": dict(members), "required": required}


class Parameter(NamedTuple):
    """
    A parameter of a request.

    Attributes:
        place: `path`, `query` or `header`.
        name: Its name.
        description: A sentence.
        schema: Its values.
    """

    place: str
    name: str
    description: str
    schema: Schema = TEXT


class Body(NamedTuple):
    """
    The body of a request.

    Attributes:
        content: Its media types.
        limit: Returns its largest size in bytes.
        required: Whether it must not be empty.
    """

    content: Content
    limit: Callable[[Settings], int]
    required: bool = True


class Answer(NamedTuple):
    """
    An answer that is no error.

    Attributes:
        status: HTTP status.
        description: A sentence.
        content: Its media types; without any it has no body.
        headers: Names of the header fields that it may have; see `document.HEADERS`.
    """

    status: int
    description: str
    content: Content = {}
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """
    A method of a resource.

    Attributes:
        method: Name of the HTTP method.
        path: Path below the mount point, with its parameters in braces.
        name: Unique name, which generators make a function of.
        summary: An imperative phrase.
        answers: The answers that are no errors.
        errors: The errors beside those of each request; see `document`.
        parameters: The parameters.
        body: The body of the request, if it may have one.
        isOpen: Whether no credential is needed, whatever the server asks for elsewhere.
        isChecked: Whether the request passes the gate; health checks do not.
        relays: Whether a failure of the token source is answered with the status and the code of the source.
        needsSessions: Whether it is there only if the server checks credentials by itself.
        headers: Names of header fields that every answer may have, also one with an error.
        errorSchema: Name of the schema of its errors.
    """

    method: str
    path: str
    name: str
    summary: str
    answers: tuple[Answer, ...]
    errors: tuple[type[SSEServerError], ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    isOpen: bool = False
    isChecked: bool = True
    relays: bool = False
    needsSessions: bool = False
    headers: tuple[str, ...] = ()
    errorSchema: str = "Error"


class Described(NamedTuple):
    """
    An API in the document.

    Attributes:
        tag: Its name.
        description: A sentence.
        operations: Its operations.
        schemas: The schemas of its values by their names.
        structs: Types of `msgspec` that bodies are decoded into; the schema of each has the name of its class.
    """

    tag: str
    description: str
    operations: tuple[Operation, ...]
    schemas: Mapping[str, Schema] = {}
    structs: tuple[Any, ...] = ()


#: Errors of requests that start a run and get its answer, which may be in one piece.
ANSWER_ERRORS: tuple[type[SSEServerError], ...] = (
    InvalidMember,
    AnswerTooLong,
    Forbidden,
    ModelNotFound,
    RunCancelled,
    KeyReused,
    RateLimited,
    Overloaded,
    StoreUnavailable,
    StoreDamaged,
)

#: Header fields of such answers.
ANSWER_HEADERS = ("Content-Location", "X-Upstream", "X-Upstream-Failed")

#: The header of a request that may be repeated.
IDEMPOTENCY_KEY = Parameter(
    "header",
    "Idempotency-Key",
    "Makes it safe to repeat the request: the same key and body change nothing again.",
    {"type": "string", "pattern": "^[!-~]{1,255}$"},
)

#: The parameters of viewers that resume.
_RESUMING = (
    Parameter("header", "Last-Event-ID", "ID of the last event that the viewer has."),
    Parameter("query", "last_event_id", "The same, for clients that cannot set the header, which takes precedence."),
)

#: The document itself.
DESCRIPTION = Described(
    "description",
    "This document.",
    (
        Operation(
            method="GET",
            path="/openapi.json",
            name="readDescription",
            summary="Get this document",
            answers=(
                Answer(200, "This document.", {JSON: {"type": "object", "additionalProperties": True}}, ("ETag",)),
                Answer(304, "The client has this version.", headers=("ETag",)),
            ),
            isOpen=True,
        ),
    ),
)


def makeViewing(formats: tuple[str, ...]) -> tuple[Parameter, ...]:
    """
    Make the parameters of operations that answer with an event stream.

    Args:
        formats: Names of the formats.
    """
    form = Parameter(
        "query",
        "format",
        "Format of the event stream. With it the answer is an event stream, whatever `Accept` says.",
        {"type": "string", "enum": list(formats)},
    )
    start = Parameter(
        "query", "from", "`now`: a viewer without an ID starts at the end.", {"type": "string", "enum": ["now"]}
    )
    return (form, start, *_RESUMING)


def limitNative(settings: Settings) -> int:
    """Return the limit of bodies of the native API, in bytes."""
    return settings.nativeBody


def limitModel(settings: Settings) -> int:
    """Return the limit of bodies of the APIs of models, in bytes."""
    return settings.modelBody


def makeJSON(name: str) -> Content:
    """Return the content of a body in JSON, by the name of its schema."""
    return {JSON: refer(name)}
