"""
Headers of the requests of a `FastChannel`, and of their answers: Twisted's own, with a short way for usual fields.

Twisted brings each name into its canonical form and looks for line ends in each value, in functions of their own. A
short request does so fifty times.

`sseserver.speedups.request` uses them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from twisted.web.http_headers import Headers

from sseserver.speedups.probes import probe

#: Fields that are usual in requests and in answers, in lower case.
_USUAL = (
    b"accept accept-encoding accept-language authorization cache-control connection content-encoding content-length"
    b" content-location content-type cookie cross-origin-resource-policy date expect host idempotency-key incremental"
    b" last-event-id location origin pragma referer sec-fetch-site server stream-closed transfer-encoding user-agent"
    b" vary x-accel-buffering x-content-type-options x-request-id"
).split()


def _listNames() -> dict[bytes, bytes]:
    """Return the canonical form of each usual name, by this form and by the one in lower case."""
    names = {}
    for name in _USUAL:
        ((canonical, _),) = Headers({name: [b""]}).getAllRawHeaders()
        names[name] = names[canonical] = canonical
    return names


_NAMES: dict[Any, bytes] = _listNames()


#: The fields that the channel checks, in lower case: they tell where a body ends, or ask for something.
CHECKED = {b"content-length", b"transfer-encoding", b"expect", b"content-encoding"}

#: The usual names of other fields.
_UNCHECKED = {name: known for name, known in _NAMES.items() if known.lower() not in CHECKED}

#: The fields of a request that the access logs of Twisted show.
_LOGGED = (b"Referer", b"User-Agent", b"X-Forwarded-For")

#: Number of different values of these fields that viewers share, and of the heads of answers that are kept.
_SHARED = 256

#: The fields that Twisted reads before a request is complete.
_RARE = {b"Cookie", b"Expect"}


class FastHeaders(Headers):
    """Header fields. Names that are not usual, and values that are not bytes of one line, are left to Twisted."""

    __slots__ = ()

    _rawHeaders: dict[bytes, list[bytes]]

    def copy(self) -> FastHeaders:
        """See `Headers.copy`."""
        headers = FastHeaders.__new__(FastHeaders)
        headers._rawHeaders = {name: values.copy() for name, values in self._rawHeaders.items()}
        return headers

    def encode(self, protection: bytes) -> bytes:
        """
        Return the fields of an answer as whole lines, but for `Server`.

        Args:
            protection: Lines for an answer without a `Cross-Origin-Resource-Policy`.
        """
        fields = self._rawHeaders
        known = [values[0] for values in fields.values() if len(values) == 1]
        if len(known) == len(fields) and b"Date" in fields and b"Content-Length" not in fields:
            names = tuple(fields)
            place = names.index(b"Date")
            date, known[place] = known[place], b""
            before, after = _encodeAround(names, tuple(known), place)
            lines = before + date + after
        else:
            pairs = [(name, value) for name, values in fields.items() for value in values if name != b"Server"]
            lines = b"".join([b"%b: %b\r\n" % pair for pair in pairs])
        return lines if b"Cross-Origin-Resource-Policy" in fields else lines + protection

    def takeUsual(self, lines: list[bytes]) -> list[bytes]:
        """See `takeUsual`."""
        known, others = self._rawHeaders, []
        for line in lines:
            name, _, value = line.partition(b":")
            usual = _UNCHECKED.get(name) or _UNCHECKED.get(name.lower())
            if usual is None or usual in known:
                others.append(line)
            else:
                known[usual] = [value.strip(b" \t")]
        return others

    def hasRare(self) -> bool:
        """Return whether Twisted must look at the fields of a request before it is complete."""
        return not _RARE.isdisjoint(self._rawHeaders)

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


@lru_cache(_SHARED)
def _encodeAround(names: tuple[bytes, ...], values: tuple[bytes, ...], place: int) -> tuple[bytes, bytes]:
    """Return the lines of a stream's fields before and after the value of `Date`, which has this place among them."""
    lines = [
        b"" if name == b"Server" else b"%b: %b\r\n" % (name, value) for name, value in zip(names, values, strict=True)
    ]
    return b"".join(lines[:place]) + b"Date: ", b"\r\n" + b"".join(lines[place + 1 :])


def setConstants(headers: Headers, fields: tuple[tuple[bytes, bytes], ...]) -> None:
    """
    Set fields of many answers.

    Args:
        headers: The header fields of an answer.
        fields: Names and values. The same ones are checked once.
    """
    if type(headers) is FastHeaders:
        known = headers._rawHeaders
        for name, value in _check(fields):
            known[name] = [value]
    else:
        for name, value in fields:
            headers.setRawHeaders(name, [value])


@lru_cache(_SHARED)
def _check(fields: tuple[tuple[bytes, bytes], ...]) -> tuple[tuple[bytes, bytes], ...]:
    """Return fields as `Headers` keeps them."""
    headers = Headers()
    for name, value in fields:
        headers.setRawHeaders(name, [value])
    return tuple([(name, values[0]) for name, values in headers.getAllRawHeaders()])


class KeptHeaders(Headers):
    """The fields that are kept of requests whose responses last. Requests share them, and none can be changed."""

    def addRawHeader(self, name: Any, value: Any) -> None:
        """See `Headers.addRawHeader`: too late."""

    def setRawHeaders(self, name: Any, values: Any) -> None:
        """See `Headers.setRawHeaders`: too late."""

    def removeHeader(self, name: Any) -> None:
        """See `Headers.removeHeader`: too late."""


def keepLogged(headers: Headers) -> KeptHeaders:
    """
    Keep the fields of a request that access logs show.

    Args:
        headers: Its header fields.

    Returns:
        The first one of each name. Viewers with the same ones share them.
    """
    known = headers._rawHeaders if type(headers) is FastHeaders else dict(headers.getAllRawHeaders())
    return _shareFields(tuple([(name, known[name][0]) for name in _LOGGED if name in known]))


@lru_cache(_SHARED)
def _shareFields(fields: tuple[tuple[bytes, bytes], ...]) -> KeptHeaders:
    """Make the headers of these fields."""
    kept = KeptHeaders()
    kept._rawHeaders = {name: [value] for name, value in fields}
    return kept


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
        copy = headers.copy()
        headers.removeHeader(name)
        headers.removeHeader(name)
        seen += list(copy.getAllRawHeaders()), headers.hasHeader(name), list(headers.getAllRawHeaders())
    return seen


#: Headers of the fast requests and their answers.
HEADERS: type[Headers] = FastHeaders if looksUpHeaders() else Headers


def takeUsual(headers: Headers, lines: list[bytes]) -> list[bytes]:
    """
    Add the fields of a head that are usual, and the first of their names.

    Args:
        headers: Headers of a request, still empty.
        lines: The fields; their values have no line ends.

    Returns:
        The lines of the other fields, which the caller checks and adds.
    """
    return headers.takeUsual(lines) if isinstance(headers, FastHeaders) else lines
