"""
The page, which is static. `sseserver.web.assets` serves its files.

`/` and every stream have the page as their HTML representation. It works wherever the resource is
mounted: its URLs are relative.
"""

from __future__ import annotations

from html import escape
from urllib.parse import quote

from twisted.web.server import Request

from sseserver.interfaces import IModels, ITokenSource
from sseserver.values import MODEL
from sseserver.web.assets import markPage, readAsset

#: The package whose folder `assets` has the files.
PACKAGE = "sseserver.apis.page"

#: Names of the files that are served.
ASSETS = (
    "app.css",
    "app.js",
    "blocks.js",
    "chats.js",
    "inlines.js",
    "markdown.js",
    "painting.js",
    "places.js",
    "plain.js",
    "speech.js",
    "stream.js",
    "work.js",
)

# The icon is in the page. Its address changes while it is open, and browsers would resolve a relative URL of the icon
# from each of its addresses.
_INDEX = readAsset(PACKAGE, "index.html").replace(
    b"{{icon}}", f"data:image/svg+xml,{quote(readAsset(PACKAGE, 'icon.svg'))}".encode("ascii")
)


class Page:
    """
    The page for one token source.

    Args:
        source: If it takes prompts, the page has a field for one, and starts no run before the user
            has sent one. If it has models and none of them is the usual one, the page names one.
    """

    def __init__(self, source: ITokenSource) -> None:
        asks = b" data-asks" if source.takesPrompt else b""
        chooses = b" data-chooses" if IModels.providedBy(source) and source.model == MODEL else b""
        self._template = _INDEX.replace(b"{{asks}}", asks + chooses)

    def answer(self, request: Request, depth: int) -> bytes:
        """
        Set the headers of the page, and return its HTML.

        Args:
            request: The request for the page.
            depth: Number of segments of the request's path below the mount point.
        """
        markPage(request)
        return self._template.replace(b"{{base}}", escape(_makeBase(request, depth)).encode("ascii"))


def _makeBase(request: Request, depth: int) -> str:
    """Return the relative URL of the mount point, as seen from the URL of the page."""
    steps = depth - ((request.prepath or [b""])[-1] != b"")
    if steps >= 0:
        return "../" * steps
    # The mount point without its trailing slash, such as `/chat`: relative URLs start from its
    # parent.
    return "./" + quote(request.path.rpartition(b"/")[2], safe="%!$&'()*+,;=:@~") + "/"
