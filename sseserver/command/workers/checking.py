"""
The check of the number of `--workers`. The options that several processes cannot share are in the table of conflicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.python import usage

#: Number of workers that a pool has at most.
MAX_WORKERS = 64


def checkWorkers(options: Mapping[str, Any], runner: Mapping[str, Any] | None) -> None:
    """
    Check that a server may have as many workers as the options say.

    Args:
        options: The options.
        runner: Options of twistd.

    Raises:
        usage.UsageError: It may not.
    """
    count = options["workers"]
    if count == 1:
        return
    if count > MAX_WORKERS:
        raise usage.UsageError(f"--workers {count} is too large; the maximum is {MAX_WORKERS}")
    if runner is not None and runner.get("chroot"):
        raise usage.UsageError("--workers: workers cannot be started below another root (twistd --chroot)")
