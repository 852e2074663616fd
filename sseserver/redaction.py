"""
Redaction: credentials and control characters, removed from the lines of logs.

A signed link has its credential in the query of its URL, and so have the tokens of clients that know no better.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

#: Members of a query that carry a credential, in lower case.
CREDENTIALS = frozenset(
    b"access_token api-key api_key apikey auth authorization bearer client_secret code credential id_token jwt key"
    b" password passwd pwd refresh_token secret session sig signature token".split()
)

#: Escapes of JSON, by the code points of the control characters that it allows unescaped.
_JSON_CONTROLS = {code: f"\\u{code:04x}" for code in range(127, 160)}

#: Escapes of control characters, by their code points.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))}


def hideCredentials(target: bytes) -> bytes:
    """
    Drop the members of a query that carry a credential.

    Args:
        target: A target of a request or a URL, with or without a query.
    """
    path, mark, query = target.partition(b"?")
    if not mark:
        return target
    members = query.split(b"&")
    shown = [member for member in members if not _isCredential(member)]
    if len(shown) == len(members):
        return target
    return b"%b?%b" % (path, b"&".join(shown)) if shown else path


def _isCredential(member: bytes) -> bool:
    name = member.partition(b"=")[0]
    return unquote_to_bytes(name).replace(b"+", b" ").strip().lower() in CREDENTIALS


class ShownRequest:
    """
    A request as a log may show it; see `IRequest`.

    Args:
        request: The request.
    """

    def __init__(self, request: Any) -> None:
        self._request = request
        self.uri = hideCredentials(request.uri)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)

    def getHeader(self, name: bytes) -> bytes | None:
        """See `IRequest.getHeader`."""
        value = self._request.getHeader(name)
        return value if value is None or name != b"referer" else hideCredentials(value)


def escapeControls(text: str) -> str:
    r"""
    Replace control characters other than LF and TAB, and lone surrogates, by escapes such as `\x1b`.

    Args:
        text: Foreign text for a log: it must not move the cursor of a terminal, or look like another line.
    """
    return text.translate(_CONTROLS).encode("utf-8", "backslashreplace").decode("utf-8")


def escapeJSON(text: str) -> str:
    """
    Replace the control characters that JSON allows unescaped, U+007F to U+009F, by its escapes.

    Args:
        text: A text in JSON.
    """
    return text if text.isascii() and "\x7f" not in text else text.translate(_JSON_CONTROLS)
