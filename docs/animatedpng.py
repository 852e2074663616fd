"""
Makes an animated PNG of several pictures (https://www.w3.org/TR/png-3/#apng), without a library.

The pictures get a palette, and each frame has only the pixels that have changed. `pagepicture.py` uses it;
tests/docs/test_animatedpng.py tests it.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

#: Red, green and blue.
Color = tuple[int, int, int]

#: Begins a PNG.
SIGNATURE = b"\x89PNG\r\n\x1a\n"

#: Number. Colors of a palette, without that of pixels that do not change.
COLORS = 255

#: Number. Square of the distance up to which a color is a shade of another one.
_SHADE = 60

#: Bytes of a pixel of a screenshot: red, green and blue.
_PIXEL = 3


class Frame(NamedTuple):
    """
    A picture of an animation.

    Attributes:
        seconds: Time that it is shown.
        png: The picture: a PNG with eight bits for each color, and no alpha channel. All have the same size.
    """

    seconds: float
    png: bytes


class Change(NamedTuple):
    """
    The part of a picture that differs from the one before.

    Attributes:
        left: Column of its left edge.
        top: Row of its upper edge.
        rows: Its rows, a byte for each pixel.
    """

    left: int
    top: int
    rows: list[bytes]


def animate(frames: Sequence[Frame]) -> bytes:
    """
    Return an animated PNG that is repeated for ever.

    Args:
        frames: The pictures in order. Viewers that do not show animations show the first one.
    """
    palette, pictures = _index([_decode(frame.png) for frame in frames])
    clear = len(palette) // _PIXEL
    parts = [
        SIGNATURE,
        _chunk(b"IHDR", struct.pack(">IIBBBBB", len(pictures[0][0]), len(pictures[0]), 8, 3, 0, 0, 0)),
        _chunk(b"PLTE", palette + bytes(_PIXEL)),
        _chunk(b"tRNS", b"\xff" * clear + b"\0"),
        _chunk(b"acTL", struct.pack(">II", len(frames), 0)),
    ]
    number = itertools.count()
    before = None
    for frame, picture in zip(frames, pictures, strict=True):
        change = _findChange(before, picture, clear)
        area = (len(change.rows[0]), len(change.rows), change.left, change.top)
        # In milliseconds. The frame stays, and the next one is laid over it.
        shown = struct.pack(">IIIIIHHBB", next(number), *area, round(frame.seconds * 1000), 1000, 0, 1)
        data = zlib.compress(b"".join(b"\0" + row for row in change.rows), 9)
        parts.append(_chunk(b"fcTL", shown))
        parts.append(_chunk(b"fdAT", struct.pack(">I", next(number)) + data) if before else _chunk(b"IDAT", data))
        before = picture
    return b"".join([*parts, _chunk(b"IEND", b"")])


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _decode(png: bytes) -> list[bytes]:
    """Return the rows of a picture."""
    place, data, width = len(SIGNATURE), b"", 0
    while place < len(png):
        length, kind = struct.unpack(">I4s", png[place : place + 8])
        content = png[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            width, _, depth, color = struct.unpack(">IIBB", content[:10])
            if (depth, color) != (8, 2):
                raise ValueError("A picture must have eight bits for each color, and no alpha channel.")
        elif kind == b"IDAT":
            data += content
        place += length + 12
    raw, step = zlib.decompress(data), width * _PIXEL
    rows: list[bytes] = []
    before = bytes(step)
    for start in range(0, len(raw), step + 1):
        before = _unfilter(raw[start], bytearray(raw[start + 1 : start + 1 + step]), before)
        rows.append(before)
    return rows


def _unfilter(kind: int, row: bytearray, before: bytes) -> bytes:
    """Undo the filter of a row (section 9 of the specification)."""
    for index, value in enumerate(row) if kind else ():
        left, corner = (row[index - _PIXEL], before[index - _PIXEL]) if index >= _PIXEL else (0, 0)
        up = before[index]
        guess = (0, left, up, (left + up) // 2, _paeth(left, up, corner) if kind == 4 else 0)[kind]
        row[index] = (value + guess) & 255
    return bytes(row)


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda each: abs(guess - each))


def _index(pictures: list[list[bytes]]) -> tuple[bytes, list[list[bytes]]]:
    """Return a palette of the most frequent colors, and the pictures with a byte for each pixel."""
    counts: Counter[Color] = Counter()
    for row in itertools.chain.from_iterable(pictures):
        counts.update(_split(row))
    palette: list[Color] = []
    for color, _ in counts.most_common():
        # Shades of a frequent color must not leave a rare one without a place.
        if len(palette) < COLORS and all(_measure(color, other) > _SHADE for other in palette):
            palette.append(color)
    nearest = {color: min(range(len(palette)), key=lambda place: _measure(color, palette[place])) for color in counts}
    done = {row: bytes(map(nearest.__getitem__, _split(row))) for rows in pictures for row in rows}
    return bytes(itertools.chain.from_iterable(palette)), [[done[row] for row in rows] for rows in pictures]


def _measure(color: Color, other: Color) -> int:
    """Return the square of the distance between two colors."""
    red, green, blue = (one - two for one, two in zip(color, other, strict=True))
    return red * red + green * green + blue * blue


def _split(row: bytes) -> Iterator[Color]:
    """Return the colors of a row."""
    return zip(row[::3], row[1::3], row[2::3], strict=True)


def _findChange(before: list[bytes] | None, after: list[bytes], clear: int) -> Change:
    """Return the smallest rectangle with everything that has changed; pixels that have not are `clear` in it."""
    if before is None:
        return Change(0, 0, after)
    blank = bytes([clear]) * len(after[0])
    rows = [
        blank if old == new else bytes(clear if one == other else other for one, other in zip(old, new, strict=True))
        for old, new in zip(before, after, strict=True)
    ]
    # A frame has at least one pixel.
    changed = [place for place, row in enumerate(rows) if row is not blank] or [0]
    columns = [place for row in rows if row is not blank for place, pixel in enumerate(row) if pixel != clear] or [0]
    left, right = min(columns), max(columns) + 1
    return Change(left, changed[0], [row[left:right] for row in rows[changed[0] : changed[-1] + 1]])
