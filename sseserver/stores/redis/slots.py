"""
Slots of a Redis cluster: the servers that have them, as the cluster tells its clients.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sseserver.errors import StoreUnavailable
from sseserver.stores.redis.address import Server
from sseserver.stores.redis.connection import Refused


class SlotRange(NamedTuple):
    """
    Some slots of one server.

    Attributes:
        first: The first slot.
        last: The last slot.
        server: The master of the slots.
    """

    first: int
    last: int
    server: Server


class Redirect(NamedTuple):
    """
    The answer of a server that does not have the slot of a command.

    Attributes:
        slot: The slot.
        server: The server to ask instead.
    """

    slot: int
    server: Server


def parseSlots(reply: Any, origin: Server) -> list[SlotRange]:
    """
    Parse the reply to `CLUSTER SLOTS`.

    Args:
        reply: The reply.
        origin: The server that has sent it.

    Raises:
        StoreUnavailable: It is something else.
    """
    try:
        return [SlotRange(int(row[0]), int(row[1]), _readServer(row[2][0], int(row[2][1]), origin)) for row in reply]
    except (IndexError, TypeError, ValueError):
        raise StoreUnavailable("The map of the cluster cannot be read.") from None


def parseRedirect(refused: Refused, origin: Server) -> Redirect:
    """
    Parse an error `MOVED` or `ASK`.

    Args:
        refused: The error.
        origin: The server that has sent it.

    Raises:
        StoreUnavailable: It names no server.
    """
    try:
        _, slot, address = refused.text.split(" ")[:3]
        host, _, port = address.rpartition(":")
        return Redirect(int(slot), _readServer(host.encode("ascii"), int(port), origin))
    except ValueError:
        raise StoreUnavailable("The cluster names no server that has the stream.") from None


def _readServer(host: bytes | None, port: int, origin: Server) -> Server:
    """Return a server of the cluster. One whose host is not known has that of the server that names it."""
    known = host not in {None, b"", b"?"}
    return Server(host.decode("ascii") if host and known else origin.host, port)
