"""
The check of `--workers`: what several processes cannot share is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.python import usage

from sseserver.command.redisstore import isRedis

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
    if not isRedis(options["store"]):
        raise usage.UsageError(
            "--workers needs --store redis://HOST: without it each worker would have streams of its own, and clients "
            "could not choose the worker"
        )
    if options["text"] == "-":
        raise usage.UsageError("--workers: all workers cannot read the same standard input (--text -)")
    if options["metrics"]:
        raise usage.UsageError("--metrics: a worker has only its own numbers; use --admin-listen with --workers")
    if runner is not None and runner.get("chroot"):
        raise usage.UsageError("--workers: workers cannot be started below another root (twistd --chroot)")
