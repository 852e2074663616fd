"""
The page and its files: static, served from memory, with a strict content security policy.

`/` and every stream have the page as their HTML representation. It works wherever the resource is
mounted: its URLs are relative.
"""

from __future__ import annotations

from hashlib import sha256
from html import escape
from importlib.resources import files
from urllib.parse import quote

from twisted.web.http import NOT_MODIFIED
from twisted.web.resource import Resource
from twisted.web.server import Request

from sseserver.interfaces import ITokenSource
from sseserver.service.viewers import Viewers
from sseserver.web.answers import setContentType
from sseserver.web.request import hasVersion
from sseserver.web.resource import AsyncResource, NotFoundResource

#: The page may load its own files only, and no site may frame it.
CONTENT_SECURITY_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

#: The files of the page: their media types by their names.
ASSETS = {"app.js": "text/javascript; charset=utf-8", "app.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}


def _readAsset(name: str) -> bytes:
    return files("sseserver.apis.page").joinpath("assets", name).read_bytes()


# The icon is in the page. Its address changes while it is open, and browsers would resolve a relative URL of the icon
# from each of its addresses.
_INDEX = _readAsset("index.html").replace(
    b"{{icon}}", f"data:image/svg+xml,{quote(_readAsset('icon.svg'))}".encode("ascii")
)


class Page:
    """
    The page for one token source.

    Args:
        source: If it takes prompts, the page has a field for one, and starts no run before the user
            has sent one.
    """

    def __init__(self, source: ITokenSource) -> None:
        self._template = _INDEX.replace(b"{{asks}}", b" data-asks" if source.takesPrompt else b"")

    def answer(self, request: Request, depth: int) -> bytes:
        """
        Set the headers of the page, and return its HTML.

        Args:
            request: The request for the page.
            depth: Number of segments of the request's path below the mount point.
        """
        setContentType(request, "text/html; charset=utf-8")
        request.responseHeaders.setRawHeaders(b"Content-Security-Policy", [CONTENT_SECURITY_POLICY])
        request.responseHeaders.setRawHeaders(b"Referrer-Policy", [b"no-referrer"])
        return self._template.replace(b"{{base}}", escape(_makeBase(request, depth)).encode("ascii"))


def _makeBase(request: Request, depth: int) -> str:
    """Return the relative URL of the mount point, as seen from the URL of the page."""
    steps = depth - ((request.prepath or [b""])[-1] != b"")
    if steps >= 0:
        return "../" * steps
    # The mount point without its trailing slash, such as `/chat`: relative URLs start from its
    # parent.
    return "./" + quote(request.path.rpartition(b"/")[2], safe="%!$&'()*+,;=:@~") + "/"


class AssetFile(AsyncResource):
    """
    One file of the page.

    Args:
        viewers: The viewers of the service.
        name: Name of the file in the folder `assets`.
    """

    def __init__(self, viewers: Viewers, name: str) -> None:
        super().__init__(viewers)
        self._content = _readAsset(name)
        self._type = ASSETS[name]
        self._etag = b'"%b"' % sha256(self._content).hexdigest()[:16].encode("ascii")

    async def GET(self, request: Request) -> bytes:
        """Return the file, or 304 if the client has this version."""
        setContentType(request, self._type)
        # The browser revalidates its copy at each use: after an update the page and its script
        # match.
        request.responseHeaders.setRawHeaders(b"Cache-Control", [b"no-cache"])
        request.responseHeaders.setRawHeaders(b"ETag", [self._etag])
        if hasVersion(request, self._etag):
            request.setResponseCode(NOT_MODIFIED)
            return b""
        return self._content


class AssetFolder(NotFoundResource):
    """
    The files of the page, by name. The folder itself is no resource.

    Args:
        viewers: The viewers of the service.
    """

    def __init__(self, viewers: Viewers) -> None:
        super().__init__(viewers)
        self._files = {name.encode("ascii"): AssetFile(viewers, name) for name in ASSETS}

    def getChild(self, path: bytes, request: Request) -> Resource:
        """See `Resource.getChild`: the children are the files."""
        return self._files.get(path) or NotFoundResource()
