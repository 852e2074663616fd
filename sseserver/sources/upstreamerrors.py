"""
What an upstream says of its errors, turned into a L{SourceError}: what viewers
and clients may know of it, in one line and without our key.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from sseserver.errors import SourceError

#: Characters of a message that are passed on.
MAX_MESSAGE = 500

#: The longest that a client is told to wait, in seconds.
MAX_RETRY_AFTER = 3600

#: Statuses about what the client asked: it gets them, with what the upstream says of it.
_CLIENTS = frozenset({400, 404, 413, 422, 429})

#: Those about the upstream that tell a client something. Every other one is 502: it is between us and the upstream.
_UPSTREAMS = frozenset({503, 504})

#: About our key. What an upstream says there may name it, or a part of it.
_OUR_KEY = frozenset({401, 403})

_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff]+")


def oneLine(text: str, secret: str | None) -> str:
    """
    Make what a stranger says fit to be shown: one line, bounded, without the secret.
    """
    text = text[: MAX_MESSAGE * 10]
    if secret:
        text = text.replace(secret, "***")
    text = _UNPRINTABLE.sub(" ", text).strip()
    return text if len(text) <= MAX_MESSAGE else text[:MAX_MESSAGE] + " ..."


def refused(status: int, body: bytes, retryAfter: float, secret: str | None) -> SourceError:
    """
    Make the error of a response that is no event stream because of its status.

    Args:
        body: What it says, or as much of it as has come.
        retryAfter: Seconds after which the upstream may be asked again; 0 when it does not say.
        secret: What must not be told.
    """
    message = f"The upstream answered {status}."
    if status in _OUR_KEY:
        message = f"The upstream does not accept this server's key ({status})."
    elif status in _CLIENTS:
        message = oneLine(_messageIn(body), secret) or message
    wait = math.ceil(min(retryAfter, MAX_RETRY_AFTER)) or None
    return SourceError(message, "refused", _passedOn(status), wait)


def toldInStream(error: Any, code: Any, secret: str | None) -> SourceError:
    """
    Make the error that an upstream told in its stream.

    Args:
        error: An object with a C{message}, or a text.
        code: A status, where it stands beside the message.
        secret: What must not be told.
    """
    if isinstance(error, dict):
        code = error.get("code", code)
        error = error.get("message")
    message = oneLine(error, secret) if isinstance(error, str) else ""
    status = _passedOn(code) if isinstance(code, int) else 502
    return SourceError(message or "The upstream told of an error.", "upstream", status)


def _passedOn(status: int) -> int:
    """Give the status that a completion's client gets."""
    return status if status in _CLIENTS or status in _UPSTREAMS else 502


def _messageIn(body: bytes) -> str:
    """Find the message in an error's JSON; empty when there is none."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if isinstance(told, dict):
        inner = told.get("error", told)
        message = inner.get("message") if isinstance(inner, dict) else inner
        return message if isinstance(message, str) else ""
    return ""
