"""
Errors of an upstream as `SourceError`: one bounded line for viewers and clients, without the API key.

`upstream` and `upstreamanswer` raise them.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from sseserver.client import ConnectTimeout, EventTooLarge, ResponseTruncated, StatusError, WrongContentType
from sseserver.client.retry import readRetryAfter
from sseserver.errors import SourceError
from sseserver.values import Reason

#: Characters of an upstream's message that are passed on.
MAX_MESSAGE = 500

#: Seconds. Longest `Retry-After` that is passed on.
MAX_RETRY_AFTER = 3600

# Statuses about the client's request. The client gets them, together with the upstream's message.
_CLIENT_STATUSES = frozenset({400, 404, 413, 422, 429})

# Statuses about the upstream that are useful to a client. Every other one becomes 502.
_UPSTREAM_STATUSES = frozenset({503, 504})

# Statuses about the API key. The upstream's message may contain the key, or a part of it.
_KEY_STATUSES = frozenset({401, 403})

_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff]+")


def cleanMessage(text: str, secret: str | None) -> str:
    """
    Make an upstream's text fit for a message.

    Args:
        text: Any text.
        secret: The API key, which is replaced by asterisks.

    Returns:
        One printable line of at most `MAX_MESSAGE` characters; " ..." marks a cut.
    """
    text = text[: MAX_MESSAGE * 10]
    if secret:
        text = text.replace(secret, "***")
    text = _UNPRINTABLE.sub(" ", text).strip()
    return text if len(text) <= MAX_MESSAGE else text[:MAX_MESSAGE] + " ..."


def makeRefusal(status: int, body: bytes, retryAfter: float, secret: str | None) -> SourceError:
    """
    Make the error for a response whose status is not 200.

    Args:
        status: HTTP status of the response.
        body: Start of its body.
        retryAfter: Seconds until the upstream may be asked again; 0 if unknown.
        secret: The API key, which must not be told.
    """
    message = f"The upstream answered {status}."
    if status in _KEY_STATUSES:
        message = f"The upstream does not accept this server's key ({status})."
    elif status in _CLIENT_STATUSES:
        message = cleanMessage(_findMessage(body), secret) or message
    wait = math.ceil(min(retryAfter, MAX_RETRY_AFTER)) or None
    return SourceError(message, Reason.REFUSED, _chooseStatus(status), wait)


def makeStreamError(error: Any, code: Any, secret: str | None) -> SourceError:
    """
    Make the error that an upstream reported inside its event stream.

    Args:
        error: An object with a member `message`, or a text.
        code: HTTP status, if it stands beside the error.
        secret: The API key, which must not be told.
    """
    if isinstance(error, dict):
        code = error.get("code", code)
        error = error.get("message")
    message = cleanMessage(error, secret) if isinstance(error, str) else ""
    status = _chooseStatus(code) if isinstance(code, int) else 502
    return SourceError(message or "The upstream reported an error.", Reason.UPSTREAM, status)


def makeSourceError(error: BaseException | None, secret: str | None) -> SourceError:
    """
    Make the error for an answer that did not come, or did not come to its end.

    Args:
        error: An `EventSourceError` or `EventTooLarge` of the client.
        secret: The API key, which must not be told.
    """
    if isinstance(error, StatusError):
        return makeRefusal(error.status, error.body, readRetryAfter(error.headers), secret)
    if isinstance(error, WrongContentType):
        return SourceError("The upstream's answer is not an event stream.", Reason.MALFORMED)
    if isinstance(error, EventTooLarge):
        return SourceError("The upstream sent a chunk over the size limit.", Reason.MALFORMED)
    if isinstance(error, ResponseTruncated):
        return SourceError("The connection to the upstream was lost in the middle of the answer.", Reason.TRUNCATED)
    if isinstance(error, ConnectTimeout):
        return SourceError("The upstream did not answer in time.", Reason.TIMEOUT, 504)
    return SourceError("The upstream cannot be reached.", Reason.UNREACHABLE)


def _chooseStatus(status: int) -> int:
    """Return the status for the client of a completion."""
    return status if status in _CLIENT_STATUSES or status in _UPSTREAM_STATUSES else 502


def _findMessage(body: bytes) -> str:
    """Return the message in the JSON of an error, or `""`."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if isinstance(told, dict):
        inner = told.get("error", told)
        message = inner.get("message") if isinstance(inner, dict) else inner
        return message if isinstance(message, str) else ""
    return ""
