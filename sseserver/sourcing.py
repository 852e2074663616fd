"""
The upstream that the command line asks for. Its key comes from a file or from
the environment, and stands nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.python import usage

from sseserver.sources.upstream import UpstreamSource, checkKey

#: The environment variable with the key.
KEY_VARIABLE = "SSESERVER_UPSTREAM_KEY"

#: What a file with a key may have, in bytes.
_KEY_BYTES = 16 * 1024


def readKey(name: str | None) -> str | None:
    """
    Read the key for the upstream.

    Args:
        name: Of a file with one line; C{None}: it may be in the environment.

    Returns:
        The key; C{None} when there is none.

    Raises:
        usage.UsageError: It cannot be read, or is none. Does not repeat it.
    """
    if name is None:
        key, where = os.environ.get(KEY_VARIABLE), f"${KEY_VARIABLE}"
        if not key:
            return None
    else:
        where = f"--upstream-key-file {name}"
        try:
            with Path(name).open("rb") as file:
                # One byte more than is a key: then what is cut off is not mistaken for one.
                key = file.read(_KEY_BYTES + 1).decode("latin-1").removesuffix("\n").removesuffix("\r")
        except OSError as error:
            raise usage.UsageError(f"{where}: {error.strerror or error}") from None
    try:
        if len(key) > _KEY_BYTES:
            raise ValueError("this is too long for a key")
        return checkKey(key)
    except ValueError as error:
        raise usage.UsageError(f"{where}: {error}") from None


def checkUpstream(options: Mapping[str, Any]) -> None:
    """
    Check what the options say of an upstream.

    Raises:
        usage.UsageError: They do not fit.
    """
    if options["upstream"] is None:
        if options["upstream-key-file"] is not None:
            raise usage.UsageError("--upstream-key-file: there is no --upstream to use it for")
        return
    if options["text"] is not None:
        raise usage.UsageError("--text and --upstream: only one of them can be streamed")
    readKey(options["upstream-key-file"])


def makeUpstream(reactor: Any, options: Mapping[str, Any]) -> UpstreamSource:
    """Make the source that `--upstream` asks for."""
    return UpstreamSource(
        reactor,
        options["upstream"],
        key=readKey(options["upstream-key-file"]),
        model=options.get("model"),
        connectTimeout=options["connect-timeout"],
        firstTokenTimeout=options["first-token-timeout"],
        tokenTimeout=options["token-timeout"],
    )
