"""
One request, up to its response, seen from the client: redirects, what can go
wrong, and what becomes of a response that is no event stream.

L{sseserver.client} makes an EventSource of this.
"""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import urljoin, urlsplit

import hyperlink
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError, TimeoutError
from twisted.internet.interfaces import IConsumer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import RequestTransmissionFailed, ResponseFailed
from twisted.web.http import stringToDatetime
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from sseserver.errors import SSEServerError
from sseserver.wire import MAX_RECONNECTION_TIME

EVENT_STREAM = "text/event-stream"

#: Redirects; those that name a new address for good are remembered.
REDIRECTS = frozenset({301, 302, 303, 307, 308})
PERMANENT = frozenset({301, 308})

#: As many as the Fetch standard follows.
MAX_REDIRECTS = 20

#: Of a response that is no event stream so many bytes are kept: enough for what an API says in JSON.
REFUSAL_BYTES = 64 * 1024

#: Seconds that such a body may take.
REFUSAL_SECONDS = 5.0


class EventSourceError(SSEServerError):
    """An `EventSource` has failed. The text is one sentence."""

    status = 502
    code = "event_source"


class ConnectionFailed(EventSourceError):
    """There was no response: no address, no connection, no trust, or an answer that is no HTTP."""


class Untrusted(ConnectionFailed):
    """The server's certificate does not convince; another try would not help."""


class ConnectTimeout(ConnectionFailed):
    """There was no response in time."""


class SilenceTimeout(EventSourceError):
    """No byte came in time."""


class ResponseTruncated(EventSourceError):
    """The response broke off before its end."""


class ResponseRefused(EventSourceError):
    """
    A response is no event stream.

    Attributes:
        status: Its HTTP status.
        headers: Its headers.
        body: What of its body came in time, at most L{REFUSAL_BYTES}.
    """

    def __init__(self, message: str, status: int, headers: Headers, body: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body = body


class StatusError(ResponseRefused):
    """The status is not 200. The body is empty where another try was to follow."""


class WrongContentType(ResponseRefused):
    """The status is 200, and the content type not C{text/event-stream}."""


def abort(transport: Any) -> None:
    """
    Drop the connection of a response at once. Harmless when the response is
    complete: then the connection is no longer its own.

    Args:
        transport: What C{deliverBody} gave to its protocol.
    """
    # Twisted's proxy hands on no abortConnection (twisted#8227); its loseConnection waits until all that was written
    # has left, and over TLS for the peer's farewell: with a peer that hangs, for ever.
    producer = getattr(transport, "_producer", transport)
    if producer is not None:
        getattr(producer, "abortConnection", transport.loseConnection)()


def essence(headers: Headers) -> str:
    """Give the content type of a response, without its parameters and in lower case; C{""} for none."""
    value = headers.getRawHeaders(b"Content-Type", [b""])[-1]
    return value.decode("latin-1").partition(";")[0].strip("\t\n\r ").lower()


def retryAfter(headers: Headers) -> float:
    """
    Read C{Retry-After} (RFC 9110, 10.2.3): seconds, or a date.

    Returns:
        Seconds; 0 when there is none, or none that can be read. A date is
        compared with the response's own C{Date}, as far as it has one.
    """
    value = headers.getRawHeaders(b"Retry-After", [b""])[-1].strip()
    if value.isdigit():
        seconds = float(value)
    else:
        date = headers.getRawHeaders(b"Date", [b""])[-1]
        try:
            seconds = stringToDatetime(value) - (stringToDatetime(date) if date else time.time())
        except (ValueError, LookupError):
            return 0.0
    return min(max(seconds, 0.0), MAX_RECONNECTION_TIME / 1000)


@implementer(IBodyProducer)
class BytesProducer:
    """
    A request's body that is there already.

    Attributes:
        length: Of the body, in bytes.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write it."""
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """All is written."""

    def resumeProducing(self) -> None:
        """All is written."""

    def stopProducing(self) -> None:
        """All is written."""


class _Refusal(Protocol):
    """
    Reads the body of a response that is no event stream, as far as it comes
    within the bounds.

    Args:
        clock: Limits the time.
        maxBytes: Limits the size.
    """

    def __init__(self, clock: IReactorTime, maxBytes: int, seconds: float) -> None:
        self._maxBytes = maxBytes
        self._body = bytearray()
        self._timer = clock.callLater(seconds, self._end)
        self.done: Deferred[bytes] = Deferred(lambda _: self._end())

    def dataReceived(self, data: bytes) -> None:
        """Keep what there is room for."""
        self._body += data[: self._maxBytes - len(self._body)]
        if len(self._body) == self._maxBytes:
            self._end()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """This is all."""
        self._end()

    def _end(self) -> None:
        if self._timer.active():
            self._timer.cancel()
        if not self.done.called:
            done, body = self.done, bytes(self._body)
            abort(self.transport)
            done.callback(body)


def readRefusal(clock: IReactorTime, response: IResponse, maxBytes: int = REFUSAL_BYTES) -> Deferred[bytes]:
    """
    Read what a response that is no event stream says, within a number of
    bytes and L{REFUSAL_SECONDS}; then drop its connection.

    Returns:
        Fires with the bytes, never fails. Cancelling it drops the connection.
    """
    refusal = _Refusal(clock, maxBytes, REFUSAL_SECONDS)
    response.deliverBody(refusal)
    return refusal.done


def drop(response: IResponse) -> None:
    """Let go of a response whose body nobody wants, and of its connection unless it is complete."""
    nobody = Protocol()
    response.deliverBody(nobody)
    # Not earlier: deliverBody lets the transport read in the end, also one that is aborted.
    abort(nobody.transport)


#: What an address is made of.
_PRINTABLE = re.compile(r"[\x21-\x7e]+")

#: What the network does; anything else that a request fails with is a mistake in the program.
_NETWORK_FAILURES = (ConnectError, ConnectionClosed, DNSLookupError, RequestTransmissionFailed, ResponseFailed)


async def ask(agent: IAgent, method: bytes, url: str, headers: Headers, body: bytes | None) -> tuple[IResponse, str]:
    """
    Make a request, and follow redirects (L{MAX_REDIRECTS}): to the same
    origin only, since headers may hold a secret, and for GET and HEAD only.

    Returns:
        The response, which is a redirect if that was not to be followed; and
        the address to ask the next time, which is another only if permanent
        redirects (301, 308) led there.

    Raises:
        ConnectionFailed: There is none.
    """
    lasting, permanent = url, True
    for remaining in reversed(range(MAX_REDIRECTS + 1)):
        producer = None if body is None else BytesProducer(body)
        try:
            response = await agent.request(method, url.encode("ascii"), headers, producer)
        except _NETWORK_FAILURES as error:
            raise _explained(error) from error
        target = _target(url, response) if remaining and method in {b"GET", b"HEAD"} else None
        if target is None:
            break
        drop(response)
        url = target
        permanent = permanent and response.code in PERMANENT
        if permanent:
            lasting = url
    return response, lasting


def checkURL(url: str) -> str:
    """
    Read an address that can be asked.

    Returns:
        It, in ASCII.

    Raises:
        ValueError: It is not absolute, not of C{http} or C{https}, or holds
            a user's name: that belongs into a header.
    """
    # Only where it is needed: hyperlink takes no IPv6 addresses here, and no host with an underscore.
    if not url.isascii():
        url = hyperlink.URL.from_text(url).to_uri().to_text()
    if not _PRINTABLE.fullmatch(url) or not all(_origin(url)) or urlsplit(url).scheme not in {"http", "https"}:
        raise ValueError(f"Not an absolute URL of http or https: {url!r}")
    if "@" in urlsplit(url).netloc:
        raise ValueError("A URL with a user's name in it is not asked; send an Authorization header.")
    return url


def _origin(url: str) -> tuple[str, str | None, int]:
    """Give scheme, host and port of an address; a C{ValueError} if it is malformed."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)


def _target(url: str, response: IResponse) -> str | None:
    """Find where a redirect leads; C{None} when there is none that may be followed."""
    location = response.headers.getRawHeaders(b"Location", [b""])[0]
    if response.code not in REDIRECTS or not location:
        return None
    try:
        target = checkURL(urljoin(url, location.decode("ascii")))
    except ValueError:
        return None
    return target if _origin(target) == _origin(url) else None


def _explained(error: Exception) -> ConnectionFailed:
    """Say in one sentence why there is no response."""
    if isinstance(error, TimeoutError):
        return ConnectTimeout("The connection was not made in time.")
    kind = Untrusted if any(map(_isDistrust, causes(error))) else ConnectionFailed
    return kind(f"There is no response: {inWords(error)}")


def _isDistrust(cause: BaseException) -> bool:
    """Whether the server's certificate is the cause: nobody vouches for it, or it is of another name."""
    unvouched = isinstance(cause, SSL.Error) and "certificate verify failed" in str(cause)
    return unvouched or isinstance(cause, VerificationError)


def causes(error: BaseException) -> list[BaseException]:
    """Give what is inside a failure of twisted.web's, which wraps others, or the error itself."""
    wrapped = [cause for failure in getattr(error, "reasons", []) for cause in causes(failure.value)]
    return wrapped or [error]


def inWords(error: BaseException) -> str:
    """Put a network's failure into words, on one line."""
    words = [f"{type(cause).__name__}: {cause}".strip(": ") for cause in causes(error)]
    return " ".join("; ".join(dict.fromkeys(words)).split())
