"""
`POST /streams/NAME/links`: signed links to a stream. Used by `streams`.
"""

from __future__ import annotations

import msgspec
from twisted.web.http import CREATED
from twisted.web.server import Request

from sseserver.apis.native.publishing import checkName
from sseserver.errors import InvalidMember, NotFound
from sseserver.jsontext import readJSON
from sseserver.service.service import StreamService
from sseserver.web.access.grants import makeGrant
from sseserver.web.access.links import LIFETIME, MAX_LIFETIME
from sseserver.web.access.rights import Access, checkRight
from sseserver.web.answers import answerJSON
from sseserver.web.request import readPath, readTypedBody
from sseserver.web.resource import AsyncResource

#: Bytes. Limit of the body.
MAX_BODY = 4096


class _Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """The body: the rights of the link, and its lifetime in seconds."""

    rights: tuple[str, ...] = ("read",)
    seconds: int = LIFETIME


class StreamLinks(AsyncResource):
    """
    `/streams/NAME/links`.

    Args:
        service: Tells the time.
        access: Makes the links.
        name: Name of the stream, which may not exist.
    """

    def __init__(self, service: StreamService, access: Access, name: str) -> None:
        super().__init__(service.viewers)
        self._service = service
        self._access = access
        self._name = name

    async def POST(self, request: Request) -> bytes:
        """Make a link. It has no right that its maker does not have, and ends no later than the maker's rights."""
        principal = await self._access.identify(request)
        links = None if self._access.credentials is None else self._access.credentials.links
        if links is None:
            raise NotFound("This server signs no links: it has no key for them.")
        wanted = readJSON(readTypedBody(request, MAX_BODY), _Wanted)
        try:
            grant = makeGrant(wanted.rights, checkName(self._name))
        except ValueError as error:
            raise InvalidMember(f"In a link for one stream {error}.", "rights") from None
        for right in grant.rights:
            checkRight(principal, right, self._name)
        if not 1 <= wanted.seconds <= MAX_LIFETIME:
            raise InvalidMember(f"The lifetime of a link must be 1 to {MAX_LIFETIME} seconds.", "seconds")
        now = self._service.wall()
        expires = now + wanted.seconds if principal.expires is None else min(now + wanted.seconds, principal.expires)
        query = links.make(grant, int(expires))
        url = f"{readPath(request).removesuffix('/links')}?{query}"
        return answerJSON(request, {"url": url, "expires": int(expires)}, CREATED)
