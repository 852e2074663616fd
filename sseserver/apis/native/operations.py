"""
The operations of the native API, for the OpenAPI document.
"""

from __future__ import annotations

from dataclasses import replace

from sseserver.apis.native.links import MAX_BODY
from sseserver.apis.native.publishing import MAX_IDS, MAX_TYPE, NAME, RESERVED_TYPES
from sseserver.errors import (
    Forbidden,
    InvalidMember,
    KeyReused,
    MalformedEvent,
    ModelNotFound,
    NotAcceptable,
    NotFound,
    Overloaded,
    RateLimited,
    StoreDamaged,
    StoreUnavailable,
    StreamEnded,
    StreamExists,
    StreamNotFound,
)
from sseserver.interfaces import Right
from sseserver.protocols.chatcompletions.request import CompletionBody
from sseserver.settings import Settings
from sseserver.values import State
from sseserver.web.accept import EVENT_STREAM, HTML, JSON, PLAIN_TEXT
from sseserver.web.access.links import LIFETIME, MAX_LIFETIME
from sseserver.web.openapi.operations import (
    EVENTS,
    IDEMPOTENCY_KEY,
    TEXT,
    Answer,
    Body,
    Content,
    Described,
    Operation,
    Parameter,
    Schema,
    limitNative,
    makeJSON,
    makeObject,
    makeViewing,
    refer,
)
from sseserver.web.pages import MAX_PAGE, makeLimit

_SECONDS: Schema = {"type": "number", "description": "Seconds since 1970."}
_ENDED: Schema = {"type": ["number", "null"], "description": "Seconds since 1970; `null` while the stream is open."}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_ID: Schema = {"type": "string", "description": "An event ID.", "pattern": "^[A-Za-z0-9]{22}-[0-9]+$"}
_EPOCH: Schema = {"type": "string", "pattern": "^[A-Za-z0-9]{22}$"}
_PUBLISHED: Schema = {"type": "boolean", "description": "Whether entries are published into it; or a run writes it."}

#: The rights that a link to one stream can have: to start runs needs a prefix.
_LINK_RIGHTS = sorted(right.value for right in Right if right is not Right.RUN)

_STREAM = makeObject(
    "The state of a stream.",
    {
        "name": TEXT,
        "epoch": _EPOCH,
        "published": _PUBLISHED,
        "question": {"type": ["string", "null"], "description": "The last message of the user."},
        "state": {"type": "string", "enum": [state.value for state in State]},
        "first": {**_COUNT, "description": "Number of the first entry kept."},
        "last": {**_COUNT, "description": "Number of the last entry."},
        "entries": {**_COUNT, "description": "Number of the entries kept."},
        "bytes": {**_COUNT, "description": "Bytes of the entries and of the idempotency keys, with their costs."},
        "viewers": {**_COUNT, "description": "Number of viewers."},
        "created": _SECONDS,
        "ended": _ENDED,
    },
)

_LISTED = makeObject(
    "A stream in the list.",
    {
        "name": TEXT,
        "epoch": _EPOCH,
        "published": _PUBLISHED,
        "open": {"type": "boolean"},
        "bytes": {**_COUNT, "description": "Everything that counts towards `--max-bytes`."},
        "created": _SECONDS,
        "ended": _ENDED,
        "url": TEXT,
    },
)

_LIST = makeObject(
    "A page of the list of streams.",
    {
        "streams": {"type": "array", "items": refer("ListedStream"), "maxItems": MAX_PAGE},
        "next": {"type": ["string", "null"], "description": "URL of the next page."},
    },
)

#: The types of the other members are those of `CompletionBody`. Generators of clients do not take a union of both.
_RUN_BODY: Schema = {
    **makeObject(
        "A prompt; or `messages`, with the other members of `CompletionBody`; or neither.",
        {
            "prompt": {"type": ["string", "null"]},
            "messages": {"type": ["array", "null"], "items": refer("CompletionMessage"), "minItems": 1},
        },
        optional=("prompt", "messages"),
    ),
    "additionalProperties": True,
    "not": {
        "required": ["prompt", "messages"],
        "properties": {"prompt": {"type": "string"}, "messages": {"type": "array"}},
    },
}

_STARTED = makeObject("A stream that was started.", {"name": TEXT, "url": TEXT})

_EVENT: Schema = {
    **makeObject(
        "An event.",
        {
            "data": TEXT,
            "event": {
                "type": "string",
                "description": "Type of the event, `message` without it. Those of the server's events are reserved.",
                "minLength": 1,
                "maxLength": MAX_TYPE,
                "pattern": r"^[^\u0000-\u001f\u007f-\u009f]+$",
                "not": {"enum": sorted(RESERVED_TYPES)},
            },
        },
        optional=("event",),
    ),
    "additionalProperties": False,
}

_TOKEN: Schema = {
    **makeObject("A token.", {"token": {"type": "string", "minLength": 1}}),
    "additionalProperties": False,
}

_PUBLICATION = makeObject(
    "Where the entries of a publish are in the stream.",
    {
        "first": _ID,
        "last": _ID,
        "ids": {"type": "array", "items": _ID, "maxItems": MAX_IDS, "description": "Missing if there are more."},
    },
    optional=("ids",),
)

_LINK_REQUEST: Schema = {
    **makeObject(
        "The link that is wanted.",
        {
            "rights": {
                "type": "array",
                "items": {"type": "string", "enum": _LINK_RIGHTS},
                "minItems": 1,
                "default": [Right.READ.value],
            },
            "seconds": {"type": "integer", "minimum": 1, "maximum": MAX_LIFETIME, "default": LIFETIME},
        },
        optional=("rights", "seconds"),
    ),
    "additionalProperties": False,
}

_LINK = makeObject("A signed link.", {"url": TEXT, "expires": {**_SECONDS, "type": "integer"}})

_NAMES: Schema = {"type": "string", "pattern": f"^{NAME.pattern}$", "not": {"enum": [".", ".."]}}

_PREFIX: Schema = {"type": "string", "pattern": f"^{NAME.pattern}$"}

#: Errors of a store that cannot be used now, or has a foreign value.
_STORE = (StoreUnavailable, StoreDamaged)

_NAME = Parameter(
    "path",
    "name",
    "Name of the stream.",
    _NAMES,
)

_CLOSED = Parameter(
    "header",
    "Stream-Closed",
    "Whether the stream ends after the entries.",
    {"type": "string", "enum": ["true", "false"]},
)

_ENTRIES: Content = {
    JSON: {
        "anyOf": [
            refer("Event"),
            refer("Token"),
            {"type": "array", "items": refer("Entry"), "minItems": 1},
        ]
    },
    PLAIN_TEXT: {"type": "string", "description": "The data of one event."},
    EVENT_STREAM: {"type": "string", "description": "Complete events. Their IDs and `retry` fields are ignored."},
}


def _limitLink(settings: Settings) -> int:
    return min(MAX_BODY, settings.nativeBody)


def makeNative(formats: tuple[str, ...]) -> Described:
    """
    Describe the native API.

    Args:
        formats: Names of the formats.
    """
    return Described(
        "streams",
        "Streams: start a run or publish, follow, cancel, delete.",
        (*_COLLECTION, _makeReading((_NAME, *makeViewing(formats))), *_STREAM_OPERATIONS),
        {
            "Stream": _STREAM,
            "ListedStream": _LISTED,
            "StreamList": _LIST,
            "RunBody": _RUN_BODY,
            "StartedStream": _STARTED,
            "Event": _EVENT,
            "Token": _TOKEN,
            "Entry": {"description": "An event or a token.", "anyOf": [refer("Event"), refer("Token")]},
            "Publication": _PUBLICATION,
            "LinkRequest": _LINK_REQUEST,
            "Link": _LINK,
        },
        (CompletionBody,),
    )


_LISTING = Operation(
    method="GET",
    path="/streams",
    name="listStreams",
    summary="List the streams, the newest first",
    answers=(Answer(200, "A page of the list.", makeJSON("StreamList")),),
    errors=(Forbidden, StoreUnavailable),
    parameters=(
        makeLimit("streams"),
        Parameter("query", "before", "The place in `next` of the page before; use that URL as it is."),
        Parameter("query", "prefix", "The beginning of the names of the streams.", _PREFIX),
        Parameter("query", "open", "Whether the streams are open; all without it.", {"type": "boolean"}),
    ),
)

_COLLECTION = (
    _LISTING,
    Operation(
        method="POST",
        path="/streams",
        name="startRun",
        summary="Start a run of the token source into a new stream",
        answers=(Answer(201, "The new stream.", makeJSON("StartedStream"), ("Location",)),),
        errors=(InvalidMember, Forbidden, ModelNotFound, KeyReused, RateLimited, Overloaded, *_STORE),
        parameters=(IDEMPOTENCY_KEY,),
        body=Body(makeJSON("RunBody"), limitNative, required=False),
    ),
)


def makeOperated(formats: tuple[str, ...]) -> Described:
    """
    Describe the part of the native API that operators have on an endpoint of their own.

    Args:
        formats: Names of the formats.
    """
    reading = _makeReading((_NAME, *makeViewing(formats)))
    found, *others = reading.answers
    content = {kind: schema for kind, schema in found.content.items() if kind != HTML}
    page = Answer(303, "The page, if `Accept` prefers it.", headers=("Location",))
    answers = (found._replace(content=content), *others, page)
    # A pool may have no worker that answers.
    more = [replace(each, errors=(*each.errors, Overloaded)) for each in (_LISTING, _DELETION, _CANCELLATION)]
    return Described(
        "streams",
        "Streams: follow, cancel, delete.",
        (replace(reading, answers=answers), *more),
        {"Stream": _STREAM, "ListedStream": _LISTED, "StreamList": _LIST},
    )


def _makeReading(parameters: tuple[Parameter, ...]) -> Operation:
    return Operation(
        method="GET",
        path="/streams/{name}",
        name="readStream",
        summary="Follow a stream, or read its state, its text so far, or its page",
        answers=(
            Answer(
                200,
                "The stream, as `Accept` asks for it.",
                {EVENT_STREAM: EVENTS, JSON: refer("Stream"), PLAIN_TEXT: TEXT, HTML: TEXT},
                ("Stream-Gap", "x-vercel-ai-ui-message-stream"),
            ),
            Answer(204, "The viewer has the terminal event: nothing follows."),
        ),
        errors=(Forbidden, StreamNotFound, NotAcceptable, RateLimited, Overloaded, *_STORE),
        parameters=parameters,
    )


_DELETION = Operation(
    method="DELETE",
    path="/streams/{name}",
    name="deleteStream",
    summary="Stop a stream and delete it",
    answers=(Answer(204, "The stream is deleted."),),
    errors=(Forbidden, StreamNotFound, StoreUnavailable),
    parameters=(_NAME,),
)

_CANCELLATION = Operation(
    method="POST",
    path="/streams/{name}/cancel",
    name="cancelStream",
    summary="End a stream `cancelled`, and keep its entries",
    answers=(Answer(200, "The stream, which has ended.", makeJSON("Stream")),),
    errors=(Forbidden, StreamNotFound, *_STORE),
    parameters=(_NAME,),
)

_STREAM_OPERATIONS = (
    Operation(
        method="PUT",
        path="/streams/{name}",
        name="openStream",
        summary="Open a stream to publish into; a body is its first publish",
        answers=(
            Answer(200, "The stream, which is open already.", makeJSON("Stream")),
            Answer(201, "The new stream.", makeJSON("Stream"), ("Location",)),
        ),
        errors=(
            InvalidMember,
            MalformedEvent,
            Forbidden,
            StreamExists,
            StreamEnded,
            KeyReused,
            RateLimited,
            Overloaded,
            *_STORE,
        ),
        parameters=(_NAME, _CLOSED, IDEMPOTENCY_KEY),
        body=Body(_ENTRIES, limitNative, required=False),
    ),
    Operation(
        method="POST",
        path="/streams/{name}",
        name="publish",
        summary="Publish events or tokens, all or none",
        answers=(Answer(200, "The entries are in the stream.", makeJSON("Publication")),),
        errors=(
            InvalidMember,
            MalformedEvent,
            Forbidden,
            StreamNotFound,
            StreamExists,
            StreamEnded,
            KeyReused,
            RateLimited,
            Overloaded,
            *_STORE,
        ),
        parameters=(_NAME, _CLOSED, IDEMPOTENCY_KEY),
        body=Body(_ENTRIES, limitNative, required=False),
    ),
    _DELETION,
    _CANCELLATION,
    Operation(
        method="POST",
        path="/streams/{name}/links",
        name="makeLink",
        summary="Make a signed link to a stream",
        answers=(Answer(201, "The link.", makeJSON("Link")),),
        errors=(InvalidMember, Forbidden, NotFound, StreamNotFound),
        parameters=(_NAME,),
        body=Body(makeJSON("LinkRequest"), _limitLink, required=False),
    ),
)
