"""
The operations of the Vercel AI SDK's chats, for the OpenAPI document.
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
from sseserver.protocols.uimessages import CHAT_ID, ChatBody
from sseserver.web.accept import EVENT_STREAM, PLAIN_TEXT
from sseserver.web.openapi.operations import (
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
)

#: The answer of a chat.
_EVENTS = Answer(
    200,
    "The UI message stream, version 1.",
    {EVENT_STREAM: EVENTS},
    ("x-vercel-ai-ui-message-stream",),
)

#: The URL at which a reader of Durable Streams follows the answer.
_READER: Schema = makeObject("The place of an answer.", {"streamUrl": {"type": "string", "description": "Its URL."}})

#: The answer to such a client, if it asks for nothing else.
_PLACE = Answer(202, "The answer is read at another URL.", makeJSON("ChatPlace"))
_PREFER = Parameter("header", "Prefer", "With `respond-async` the answer is the URL for a reader of Durable Streams.")

#: Header fields of every answer.
_ALWAYS = ("Content-Location", "Location", "x-workflow-run-id")
_RESUMED = (*_ALWAYS, "x-workflow-stream-tail-index")


CHATS = Described(
    "ui",
    "Chats of the Vercel AI SDK.",
    (
        Operation(
            method="POST",
            path="/api/chat",
            name="chat",
            summary="Start a run for the last message of a chat, and follow it",
            answers=(_EVENTS, _PLACE),
            errors=(
                InvalidMember,
                Forbidden,
                ModelNotFound,
                KeyReused,
                RateLimited,
                Overloaded,
                StoreUnavailable,
                StoreDamaged,
            ),
            parameters=(IDEMPOTENCY_KEY, _PREFER),
            body=Body({**makeJSON("ChatBody"), PLAIN_TEXT: TEXT}, limitModel),
            headers=_ALWAYS,
        ),
        Operation(
            method="GET",
            path="/api/chat/{id}/stream",
            name="resumeChat",
            summary="Follow the newest answer of a chat, or the answer of a run, from its start or from a part on",
            answers=(_EVENTS, _PLACE, Answer(204, "The newest answer is complete, or there is none.")),
            errors=(InvalidMember, StreamNotFound, RateLimited, Overloaded, StoreUnavailable, StoreDamaged),
            parameters=(
                Parameter(
                    "path",
                    "id",
                    "ID of the chat; with `startIndex` also that of a run.",
                    {"type": "string", "pattern": f"^{CHAT_ID.pattern}$", "not": {"enum": [".", ".."]}},
                ),
                Parameter(
                    "query",
                    "startIndex",
                    "Number of the first part, from 0; a negative one counts from the end.",
                    {"type": "integer"},
                ),
                _PREFER,
            ),
            headers=_RESUMED,
        ),
    ),
    {"ChatPlace": _READER},
    structs=(ChatBody,),
)
