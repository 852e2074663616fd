"""
The operator's page, at `/admin/` on the endpoint of `--admin-listen`. Its script asks for everything that it shows.
"""

from __future__ import annotations

from urllib.parse import quote

from twisted.web.http import SEE_OTHER
from twisted.web.resource import IResource
from twisted.web.server import Request

from sseserver.apis.admin.status import Status
from sseserver.web.assets import AssetFolder, markPage, readAsset
from sseserver.web.resource import AsyncResource

#: The package whose folder `assets` has the files.
PACKAGE = "sseserver.apis.admin"

#: Names of the files that are served.
ASSETS = ("app.css", "app.js", "raw.js")

_INDEX = readAsset(PACKAGE, "index.html")


class AdminPage(AsyncResource):
    """
    The page, and what it reads, below it.

    Args:
        status: The resource `status.json`.
        viewers: The resource `viewers.json`.
    """

    def __init__(self, status: Status, viewers: IResource) -> None:
        super().__init__()
        self.putChild(b"assets", AssetFolder(PACKAGE, ASSETS))
        self.putChild(b"status.json", status)
        self.putChild(b"viewers.json", viewers)

    async def GET(self, request: Request) -> bytes:
        """Answer with the page, whose URLs are relative."""
        markPage(request)
        hasSlash = (request.prepath or [b""])[-1] == b""
        return _INDEX.replace(b"{{base}}", b"" if hasSlash else b"admin/")


def leadToPage(request: Request, depth: int) -> bytes:
    """
    Answer with the place of the page: it shows the stream of a URL to an operator. A `PageAnswer`.

    Args:
        request: The request for a stream.
        depth: Number of segments of its path below the mount point.
    """
    segments = [segment for segment in request.prepath or () if segment]
    name = segments[-1].decode("utf-8", "replace") if segments else ""
    steps = depth - ((request.prepath or [b""])[-1] != b"")
    request.setResponseCode(SEE_OTHER)
    place = f"{'../' * steps}admin/#{quote(name, safe='')}"
    request.responseHeaders.setRawHeaders(b"Location", [place.encode("ascii")])
    return b""
