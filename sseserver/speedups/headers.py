"""
Headers of the requests of a `FastChannel`, and of their answers: Twisted's own, with a short way for usual fields.

Twisted brings each name into its canonical form and looks for line ends in each value, in functions of their own. A
short request does so fifty times.
"""

from __future__ import annotations

from typing import Any

from twisted.web.http_headers import Headers

from sseserver.speedups.probes import probe

#: Fields that are usual in requests and in answers, in lower case.
_USUAL = (
    b"accept accept-encoding accept-language authorization cache-control connection content-encoding content-length"
    b" content-location content-type cookie cross-origin-resource-policy date expect host idempotency-key incremental"
    b" last-event-id location origin pragma referer sec-fetch-site server stream-closed transfer-encoding user-agent"
    b" vary x-accel-buffering x-content-type-options"
).split()


def _listNames() -> dict[bytes, bytes]:
    """Return the canonical form of each usual name, by this form and by the one in lower case."""
    names = {}
    for name in _USUAL:
        ((canonical, _),) = Headers({name: [b""]}).getAllRawHeaders()
        names[name] = names[canonical] = canonical
    return names


_NAMES: dict[Any, bytes] = _listNames()


class FastHeaders(Headers):
    """Header fields. Names that are not usual, and values that are not bytes of one line, are left to Twisted."""

    __slots__ = ()

    _rawHeaders: dict[bytes, list[bytes]]

    def hasHeader(self, name: Any) -> bool:
        """See `Headers.hasHeader`."""
        known = _NAMES.get(name)
        return known in self._rawHeaders if known is not None else super().hasHeader(name)

    def removeHeader(self, name: Any) -> None:
        """See `Headers.removeHeader`."""
        known = _NAMES.get(name)
        if known is None:
            super().removeHeader(name)
        elif known in self._rawHeaders:
            del self._rawHeaders[known]

    def setRawHeaders(self, name: Any, values: Any) -> None:
        """See `Headers.setRawHeaders`."""
        known = _NAMES.get(name)
        if known is not None and type(values) is list and len(values) == 1 and type(values[0]) is bytes:
            # The least that finds a line end: `b"\\n" in value` tries first whether the left side is a number.
            lines = values[0].splitlines()
            if len(lines) == 1:
                self._rawHeaders[known] = lines
                return
        super().setRawHeaders(name, values)

    def addRawHeader(self, name: Any, value: Any) -> None:
        """See `Headers.addRawHeader`."""
        known = _NAMES.get(name)
        if known is None or known in self._rawHeaders:
            super().addRawHeader(name, value)
        else:
            self.setRawHeaders(name, [value])

    def getRawHeaders(self, name: Any, default: Any = None) -> Any:
        """See `Headers.getRawHeaders`."""
        known = _NAMES.get(name)
        if known is None:
            return super().getRawHeaders(name, default)
        return self._rawHeaders.get(known) or default


@probe
def looksUpHeaders() -> bool:
    """Probe `FastHeaders`: each operation has the same result as Twisted's."""
    return _operate(FastHeaders()) == _operate(Headers())


def _operate(headers: Headers) -> list[object]:
    """Do every operation; return the results."""
    seen: list[object] = []
    for name in (b"host", b"Host", b"x-other"):
        seen += headers.hasHeader(name), headers.getRawHeaders(name), headers.getRawHeaders(name, ())
        headers.addRawHeader(name, b"a\r\nb")
        headers.addRawHeader(name, b"c")
        seen += headers.hasHeader(name), list(headers.getRawHeaders(name, ())), list(headers.getAllRawHeaders())
        headers.setRawHeaders(name, [b"d"])
        seen += list(headers.getRawHeaders(name, ())), list(headers.getAllRawHeaders())
        headers.removeHeader(name)
        headers.removeHeader(name)
        seen += headers.hasHeader(name), list(headers.getAllRawHeaders())
    return seen


#: Headers of the fast requests and their answers.
HEADERS: type[Headers] = FastHeaders if looksUpHeaders() else Headers
