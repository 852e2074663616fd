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
    limitModel,
    makeJSON,
)

#: The answer of a chat.
_EVENTS = Answer(
    200,
    "The UI message stream, version 1.",
    {EVENT_STREAM: EVENTS},
    ("x-vercel-ai-ui-message-stream",),
)

#: Header fields of every answer.
_ALWAYS = ("Content-Location", "x-workflow-run-id")
_RESUMED = (*_ALWAYS, "Location", "x-workflow-stream-tail-index")


CHATS = Described(
    "ui",
    "Chats of the Vercel AI SDK.",
    (
        Operation(
            method="POST",
            path="/api/chat",
            name="chat",
            summary="Start a run for the last message of a chat, and follow it",
            answers=(_EVENTS,),
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
            parameters=(IDEMPOTENCY_KEY,),
            body=Body({**makeJSON("ChatBody"), PLAIN_TEXT: TEXT}, limitModel),
            headers=_ALWAYS,
        ),
        Operation(
            method="GET",
            path="/api/chat/{id}/stream",
            name="resumeChat",
            summary="Follow the newest answer of a chat, or the answer of a run, from its start or from a part on",
            answers=(_EVENTS, Answer(204, "The newest answer is complete, or there is none.")),
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
            ),
            headers=_RESUMED,
        ),
    ),
    structs=(ChatBody,),
)
