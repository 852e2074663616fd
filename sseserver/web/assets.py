"""
The static files of pages: served from memory, with a strict content security policy.

The pages of the APIs use it. Each has its files in a folder `assets` of its package.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from importlib.resources import files

from twisted.web.http import NOT_MODIFIED
from twisted.web.resource import Resource
from twisted.web.server import Request

from sseserver.service.viewers import Viewers
from sseserver.web.accept import acceptsGzip
from sseserver.web.answers import setContentType
from sseserver.web.request import hasVersion
from sseserver.web.resource import AsyncResource, NotFoundResource

#: A page may load its own files only, and no site may frame it.
CONTENT_SECURITY_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

#: Media types by the ends of names.
_TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}


@cache
def readAsset(package: str, name: str) -> bytes:
    """
    Return a file of a page. It is read once in a process, whose services share it.

    Args:
        package: Name of the package of the page.
        name: Name of the file in its folder `assets`.
    """
    return files(package).joinpath("assets", name).read_bytes()


@cache
def zipAsset(package: str, name: str) -> bytes:
    """Return a file of a page in the gzip format; see `readAsset`."""
    # Without a time: each process of a group has the same bytes, and the same tag.
    return gzip.compress(readAsset(package, name), 9, mtime=0)


def findType(name: str) -> str:
    """Return the media type of a file by its name."""
    return _TYPES[name.rpartition(".")[2]]


def markPage(request: Request) -> None:
    """
    Set the headers of a page.

    Args:
        request: Its response has not begun.
    """
    setContentType(request, "text/html; charset=utf-8")
    request.responseHeaders.setRawHeaders(b"Content-Security-Policy", [CONTENT_SECURITY_POLICY])
    request.responseHeaders.setRawHeaders(b"Referrer-Policy", [b"no-referrer"])


def makeTag(content: bytes) -> bytes:
    """Return the entity tag of a content, with its quotes."""
    return b'"%b"' % sha256(content).hexdigest()[:16].encode("ascii")


class AssetFile(AsyncResource):
    """
    One file of a page, compressed for clients that accept that.

    Args:
        package: See `readAsset`.
        name: See `readAsset`.
        viewers: The viewers of the service.
    """

    def __init__(self, package: str, name: str, viewers: Viewers | None = None) -> None:
        super().__init__(viewers)
        self._content = readAsset(package, name)
        self._type = findType(name)
        self._etag = makeTag(self._content)
        self._zipped = zipAsset(package, name)
        self._zippedTag = makeTag(self._zipped)

    async def GET(self, request: Request) -> bytes:
        """Return the file, or 304 if the client has this version."""
        headers = request.responseHeaders
        content, tag = self._content, self._etag
        if acceptsGzip(request):
            content, tag = self._zipped, self._zippedTag
            headers.setRawHeaders(b"Content-Encoding", [b"gzip"])
        setContentType(request, self._type)
        # The browser revalidates its copy at each use: after an update the page and its script
        # match.
        headers.setRawHeaders(b"Cache-Control", [b"no-cache"])
        headers.setRawHeaders(b"ETag", [tag])
        vary = headers.getRawHeaders(b"Vary", ())
        headers.setRawHeaders(b"Vary", [b", ".join([*vary, b"Accept-Encoding"])])
        if hasVersion(request, tag):
            headers.removeHeader(b"Content-Encoding")
            request.setResponseCode(NOT_MODIFIED)
            return b""
        return content


class AssetFolder(NotFoundResource):
    """
    The files of a page, by name. The folder itself is no resource.

    Args:
        package: See `readAsset`.
        names: Names of the files.
        viewers: The viewers of the service.
    """

    def __init__(self, package: str, names: Iterable[str], viewers: Viewers | None = None) -> None:
        super().__init__(viewers)
        self._files = {name.encode("ascii"): AssetFile(package, name, viewers) for name in names}

    def getChild(self, path: bytes, request: Request) -> Resource:
        """See `Resource.getChild`: the children are the files."""
        return self._files.get(path) or NotFoundResource()
