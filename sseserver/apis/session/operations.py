"""
The operations of sessions, for the OpenAPI document.
"""

from __future__ import annotations

from sseserver.web.openapi.operations import Answer, Described, Operation, makeJSON, makeObject

SESSION = Described(
    "session",
    "A cookie in place of a credential, for browsers.",
    (
        Operation(
            method="POST",
            path="/session",
            name="beginSession",
            summary="Begin a session for the credential of the request",
            answers=(Answer(201, "The session has begun.", makeJSON("Session"), ("Set-Cookie",)),),
            needsSessions=True,
        ),
        Operation(
            method="DELETE",
            path="/session",
            name="endSession",
            summary="End a session: the browser forgets the cookie",
            answers=(Answer(204, "The session has ended.", headers=("Set-Cookie",)),),
            isOpen=True,
            needsSessions=True,
        ),
    ),
    {"Session": makeObject("A session.", {"expires": {"type": "integer", "description": "Seconds since 1970."}})},
)
