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
)
from sseserver.protocols.uimessages import CHAT_ID, ChatBody
from sseserver.web.accept import EVENT_STREAM
from sseserver.web.openapi.operations import (
    EVENTS,
    IDEMPOTENCY_KEY,
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
_ALWAYS = ("Content-Location",)


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
            body=Body(makeJSON("ChatBody"), limitModel),
            headers=_ALWAYS,
        ),
        Operation(
            method="GET",
            path="/api/chat/{id}/stream",
            name="resumeChat",
            summary="Follow the newest answer of a chat from its start",
            answers=(_EVENTS, Answer(204, "The newest answer is complete, or there is none.")),
            errors=(InvalidMember, RateLimited, Overloaded, StoreUnavailable, StoreDamaged),
            parameters=(
                Parameter(
                    "path",
                    "id",
                    "ID of the chat.",
                    {"type": "string", "pattern": f"^{CHAT_ID.pattern}$", "not": {"enum": [".", ".."]}},
                ),
            ),
            headers=_ALWAYS,
        ),
    ),
    structs=(ChatBody,),
)
