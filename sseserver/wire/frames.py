"""
Frames: what stands around the bytes of each token, from its text to its chunk.

Every token of every stream passes through these functions. In the compiled build they are replaced by those of
`frames.pxd`, which copy each byte once; this module stays Python.
"""

from __future__ import annotations


def encodeText(text: str) -> bytes:
    """
    Encode text in UTF-8.

    Raises:
        UnicodeEncodeError: The text has a lone surrogate.
    """
    return text.encode("utf-8")


def hasLineEnd(text: bytes) -> bool:
    """Return whether a text has a line end: LF, or CR."""
    return b"\n" in text or b"\r" in text


def isPlain(text: bytes) -> bool:
    """Return whether a text is ASCII that stands in a string of JSON as it is, and is printable."""
    return text.isascii() and text.decode("ascii").isprintable() and b'"' not in text and b"\\" not in text


def writeTextEvent(epoch: bytes, number: int, text: bytes) -> bytes:
    """
    Write an event of the default type.

    Args:
        epoch: First half of its ID.
        number: Second half of its ID.
        text: Its data, UTF-8, without line ends.
    """
    return b"id: %b-%d\ndata: %b\n\n" % (epoch, number, text)


def writeNumbered(before: bytes, number: int, between: bytes, text: bytes, behind: bytes) -> bytes:
    """
    Write an event with a number and a text, each at its place in constant bytes.

    Args:
        before: What stands before the number.
        number: The number; not negative.
        between: What stands between the number and the text.
        text: The text, as it is written in the event.
        behind: What stands behind the text.
    """
    return b"%b%d%b%b%b" % (before, number, between, text, behind)


def writeAllNumbered(before: bytes, number: int, between: bytes, texts: list[bytes], behind: bytes) -> list[bytes]:
    """
    Write events with consecutive numbers as `writeNumbered` does.

    Args:
        before: See `writeNumbered`.
        number: The number of the first event.
        between: See `writeNumbered`.
        texts: The text of each.
        behind: See `writeNumbered`.
    """
    template = b"%b%%d%b%%b%b" % (
        before.replace(b"%", b"%%"),
        between.replace(b"%", b"%%"),
        behind.replace(b"%", b"%%"),
    )
    return [template % event for event in enumerate(texts, number)]


def findFramed(data: bytes, bounds: list[int], before: bytes, behind: bytes) -> list[bytes]:
    """
    Return the texts of consecutive pieces, each of which is `before`, its text, `behind`, and its text again.

    Args:
        data: The pieces.
        bounds: Where each piece begins and ends in it.
        before: At least one byte.
        behind: At least one byte.

    Returns:
        The texts of the first pieces, none of them empty, up to a piece that is something else.
    """
    texts: list[bytes] = []
    start, around = 0, len(before) + len(behind)
    for end in bounds[1:]:
        # Size of both texts.
        size = end - start - around
        text = data[end - (size >> 1) : end]
        if size <= 0 or size & 1 or not data.startswith(before + text + behind, start):
            break
        texts.append(text)
        start = end
    return texts


def writeChunk(data: bytes) -> bytes:
    """
    Frame data as a chunk: chunk-size CRLF chunk-data CRLF (RFC 9112, 7.1).

    Args:
        data: At least one byte: an empty chunk ends a body.
    """
    return b"%x\r\n%b\r\n" % (len(data), data)
