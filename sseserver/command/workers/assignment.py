"""
The assignment of a worker: everything that its command line does not say. The pool sends it first on the channel.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from sseserver.command.given import Document

#: Bytes. Longest assignment.
_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    A listening socket of a worker.

    Attributes:
        descriptor: Its number in the worker.
        isShared: Whether all workers have this socket.
    """

    descriptor: int
    isShared: bool


@dataclass(frozen=True, slots=True)
class Assignment:
    """
    The assignment of a worker.

    Attributes:
        number: Number of the worker, from 1 on.
        folder: Working directory from which relative paths of options are meant when they are read.
        runFolder: Working directory after that.
        reactor: Short name of the reactor, as `twistd --reactor` takes it; `None` for the default one.
        sessionKey: In hexadecimal. Signs the cookies of sessions if there is no other key.
        endpoints: Sockets for the endpoints of `--listen`, in their order.
        document: The configuration file, as the pool has read it.
    """

    number: int
    folder: str
    runFolder: str
    reactor: str | None
    sessionKey: str
    endpoints: tuple[Endpoint, ...]
    document: Document | None = None


def writeAssignment(assignment: Assignment) -> bytes:
    """Return the message with an assignment."""
    return json.dumps(asdict(assignment)).encode("ascii")


def readAssignment(receive: Any) -> Assignment:
    """
    Read an assignment, which the pool has sent as a netstring.

    Args:
        receive: Returns some bytes; at most as many as it is told.

    Raises:
        ValueError: What arrives is no assignment.
    """
    digits = b""
    while (one := receive(1)) != b":":
        digits += one
        if not one.isdigit() or len(digits) > len(str(_MAX)):
            raise ValueError("a worker is started by its pool: use `twistd sseserver --workers`")
    rest, size = b"", int(digits) + 1
    while len(rest) < size:
        part = receive(size - len(rest))
        if not part:
            raise ValueError("the pool has ended")
        rest += part
    members = json.loads(rest[:-1])
    endpoints = tuple(Endpoint(**each) for each in members.pop("endpoints"))
    document = members.pop("document")
    return Assignment(**members, endpoints=endpoints, document=document and Document(**document))
