"""
A request for a response, as an upstream gets it that speaks Responses itself: as the client has sent it.

`request` puts it into the prompt beside the chat completion that asks for the same, since the upstream may turn out to
speak chat completions. `upstreamrequest` takes it out again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sseserver.errors import ErrorDetails, InvalidMember, SourceError
from sseserver.interfaces import IResponsesSource, ITokenSource
from sseserver.protocols.jsonpieces import Array
from sseserver.values import Reason

#: Option of a prompt that has the request. It is none of a chat completion.
NATIVE = "responses_request"

#: Members that are for this server alone: the upstream is asked for events, keeps nothing, and gets the conversation.
_OWN = frozenset({"background", "input", "previous_response_id", "store", "stream"})

#: Types of items whose IDs only an upstream that has stored them would find.
_FOUND = frozenset({"custom_tool_call", "function_call", "message", "reasoning"})

Members = Mapping[str, Any]


def mayPass(source: ITokenSource) -> bool:
    """Return whether a source may ask an upstream that speaks Responses, whose events then pass."""
    return bool(IResponsesSource.providedBy(source) and source.writesResponseEvents)


def makeNative(
    body: Members, earlier: Iterable[Members], items: Sequence[Members], refusal: InvalidMember | None
) -> dict[str, Any]:
    """
    Make the request for an upstream.

    Args:
        body: The request of the client.
        earlier: The items of the conversation before.
        items: The items of the request.
        refusal: Why no chat completion can ask for the same; `None` if one can.

    Returns:
        The request and, for an upstream that speaks chat completions, the refusal.
    """
    kept = {name: value for name, value in body.items() if name not in _OWN}
    asked = {**kept, "input": [*_listEarlier(earlier), *items]}
    return {"body": asked, "refusal": None if refusal is None else [str(refusal), refusal.param]}


def takeNative(native: Members, members: Members) -> dict[str, Any]:
    """
    Return the body of the request to an upstream that speaks Responses.

    Args:
        native: From `makeNative`.
        members: The members of the chat completion, whose model is the one to ask.
    """
    asked = native["body"]
    model = {"model": members["model"]} if members.get("model") is not None else {}
    return {**asked, **model, "store": False, "input": Array(asked["input"]), "stream": True}


def needsResponses(members: Members) -> bool:
    """Return whether the members of a chat completion ask for something that only Responses have."""
    return members.get(NATIVE, {}).get("refusal") is not None


def makeChatBody(members: Members) -> dict[str, Any]:
    """
    Return the body of the request to an upstream that speaks chat completions.

    Args:
        members: The members of the chat completion.

    Raises:
        SourceError: The client asks for something that chat completions do not have.
    """
    if needsResponses(members):
        message, param = members[NATIVE]["refusal"]
        raise SourceError(message, Reason.PROMPT, 400, None, ErrorDetails(None, "invalid_request_error", param, True))
    return {**{name: value for name, value in members.items() if name != NATIVE}, "stream": True}


def _listEarlier(items: Iterable[Members]) -> Iterator[Members]:
    """Yield the items of a conversation that an upstream without a memory of it takes."""
    for item in items:
        kind = item.get("type", "message")
        if kind == "reasoning" and not item.get("encrypted_content"):
            # It stands for what the upstream has kept, which is nothing.
            continue
        yield {name: value for name, value in item.items() if name != "id"} if kind in _FOUND else item
