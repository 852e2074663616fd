"""
`--check`: everything that can be found out about the options without a start.

The options themselves are checked by then. No store is opened, nothing is connected to, and no file is made.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.python import usage

from sseserver import __version__, compiled
from sseserver.command.effective import hasEffect, writeOptions
from sseserver.command.given import Document, Given, findUnknown
from sseserver.command.redisstore import isRedis
from sseserver.command.upstream import listAPIs
from sseserver.errors import StoreUnavailable
from sseserver.options import optionNamed
from sseserver.options.variables import SECRETS, nameKeyVariable
from sseserver.redaction import showMessage
from sseserver.sources.upstreamproxy import findProxy
from sseserver.stores.sqlite.files import readHeader


def report(values: Mapping[str, Any], sources: Mapping[str, Given], document: Document | None) -> str:
    """
    Return the report about options without a fault: a configuration file with the same effect.

    Args:
        values: The values of all options, checked.
        sources: The options that were given, by their names.
        document: The configuration file, if there is one.
    """
    build = "compiled" if compiled else "pure Python"
    lines = [f"# sseserver {__version__} ({build}) could start with these options."]
    if document is not None:
        lines.append(f"# File: {showMessage(document.name)}")
    lines += [f"# {sentence}" for sentence in findUnknown(os.environ)]
    lines += [f"# {sentence}" for sentence in findSecrets(values, sources, os.environ)]
    lines += [
        f"# Not checked, since only systemd has it: --listen {showMessage(each)}" for each in _findUnchecked(values)
    ]
    return "\n".join(lines) + "\n\n" + writeOptions(values, sources)


def findSecrets(
    values: Mapping[str, Any], sources: Mapping[str, Given], environment: Mapping[str, str]
) -> Iterator[str]:
    """
    Yield a sentence about each variable with a secret that is set.

    Args:
        values: The values of all options, checked.
        sources: The options that were given, by their names.
        environment: The environment.
    """
    given = frozenset(name for name, each in sources.items() if each.isOn)
    for variable, name in SECRETS.items():
        if not environment.get(variable):
            continue
        if name in given:
            yield f"${variable} is set, and not used: --{name} comes before it."
        elif hasEffect(optionNamed(name), values, given):
            yield f"${variable} is set, and used in place of --{name}. Its value is not shown."
        else:
            yield f"${variable} is set, and has no effect with these options."
    apis = listAPIs(values)
    for api in apis:
        if api.name and environment.get(nameKeyVariable(api.name)):
            yield f"${nameKeyVariable(api.name)} is set: a key of --upstream {api.name}. Its value is not shown."
    if any(not values["upstream-proxy"] and findProxy(api.url) for api in apis):
        yield "The environment names a proxy for --upstream. Its URL is not shown."


def _findUnchecked(values: Mapping[str, Any]) -> Iterator[str]:
    return (each for each in values["listen"] if each not in values["known"])


def checkFiles(values: Mapping[str, Any], folder: str | None) -> None:
    """
    Check that the files which the server would write can be written, as far as their folders and rights tell.

    Args:
        values: The values of all options.
        folder: Working directory of the server, where a relative path of the store begins; `None` for the present one.

    Raises:
        usage.UsageError: One cannot.
    """
    store, log = values["store"], values["access-log"]
    if store is not None and not isRedis(store):
        path = Path(folder or "", store)
        _checkWritable(path, f"--store sqlite:{store}")
        try:
            readHeader(path)
        except (StoreUnavailable, OSError) as error:
            raise usage.UsageError(f"--store: {error}") from None
    if log not in {"log", "none"}:
        _checkWritable(Path(log), f"--access-log {log}")


def _checkWritable(path: Path, place: str) -> None:
    """
    Check that a file can be written, or made.

    Raises:
        usage.UsageError: It cannot.
    """
    try:
        if path.is_dir():
            raise usage.UsageError(f"{place}: this is a folder")
        # From Python 3.14 on, `is_dir` does not tell a folder that is closed to this user from one that is missing.
        with suppress(FileNotFoundError):
            path.parent.stat()
        if not path.parent.is_dir():
            raise usage.UsageError(f"{place}: there is no folder {str(path.parent)!r}")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise usage.UsageError(f"{place}: this user may not write it")
    except OSError as error:
        raise usage.UsageError(f"{place}: {error.strerror or error}") from None
