"""
The token source that the command line asks for: a text, a program, or an
upstream, whose key comes from a file or from the environment, and stands
nowhere else.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.python import usage

from sseserver.interfaces import ITokenSource
from sseserver.sources.process import PLACE, ProcessSource
from sseserver.sources.text import TextSource
from sseserver.sources.upstream import UpstreamSource, checkKey
from sseserver.values import MODEL

#: The environment variable with the key.
KEY_VARIABLE = "SSESERVER_UPSTREAM_KEY"

#: The options that name a source.
_SOURCES = ("text", "exec", "upstream")

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


def command(value: str) -> list[str]:
    """Coerce to a program and its arguments, quoted as in a shell."""
    try:
        parts = shlex.split(value)
    except ValueError as error:
        raise ValueError(f"{value!r}: {str(error).lower()}") from None
    if not parts or not parts[0] or PLACE in parts[0]:
        raise ValueError(f"{value!r} does not begin with a program")
    return parts


def readText(name: str) -> str:
    """
    Read the text to be streamed.

    Args:
        name: A file's name; `-` for standard input.

    Raises:
        usage.UsageError: It cannot be read, or is not UTF-8.
    """
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode("utf-8")
    except OSError as error:
        raise usage.UsageError(f"--text {name}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise usage.UsageError(f"--text {name}: not UTF-8 at byte {error.start}") from None


def checkSource(options: Mapping[str, Any]) -> None:
    """
    Check what the options say of the source, and that it is one.

    Raises:
        usage.UsageError: They do not fit.
    """
    named = [f"--{name}" for name in _SOURCES if options[name] is not None]
    if len(named) > 1:
        raise usage.UsageError(f"{' and '.join(named)}: only one of them can be streamed")
    if options["asks"] and options["exec"] is None:
        raise usage.UsageError("--asks: there is no --exec to say it of")
    if options["upstream"] is not None:
        readKey(options["upstream-key-file"])
    elif options["upstream-key-file"] is not None:
        raise usage.UsageError("--upstream-key-file: there is no --upstream to use it for")


def makeSource(reactor: Any, options: Mapping[str, Any]) -> ITokenSource:
    """Make the source that the options ask for."""
    if options["exec"] is not None:
        takesPrompt = True if options["asks"] else None
        return ProcessSource(reactor, options["exec"], takesPrompt, options["model"] or MODEL)
    if options["upstream"] is not None:
        return _makeUpstream(reactor, options)
    return TextSource(reactor, options["words"], options["interval"], options["model"] or MODEL)


def _makeUpstream(reactor: Any, options: Mapping[str, Any]) -> UpstreamSource:
    return UpstreamSource(
        reactor,
        options["upstream"],
        key=readKey(options["upstream-key-file"]),
        model=options["model"],
        connectTimeout=options["connect-timeout"],
        firstTokenTimeout=options["first-token-timeout"],
        tokenTimeout=options["token-timeout"],
    )
