"""
Errors of an upstream as `SourceError`: one bounded line for viewers and clients, without the API key.

The other modules of the upstream source raise them: `upstreamrelay` for an error in a chunk, `upstreamanswer` for a
response that was refused or cut, `upstreammodels` for a list of models.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sseserver.client import (
    ConnectTimeout,
    EventTooLarge,
    NotHTTP,
    ResponseTruncated,
    StatusError,
    Unanswered,
    Untrusted,
    WrongContentType,
)
from sseserver.client.retry import readRetryAfter
from sseserver.errors import ErrorDetails, SourceError
from sseserver.values import Reason

#: Characters of an upstream's message that are passed on.
MAX_MESSAGE = 500

#: Seconds. Longest `Retry-After` that is passed on.
MAX_RETRY_AFTER = 3600

#: Characters of an upstream's code, type and param that are passed on.
MAX_WORD = 100

#: Statuses about the client's request. The client gets them, together with the upstream's message.
CLIENT_STATUSES = frozenset({400, 402, 403, 404, 409, 410, 413, 422, 429, 451})

#: Statuses about the upstream that are useful to a client. Every other one becomes 502.
UPSTREAM_STATUSES = frozenset({503, 504})

#: Statuses below 500 after which the same request may succeed.
TEMPORARY_STATUSES = frozenset({408, 409, 425, 429})

#: Codes and types of errors that concern the API key.
KEY_CODES = frozenset({"authentication_error", "invalid_api_key", "unauthenticated", "api_key_invalid"})

#: Codes of errors after which the same request fails again, although their status says otherwise.
FINAL_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})

# Codes and types of errors by the HTTP status that they stand for.
_WORDS = {
    400: "context_length_exceeded string_above_max_length invalid_request_error invalid_prompt content_filter "
    "content_policy_violation invalid_argument badrequesterror",
    404: "model_not_found not_found_error not_found notfounderror",
    429: "rate_limit_exceeded rate_limit_error too_many_requests resource_exhausted quota_exceeded insufficient_quota "
    "billing_hard_limit_reached billing_not_active",
    503: "overloaded_error overloaded engine_overloaded server_overloaded slow_down service_unavailable "
    "service_unavailable_error unavailable",
}

#: HTTP statuses of errors without one, by code or type in lower case.
STATUSES = {word: status for status, words in _WORDS.items() for word in words.split()}

_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff]+")


def cleanMessage(text: str, secrets: Sequence[str], limit: int = MAX_MESSAGE) -> str:
    """
    Make an upstream's text fit for a message.

    Args:
        text: Any text.
        secrets: The API key and the like, which are replaced by asterisks.
        limit: Characters that are kept.

    Returns:
        One printable line; " ..." marks a cut.
    """
    text = text[: limit * 10]
    for secret in secrets:
        text = text.replace(secret, "***")
    text = _UNPRINTABLE.sub(" ", text).strip()
    return text if len(text) <= limit else text[:limit] + " ..."


#: Messages about connections without an answer.
_MESSAGES: dict[type | None, str] = {
    NotHTTP: "The upstream's answer is not HTTP; check the URL of the upstream.",
    Unanswered: "The upstream closed the connection without an answer.",
    Untrusted: "The upstream's certificate is not trusted.",
}


def makeRefusal(status: int, body: bytes, retryAfter: float, secrets: Sequence[str]) -> SourceError:
    """
    Make the error for a response whose status is not 200.

    Args:
        status: HTTP status of the response.
        body: Start of its body.
        retryAfter: Seconds until the upstream may be asked again; 0 if unknown.
        secrets: The API key and the like, which must not be told.
    """
    told = readError(_parse(body), secrets)
    message = f"The upstream answered {status}."
    if status == 401 or told.concernsKey:
        # The upstream's message may contain a part of the key.
        return _blameKey(f" ({status})", Reason.REFUSED)
    if status in CLIENT_STATUSES:
        message = told.message or message
    wait = math.ceil(min(retryAfter, MAX_RETRY_AFTER)) or None
    final = status < 500 and status not in TEMPORARY_STATUSES
    return SourceError(message, Reason.REFUSED, _chooseStatus(status), wait, told.makeDetails(final))


def makeStreamError(error: Any, code: Any, secrets: Sequence[str]) -> SourceError:
    """
    Make the error that an upstream reported inside its event stream.

    Args:
        error: An object with a member `message`, or a text.
        code: Code or HTTP status, if it stands beside the error.
        secrets: The API key and the like, which must not be told.
    """
    told = readError({"error": error, "code": code}, secrets)
    if told.concernsKey:
        return _blameKey("", Reason.UPSTREAM)
    message = told.message or "The upstream reported an error."
    return SourceError(message, Reason.UPSTREAM, _chooseStatus(told.status), None, told.makeDetails(False))


def makeSourceError(error: BaseException | None, secrets: Sequence[str]) -> SourceError:
    """
    Make the error for an answer that did not come, or did not come to its end.

    Args:
        error: An `EventSourceError` or `EventTooLarge` of the client.
        secrets: The API key and the like, which must not be told.
    """
    if isinstance(error, StatusError):
        return makeRefusal(error.status, error.body, readRetryAfter(error.headers), secrets)
    if isinstance(error, WrongContentType):
        return SourceError("The upstream's answer is not an event stream.", Reason.MALFORMED)
    if isinstance(error, EventTooLarge):
        return SourceError("The upstream sent a chunk over the size limit.", Reason.MALFORMED)
    if isinstance(error, ResponseTruncated):
        return SourceError("The connection to the upstream was lost in the middle of the answer.", Reason.TRUNCATED)
    if isinstance(error, ConnectTimeout):
        return SourceError("The upstream did not answer in time.", Reason.TIMEOUT, 504)
    return SourceError(_MESSAGES.get(type(error), "The upstream cannot be reached."), Reason.UNREACHABLE)


def _chooseStatus(status: int) -> int:
    """Return the status for the client of a completion."""
    return status if status in CLIENT_STATUSES or status in UPSTREAM_STATUSES else 502


def _blameKey(where: str, reason: Reason) -> SourceError:
    """Make the error for a key that is not accepted."""
    message = f"The upstream does not accept this server's key{where}."
    return SourceError(message, reason, 502, None, ErrorDetails(final=True))


class ToldError(NamedTuple):
    """
    An error as the upstream describes it.

    Attributes:
        message: One line; empty if there is none.
        code: Its code, `type` its class and `param` the wrong member; `None` where it does not say.
        status: HTTP status by its code or type; 502 if unknown.
    """

    message: str
    code: str | None
    type: str | None
    param: str | None
    status: int

    @property
    def concernsKey(self) -> bool:
        """Whether the error is about the API key."""
        return not KEY_CODES.isdisjoint({(self.code or "").lower(), (self.type or "").lower()})

    def makeDetails(self, final: bool) -> ErrorDetails:
        """
        Return the details of a `SourceError`.

        Args:
            final: Whether the status says that a retry cannot help.
        """
        final = final or not FINAL_CODES.isdisjoint({self.code, self.type})
        return ErrorDetails(self.code, self.type, self.param, True if final else None)


def readError(value: Any, secrets: Sequence[str]) -> ToldError:
    """
    Read an error in the shape of OpenAI, vLLM, Gemini, Mistral or FastAPI, or a plain text.

    Args:
        value: Decoded JSON, or a text.
        secrets: The API key and the like, which must not be told.
    """
    outer = _firstObject(value)
    inner = outer.get("error") if outer.get("error") is not None else outer
    members = {**outer, **_firstObject(inner)}

    def word(name: str) -> str | None:
        text = members.get(name)
        return cleanMessage(text, secrets, MAX_WORD) or None if isinstance(text, str) else None

    code, kind = word("code"), word("type")
    message = cleanMessage(_findText(value), secrets)
    status = _findStatus(members)
    if code is not None and code.isdigit():
        code = None
    return ToldError(message, code, kind, word("param"), status)


def hideErrors(event: Mapping[str, Any], secrets: Sequence[str]) -> dict[str, Any]:
    """
    Return an event of a response without secrets in its errors.

    Args:
        event: The event, decoded.
        secrets: See `readError`.
    """
    hidden = {name: _hide(event[name], secrets) for name in ("code", "error", "message") if name in event}
    response = event.get("response")
    if isinstance(response, Mapping):
        hidden["response"] = {**response, "error": _hide(response.get("error"), secrets)}
    return {**event, **hidden}


def _hide(value: Any, secrets: Sequence[str]) -> Any:
    """Return decoded JSON without secrets in its strings."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, "***")
    elif isinstance(value, list):
        value = [_hide(one, secrets) for one in value]
    elif isinstance(value, dict):
        value = {name: _hide(one, secrets) for name, one in value.items()}
    return value


def _firstObject(value: Any) -> dict[str, Any]:
    """Return an object, or the first object in a list; empty if there is none."""
    if isinstance(value, list):
        value = value[0] if value else None
    return value if isinstance(value, dict) else {}


def _findText(value: Any, depth: int = 5) -> str:
    """Return the message in an error of any known shape, or `""`."""
    if isinstance(value, str) or not depth:
        return value if isinstance(value, str) else ""
    if isinstance(value, list):
        return "; ".join(filter(None, (_findText(one, depth - 1) for one in value[:10])))
    for name in ("error", "message", "detail", "msg") if isinstance(value, dict) else ():
        text = _findText(value.get(name), depth - 1)
        if text:
            return text
    return ""


def _findStatus(members: Mapping[str, Any]) -> int:
    """Return the HTTP status of an error by its members, numbers first; 502 if they do not say."""
    values = [members.get(name) for name in ("code", "status", "status_code", "type")]
    for value in values:
        number = int(value) if isinstance(value, str) and len(value) == 3 and value.isdecimal() else value
        if isinstance(number, int) and 400 <= number <= 599:
            return number
    words = [STATUSES[value.lower()] for value in values if isinstance(value, str) and value.lower() in STATUSES]
    return words[0] if words else 502


def _parse(body: bytes) -> Any:
    """Return the decoded JSON of a body, or its first line if it is a plain text."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        pass
    text = body.decode("utf-8", "replace").strip()
    return "" if text[:1] in {"<", "{", "["} else text
