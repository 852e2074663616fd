"""
Sending bytes with one system call, past the write queue of a transport.

In the compiled build the function is replaced by that of `sending.pxd`, which needs no method of the socket; this
module stays Python.
"""

from __future__ import annotations

from typing import Any


def send(socket: Any, data: bytes) -> int:
    """
    Send bytes.

    Args:
        socket: A socket that does not block.
        data: The bytes.

    Returns:
        The number of bytes that the socket took: 0 if it is full. Or it is broken: then the transport finds out when
        it sends the rest.
    """
    try:
        return int(socket.send(data))
    except OSError:
        return 0
