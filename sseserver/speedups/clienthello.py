"""
The first record of a TLS connection: whether it is complete, and the application protocols that it offers.

Python's `ssl` goes on without a protocol if a client offers only others. RFC 7301 section 3.2 wants an alert, and
Twisted's TLS sends one.
"""

from __future__ import annotations

#: First byte of a TLS connection: the type of a record with a handshake (RFC 8446 section 5.1).
HANDSHAKE = b"\x16"

#: Bytes. Head of a record, and of the message in it.
_RECORD_HEAD = 5
_MESSAGE_HEAD = 4

#: Bytes. Text of the largest record (RFC 8446 section 5.1).
_LARGEST = 16 * 1024

#: Bytes. Version and random number of a ClientHello (RFC 8446 section 4.1.2), and the sizes of the lengths: session,
#: ciphers and compressions stand behind their lengths, and so do the extensions.
_FIXED = 2 + 32
_LENGTHS = (1, 2, 1)
_EXTENSIONS = 2

#: Type of the extension with the protocols (RFC 7301 section 3.1).
_ALPN = 16

#: The alert for a client that offers only other protocols: fatal, `no_application_protocol` (RFC 7301 section 3.2).
NO_PROTOCOL = b"\x15\x03\x03\x00\x02\x02\x78"


def isPlainHTTP(data: bytes) -> bool:
    """Return whether the first bytes of a connection are HTTP. TLS never begins with a letter, and HTTP always does."""
    return data[:1].isalpha() and not data.startswith(HANDSHAKE)


def isCut(data: bytes) -> bool:
    """Return whether the first bytes of a connection are a part of a record. Bytes of no handshake are complete."""
    size = _readNumber(data, 3, 2)
    return data.startswith(HANDSHAKE) and (len(data) < _RECORD_HEAD or len(data) - _RECORD_HEAD < size <= _LARGEST)


def listProtocols(data: bytes) -> list[bytes]:
    """
    List the application protocols that a client offers.

    Args:
        data: Its first record. OpenSSL checks it.

    Returns:
        The names; none if it has not the extension, or if the first record is not the whole ClientHello.
    """
    place = _RECORD_HEAD + _MESSAGE_HEAD + _FIXED
    for size in _LENGTHS:
        place += size + _readNumber(data, place, size)
    place += _EXTENSIONS
    while place < len(data):
        kind, size = _readNumber(data, place, 2), _readNumber(data, place + 2, 2)
        place += 4
        if kind == _ALPN:
            # Behind the length of the list.
            return _splitNames(data[place + 2 : place + size])
        place += size
    return []


def _readNumber(data: bytes, place: int, size: int) -> int:
    return int.from_bytes(data[place : place + size])


def _splitNames(names: bytes) -> list[bytes]:
    """Split names that each stand behind their length."""
    found = []
    while names:
        end = 1 + names[0]
        found.append(names[1:end])
        names = names[end:]
    return found
