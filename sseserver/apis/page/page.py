"""
The page and its files: static, from memory, with strict headers.
"""

from __future__ import annotations

from hashlib import sha256
from html import escape
from importlib.resources import files
from urllib.parse import quote

from twisted.web.http import CACHED
from twisted.web.resource import Resource
from twisted.web.server import Request

from sseserver.interfaces import ITokenSource
from sseserver.web.http import AsyncResource, Nothing, setContentType

#: Nothing but what lies beside the page may be loaded, and nobody may frame it.
CONTENT_SECURITY_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_TYPES = {"app.js": "text/javascript; charset=utf-8", "app.css": "text/css; charset=utf-8"}


def _asset(name: str) -> bytes:
    return files("sseserver.apis.page").joinpath("assets", name).read_bytes()


_INDEX = _asset("index.html")


class Page:
    """
    The page, for the token source that it shows.

    Args:
        source: When it takes a prompt, the page has a field for it, and
            starts no run before something is asked.
    """

    def __init__(self, source: ITokenSource) -> None:
        self._template = _INDEX.replace(b"{{asks}}", b" data-asks" if source.takesPrompt else b"")

    def __call__(self, request: Request, depth: int) -> bytes:
        """
        Answer with the page.

        Args:
            depth: How many segments of the path come after the mount point: the
                page's URLs are relative, so that it works wherever it is mounted.
        """
        setContentType(request, "text/html; charset=utf-8")
        request.responseHeaders.setRawHeaders(b"Content-Security-Policy", [CONTENT_SECURITY_POLICY])
        request.responseHeaders.setRawHeaders(b"Referrer-Policy", [b"no-referrer"])
        return self._template.replace(b"{{base}}", escape(_base(request, depth)).encode("ascii"))


def _base(request: Request, depth: int) -> str:
    """Find the way from the page's URL to the mount point."""
    steps = depth - ((request.prepath or [b""])[-1] != b"")
    if steps >= 0:
        return "../" * steps
    # Mounted at /chat and asked for without a slash: what is relative to it is relative to what stands before.
    return "./" + quote(request.path.rpartition(b"/")[2], safe="%!$&'()*+,;=:@~") + "/"


class Asset(AsyncResource):
    """
    One file that the page needs.

    Args:
        name: The file's name in `assets`.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._content = _asset(name)
        self._type = _TYPES[name]
        self._etag = b'"%b"' % sha256(self._content).hexdigest()[:16].encode("ascii")

    async def GET(self, request: Request) -> bytes:
        """Answer with the file, or with 304 when the client has it."""
        setContentType(request, self._type)
        # Kept by the browser, but asked for again: after an update the page and its script fit together.
        request.responseHeaders.setRawHeaders(b"Cache-Control", [b"no-cache"])
        return b"" if request.setETag(self._etag) is CACHED else self._content


class Assets(AsyncResource):
    """The folder `assets`."""

    def __init__(self) -> None:
        super().__init__()
        self._assets = {name.encode("ascii"): Asset(name) for name in _TYPES}

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Find a file."""
        return self._assets.get(path) or Nothing()
