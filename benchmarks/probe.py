"""
One viewer that asks and waits, with a clock in its hand.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import process
from load import EVENT_STREAM, READ_SIZE, asking, request, splitHead


@dataclass(frozen=True, slots=True)
class First:
    """
    What one viewer waited, in milliseconds from before it asked, with an open connection.

    Args:
        byte: For the first bytes of the body.
        token: For the first token.
    """

    byte: float
    token: float


class ProbeError(Exception):
    """
    The server did not answer.
    """


def firstOf(
    port: int, path: str, mark: bytes, post: str | None = None, body: str = "{}", ask: str | None = None
) -> First:
    """
    Ask for an event stream, wait for its first token, leave.

    Args:
        port: The server's.
        path: What is asked for.
        mark: What stands in the first token.
        post: Where to POST first, to be told the path; `None`: it is known.
        body: JSON, of the POST.
        ask: See `load.Plan`.
    """
    with socket.create_connection((process.HOST, port), timeout=10) as connection:
        begin = time.monotonic()
        if post is not None:
            connection.sendall(request("POST", post, (), body))
            received = b""
            while not (head := splitHead(received)) or len(head[2]) < int(head[1]["content-length"]):
                received += _more(connection)
            path = urlsplit(head[1]["location"]).path
        connection.sendall(asking(path, EVENT_STREAM, ask))
        received, first = b"", 0.0
        while mark not in received:
            received += _more(connection)
            if not first and received.partition(b"\r\n\r\n")[2]:
                first = time.monotonic()
        return First((first - begin) * 1000, (time.monotonic() - begin) * 1000)


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(READ_SIZE)
    if not data:
        raise ProbeError("the connection ended before the first token")
    return data
