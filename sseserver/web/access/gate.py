"""
The gate: every request passes it before a resource renders, wherever `StreamResource` is mounted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from sseserver.errors import BadRequest, ForeignOrigin, MisdirectedRequest, SSEServerError
from sseserver.web.access.cors import Preflight, SharedOrigins, isPreflight
from sseserver.web.access.hosts import ANY, Authority, HostList
from sseserver.web.access.origins import isCrossSite, isOwn, readOrigin
from sseserver.web.answers import answerError, finishAnswer

#: Methods that change nothing.
_SAFE = {b"GET", b"HEAD", b"OPTIONS"}

#: Characters of a header that a message quotes.
_QUOTED = 100


class Gate:
    """
    Lets requests pass that are meant for this server, and that no page of a foreign origin has sent.

    Args:
        hosts: See `HostList`. `None`: the site checks them, or a proxy.
        origins: See `SharedOrigins`.
        addresses: See `HostList`.
    """

    def __init__(
        self, hosts: Iterable[str] | None = None, origins: Iterable[str] = (), *, addresses: bool = False
    ) -> None:
        self._hosts = HostList((ANY,) if hosts is None else hosts, addresses)
        self._origins = SharedOrigins(origins)
        self._shares = bool(self._origins)

    def stop(self, request: Request) -> Resource | None:
        """
        Check a request, and set the headers that its answer has for pages of other origins.

        Args:
            request: Its response has not begun.

        Returns:
            `None` if the request may go on; otherwise the resource that answers it.
        """
        try:
            self._readHost(request)
            if self._shares:
                self._origins.mark(request)
            method = request.method
            if method not in _SAFE:
                self.checkPage(request)
            elif method == b"OPTIONS" and isPreflight(request):
                self.checkPage(request)
                return Preflight()
        except SSEServerError as error:
            return Refusal(error)
        return None

    def admits(self, fields: Mapping[bytes, bytes]) -> bool:
        """
        Return whether a request of HTTP/1.1 that no browser has sent may pass.

        Args:
            fields: Its header fields, each once, by their names in lower case; neither `Origin` nor `Sec-Fetch-Site`.
        """
        try:
            return self._hosts.find(fields.get(b"host", b"")) is not None
        except ValueError:
            return False

    def share(self, request: Request, answer: bytes) -> bytes:
        """
        Let a page of a listed origin read an answer that is written without a resource.

        Args:
            request: Its head, as far as it was read.
            answer: The answer from its first byte on.

        Returns:
            The answer with more header fields.
        """
        if not self._shares:
            return answer
        fields = b"".join([b"%b: %b\r\n" % field for field in self._origins.findFields(request)])
        status, end, rest = answer.partition(b"\r\n")
        return status + end + fields + rest

    def _readHost(self, request: Request) -> Authority | None:
        """Return the host that a request is meant for; `None` for one of HTTP/1.0 that names none."""
        values = request.requestHeaders.getRawHeaders(b"host", ())
        if not values and request.clientproto == b"HTTP/1.0":
            return None
        if len(values) != 1:
            raise BadRequest(f"A request needs one header Host, and has {len(values)}.")
        try:
            host = self._hosts.find(values[0])
        except ValueError:
            raise BadRequest("The header Host must be a host name, with or without a port.") from None
        if host is None:
            asked = _quote(values[0])
            raise MisdirectedRequest(f"This server does not answer to the host {asked}: it is not listed with --host.")
        return host

    def checkPage(self, request: Request) -> None:
        """
        Check that no page of a foreign origin has sent a request. For a GET that starts a run; others are checked.

        Raises:
            ForeignOrigin: One has.
        """
        origin = readOrigin(request)
        if origin is None:
            foreign = isCrossSite(request)
        elif self._origins.trusts(request, origin):
            foreign = False
        else:
            host = self._readHost(request)
            foreign = host is None or not isOwn(origin, host, request.isSecure()) or isCrossSite(request)
        if foreign:
            page = f"the origin {_quote(origin)}" if origin else "another origin"
            raise ForeignOrigin(f"A page of {page} must not send this request: it is not listed with --cors-origin.")


def shareAnswer(site: Any, request: Request | None, answer: bytes) -> bytes:
    """
    Let a page of a listed origin read an answer that is written without a resource, if the root has a gate.

    Args:
        site: The site.
        request: What was read of the request; `None` if that is less than its first line.
        answer: The answer from its first byte on.

    Returns:
        The answer, perhaps with more header fields.
    """
    gate: Gate | None = getattr(site.resource, "gate", None)
    return answer if gate is None or request is None else gate.share(request, answer)


class Refusal(Resource):
    """
    Answers every request with an error.

    Args:
        error: The error.
    """

    isLeaf = True

    def __init__(self, error: SSEServerError) -> None:
        super().__init__()
        self._error = error

    def render(self, request: Request) -> Any:
        """Answer with the error."""
        finishAnswer(request, answerError(request, self._error))
        return NOT_DONE_YET


def _quote(value: bytes) -> str:
    return ascii(value[:_QUOTED].decode("latin-1"))
