"""
One request of an `EventSource`: its value, its headers, and the redirects up to a response.

`opening` sends it. Redirects are followed for GET and HEAD only and within the same origin, because the headers may
hold a secret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

import hyperlink
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError, TimeoutError
from twisted.web.client import RequestTransmissionFailed, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

from sseserver.client.bodies import BytesProducer, dropResponse
from sseserver.client.errors import ConnectionFailed, ConnectTimeout, NotHTTP, Unanswered, Untrusted
from sseserver.wire import checkID

#: Content type of an event stream.
EVENT_STREAM = "text/event-stream"

#: Statuses of redirects.
REDIRECTS = frozenset({301, 302, 303, 307, 308})

#: Statuses of redirects whose target is remembered for later requests.
PERMANENT_REDIRECTS = frozenset({301, 308})

#: Redirects that are followed for one request, as in the Fetch standard.
MAX_REDIRECTS = 20

_PRINTABLE = re.compile(r"[\x21-\x7e]+")

# Failures of the network. Any other exception of a request is a bug in the program.
_NETWORK_FAILURES = (ConnectError, ConnectionClosed, DNSLookupError, RequestTransmissionFailed, ResponseFailed)

# Causes of a failed response that are no errors of the parser.
_NO_PARSER = (ConnectError, ConnectionClosed, SSL.Error, CancelledError)


@dataclass(frozen=True, slots=True)
class Request:
    """
    Request for an event stream.

    An `EventSource` repeats it after a lost connection, method and body included. A request that changes something
    on the server needs `retry=None`, or a header `Idempotency-Key` that the server understands.

    Args:
        url: Absolute URL of `http` or `https`, without user information. Other than ASCII is converted (IDNA and
            percent-encoding).
        method: HTTP method.
        headers: Headers in addition to `Accept`, `Accept-Encoding`, `Cache-Control` and `Last-Event-ID`. All but the
            last can be replaced.
        body: Body, or `None`.
        lastEventID: ID of the event after which the stream continues; `""` starts from the beginning.

    Raises:
        ValueError: The URL or the ID cannot be sent.
    """

    url: str
    method: bytes = b"GET"
    # Both may hold secrets, which a traceback must not show.
    headers: Headers | None = field(default=None, repr=False)
    body: bytes | None = field(default=None, repr=False)
    lastEventID: str = ""

    def __post_init__(self) -> None:
        """Check the values."""
        object.__setattr__(self, "url", checkURL(self.url))
        if self.lastEventID:
            checkID(self.lastEventID)

    def makeHeaders(self) -> Headers:
        """Return all headers of the request, as a copy."""
        headers = Headers() if self.headers is None else self.headers.copy()
        if not headers.hasHeader(b"Accept"):
            headers.setRawHeaders(b"Accept", [EVENT_STREAM.encode("ascii")])
        # Without it any coding is acceptable (RFC 9110, 12.5.3), and a compressed stream cannot be read.
        if not headers.hasHeader(b"Accept-Encoding"):
            headers.setRawHeaders(b"Accept-Encoding", [b"identity"])
        # The cache mode `no-store` of WHATWG HTML 9.2.2, as Fetch 4.6 ("HTTP-network-or-cache fetch") sends it.
        if not headers.hasHeader(b"Cache-Control"):
            headers.setRawHeaders(b"Cache-Control", [b"no-cache"])
        headers.removeHeader(b"Last-Event-ID")
        if self.lastEventID:
            headers.setRawHeaders(b"Last-Event-ID", [self.lastEventID.encode("utf-8")])
        return headers


class Origin(NamedTuple):
    """Origin of a URL (RFC 6454). A member that the URL lacks is empty, `None` or 0."""

    scheme: str
    host: str | None
    port: int


class Answer(NamedTuple):
    """Response to a request, and the URL for the next request."""

    response: IResponse
    url: str


async def ask(agent: IAgent, request: Request) -> Answer:
    """
    Send a request and follow redirects.

    Args:
        agent: Sends the request.
        request: The request.

    Returns:
        The last response, which may be a redirect that must not be followed. The URL differs from the request's only
        after permanent redirects.

    Raises:
        ConnectionFailed: There is no response.
    """
    url = lasting = request.url
    headers = request.makeHeaders()
    permanent = True
    for remaining in reversed(range(MAX_REDIRECTS + 1)):
        producer = None if request.body is None else BytesProducer(request.body)
        try:
            response = await agent.request(request.method, url.encode("ascii"), headers, producer)
        except _NETWORK_FAILURES as error:
            raise explainFailure(error) from error
        target = _findTarget(url, response) if remaining and request.method in {b"GET", b"HEAD"} else None
        if target is None:
            break
        dropResponse(response)
        url = target
        permanent = permanent and response.code in PERMANENT_REDIRECTS
        if permanent:
            lasting = url
    return Answer(response, lasting)


def checkURL(url: str) -> str:
    """
    Check that a URL can be requested.

    Returns:
        The URL in ASCII.

    Raises:
        ValueError: The URL is not absolute, not of `http` or `https`, or contains user information.
    """
    # hyperlink refuses IPv6 addresses and underscores in host names here, so ASCII is checked without it.
    if not url.isascii():
        url = hyperlink.URL.from_text(url).to_uri().to_text()
    if not _PRINTABLE.fullmatch(url) or not all(_findOrigin(url)) or urlsplit(url).scheme not in {"http", "https"}:
        raise ValueError(f"Not an absolute URL of http or https: {url!r}")
    if "@" in urlsplit(url).netloc:
        raise ValueError("The URL must not contain user information. Send an Authorization header instead.")
    return url


def _findOrigin(url: str) -> Origin:
    """Return the origin of a URL; a malformed one raises `ValueError`."""
    parts = urlsplit(url)
    return Origin(parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0))


def _findTarget(url: str, response: IResponse) -> str | None:
    """Return the target of a redirect, or `None` if there is none that may be followed."""
    location = response.headers.getRawHeaders(b"Location", [b""])[0]
    if response.code not in REDIRECTS or not location:
        return None
    try:
        target = checkURL(urljoin(url, location.decode("ascii")))
    except ValueError:
        return None
    return target if _findOrigin(target) == _findOrigin(url) else None


def explainFailure(error: Exception) -> ConnectionFailed:
    """Return the error of a request without a response, made of the one that its agent has raised."""
    if isinstance(error, TimeoutError):
        return ConnectTimeout("The connection was not established in time.")
    kind = _classify(error)
    begin = "The answer is not HTTP" if kind is NotHTTP else "There is no response"
    return kind(f"{begin}: {describeCauses(error)}")


def _classify(error: Exception) -> type[ConnectionFailed]:
    """Return the class of errors that a failure of `twisted.web` belongs to."""
    causes = listCauses(error)
    if any(map(_isDistrust, causes)):
        return Untrusted
    if not isinstance(error, ResponseFailed):
        return ConnectionFailed
    if all(isinstance(cause, ConnectionClosed) for cause in causes):
        return Unanswered
    # The parser of twisted.web raises errors of many types.
    return ConnectionFailed if any(isinstance(cause, _NO_PARSER) for cause in causes) else NotHTTP


def _isDistrust(cause: BaseException) -> bool:
    """Return whether an error is about the certificate: its issuer is unknown, or its name is another."""
    unknownIssuer = isinstance(cause, SSL.Error) and "certificate verify failed" in str(cause)
    return unknownIssuer or isinstance(cause, VerificationError)


def listCauses(error: BaseException) -> list[BaseException]:
    """Return the errors that a failure of `twisted.web` wraps, or the error itself."""
    wrapped = [cause for failure in getattr(error, "reasons", []) for cause in listCauses(failure.value)]
    return wrapped or [error]


def describeCauses(error: BaseException) -> str:
    """Describe a failure of the network on one line."""
    words = [f"{type(cause).__name__}: {cause}".strip(": ") for cause in listCauses(error)]
    return " ".join("; ".join(dict.fromkeys(words)).split())
