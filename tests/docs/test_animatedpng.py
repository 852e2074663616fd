"""
docs/animatedpng.py, which makes the picture of the README, and the picture.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.generators import loadGenerator
from tests.house import ROOT

RED, GREEN, WHITE = b"\xff\0\0", b"\0\xff\0", b"\xff\xff\xff"

#: Bytes. Largest picture of the README.
LIMIT = 400_000


class Piece(NamedTuple):
    """A chunk of a PNG."""

    kind: bytes
    content: bytes


def split(png: bytes) -> list[Piece]:
    """Return the chunks of a PNG, whose checksums must be right."""
    place, pieces = 8, []
    while place < len(png):
        length, kind = struct.unpack(">I4s", png[place : place + 8])
        content = png[place + 8 : place + 8 + length]
        assert struct.pack(">I", zlib.crc32(kind + content)) == png[place + 8 + length : place + 12 + length]
        pieces.append(Piece(kind, content))
        place += length + 12
    return pieces


def makePNG(rows: list[bytes], filters: bytes) -> bytes:
    """Make a PNG of rows that are filtered already, with three bytes for each pixel."""
    head = struct.pack(">IIBBBBB", len(rows[0]) // 3, len(rows), 8, 2, 0, 0, 0)
    data = zlib.compress(b"".join(bytes([kind]) + row for kind, row in zip(filters, rows, strict=True)))
    chunks = [Piece(b"IHDR", head), Piece(b"IDAT", data), Piece(b"IEND", b"")]
    parts = [
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


class AnimationTests(SynchronousTestCase):
    """`animate`, and docs/page.png."""

    def test_animate(self) -> None:
        """Each frame after the first has the changed rectangle, in which pixels that stay are transparent."""
        module = loadGenerator("animatedpng")
        first = makePNG([WHITE * 3, WHITE * 3, WHITE * 3], b"\0\0\0")
        second = makePNG([WHITE * 3, WHITE + RED + WHITE, WHITE * 2 + GREEN], b"\0\0\0")
        pieces = split(module.animate([module.Frame(0.25, first), module.Frame(1.5, second), module.Frame(2, second)]))
        kinds = [b"IHDR", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"IDAT", *[b"fcTL", b"fdAT"] * 2, b"IEND"]
        self.assertEqual([piece.kind for piece in pieces], kinds)
        palette = pieces[1].content
        colors = [palette[place : place + 3] for place in range(0, len(palette), 3)]
        clear = len(colors) - 1
        self.assertEqual(colors[:-1], [WHITE, RED, GREEN])
        self.assertEqual(pieces[2].content, b"\xff" * clear + b"\0")
        self.assertEqual(pieces[3].content, struct.pack(">II", 3, 0))
        self.assertEqual(zlib.decompress(pieces[5].content), b"\0\0\0\0" * 3)
        fields = struct.unpack(">IIIIIHHBB", pieces[6].content)
        self.assertEqual(fields, (1, 2, 2, 1, 1, 1500, 1000, 0, 1))
        self.assertEqual(zlib.decompress(pieces[7].content[4:]), bytes([0, 1, clear, 0, clear, 2]))
        # The same picture again.
        self.assertEqual(struct.unpack(">IIIII", pieces[8].content[:20]), (3, 1, 1, 0, 0))

    def test_filters(self) -> None:
        """Pictures are read whatever filters their rows have."""
        module = loadGenerator("animatedpng")
        plain = [bytes([10, 20, 30, 40, 50, 60]), bytes([12, 24, 36, 44, 55, 66]), bytes([9, 8, 7, 6, 5, 4])]
        expected = module.animate([module.Frame(1, makePNG(plain, b"\0\0\0"))])
        left, up = bytes([10, 20, 30, 30, 30, 30]), bytes([2, 4, 6, 4, 5, 6])
        neighbours = zip(b"\0\0\0" + plain[2], plain[1], strict=False)
        average = bytes((value - sum(pair) // 2) & 255 for value, pair in zip(plain[2], neighbours, strict=False))
        # Up is the best guess of all for the second row, too.
        for rows, filters in (([left, up, average], b"\1\2\3"), ([left, up, plain[2]], b"\1\4\0")):
            self.assertEqual(module.animate([module.Frame(1, makePNG(rows, filters))]), expected)

    def test_page(self) -> None:
        """The picture of the README moves, and is small enough."""
        png = (ROOT / "docs" / "page.png").read_bytes()
        self.assertLess(len(png), LIMIT)
        frames = [piece for piece in split(png) if piece.kind == b"fcTL"]
        self.assertGreater(len(frames), 50)
