"""
The conversation before a response: the input and the output of those that it continues.
"""

from __future__ import annotations

from typing import Any

from sseserver.apis.responses.resource import ResponseNotFound, ResponsesResource, readKept
from sseserver.errors import Forbidden, InvalidMember
from sseserver.interfaces import Principal, Right
from sseserver.protocols.jsonsteps import readSteps
from sseserver.timing.turns import takeTurns
from sseserver.tracebacks import forgetTraceback

#: Number. Longest chain of responses that is followed.
MOST_RESPONSES = 1000

#: States of responses that another one can continue.
_CONTINUED = frozenset({"completed", "incomplete", "cancelled"})

_MEMBER = "previous_response_id"


async def rebuildConversation(resource: ResponsesResource, principal: Principal, previous: str) -> list[Any]:
    """
    Return the items of a conversation, up to and with a response. They count as a prompt meanwhile.

    Args:
        resource: Finds the responses.
        principal: The client, which may read them.
        previous: ID of the last response.

    Raises:
        InvalidMember: A response is not there, has not ended, or failed; or the conversation is too long.
        Overloaded: Other prompts take all room.
    """
    sizes: list[int] = []
    try:
        return await _readTurns(resource, principal, previous, sizes)
    finally:
        for size in sizes:
            resource.service.ledger.prompts.subtract(size)


async def _readTurns(resource: ResponsesResource, principal: Principal, wanted: str, sizes: list[int]) -> list[Any]:
    """See `rebuildConversation`; `sizes` gets the bytes of each response, which are counted."""
    turns: list[list[Any]] = []
    ledger, limit = resource.service.ledger, resource.service.settings.modelBody
    while wanted:
        try:
            streamLog = await resource.find(principal, Right.READ, wanted)
            kept = readKept(streamLog, wanted)
        except (ResponseNotFound, Forbidden) as missing:
            forgetTraceback(missing)
            raise InvalidMember(f"There is no response {wanted!r}: it may be no longer kept.", _MEMBER) from None
        ledger.checkPrompts()
        sizes.append(streamLog.buffer.size)
        ledger.prompts.add(sizes[-1])
        if sum(sizes) > limit or len(turns) >= MOST_RESPONSES:
            raise InvalidMember("The conversation is too long. Send what matters as `input`.", _MEMBER)
        response = await resource.describe(streamLog)
        if response["status"] not in _CONTINUED:
            raise InvalidMember(f"The response {wanted!r} is {response['status']}: it cannot be continued.", _MEMBER)
        items = await takeTurns(resource.service.clock, readSteps(kept.items, 2**31))
        turns.append([*items, *response["output"]])
        wanted = kept.asked.get(_MEMBER) or ""
    return [item for turn in reversed(turns) for item in turn]
