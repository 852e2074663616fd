"""
Reading a request: parameters, headers, the body, the last event ID, the idempotency key.

Everything that a client sends is decoded and checked here, or in the reader of the API that alone
uses it. A malformed value raises `BadRequest`; nothing is repaired.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from io import BytesIO
from typing import Any, NamedTuple
from urllib.parse import quote

from twisted.web.server import Request

from sseserver import jsontext
from sseserver.errors import BadRequest, BodyTooLarge, Overloaded, UnsupportedType
from sseserver.interfaces import ANYONE, Principal
from sseserver.protocols.jsonsteps import readSteps
from sseserver.service.service import StreamService
from sseserver.timing.turns import awaitTurn, takeTurns
from sseserver.values import LargePrompt, Prompt

#: Bytes. A larger JSON body of a model API is decoded in several turns of the reactor.
LARGE_BODY = 128 * 1024

#: Bytes. A larger body is released once it is read: the request may last as long as an answer.
_SMALL = 64 * 1024

#: An entity tag, from its opening quote on (RFC 9110 section 8.8.3).
_ENTITY_TAG = re.compile(rb'"[!#-~\x80-\xff]*"')

#: Media types of JSON.
_JSON = ("application/json",)

#: Media type of forms.
_FORM = "application/x-www-form-urlencoded"

#: Parameters that carry the last event ID, the first given counts: ours, and the names that polyfills of EventSource
#: use because a page cannot set the header.
_LAST_EVENT_IDS = (b"last_event_id", b"lastEventId", b"lastEventID")

#: A parameter without `=` in a query string.
_BARE_NAME = re.compile(rb"(?<![^&;])[^&;=]+(?![^&;])")

#: An idempotency key: visible ASCII.
_KEY = re.compile(r"[!-~]{1,255}")


def readPath(request: Request) -> str:
    """Return the path of the resource being rendered, quoted, without a trailing slash."""
    # `quote` would look for letters and digits anew each time.
    segments = [
        segment.decode("ascii") if segment.isalnum() else quote(segment, safe="")
        for segment in request.prepath or ()
        if segment
    ]
    return "/" + "/".join(segments)


def readParameter(request: Request, name: bytes) -> str | None:
    """
    Read a parameter of the query string.

    Args:
        request: Its URL may have the parameter.
        name: Name of the parameter.

    Returns:
        The value, or `None` if the parameter is missing or empty: forms send all of their fields.

    Raises:
        BadRequest: It is given several times, or the value is not UTF-8.
    """
    values = request.args.get(name)
    if not values:
        return None
    if len(values) > 1:
        raise BadRequest(f"The parameter {name.decode('ascii')} must be given once.")
    try:
        return values[0].decode("utf-8") or None
    except UnicodeDecodeError:
        raise BadRequest(f"The parameter {name.decode('ascii')} is not UTF-8.") from None


def readArguments(request: Request) -> Mapping[bytes, Sequence[bytes]]:
    """Return the parameters of the query string. Those without `=` are empty; the request's `args` leaves them out."""
    bare = dict.fromkeys(_BARE_NAME.findall(request.uri.partition(b"?")[2]), (b"",))
    return {**bare, **request.args}


def readPlace(request: Request, name: bytes) -> str | None:
    """
    Read a parameter that is a place in an answer; see `readParameter`. Without it the answer is sent from its start.

    Raises:
        BadRequest: It is given several times, or without a value, or the value is not UTF-8.
    """
    value = readParameter(request, name)
    if value is None and name in readArguments(request):
        raise BadRequest(f"The parameter {name.decode('ascii')} is empty. Give it a value, or leave it out.")
    return value


def readHeader(request: Request, name: bytes) -> str | None:
    """
    Read a header.

    Args:
        request: Its head may have the header.
        name: Name of the header, in lower case.

    Returns:
        The value, or `None` if the header is missing. Bytes outside ASCII become U+FFFD, which no
        header here allows.
    """
    value = request.getHeader(name)
    return None if value is None else value.decode("ascii", "replace")


def readLastEventID(request: Request) -> str | None:
    """
    Read the last event ID, which a viewer sends when it reconnects.

    The header `Last-Event-ID` takes precedence over the parameters of `_LAST_EVENT_IDS`: the URL
    keeps their value, and would replay the same events at each reconnection. A value that is not
    UTF-8 is no error: it is an unknown ID.
    """
    fields = request.requestHeaders.getRawHeaders(b"last-event-id")
    if fields and fields[-1]:
        header: bytes = fields[-1]
        return header.decode("utf-8", "replace")
    for name in _LAST_EVENT_IDS:
        values = request.args.get(name)
        if values and values[-1]:
            value: bytes = values[-1]
            return value.decode("utf-8", "replace")
    return None


def readKey(request: Request, principal: Principal = ANYONE) -> str | None:
    """
    Read the header `Idempotency-Key`.

    Args:
        request: Its head may have the header.
        principal: The owner of the key. The same key of another principal has nothing to do with it.

    Returns:
        The key, unique among all principals; `None` if the header is missing.

    Raises:
        BadRequest: The value is not an idempotency key, or there are several.
    """
    values = request.requestHeaders.getRawHeaders(b"idempotency-key", ())
    if len(values) > 1:
        raise BadRequest("A request can have one Idempotency-Key only.")
    return ownKey(checkKey(values[0].decode("ascii", "replace")), principal) if values else None


def ownKey(key: str, principal: Principal) -> str:
    """
    Return the key of a principal: keys have no spaces, so no two principals have the same.

    Args:
        key: The key that a client has sent.
        principal: The client.
    """
    return f"{principal.name} {key}" if principal.name else key


def readStartKey(request: Request, endpoint: str, principal: Principal = ANYONE) -> str | None:
    """
    Read the idempotency key of a request that starts a run.

    Args:
        request: The request.
        endpoint: Name of the endpoint, one word. Keys of different endpoints have nothing to do with each other.
        principal: See `readKey`.

    Returns:
        The key, unique among all endpoints and principals; `None` if the header is missing.

    Raises:
        BadRequest: The value is not an idempotency key.
    """
    key = readKey(request, principal)
    return None if key is None else f"{endpoint} {key}"


def checkKey(key: str) -> str:
    """
    Check an idempotency key, and return it.

    Raises:
        BadRequest: It is not 1 to 255 visible ASCII characters.
    """
    if not _KEY.fullmatch(key):
        raise BadRequest("An Idempotency-Key must be 1 to 255 visible ASCII characters.")
    return key


def hasVersion(request: Request, tag: bytes) -> bool:
    """
    Return whether the client has a version of a resource already: `If-None-Match` names it.

    The comparison is weak (RFC 9110 section 13.1.2): `W/"a"` names `"a"`. A proxy that compresses weakens the tag.

    Args:
        request: A GET or HEAD.
        tag: Entity tag of the version, with its quotes.
    """
    tags = b",".join(request.requestHeaders.getRawHeaders(b"if-none-match", ()))
    return tags.strip(b" \t") == b"*" or tag in _ENTITY_TAG.findall(tags)


def prefersAsync(request: Request) -> bool:
    """Return whether the client asks for an answer at once that names where to read: `respond-async` (RFC 7240)."""
    preferences = b",".join(request.requestHeaders.getRawHeaders(b"prefer", ())).split(b",")
    return any(each.partition(b";")[0].strip().lower() == b"respond-async" for each in preferences)


def readBody(request: Request, limit: int) -> bytes:
    """
    Read the entire body.

    Args:
        request: Its body was not read yet.
        limit: Bytes.

    Raises:
        BodyTooLarge: It has more bytes. `StreamSite` refuses a body over its own limit before it
            arrives; other sites leave that to this function.
    """
    content = request.content
    assert content is not None
    # `getvalue` returns what has arrived without a copy, which takes ten milliseconds for 32 MiB.
    body: bytes = content.getvalue() if type(content) is BytesIO else content.read(limit + 1)
    if len(body) > _SMALL:
        content.seek(0)
        content.truncate()
    if len(body) > limit:
        raise makeBodyTooLarge(limit)
    return body


def makeBodyTooLarge(limit: int) -> BodyTooLarge:
    """Make the error for a body over a limit in bytes."""
    return BodyTooLarge(f"The body has more than {limit} bytes.")


def makeTooManyBodies() -> Overloaded:
    """Make the error for a body that arrives while others take all room."""
    return Overloaded("Too many large bodies are being received; retry later.")


def readTypedBody(request: Request, limit: int, types: Container[str] = _JSON) -> bytes:
    """
    Read a body that must be JSON. An empty body without a media type counts as an empty object.

    A page of any site may send bodies of three other media types, and of none, without asking the server before
    (Fetch standard, "CORS-safelisted request-header").

    Args:
        request: Its body was not read yet.
        limit: Bytes.
        types: The media types that are accepted, in lower case.

    Raises:
        BodyTooLarge: The body has more bytes.
        UnsupportedType: It has another media type.
    """
    body = readBody(request, limit)
    contentType = readHeader(request, b"content-type")
    if contentType is None and not body:
        return b"{}"
    if (contentType or "").partition(";")[0].strip().lower() not in types:
        given = f"not {contentType!r}" if contentType else "which has none"
        # The type of `curl -d`.
        hint = " With curl: -H 'Content-Type: application/json'." if contentType == _FORM else ""
        raise UnsupportedType(f"Send the header `Content-Type: application/json` with this body, {given}.{hint}")
    return body or b"{}"


class JSONObject(NamedTuple):
    """
    The JSON object of a request that starts a run.

    Attributes:
        members: Its members.
        isLarge: Whether its body was large.
    """

    members: dict[str, Any]
    isLarge: bool

    def mark(self, prompt: Prompt) -> Prompt:
        """Return the prompt that was read from this object, as a `LargePrompt` if the body was large."""
        return LargePrompt(prompt.text, prompt.messages, prompt.options) if self.isLarge else prompt


async def readJSONObject(
    request: Request, limit: int, service: StreamService, types: Container[str] = _JSON
) -> JSONObject:
    """
    Decode a JSON object; a large one in several turns of the reactor.

    Args:
        request: See `readTypedBody`.
        limit: Bytes.
        service: Counts the body as a prompt meanwhile.
        types: See `readTypedBody`.

    Raises:
        BodyTooLarge: The body has more bytes, or more values than a large body may have.
        UnsupportedType: The media type is not `application/json`.
        BadRequest: The body is not a JSON object.
        Overloaded: Other prompts take all room.
    """
    body = readTypedBody(request, limit, types)
    if len(body) <= LARGE_BODY:
        return JSONObject(jsontext.readJSON(body, dict[str, Any]), isLarge=False)
    prompts, size = service.ledger.prompts, len(body)
    service.ledger.checkPrompts()
    prompts.add(size)
    try:
        steps = readSteps(body)
        # The last reference to the bytes is that of the steps: megabytes take milliseconds to be freed.
        del body
        value = await takeTurns(service.clock, steps)
        del steps
        # The members are checked in a turn of their own.
        await awaitTurn(service.clock)
    finally:
        prompts.subtract(size)
    if not isinstance(value, dict):
        raise BadRequest("The body does not have the expected shape: it must be a JSON object.")
    return JSONObject(value, isLarge=True)
