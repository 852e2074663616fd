"""
Direct publishes: a small POST to `/streams/NAME` is answered without a request object.

`sseserver.apis.root` makes one `DirectPublishing` for its site; `sseserver.speedups.direct` asks it. Everything that is
unusual, or refused, goes the usual way instead: `NamedStream.POST`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from sseserver.apis.native.publishing import STEP, encodePublication, readEntries
from sseserver.apis.native.streams import StreamCollection
from sseserver.errors import SSEServerError
from sseserver.interfaces import Principal, Publication, Right
from sseserver.service.clients import Client, Rate, findAddress, findPrincipal
from sseserver.service.service import StreamService
from sseserver.speedups.direct import DirectHead
from sseserver.tracebacks import forgetTraceback
from sseserver.web.access.gate import Gate
from sseserver.web.access.rights import Access
from sseserver.web.request import checkKey, ownKey

#: Path of the collection of streams.
_STREAMS = b"streams"


class Publishing:
    """
    The publishes of one principal with one head. It is kept with the head, so that their right is checked once.

    Args:
        principal: The client.
        name: Name of the stream.

    Attributes:
        client: The client whose limits count; `None` if that depends on its address.
        name: See above.
        principal: See above.
    """

    __slots__ = ("client", "name", "principal")

    def __init__(self, principal: Principal, name: str) -> None:
        self.principal = principal
        self.name = name
        self.client: Client | None = findPrincipal(principal.name)


class DirectPublishing:
    """
    Publishes without a request object; see `sseserver.speedups.direct`.

    Args:
        find: Returns the resource at a path below the root, if there is one.
        service: Keeps the streams.
        gate: The gate that every request passes.
        access: Finds the principals of requests.

    Attributes:
        principalName: See `DirectAnswers`.
    """

    __slots__ = ("_find", "_gate", "_maxBody", "_publish", "_rate", "_recall", "principalName")

    def __init__(self, find: Callable[[bytes], object], service: StreamService, gate: Gate, access: Access) -> None:
        self._find = find
        self._gate = gate
        self._maxBody = min(service.settings.nativeBody, STEP)
        self._publish = service.publishAtOnce
        self._rate: Rate = service.ledger.clients.publishes
        self._recall = access.recall
        self.principalName = ""

    def admits(self, fields: Mapping[bytes, bytes]) -> bool:
        """See `DirectAnswers.admits`."""
        return self._gate.admits(fields)

    def respond(self, head: DirectHead, key: str, body: bytes, peer: Any) -> bytes | Deferred[bytes] | None:
        """See `DirectAnswers.respond`."""
        principal = self._recall(head.authorization)
        # An embedder may have put something else there.
        if principal is None or not isinstance(self._find(_STREAMS), StreamCollection) or len(body) > self._maxBody:
            return None
        known: Any = head.note
        if known is None or known.principal is not principal:
            known = _admit(head, principal)
            if known is None:
                return None
        self.principalName = principal.name
        client, rate = known.client or findAddress(peer), self._rate
        try:
            used = ownKey(checkKey(key), principal) if key else None
            entries = readEntries(head.contentType, body)
            # The usual way counts a request that comes back to it.
            if not entries or rate.take(client):
                return None
            try:
                published = self._publish(known.name, entries, used)
            except BaseException:
                rate.giveBack(client)
                raise
        except SSEServerError as error:
            forgetTraceback(error)
            return None
        if isinstance(published, Publication):
            return encodePublication(published)
        return published.addCallbacks(encodePublication, self._giveBack, errbackArgs=(client,))

    def _giveBack(self, failure: Failure, client: Client | None) -> Failure:
        """Let the usual way count a request that was refused."""
        self._rate.giveBack(client)
        return failure


def _admit(head: DirectHead, principal: Principal) -> Publishing | None:
    """Check the right of a principal, and keep the result; return `None` if its publishes must go the usual way."""
    parent, _, name = head.path[1:].rpartition(b"/")
    known = Publishing(principal, name.decode("ascii"))
    if parent != _STREAMS or not principal.allows(Right.PUBLISH, known.name):
        return None
    head.note = known
    return known
