"""
The frame of an upstream's chunks: everything around their texts.

Most upstreams write chunks that differ in nothing but the text. A format that has learned the frame takes the text out
of the data of an entry, without reading the JSON of its chunk. The formats of other protocols use it.
"""

from __future__ import annotations

from sseserver.wire import frames

#: Bytes. Larger chunks are not learned: their frame would be kept as long as the answer lasts.
_LEARNED = 2048

#: Number of chunks of different looks, after which nothing is learned: some upstreams pad each chunk.
_TRIES = 8

#: Number of entries that are looked at together, at least and at most.
_FEW, _MOST = 8, 512


class TextFrame:
    """
    Finds the texts of the chunks of one answer.

    The data of an entry is the chunk, LF, and its text once more (`Kind.CHUNK`). If both texts are the same bytes, that
    in the chunk has no escapes; and if the rest is that of a chunk that adds nothing but its text, so does this one.
    """

    __slots__ = ("_before", "_behind", "_many", "_size", "_tries")

    def __init__(self) -> None:
        self._before = self._behind = b""
        # Bytes of both; 0 before anything is learned.
        self._size = 0
        self._tries = _TRIES
        # Number of entries to look at together: about as many as have this frame in a row.
        self._many = _FEW

    def find(self, data: bytes) -> bytes | None:
        """
        Return the text of an entry with a chunk, UTF-8, which is the same in JSON; `None` if the chunk is to be read.

        Args:
            data: The data of the entry.
        """
        size = self._size
        length = (len(data) - size) >> 1
        if not size or length <= 0:
            return None
        before = self._before
        start = len(before)
        text = data[start : start + length]
        # Slices take less time than `startswith` and `endswith`.
        if data[:start] == before and data[-length:] == text and data[start + length : -length] == self._behind:
            self._tries = _TRIES
            return text
        return None

    def findAll(self, data: bytes, bounds: list[int]) -> list[bytes]:
        """
        Return the texts of consecutive entries with chunks, as `find` does.

        Args:
            data: The data of the entries.
            bounds: Where each entry begins and ends in it.

        Returns:
            The texts of the first entries, up to one whose chunk is to be read, or as many as are looked at together.
        """
        many = min(len(bounds) - 1, self._many)
        texts = frames.findFramed(data, bounds[: many + 1], self._before, self._behind) if self._size else []
        found = len(texts)
        self._many = max(_FEW, min(_MOST, 2 * found) if found == many else found)
        if found:
            self._tries = _TRIES
        return texts

    def learn(self, data: bytes) -> bool:
        """
        Learn the frame of a chunk.

        Args:
            data: The data of an entry, whose chunk adds nothing but its text.

        Returns:
            Whether it was learned, in place of the one before.
        """
        if not self._tries or len(data) > _LEARNED:
            return False
        chunk, _, text = data.partition(b"\n")
        place = chunk.rfind(b'"%b"' % text) + 1
        if not place or not text:
            return False
        self._tries -= 1
        self._before = chunk[:place]
        self._behind = chunk[place + len(text) :] + b"\n"
        self._size = len(self._before) + len(self._behind)
        return True
