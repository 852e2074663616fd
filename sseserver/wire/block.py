"""
Writing the lines of one block, from bytes that are encoded and checked.

`encoder` builds `encode` on it, and the formats write the entries of stream logs with it. A module
of its own because it is compiled: every response passes through.
"""

from __future__ import annotations


def writeBlock(data: bytes, type: bytes = b"message", id: bytes = b"", retry: int | None = None) -> bytes:
    """
    Write the block of an event whose parts are encoded and checked, as those of a stream log are.

    Args:
        data: UTF-8, with any line ends.
        type: The type, UTF-8, as `checkType` accepts it.
        id: The ID, UTF-8, as `checkID` accepts it; empty to send none.
        retry: The reconnection time in milliseconds, or `None`.

    Returns:
        The bytes that `encode` returns for this event.
    """
    head = b"event: %b\n" % type if type != b"message" else b""
    if retry is not None:
        head += b"retry: %d\n" % retry
    if id:
        head += b"id: %b\n" % id
    return b"%bdata: %b\n\n" % (head, continued(data))


def dataLines(data: bytes) -> bytes:
    """
    Write data as `data:` lines, without the empty line that ends a block.

    Args:
        data: UTF-8 (not checked), with any line ends.

    Returns:
        At least one line; the last one ends with LF.
    """
    # Always one space after the colon: 9.2.6 removes exactly one, so a space at the start of the data survives.
    return b"data: %b\n" % continued(data)


def continued(data: bytes) -> bytes:
    """
    Write data like `dataLines`, but without the first field name and the last line end.

    The result is put between other bytes without a copy in between.
    """
    # Lines end at CR LF, CR and LF only (9.2.5). `str.splitlines` also splits at U+2028, U+0085, VT and others.
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data.replace(b"\n", b"\ndata: ") if b"\n" in data else data
