"""
Content negotiation: which media type a resource answers with (RFC 9110 section 12.5.1).

Resources with more than one representation call `negotiate`: a stream, and the page at `/`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from twisted.web.server import Request

from sseserver.errors import NotAcceptable

HTML = "text/html"
EVENT_STREAM = "text/event-stream"
JSON = "application/json"
PLAIN_TEXT = "text/plain"

# qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )          RFC 9110 section 12.4.2
_WEIGHT = re.compile(r"(0(\.[0-9]{0,3})?|1(\.0{0,3})?)")

# A weight of zero.
_REFUSED = re.compile(rb"[ \t]*[qQ]=0(\.0{0,3})?[ \t]*")


def negotiate(request: Request, offers: Sequence[str]) -> str:
    """
    Choose the media type that the client prefers.

    Args:
        request: Its response gets `Vary: Accept`.
        offers: Media types, the default for clients without a preference first.

    Returns:
        One of the offers. Among equal weights, the offer named by the most specific range wins,
        then the earlier offer.

    Raises:
        NotAcceptable: The `Accept` header excludes every offer.
    """
    vary = request.responseHeaders.getRawHeaders(b"Vary", ())
    request.responseHeaders.setRawHeaders(b"Vary", [b", ".join([*vary, b"Accept"])])
    best = _choose(b",".join(request.requestHeaders.getRawHeaders(b"accept", ())), tuple(offers))
    if best is None:
        raise NotAcceptable(f"The Accept header excludes every media type of this resource: {', '.join(offers)}.")
    return best


def prefersHTML(request: Request) -> bool:
    """Tell whether the client would rather have an HTML page than JSON, as a browser that opens a URL."""
    return _choose(b",".join(request.requestHeaders.getRawHeaders(b"accept", ())), (JSON, HTML)) == HTML


def acceptsGzip(request: Request) -> bool:
    """Tell whether the client names gzip in `Accept-Encoding`, and does not refuse it (RFC 9110 section 12.5.3)."""
    for part in b",".join(request.requestHeaders.getRawHeaders(b"accept-encoding", ())).split(b","):
        coding, _, weight = part.partition(b";")
        if coding.strip().lower() == b"gzip":
            return _REFUSED.fullmatch(weight) is None
    return False


# Cached: all clients together send few different Accept headers.
@lru_cache(64)
def _choose(accept: bytes, offers: tuple[str, ...]) -> str | None:
    """Choose an offer for the value of an `Accept` header, or `None` if it excludes all."""
    ranges = _parseRanges(accept.decode("latin-1")) if accept.strip() else {"*/*": 1.0}
    best = max(offers, key=lambda offer: _weigh(ranges, offer))
    return best if _weigh(ranges, best)[0] > 0 else None


def _parseRanges(accept: str) -> dict[str, float]:
    """
    Parse the value of an `Accept` header into the weight of each media range.

    Parameters other than the weight are ignored, and so are malformed ranges.
    """
    ranges = {}
    for part in accept.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weights = [piece[2:].strip() for piece in parameters if piece[:2].lower() == "q="]
        if name and all(_WEIGHT.fullmatch(weight) for weight in weights):
            ranges[name.lower()] = float(weights[0]) if weights else 1.0
    return ranges


def _weigh(ranges: dict[str, float], offer: str) -> tuple[float, int]:
    """Return the weight of an offer, and the specificity of the range that determines it."""
    for precision, name in ((2, offer), (1, offer.partition("/")[0] + "/*"), (0, "*/*")):
        if name in ranges:
            return ranges[name], precision
    return 0.0, 0
