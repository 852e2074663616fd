"""
Sockets that systemd, or a program like it, has passed to this process.

Twisted takes only those with names (`LISTEN_FDNAMES`), which `systemd-socket-activate` and others leave out, and
removes the number of the others from the environment. So the environment is read as it was when the process began.

`sseserver.command.listening` and the workers use it.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet.endpoints import AdoptedStreamServerEndpoint, serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint

#: The first descriptor that systemd passes.
FIRST = 3

#: The environment with which this process began.
_ENVIRONMENT = Path("/proc/self/environ")

#: An endpoint that is a socket of systemd by its index.
_INDEXED = re.compile(r"systemd:(?=.*\bdomain=(?P<family>INET6?|UNIX)\b)(?=.*\bindex=(?P<index>\d{1,4})\b)[\w:=]*")


def readVariables() -> dict[str, str]:
    """Return the variables with which this process began; none where the system does not tell them."""
    try:
        lines = _ENVIRONMENT.read_bytes().split(b"\0")
    except OSError:
        return {}
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in (line.partition(b"=") for line in lines)}


def countUnnamed(variables: Mapping[str, str]) -> int:
    """
    Return the number of the sockets that were passed to this process without names; 0 if they have names.

    Args:
        variables: The environment.
    """
    if variables.get("LISTEN_FDNAMES") or variables.get("LISTEN_PID") != str(os.getpid()):
        return 0
    count = variables.get("LISTEN_FDS", "")
    return int(count) if count.isascii() and count.isdigit() and len(count) < 5 else 0


def parseEndpoint(reactor: Any, description: str) -> IStreamServerEndpoint:
    """
    Make the endpoint that a string describes. It may be a socket without a name.

    Args:
        reactor: Listens.
        description: In Twisted's notation.

    Raises:
        Exception: See `serverFromString`.
    """
    found = _INDEXED.fullmatch(description)
    if found is not None and int(found["index"]) < countUnnamed(readVariables()):
        family = getattr(socket, f"AF_{found['family']}")
        return AdoptedStreamServerEndpoint(reactor, FIRST + int(found["index"]), family)
    endpoint: IStreamServerEndpoint = serverFromString(reactor, description)
    return endpoint


def explainMissing() -> str:
    """Return why this process does not have a socket of systemd."""
    variables = readVariables()
    if variables.get("LISTEN_PID") != str(os.getpid()):
        return "this process was not started by systemd with a socket"
    names = variables.get("LISTEN_FDNAMES")
    if names:
        return f"systemd has passed no such socket; their names are {names}"
    return f"systemd has passed {countUnnamed(variables)} sockets without names; use index=0 for the first of them"
