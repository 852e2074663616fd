"""
The head of a request: what this server refuses before it looks for a resource.

Twisted closes the connection without an answer for some of these requests, and guesses for others what the client has
meant. A guess is dangerous behind a proxy: if the two guess differently where a request ends, one client can put a
request of its own into the connection of another ("request smuggling"). Both channels, plain and fast, read the fields
that are checked here with `headerReceived`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sseserver.errors import BadRequest, ClientError, SSEServerError, UnsupportedType
from sseserver.speedups.privates import BadRequestHook
from sseserver.web.access.gate import shareAnswer
from sseserver.web.answers import encodeRefusal
from sseserver.web.connection import ConnectionLimits
from sseserver.web.requestlog import RefusedRequest

#: Bytes. Limit of the head of a request.
MAX_HEAD = 16 * 1024


class HeadTooLarge(ClientError):
    """The head of a request exceeds the size limit."""

    status = 431
    code = "head_too_large"


class TargetTooLong(ClientError):
    """The request line exceeds the size limit of heads."""

    status = 414
    code = "target_too_long"


class ExpectationFailed(ClientError):
    """The client expects of the server what it does not do."""

    status = 417
    code = "expectation_failed"


#: For a head that Twisted does not accept. It does not say why.
_MALFORMED = BadRequest(
    "The request is not valid HTTP/1.1, its length is no number, or its head has more than 500 fields."
)


class HeadChecks(BadRequestHook, ConnectionLimits):
    """A channel that refuses ambiguous and unsupported heads, with an answer, and then closes the connection."""

    __slots__ = ()

    #: Whether a request was answered before it was complete. No further answer must follow.
    refused = False

    def lineReceived(self, line: bytes) -> Any:
        """See `HTTPChannel.lineReceived`: refuse a folded field (RFC 9112 section 5.2)."""
        if line[:1] in {b" ", b"\t"}:
            self.reject(BadRequest("A line of the head must not begin with a space: folded fields are obsolete."))
            return None
        return super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """See `LineReceiver.lineLengthExceeded`: this line alone, or all together, are more than a head may have."""
        if self.requests:
            self.reject(HeadTooLarge(f"The head of the request has more than {MAX_HEAD} bytes."))
        else:
            self.reject(TargetTooLong(f"The request line has more than {MAX_HEAD} bytes."))

    def headerReceived(self, line: bytes) -> bool:
        """See `HTTPChannel.headerReceived`: check the field, if it is one that Twisted does not check."""
        name, _, value = line.partition(b":")
        check = CHECKS.get(name.lower())
        error = None if check is None else check(value.strip(b" \t"))
        if error is not None:
            self.reject(error)
            return False
        try:
            return bool(super().headerReceived(line))
        except ValueError:
            # Python does not convert a length of some thousands of digits.
            self.refuseMalformed()
            return False

    def refuseMalformed(self) -> None:
        """See `BadRequestHook.refuseMalformed`."""
        self.reject(_MALFORMED)

    def refuse(self, error: SSEServerError) -> None:
        """
        Answer a request that is not complete, which Twisted's requests cannot. The caller closes the connection.

        Args:
            error: The error to report. A second one is dropped.
        """
        if not self.refused:
            self.refused = True
            request = self.requests[-1] if self.requests else None
            answer = shareAnswer(self.site, request, encodeRefusal(error))
            self.write(answer)
            self.site.log(RefusedRequest(self, answer))

    def reject(self, error: SSEServerError) -> None:
        """
        Answer a request that is not complete, and close the connection. Nothing that follows it is read.

        Args:
            error: The error to report.
        """
        self.refuse(error)
        self.linger()


def _checkCoding(value: bytes) -> SSEServerError | None:
    """Check a `Transfer-Encoding`. A proxy of another opinion would see another end of the body."""
    if value.lower() != b"chunked":
        return BadRequest("The only Transfer-Encoding that is supported is chunked.")
    return None


def _checkExpectation(value: bytes) -> SSEServerError | None:
    """Check an `Expect` (RFC 9110 section 10.1.1)."""
    if value.lower() == b"100-continue":
        return None
    return ExpectationFailed("The only expectation that is supported is 100-continue.")


def _checkContentCoding(value: bytes) -> SSEServerError | None:
    """Check a `Content-Encoding`."""
    if value.lower() in {b"", b"identity"}:
        return None
    return UnsupportedType("Bodies must not be compressed: send them without a Content-Encoding.")


#: The fields that are checked, by their names in lower case. Each check returns the error, or `None`.
CHECKS: dict[bytes, Callable[[bytes], SSEServerError | None]] = {
    b"transfer-encoding": _checkCoding,
    b"expect": _checkExpectation,
    b"content-encoding": _checkContentCoding,
}
