"""
Redaction: credentials and characters that cannot be seen, removed from the lines of logs and from messages.

A signed link has its credential in the query of its URL, and so have the tokens of clients that know no better. The
values of options may have a password before the host of a URL, or among the words of a command.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

#: Members of a query that carry a credential, in lower case; also as the last word of a longer name.
CREDENTIALS = frozenset(
    b"access_token api-key api_key apikey assertion auth authorization bearer client_secret code credential hmac"
    b" id_token jsessionid jwt key otp pass passcode passwd password phpsessid pwd refresh_token samlresponse secret"
    b" session sessionid sid sig signature ticket token".split()
)

#: The part of a URL, or of what is meant as one, that may have a password: everything before the host.
_USER = re.compile(r"(?<=://)\S*@|(?<=\w:)/?[^/\s=]*@")

#: A user and a password behind which the host was forgotten: they stand where host and port should.
_NO_HOST = re.compile(r"""(?<=://)[^\s/@:,\[]+:[^\s/,?#'"]*[^\d\s/,?#'":;.)\]][^\s/,?#'"]*""")

#: Names of credentials, in any case, as parameters of URLs, options of programs and variables have them.
_SECRET_NAME = (
    r"(?:[\w-]*(?:password|passwd|secret|token|api[_-]?key)|"
    + "|".join(sorted(name.decode("ascii") for name in CREDENTIALS))
    + ")"
)

#: A value behind such a name, or behind the word for a scheme of authentication.
_SECRET = re.compile(rf"(?i)((?<![\w-]){_SECRET_NAME}=|--{_SECRET_NAME}\s+|\bbearer\s+)[^\s&'\"]+")

#: A header field with a credential; in a message one that follows a quote, since messages have colons, too.
_SECRET_FIELD = re.compile(rf"(?i)(?<![\w-]){_SECRET_NAME}:\s*\S")
_QUOTED_FIELD = re.compile(rf"(?i)((?<=['\"]){_SECRET_NAME}:\s*)[^'\"]+")

#: A user before the host of a URL, as it may stand in a target or a header.
_USER_BYTES = re.compile(rb"(?<=://)[^/?#]*@")

#: Everything before the last word of a name, such as `x-amz-signature`.
_LAST_WORD = re.compile(rb".*[^a-z0-9]")

#: Stands for a hidden part.
_HIDDEN = "…"

#: Categories of characters that move the cursor of a terminal, change the order of what it shows, or end a line.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def hideCredentials(target: bytes) -> bytes:
    """
    Drop the members of a query or a fragment that carry a credential, and a user with a password before a host.

    Args:
        target: A target of a request or a URL, with or without a query.
    """
    if b"@" in target:
        target = _USER_BYTES.sub(b"", target)
    for mark in (b"?", b"#"):
        before, found, rest = target.partition(mark)
        if found:
            # A fragment follows a query.
            members, hashed, fragment = rest.partition(b"#")
            shown = _hideMembers(members)
            target = b"%b%b%b" % (before, mark + shown if shown or not members else b"", hashed + fragment)
    return target


def _hideMembers(query: bytes) -> bytes:
    return b"&".join([each for each in query.split(b"&") if not any(map(_isCredential, each.split(b";")))])


def _isCredential(member: bytes) -> bool:
    name = unquote_to_bytes(member.partition(b"=")[0]).replace(b"+", b" ").strip().lower()
    return name in CREDENTIALS or _LAST_WORD.sub(b"", name) in CREDENTIALS


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


def splitURL(url: str) -> SplitResult:
    """
    Split a URL, and check its port.

    Args:
        url: The URL; it may have a password.

    Raises:
        ValueError: The URL is malformed. The message has no part of it, as those of Python have.
    """
    try:
        parts = urlsplit(url)
        # It is converted when it is asked for.
        _ = parts.port
    except ValueError:
        raise ValueError("the URL has no valid host and port") from None
    return parts


def hideSecrets(text: str) -> str:
    """
    Replace the credentials in a text by an ellipsis, as far as they can be told from other words.

    Args:
        text: The value of an option, or a message about one.
    """
    for pattern in (_QUOTED_FIELD, _SECRET):
        text = pattern.sub(rf"\1{_HIDDEN}", text)
    return _NO_HOST.sub(_HIDDEN, _USER.sub(f"{_HIDDEN}@", text))


def hasSecret(text: str) -> bool:
    """
    Return whether a value has a credential, as far as it can be told from other words.

    Args:
        text: The value of an option, such as a URL or a command.
    """
    return hideSecrets(text) != text or _SECRET_FIELD.search(text) is not None


def showMessage(text: str) -> str:
    """
    Return a message as one line, without credentials and without characters that cannot be seen.

    Args:
        text: The message; it may repeat what somebody has written.
    """
    return _escape(hideSecrets(text), "")


def escapeControls(text: str) -> str:
    r"""
    Replace characters that cannot be seen, other than LF and TAB, by escapes such as `\x1b`.

    Args:
        text: Foreign text for a log: it must not move the cursor of a terminal, or look like another line.
    """
    return text if text.removesuffix("\n").isprintable() else _escape(text, "\n\t")


def _escape(text: str, kept: str) -> str:
    """Replace characters that cannot be seen, other than some, by escapes of Python."""
    if text.isprintable():
        return text
    return "".join(each if each in kept or not _isUnseen(each) else _escapeOne(ord(each)) for each in text)


def _escapeOne(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _isUnseen(character: str) -> bool:
    return unicodedata.category(character) in _UNSEEN


def escapeJSON(text: str) -> str:
    """
    Replace the characters that cannot be seen, and that JSON allows unescaped, by its escapes.

    Args:
        text: A text in JSON.
    """
    if text.isprintable():
        return text
    return "".join(json.dumps(each)[1:-1] if _isUnseen(each) else each for each in text)
