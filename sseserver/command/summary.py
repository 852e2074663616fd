"""
The summary of a server, for the line of the log that names its URL: its source, its store and its build.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sseserver import compiled
from sseserver.command.redisstore import isRedis
from sseserver.redaction import hideCredentials, hideSecrets


def summarize(options: Mapping[str, Any]) -> str:
    """
    Return the summary of a server.

    Args:
        options: The options, checked. No secret of theirs is in the summary.
    """
    build = "compiled" if compiled else "pure Python"
    speed = "no speedups" if options["plain"] else "speedups"
    return f"source: {nameSource(options)}; store: {nameStore(options['store'])}; build: {build}, {speed}"


def nameSource(options: Mapping[str, Any]) -> str:
    """Return a short text about the token source that the options describe."""
    if options["exec"] is not None:
        # Arguments may be secret.
        return f"program {hideSecrets(options['exec'][0])}"
    if options["upstream"]:
        urls = ", ".join(
            hideSecrets(hideCredentials(url.encode("ascii")).decode("ascii")) for url in options["upstream"]
        )
        return f"{urls}, model {options['model']}" if options["model"] else urls
    if options["text"] == "-":
        return "standard input"
    return "built-in text" if options["text"] is None else f"file {options['text']}"


def nameStore(store: str | None) -> str:
    """
    Return a short text about a store.

    Args:
        store: Value of `--store`.
    """
    if store is None:
        return "memory"
    return store if isRedis(store) else f"sqlite:{store}"
