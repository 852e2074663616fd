"""
The target of a request (RFC 9112 section 3.2), in its forms other than the usual path.

`BodyLimit` reads the target of each request with it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from sseserver.errors import BadRequest, ClientError

#: An absolute form: the scheme, the authority without credentials, and the path with its query.
_ABSOLUTE = re.compile(rb"https?://([^/?#@]+)([/?][^#]*)?", re.IGNORECASE)


class MethodNotSupported(ClientError):
    """No resource supports this method, and none will."""

    status = 501
    code = "method_not_supported"


class Target(NamedTuple):
    """
    A target.

    Attributes:
        path: The path, with its query.
        authority: The authority of an absolute form; it replaces the `Host` field. `None` for other forms.
    """

    path: bytes
    authority: bytes | None


def readTarget(method: bytes, target: bytes) -> Target:
    """
    Read a target that is not a path.

    Args:
        method: Method of the request.
        target: As in the request line.

    Raises:
        MethodNotSupported: The method is `CONNECT`, which only proxies have.
        BadRequest: The target has none of the forms, or one that the method does not have.
    """
    if method == b"CONNECT":
        raise MethodNotSupported("This server is no proxy: it does not support CONNECT.")
    if target == b"*" and method == b"OPTIONS":
        return Target(target, None)
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise BadRequest("The target of a request must be a path that begins with a slash, or an http or https URL.")
    path = match[2] or b"/"
    return Target(path if path.startswith(b"/") else b"/" + path, match[1])
